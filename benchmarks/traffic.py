"""What is sent over HTTP: admits and releases in turn, each connection id once, and a release only of what was admitted."""

import json
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from benchmarks.workload import LEGS_PER_MEETING, PLENTY, connection_id, customer, ports
from gateway.domain.catalogue import Customer


SALT_BITS = 40
REASON = re.compile(rb'"reason":"([a-z_]{1,40})"')
"""What wrong answers are counted by; never by anything that holds an id."""


@dataclass(slots=True)
class Exchange:
    """A request, due at an instant."""

    kind: str
    customer: str
    connection: str
    payload: bytes
    due: float


def customers(count: int) -> list[Customer]:
    """Customers with a pool of ports that no benchmark fills."""
    return [customer(f"bench-{n}", ports(PLENTY)) for n in range(count)]


class Traffic:
    """Requests of one process. Once `live` connections are up, each admit is followed by a release of the oldest."""

    def __init__(self, prefix: str, customer_count: int, live: int) -> None:
        self._salt = int.from_bytes(prefix.encode()[:11].ljust(11)) << SALT_BITS
        self._prefix = prefix
        self._customers = customer_count
        self._live_wanted = live
        self._live: deque[tuple[str, str]] = deque()
        self._number = 0

    @property
    def live(self) -> int:
        """Connections that were admitted and not yet released."""
        return len(self._live)

    def next(self, due: float) -> Exchange:
        """The next request."""
        if len(self._live) > self._live_wanted:
            name, connection = self._live.popleft()
            return Exchange(
                "release", name, connection, request("/v1/release", {"customer": name, "connection": connection}), due
            )
        number, self._number = self._number, self._number + 1
        name, connection = f"bench-{number % self._customers}", connection_id(self._salt + number)
        body = {
            "customer": name, "connection": connection, "service": "meeting", "endpoint": "web", "role": "host",
            "meeting": f"{self._prefix}-{number // self._customers // LEGS_PER_MEETING:06d}", "person": f"person-{number:06d}",
        }  # fmt: skip
        return Exchange("admit", name, connection, request("/v1/admit", body), due)

    def answered(self, exchange: Exchange, status: int, body: bytes) -> str:
        """What an answer says, in a word that can be counted."""
        if exchange.kind == "admit" and status == 200 and b'"decision":"admit"' in body:
            self._live.append((exchange.customer, exchange.connection))
            return "admitted"
        if exchange.kind == "release" and status == 200 and b'"released":true' in body:
            return "released"
        found = REASON.search(body)
        return f"{exchange.kind}: {status} {found[1].decode() if found else 'without a reason'}"


def request(path: str, body: dict[str, Any]) -> bytes:
    """An HTTP request with a JSON body."""
    content = json.dumps(body, separators=(",", ":")).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content
