"""The short scripted scenario of `gateway demo --once`: each plan at its edge, with what must be decided."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.media_servers import MediaServers


@dataclass(frozen=True, slots=True)
class Step:
    """A join or a release, and the reason that must come back (None: a release)."""

    says: str
    customer: str
    connection: str
    expected: str | None = None
    join: dict[str, Any] = field(default_factory=dict)


def steps() -> Iterator[Step]:
    """The scenario."""
    yield from _ports()
    yield from _named_hosts()
    yield from _teams()
    yield from _events()
    yield from _shadow()


def _ports() -> Iterator[Step]:
    meeting = {"service": "meeting", "meeting": "weekly", "endpoint": "web"}
    yield Step("a guest is early", "acme", "guest", "host_not_present", meeting)
    yield Step(
        "the host opens the meeting",
        "acme",
        "host",
        "admitted",
        {**meeting, "role": "host", "host": "dana@acme.example"},
    )
    for number in range(1, 20):
        yield Step(f"participant {number}", "acme", f"p{number}", "admitted", meeting)
    yield Step("one above the 20 committed: in, as overage", "acme", "p20", "admitted", meeting)
    yield Step("the same request again takes no second seat", "acme", "p20", "replayed", meeting)
    for number in range(21, 30):
        yield Step(f"participant {number}", "acme", f"p{number}", "admitted", meeting)
    yield Step("one above the ceiling of 30", "acme", "p30", "ports_full", meeting)
    yield Step("somebody leaves", "acme", "p1")
    yield Step("now there is a seat", "acme", "p31", "admitted", meeting)


def _named_hosts() -> Iterator[Step]:
    def hosted(meeting: str, host: str) -> dict[str, Any]:
        return {"service": "meeting", "meeting": meeting, "endpoint": "app", "role": "host", "host": host}

    yield Step("Alice hosts", "globex", "a1", "admitted", hosted("design", "alice@globex.example"))
    yield Step("Alice cannot host a second one", "globex", "a2", "host_busy", hosted("review", "alice@globex.example"))
    yield Step("Bruno hosts", "globex", "b1", "admitted", hosted("sales", "bruno@globex.example"))
    yield Step("a third host at one time", "globex", "c1", "hosts_full", hosted("legal", "chiara@globex.example"))
    yield Step(
        "somebody without a licence", "globex", "d1", "host_not_licensed", hosted("party", "dirk@globex.example")
    )


def _teams() -> Iterator[Step]:
    meeting = {"service": "teams", "meeting": "board"}
    for number in range(1, 6):
        yield Step(
            f"room {number}",
            "initech",
            f"r{number}",
            "admitted",
            {**meeting, "endpoint": "sip" if number % 2 else "h323"},
        )
    yield Step("a sixth room", "initech", "r6", "teams_ports_full", {**meeting, "endpoint": "sip"})
    yield Step("a browser is no room system", "initech", "w1", "endpoint_not_supported", {**meeting, "endpoint": "web"})


def _events() -> Iterator[Step]:
    event = {"service": "event", "endpoint": "web", "department": "finance"}
    yield Step(
        "a presenter opens the event",
        "umbrella",
        "s1",
        "admitted",
        {**event, "meeting": "results", "role": "presenter"},
    )
    yield Step(
        "a second event of the one licence", "umbrella", "s2", "events_concurrent_full", {**event, "meeting": "outlook"}
    )
    yield Step(
        "a department without a licence",
        "umbrella",
        "s3",
        "department_not_licensed",
        {**event, "meeting": "x", "department": "it"},
    )


def _shadow() -> Iterator[Step]:
    meeting = {
        "service": "meeting",
        "meeting": "cave",
        "endpoint": "web",
        "role": "host",
        "host": "bruce@wayne.example",
    }
    for number in range(1, 5):
        yield Step(f"connection {number}", "wayne", f"w{number}", "admitted", meeting)
    yield Step("a fifth would be refused; in shadow mode it is only recorded", "wayne", "w5", "shadow", meeting)


async def play(servers: MediaServers, tell: Callable[[Step, dict[str, Any]], None]) -> list[str]:
    """Plays the scenario and releases everything at the end. What went otherwise than expected; nothing, if all is well."""
    live: list[tuple[str, str]] = []
    surprises: list[str] = []
    for step in steps():
        if step.expected is None:
            answer = await servers.release(step.customer, step.connection)
            got, expected = str(answer["released"]), "True"
        else:
            answer = await servers.admit(customer=step.customer, connection=step.connection, **step.join)
            got, expected = answer["reason"], step.expected
            if answer["decision"] == "admit":
                live.append((step.customer, step.connection))
        tell(step, answer)
        if got != expected:
            surprises.append(f"{step.customer} {step.connection}: {got} instead of {expected}")
    for customer, connection in live:
        await servers.release(customer, connection)
    return surprises
