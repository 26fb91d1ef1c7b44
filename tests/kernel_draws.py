"""What the property test draws: joins over few ids, and anything a customer may hold, in small quantities.

Plans are drawn as they stand in a catalogue, with the days of their terms as offsets from the day on which a test begins.
"""

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st
from kernel_model_held import Held, Sub
from support import customer

from gateway.domain.catalogue import Customer
from gateway.domain.join import ROLES, Endpoint, Join, Service, Telephone


BEGINNINGS = {
    "2026-06-10": "an ordinary day",
    "2026-03-07": "the day before the one of 23 hours",
    "2026-10-31": "the day before the one of 25 hours, and a month's last",
    "2026-12-31": "the last of a year",
}
CONNECTIONS = [f"c{number}" for number in range(30)]
MEETINGS = ["m1", "m2", "m3"]
ALICE, BOB = "alice@acme.example", "bob@acme.example"
HOSTS = [
    ALICE,
    ALICE,
    BOB,
    BOB,
    "Alice+vip@ACME.example",
    "carol@acme.example",
    "training@acme.example",
    "eve@globex.example",
    None,
]
PERSONS = [None, "pat@acme.example", "Pat+phone@acme.example", "pat@acme.example", "sam@globex.example"]
ROOMS = [None] * 12 + ["boardroom", "Boardroom", "boardroom", "huddle", "lobby"]
SERVICES = [Service.MEETING, Service.EVENT, Service.MEETING, Service.EVENT, Service.TEAMS]
ENDPOINTS = {
    Service.MEETING: [Endpoint.WEB, Endpoint.SIP, Endpoint.PSTN],
    Service.EVENT: [Endpoint.WEB, Endpoint.SIP, Endpoint.PSTN],
    Service.TEAMS: [Endpoint.SIP, Endpoint.H323, Endpoint.SIP, Endpoint.WEB],
}
STREAMING: list[dict[str, int] | None] = [
    {"max_minutes": 60}, {"max_minutes": 30}, {"max_minutes": 60, "max_endpoints": 2}, {"max_endpoints": 1}, {}, None, None,
]  # fmt: skip
CALLING = ["toll", "toll_free", "international", "toll", "call_me", "premium"]
FEATURES: list[tuple[str, ...]] = [()] * 7 + [("streaming",), ("streaming",), ("one_touch",)]
FIRST, LAST = [-9] * 6 + [0, 1], [9999] * 5 + [0, 1, 2]
SIGNED = [-9, -364]


def of_what_is_often(often: Any, *rare: Any) -> st.SearchStrategy[Any]:
    """The first in most cases."""
    return st.sampled_from([often] * (3 * len(rare)) + list(rare))


@st.composite
def joins(draw: st.DrawFn, services: tuple[Service, ...] = tuple(SERVICES)) -> dict[str, Any]:
    """Any join over few ids, so that they meet."""
    service = draw(st.sampled_from(services))
    endpoint = draw(st.sampled_from(ENDPOINTS[service]))
    fields = {
        "connection": draw(st.sampled_from(CONNECTIONS)),
        "service": service,
        "meeting": draw(st.sampled_from(MEETINGS)),
        "endpoint": endpoint,
        "role": draw(st.sampled_from(ROLES[service])),
        "host": draw(st.sampled_from(HOSTS)),
        "person": draw(st.sampled_from(PERSONS)),
        "department": draw(st.sampled_from(["finance", "finance", "sales", None])),
        "features": draw(st.sampled_from(FEATURES)),
        "room": draw(st.sampled_from(ROOMS)),
        "access": draw(of_what_is_often(None, "china")),
        "media": draw(of_what_is_often("video", "audio")),
        "country": draw(st.sampled_from([None, "US", "FR"])),
        "node": draw(st.sampled_from([None, None, "media-1", "media-1", "media-2"])),
        "lease_s": draw(of_what_is_often(None, 20, 300)),
    }
    if endpoint is Endpoint.PSTN:
        fields["calling"] = draw(st.sampled_from(CALLING))
        code = draw(of_what_is_often(1, 33))
        fields["number" if fields["calling"] == "call_me" else "access_number"] = Telephone(calling_code=code)
    return fields


def joined(fields: dict[str, Any]) -> Join:
    """The join that was drawn."""
    return Join(customer="acme", **fields)


def present(fields: dict[str, Any]) -> Join:
    """A leg that says it is there. Of events without a room: which of several licences an event takes whose room is elsewhere is open."""
    return joined({**fields, "room": None if fields["service"] is Service.EVENT else fields["room"]})


def traffic() -> st.SearchStrategy[str]:
    """What happens: many joins, many moves."""
    rare = ["join again", "preview", "repeat", "move unknown", "leave unknown", "move from elsewhere"]
    alive = ["confirm"] * 4 + ["adopt"] * 2 + ["confirm any", "confirm by another", "return", "list", "sweep"]
    return st.sampled_from(["join"] * 10 + ["leave"] * 4 + CHANGES * 2 + rare + alive)


