"""What the property test draws: joins over few ids, and plans in small quantities, for the model and for the catalogue."""

from typing import Any

from hypothesis import strategies as st
from kernel_model import Held, Ports
from support import customer, events, named_hosts, ports, teams_ports, term

from gateway.domain.catalogue import Customer
from gateway.domain.days import day
from gateway.domain.join import ROLES, Endpoint, Service


BEGINNINGS = {
    "2026-06-10": "an ordinary day",
    "2026-03-07": "the day before the one of 23 hours",
    "2026-10-31": "the day before the one of 25 hours",
    "2026-12-31": "the last of a year",
}
CONNECTIONS = [f"c{number}" for number in range(30)]
MEETINGS = ["m1", "m2", "m3"]
HOSTS = ["alice@acme.example", "bob@acme.example", "carol@acme.example", None]


@st.composite
def pools(draw: st.DrawFn) -> tuple[tuple[int, int | None, int, int], ...]:
    """None, one or two subscriptions of a pool: committed, ceiling, first and last day as offsets from the beginning."""
    hard = draw(st.booleans())
    found = []
    for _ in range(draw(st.sampled_from([1, 2, 0]))):
        committed = draw(st.integers(0, 4))
        ceiling = committed if hard else draw(st.one_of(st.none(), st.integers(max(committed, 1), 6)))
        found.append((committed, ceiling, draw(st.sampled_from([-9, 0, 1])), draw(st.sampled_from([2, 9999]))))
    return tuple([(*each, hard) for each in found])  # type: ignore[misc]


@st.composite
def joins(draw: st.DrawFn) -> dict[str, Any]:
    """Any join over few ids, so that they meet."""
    service = draw(st.sampled_from([Service.MEETING, Service.MEETING, Service.TEAMS, Service.EVENT]))
    return {
        "connection": draw(st.sampled_from(CONNECTIONS)),
        "service": service,
        "meeting": draw(st.sampled_from(MEETINGS)),
        "endpoint": draw(st.sampled_from([Endpoint.SIP, Endpoint.WEB])),
        "role": draw(st.sampled_from(ROLES[service])),
        "host": draw(st.sampled_from(HOSTS)),
        "department": draw(st.sampled_from(["finance", "finance", "sales", None])),
    }


def plans() -> st.SearchStrategy[dict[str, Any]]:
    """Anything a customer may hold, in small quantities."""
    return st.fixed_dictionaries(
        {
            "port": pools(),
            "teams": pools(),
            "hosts": st.sampled_from([["alice", "bob"], ["bob"], []]),
            "simultaneous": st.sampled_from([None, 1, 2]),
            "sizes": st.tuples(st.integers(1, 4), st.integers(1, 4)),
            "licences": st.sampled_from([1, 2, 0]),
            "attendees": st.tuples(st.integers(1, 3), st.booleans()),
            "shadow": st.sampled_from([False, False, False, True]),
        }
    )


def held_of(drawn: dict[str, Any], beginning: int) -> Held:
    """What the model is told of drawn plans; days are offsets from the beginning."""

    def bought(pool: Any) -> tuple[Ports, ...]:
        return tuple(
            [
                Ports(committed, ceiling, beginning + first, beginning + last)
                for committed, ceiling, first, last, _ in pool
            ]
        )

    hosts = tuple([f"{name}@acme.example" for name in drawn["hosts"]])
    host_size, ports_size = drawn["sizes"]
    most, hard = drawn["attendees"]
    return Held(
        ports=bought(drawn["port"]),
        teams=bought(drawn["teams"]),
        hosts=hosts,
        simultaneous_hosts=drawn["simultaneous"] if hosts else None,
        host_meeting_size=host_size,
        ports_meeting_size=ports_size,
        licences=drawn["licences"],
        max_attendees=most,
        attendees_hard=hard,
        shadow=drawn["shadow"],
    )


def customer_of(held: Held, port: Any, teams: Any) -> Customer:
    """The catalogue entry of what is held."""
    subscriptions: list[dict[str, Any]] = []
    for sold, drawn, make in ((held.ports, port, ports), (held.teams, teams, teams_ports)):
        for number, (each, (*_, hard)) in enumerate(zip(sold, drawn, strict=True)):
            fields: dict[str, Any] = {"id": f"{make.__name__}-{number}", **_term(each)}
            if not hard and each.ceiling is not None:
                fields["ceiling"] = each.ceiling
            if make is ports:
                fields["max_endpoints"] = held.ports_meeting_size
            subscriptions.append(make(each.committed, enforcement="hard" if hard else "metered", **fields))
    if held.hosts:
        names = [host.partition("@")[0] for host in held.hosts]
        stated = {"simultaneous_hosts": held.simultaneous_hosts} if held.simultaneous_hosts else {}
        subscriptions.append(named_hosts(*names, max_endpoints=held.host_meeting_size, **stated))
    if held.licences:
        enforcement = "hard" if held.attendees_hard else "metered"
        subscriptions.append(events(held.max_attendees, {"finance": held.licences}, attendees_enforcement=enforcement))
    return customer(*subscriptions, mode="shadow" if held.shadow else "enforce")


def _term(each: Ports) -> dict[str, Any]:
    return term(day(each.first).date, day(each.last).date)
