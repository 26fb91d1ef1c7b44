"""What is raised: a fault of the request. An outage is no exception, it is told by the result."""

from typing import Any

import msgspec


class FieldFault(msgspec.Struct, frozen=True):
    """One thing wrong with a request: where (a JSONPath such as `$.endpoint`) and what."""

    path: str
    message: str


class _Problem(msgspec.Struct, frozen=True):
    """RFC 9457 problem details, as far as they are read here."""

    type: str = ""
    title: str = ""
    detail: str = ""
    errors: tuple[FieldFault, ...] = ()


class RequestRefused(Exception):
    """A gateway refused the request as such (4xx): sending it again would not help.

    `status` is that of HTTP; `kind` the stable end of the problem's type, such as `invalid`, `conflict` or `unauthorized`; `path` and
    `message` are those of the first of `errors`, or the problem's own words.
    """

    def __init__(self, status: int, document: Any) -> None:
        try:
            problem = msgspec.convert(document, _Problem)
        except msgspec.ValidationError:
            problem = _Problem()  # something else than a gateway answered, such as a proxy
        self.status = status
        self.kind = problem.type.rpartition(":")[2]
        self.errors = problem.errors
        self.path = problem.errors[0].path if problem.errors else ""
        self.message = problem.errors[0].message if problem.errors else problem.detail or problem.title
        super().__init__(f"{status} {self.kind}: {f'{self.path} {self.message}'.strip()}")