CHANGES = ["meeting", "role", "meeting role", "meeting host", "meeting room", "role features", "service", "anything"]


def moved(leg: Join, fields: dict[str, Any], what: str) -> Join:
    """What a leg becomes: itself in another meeting or role, or what was drawn."""
    fields = {**fields, "connection": leg.connection}
    if fields["meeting"] == leg.meeting and what not in {"anything", "service"}:
        fields["meeting"] = MEETINGS[(MEETINGS.index(leg.meeting) + 1) % len(MEETINGS)]
    if what == "anything":
        return joined(fields)
    roles = [role for role in ROLES[leg.service] if role is not leg.role]
    if fields["role"] not in roles:
        fields["role"] = roles[len(fields["features"]) % len(roles)]
    kept = {name: getattr(leg, name) for name in leg.__struct_fields__ if name != "customer"}
    if what == "service":
        others = [service for service in Service if service is not leg.service]
        service = others[MEETINGS.index(fields["meeting"]) % 2]
        return joined(
            {
                **kept,
                "meeting": fields["meeting"],
                "service": service,
                "role": ROLES[service][len(fields["features"]) % 2],
            }
        )
    return joined({**kept, **{name: fields.get(name) for name in what.split()}})


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Anything a customer may hold."""
    subs = [*draw(meetings()), *draw(teams()), *draw(events()), *draw(additions())]
    orders = [sub for sub in subs if sub["plan"].startswith(("meetings.", "events."))]
    for number, (plan, room) in enumerate(
        draw(st.lists(st.sampled_from(LICENSED), min_size=1, max_size=2, unique_by=str))
    ):
        term = draw(terms())
        if any(_overlap(term, order["term"]) for order in orders):  # T13.3
            subs.append({"id": f"rooms-{number}", "plan": plan, "quantity": 1, "rooms": [room], "term": term})
    return {"subs": subs, "shadow": draw(st.sampled_from([False] * 5 + [True]))}


LICENSED = [
    ("rooms.network_room", {"id": "boardroom"}),
    ("rooms.dolby_raas", {"id": "Huddle", "territory": ["US"]}),
]


def terms() -> st.SearchStrategy[tuple[int, int]]:
    """First and last day."""
    return st.tuples(st.sampled_from(FIRST), st.sampled_from(LAST)).map(lambda drawn: (drawn[0], max(drawn)))


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return max(one[0], other[0]) <= min(one[1], other[1])


@st.composite
def numbered(
    draw: st.DrawFn, /, name: str, plan: str, counts: list[int], **fields: st.SearchStrategy[Any]
) -> list[Any]:
    """So many subscriptions of a plan, each with a term and fields; what is drawn as None is left out."""
    subs = []
    for number in range(draw(st.sampled_from(counts))):
        drawn = {field: draw(strategy) for field, strategy in fields.items()}
        stated = {field: value for field, value in drawn.items() if value is not None}
        subs.append({"id": f"{name}-{number}", "plan": plan, "term": draw(terms()), **stated})
    return subs


def bounds(draw: st.DrawFn) -> dict[str, st.SearchStrategy[Any]]:
    """What orders of one service state of telephones and streaming; they agree on the enforcement (T15.3)."""
    enforcement = draw(st.sampled_from(["metered", "hard"]))
    limit = st.sampled_from([None, None, 0, 1, 2])
    return {
        "pstn": limit.map(lambda most: None if most is None else {"pstn_limit": most, "pstn_enforcement": enforcement}),
        "stream": st.sampled_from(STREAMING).map(
            lambda stated: stated if stated is None else {"features": ["streaming"], "streaming": stated}
        ),
    }


@st.composite
def meetings(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Ports, named hosts, corporate access."""
    stated = bounds(draw)
    size = st.sampled_from([None, 3, 4])
    stated_hosts: list[list[int | None]] = [[None], [1, 2], [1, 2], [None, 1]]
    hosts = {"max_endpoints": size, "simultaneous_hosts": st.sampled_from(draw(st.sampled_from(stated_hosts)))}
    named = st.sampled_from([[ALICE, BOB], [BOB], ["Alice@acme.example"]]).map(
        lambda names: [_host(name) for name in names]
    )
    return _flattened([
        *draw(numbered("ports", "meetings.concurrent_connections", [1, 1, 2, 0], max_endpoints=size, **stated,
            quantity=quantities(draw))),
        *draw(numbered("named", "meetings.named_host", [1, 0, 2, 0], hosts=named, quantity=st.just(2), **hosts, **stated)),
        *draw(numbered("corp", "meetings.corporate_access", [0, 1], **hosts, **stated,
            one_meeting_per_host=st.booleans())),
    ])  # fmt: skip


