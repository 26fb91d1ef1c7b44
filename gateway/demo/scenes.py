"""What a scene of `gateway demo --once` is made of: steps, and what must come of each."""

from dataclasses import dataclass, field
from typing import Any, Literal


Operation = Literal["admit", "move", "release", "suspend", "resume", "assist"]
Join = dict[str, Any]
"""A request without its customer and connection."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, the rule of the terms that it shows, and the outcome that must come back (see `outcome_of`)."""

    rule: str
    says: str
    expected: str
    body: Join = field(default_factory=dict)
    operation: Operation = "admit"
    connection: str | None = None
    """None: a new one."""
    times: int = 1
    """So many connections, each with the same outcome."""
    customer: str | None = None
    """Another one than the scene's."""
    answers: dict[str, Any] = field(default_factory=dict)
    """Further fields that the answer must have."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A plan at its edge, played by one customer; every connection that is left is released at its end."""

    rule: str
    plan: str
    customer: str
    shows: str
    """The limit that is told with each decision."""
    steps: tuple[Step, ...]
    findings: tuple[str, ...] = ()
    """Rules of which the customer must have findings afterwards, those of all its scenes together."""


def outcome_of(answer: dict[str, Any]) -> str:
    """What came of a step, in a word or two."""
    if "decision" in answer:
        return f"{answer['reason']} (overage)" if answer.get("overage") else str(answer["reason"])
    if "released" in answer:
        return "released" if answer["released"] else "not released"
    if "booked" in answer:
        return "booked" if answer["booked"] else str(answer["reason"])
    return str(answer.get("status", answer))


def meeting(name: str, host: str | None = None, endpoint: str = "web", **more: Any) -> Join:
    """A leg of a meeting; `host` owns it."""
    return _leg("meeting", name, endpoint, host=host, **more)


def hosted(name: str, host: str, **more: Any) -> Join:
    """The leg of a host, who opens the meeting."""
    return meeting(name, host, "app", role="host", **more)


def telephone(name: str, calling: str, **more: Any) -> Join:
    """A telephone leg of a meeting."""
    return meeting(name, endpoint="pstn", calling=calling, **more)


def teams(name: str, host: str | None = None, endpoint: str = "sip", **more: Any) -> Join:
    """A leg of a Teams meeting; `host` organises it."""
    return _leg("teams", name, endpoint, host=host, **more)


def event(name: str, department: str | None = None, **more: Any) -> Join:
    """A leg of an event."""
    return _leg("event", name, "web", department=department, **more)


def released(connection: str, says: str, rule: str = "") -> Step:
    """A connection ends."""
    return Step(rule, says, "released", operation="release", connection=connection)


def _leg(service: str, name: str, endpoint: str, **more: Any) -> Join:
    given = {field: value for field, value in more.items() if value is not None}
    return {"service": service, "meeting": name, "endpoint": endpoint, **given}