@st.composite
def teams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Ports of the Teams gateway, named hosts, and the special offer, which was signed when nothing else was active."""
    named = st.just([_host(ALICE)])
    subs = [
        *draw(numbered("teams", "teams.concurrent_connections", [1, 0, 2], quantity=quantities(draw))),
        *draw(numbered("organisers", "teams.named_host", [0, 1], hosts=named, quantity=st.just(1),
            simultaneous_hosts=st.sampled_from([None, 1]))),
    ]  # fmt: skip
    if draw(st.sampled_from([False, False, True])):
        bought = draw(st.sampled_from([[], ["one_touch"]]))
        offer = {
            "id": "offer",
            "plan": "teams.special_offer",
            "committed": 2,
            "company_group": "acme",
            "features": bought,
        }
        ends_on = draw(st.sampled_from([None, None, 0, 1]))
        enforcement = draw(st.sampled_from(["notify", "hard"]))
        subs.append({**offer, "term": None, "signed_on": draw(st.sampled_from(SIGNED)), "enforcement": enforcement})
        if ends_on is not None:
            subs[-1]["ends_on"] = ends_on
    return _flattened(subs)


@st.composite
def events(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of both kinds; licences of a department may come from more than one subscription."""
    stated = bounds(draw)
    enforced = {
        "max_attendees": st.integers(1, 3),
        "attendees_enforcement": st.just(draw(st.sampled_from(["hard", "metered"]))),
        "duration_enforcement": st.just(draw(st.sampled_from(["hard", "metered"]))),
    }
    fallback = st.just(draw(st.sampled_from(["per_event", "per_event", None])))
    unlimited = draw(numbered("unlimited", "events.unlimited", [1, 0, 2], **enforced, **stated, fallback=fallback))
    for sub, department in zip(unlimited, ["finance", draw(st.sampled_from(["sales", "finance"]))], strict=False):
        sub["departments"] = {department: draw(st.sampled_from([1, 1, 2]))}
    per_event = numbered(
        "event", "events.per_event", [2, 1, 2, 0], **enforced, **stated, quantity=st.sampled_from([1, 1, 2])
    )
    return _flattened([*unlimited, *draw(per_event)])


@st.composite
def additions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """China and calling."""
    china = numbered("china", "access.china", [1, 0, 1, 2], quantity=quantities(draw),
        ends_on=st.sampled_from([None, None, 0, 1]))  # fmt: skip
    blocked = st.sampled_from([None, ["33"]])
    subs = draw(china)
    if draw(st.booleans()):
        subs += draw(numbered("premium", "calling.premium", [1], blocked_country_codes=blocked))
        subs[-1]["term"] = (-9, subs[-1]["term"][1])
    if draw(st.sampled_from([False, False, True])):
        subs += draw(numbered("global", "calling.global_audio", [1], blocked_country_codes=blocked))
        subs[-1]["term"] = (draw(st.integers(0, 1)), max(1, subs[-1]["term"][1]))
    return _flattened(subs)


def quantities(draw: st.DrawFn) -> st.SearchStrategy[dict[str, Any]]:
    """How much of a pool; all subscriptions of the plan are hard, or none (T1.5)."""
    if draw(st.booleans()):
        return st.integers(0, 5).map(lambda most: {"committed": most, "enforcement": "hard"})
    metered = st.tuples(st.integers(0, 4), st.sampled_from([None, 0, 2]))
    return metered.map(
        lambda drawn: {
            "committed": drawn[0],
            "enforcement": "metered",
            **({} if drawn[1] is None else {"ceiling": max(drawn[0] + drawn[1], 1)}),
        }
    )


def _host(name: str) -> dict[str, Any]:
    return {"id": name, "given_name": name.partition("@")[0].title(), "family_name": "Example"}


def _flattened(subs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fields that were drawn together stand beside the others."""
    flat = []
    for sub in subs:
        fields: dict[str, Any] = {}
        for name, value in sub.items():
            fields.update(
                value if isinstance(value, dict) and name in {"quantity", "pstn", "stream"} else {name: value}
            )
        flat.append(fields)
    return flat


def held_of(drawn: dict[str, Any], beginning: int) -> Held:
    """What is held, with days instead of offsets."""

    def dated(sub: dict[str, Any]) -> Sub:
        days: dict[str, Any] = {
            name: str(date.fromordinal(beginning + sub[name])) for name in ("ends_on", "signed_on") if name in sub
        }
        if sub["plan"] == "teams.special_offer":
            first = date.fromisoformat(days["signed_on"])
            last = first.replace(year=first.year + 1) - timedelta(days=1)
        else:
            first, last = [date.fromordinal(beginning + offset) for offset in sub["term"]]
        return {**sub, **days, "term": {"from": str(first), "to": str(last)}}

    return Held(tuple([dated(sub) for sub in drawn["subs"]]), drawn["shadow"])


def customer_of(held: Held) -> Customer:
    """The catalogue entry of what is held."""
    return customer(*[dict(sub) for sub in held.subs], mode="shadow" if held.shadow else "enforce")
