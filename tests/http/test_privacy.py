"""T21.1: no telephone number in clear, wherever it was sent: not in the store, the logs, the metrics, nor in any answer."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest
from disk_files import ask
from http_client import Answer, Request, everything_in, json_request, send, send_bytes
from http_routes import on_admission
from plans import china, corporate, dolby_rooms, global_audio, per_event, premium_calling
from redis.asyncio import Redis
from redis_processes import Standalone
from support import RunningGateway, customer_data, events, join_data, named_hosts, ports, teams_ports

from gateway.core import Core
from gateway.domain.join import Telephone
from gateway.domain.telephones import is_kept
from gateway.journal import Entry


MakeGateway = Callable[..., Awaitable[RunningGateway]]

KEY, OTHER_KEY = "a key of the tests, which is long enough", "another key of the tests, long enough too"


class Number(NamedTuple):
    """A telephone number that is sent here and nowhere else."""

    code: str
    national: str

    @property
    def e164(self) -> str:
        """As it is sent."""
        return f"+{self.code}{self.national}"


TOLL, TOLL_FREE, INTERNATIONAL = Number("44", "2079460958"), Number("49", "3098765432"), Number("33", "199001234")
CALL_ME, PREMIUM, MOVED = Number("61", "255501234"), Number("81", "355517788"), Number("1", "2125550187")
ACCESS, ACCESS_PREMIUM = Number("1", "8005550123"), Number("1", "9005550142")
BLOCKED_ACCESS, BLOCKED_PERSON, BLOCKED_CODE = (
    Number("39", "0698765432"),
    Number("55", "1198765432"),
    Number("7", "4951234567"),
)
UNASSIGNED, SHORT, BATCH = Number("999", "123456789"), Number("290", "22233"), Number("46", "812345678")
MISPLACED, MALFORMED, AT_START = Number("48", "223456789"), Number("351", "211234567"), Number("34", "911234567")
ADOPTED, AWAY = Number("47", "22123456"), Number("45", "33123456")
ALL = (
    TOLL, TOLL_FREE, INTERNATIONAL, CALL_ME, PREMIUM, MOVED, ACCESS, ACCESS_PREMIUM, BLOCKED_ACCESS, BLOCKED_PERSON, BLOCKED_CODE, UNASSIGNED,
    SHORT, BATCH, MISPLACED, MALFORMED, AT_START, ADOPTED, AWAY,
)  # fmt: skip
SPELT = (
    "+351 21 123 4567",
    "351-21-123-4567",
    "(351) 21 123 4567",
    "00351211234567",
    "+48 22 345 67 89",
    "0048 223456789",
)
"""Spellings that are sent beside those of E.164, of MALFORMED and MISPLACED."""


def needles() -> Iterator[str]:
    """What is looked for: every number with plus, without, and its national digits where they are at least 7; every other spelling."""
    for number in ALL:
        yield f"{number.code}{number.national}"  # with the plus, it stands in the text as well
        if len(number.national) >= 7:
            yield number.national
    yield from SPELT


NEEDLES = tuple(needles())


def traces(where: str, value: Any) -> list[str]:
    """Where telephone numbers stand in a value: text, bytes, MessagePack and JSON in them, numbers, collections of any depth."""
    match value:
        case bool() | None:
            return []
        case bytes():
            return _in_bytes(where, value)
        case str():
            return [f"{where}: {needle}" for needle in NEEDLES if needle in value]
        case int() | float():
            return traces(where, f"{value:.0f}")
        case dict():
            return [
                trace
                for name, each in value.items()
                for trace in (*traces(f"{where} (name)", name), *traces(f"{where}/{name!r}", each))
            ]
        case list() | tuple() | set() | frozenset():
            return [trace for each in value for trace in traces(where, each)]
    raise TypeError(f"{where}: nobody has said how to look into {type(value)}")


def _in_bytes(where: str, value: bytes) -> list[str]:
    found = traces(where, value.decode("latin-1"))
    for decode in (msgspec.msgpack.decode, msgspec.json.decode):
        try:
            inner = decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if not isinstance(inner, bytes):
            found += traces(where, inner)
    return found


def join_of(connection: str, number: Number | str | None = None, **fields: Any) -> dict[str, Any]:
    """A telephone leg of Alice's meeting."""
    e164 = number.e164 if isinstance(number, Number) else number
    named = {"number": e164} if e164 is not None else {}
    return join_data(
        connection, **{"host": "alice@acme.example", "endpoint": "pstn", "calling": "toll", **named, **fields}
    )


@dataclass
class Play:
    """Everything that was asked of gateways, and what they answered."""

    gateways: tuple[RunningGateway, ...]
    answers: list[tuple[str, Answer]] = field(default_factory=list)

    async def call(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """A call to the listener that the path belongs to, of one gateway after the other."""
        gateway = self.gateways[len(self.answers) % len(self.gateways)]
        request = (
            json_request(method, target, body, **headers)
            if body is not None
            else Request(method, target, headers=headers)
        )
        answer = await send(gateway.url if on_admission(target) else gateway.admin_url, request)
        self.answers.append((f"{method} {len(self.answers)}", answer))
        return answer

    async def decided(self, verb: str, body: dict[str, Any], **origin: str) -> str:
        """The reason of a decision."""
        answer = await self.call("POST", f"/v1/{verb}", {**body, **origin})
        assert 200 == answer.status, answer.text
        return str(answer.json()["reason"])

    async def refused(
        self, method: str, targets: Iterable[str], bodies: Iterable[Any] = (None,), **headers: str
    ) -> Counter[int]:
        """The statuses of all these calls."""
        bodies = list(bodies)
        return Counter(
            [(await self.call(method, target, body, **headers)).status for target in targets for body in bodies]
        )


def catalogue(**blocked: Any) -> dict[str, Any]:
    """A customer that may do everything."""
    return customer_data(
        named_hosts("alice", "bob"), ports(99, features=["streaming"]), teams_ports(9), events(), per_event(9), china(9),
        dolby_rooms("attic"), corporate(), premium_calling(**blocked),
    )  # fmt: skip


async def play_calls(play: Play) -> None:
    """Calls of every kind, admitted and blocked, moved, previewed, in batches, released."""
    blocked = {"blocked_numbers": [BLOCKED_ACCESS.e164, BLOCKED_PERSON.e164], "blocked_country_codes": ["+7"]}
    assert 201 == (await play.call("PUT", "/v1/customers/acme", catalogue(**blocked))).status
    access = {"access_number": ACCESS.e164}
    reasons = [
        await play.decided("admit", join_of("toll", TOLL, country="GB", person="ann@acme.example", **access)),
        await play.decided("admit", join_of("toll", TOLL, country="GB", person="ann@acme.example", **access)),
        await play.decided("admit", join_of("free", TOLL_FREE, calling="toll_free", node="media-1", **access)),
        await play.decided(
            "admit", join_of("inter", INTERNATIONAL, calling="international", lease_s=60, media="audio")
        ),
        await play.decided("admit", join_of("callme", CALL_ME, calling="call_me")),
        await play.decided("admit", join_of("premium", PREMIUM, calling="premium", access_number=ACCESS_PREMIUM.e164)),
        await play.decided("admit", join_of("moved", MOVED, **access)),
        await play.decided("admit", join_of("unassigned", UNASSIGNED)),
        await play.decided("admit", join_of("short", SHORT, meeting="m1", access="china")),
        await play.decided("admit", join_of("blocked-1", TOLL, access_number=BLOCKED_ACCESS.e164)),
        await play.decided("admit", join_of("blocked-2", BLOCKED_PERSON, calling="call_me")),
        await play.decided("admit", join_of("blocked-3", BLOCKED_CODE, calling="call_me")),
        await play.decided(
            "admit", join_of("nobody", CALL_ME, host="nobody@globex.example", meeting="m9", role="participant")
        ),
        await play.decided("preview", join_of("later", BATCH)),
        await play.decided("preview", join_of("later", BLOCKED_PERSON, calling="call_me")),
        await play.decided(
            "move", join_of("moved", MOVED, calling="toll", role="participant", **access), **{"from": "m1"}
        ),
        await play.decided("move", join_of("moved", BLOCKED_PERSON, calling="call_me", meeting="m2"), **{"from": "m1"}),
        await play.decided(
            "move", join_of("moved", MOVED, service="event", role="presenter", meeting="e1"), **{"from": "m1"}
        ),
    ]
    expected = {"admitted": 11, "replayed": 1, "number_blocked": 5, "host_not_present": 1}
    assert expected == Counter(reasons)
    for connection, number, result in (("toll", TOLL, "confirmed"), ("adopted", ADOPTED, "adopted")):
        facts = {"country": "GB", "person": "ann@acme.example", **access} if connection == "toll" else {}
        answer = await play.call("POST", "/v1/confirm", join_of(connection, number, **facts))
        assert (200, result) == (answer.status, answer.json().get("result")), answer.text
    page = {"connections": {"acme": ["toll", "free", "nobody"]}}
    answer = await play.call("POST", "/v1/nodes/media-1/heartbeat", page)
    assert (2, {"acme": ["nobody"]}) == (answer.json()["renewed"], answer.json()["unknown"])
    operations = [
        {"op": "admit", **join_of("batch", BATCH)},
        {"op": "confirm", **join_of("batch", BATCH)},
        {"op": "move", **join_of("batch", BATCH, role="participant"), "from": "m1"},
        {"op": "preview", **join_of("batch-2", BLOCKED_PERSON, calling="call_me")},
        {"op": "admit", **join_of(MISPLACED.e164, BATCH)},
        {"op": "release", "customer": "acme", "connection": "batch"},
        {"op": "release", "customer": "acme", "connection": f"tel:{MISPLACED.e164}"},
        {"op": MISPLACED.e164},
    ]
    results = (await play.call("POST", "/v1/batch", {"operations": operations})).json()["results"]
    assert ["admitted", "confirmed", "admitted", "number_blocked", 422, None, 422, 422] == [
        each.get("reason", each.get("result", each.get("status"))) for each in results
    ]
    assert (await play.call("POST", "/v1/release", {"customer": "acme", "connection": "callme"})).json()["released"]


async def play_numbers_in_wrong_places(play: Play) -> None:
    """Numbers where ids, names, words, figures and parameters stand: every one is refused as such, or found by nobody."""
    shapes = [MISPLACED.e164, f"tel:{MISPLACED.e164}", f"TEL:{MISPLACED.code}{MISPLACED.national}"]
    texts = ("connection", "meeting", "host", "person", "node", "room", "department", "customer")
    words = ("endpoint", "role", "service", "media", "calling", "country", "access", "lease_s", "deadline_ms")
    figures = [int(MISPLACED.code + MISPLACED.national), -int(MISPLACED.national), float(MISPLACED.national + ".5")]
    bodies: list[Any] = [{**join_of("x"), name: shape} for name in (*texts, *words) for shape in shapes]
    bodies += [
        {**join_of("x"), name: figure} for name in ("lease_s", "deadline_ms", "meeting", "number") for figure in figures
    ]
    bodies += [
        {**join_of("x"), "features": [shapes[0]]},
        {**join_of("x"), shapes[0]: 1},
        {**join_of("x"), "x": {shapes[0]: 1}},
        [shapes[0]],
    ]
    bodies += [
        join_of("x", text) for text in (*SPELT, MALFORMED.e164 + "0000000", MALFORMED.national, f"tel:{MALFORMED.e164}")
    ]
    bodies += [join_of("x", access_number=text) for text in SPELT] + [{**join_of("x", MALFORMED), "endpoint": "web"}]
    targets = ["/v1/admit", "/v1/preview", "/v1/confirm"]
    assert {422: len(targets) * len(bodies)} == await play.refused("POST", targets, bodies)
    moves = [{**join_of("toll"), "from": shape} for shape in shapes]
    assert {422: 3} == await play.refused("POST", ["/v1/move"], moves)
    ends = [
        {"customer": "acme", "connection": "toll", name: shape}
        for name in ("connection", "node", "cause", "customer")
        for shape in shapes
    ]
    assert {422: 12} == await play.refused("POST", ["/v1/release"], ends)

    pages: list[Any] = [{"connections": connections} for shape in shapes for connections in ({shape: ["x"]}, {"acme": [shape]}, shape)]
    pages += [{"connections": {}, name: value} for name in ("page", "pages", shapes[0]) for value in (shapes[0], figures[0])]
    assert {422: len(pages)} == await play.refused("POST", ["/v1/nodes/media-1/heartbeat"], pages)

    for shape in [quote(shape, safe="") for shape in shapes]:
        node = f"/v1/nodes/{shape}"
        assert {404: 2} == await play.refused("DELETE", [node]) + await play.refused("POST", [f"{node}/heartbeat"], pages[:1])
        one = "/v1/customers/acme"
        assert {422: 3} == await play.refused(
            "DELETE", [f"{one}/connections/{shape}", f"{one}/meetings/meeting/{shape}", f"/v1/customers/{shape}"]
        )
        assert {422: 1} == await play.refused("POST", [f"{one}/hosts/{shape}/suspend"], [{"reason": "aup"}])
        assert {404: 1} == await play.refused("GET", [f"/{shape}"])
        asked = [
            f"{one}/usage?{shape}=1",
            f"{one}/connections?limit={shape}",
            f"{one}/connections?cursor={shape}",
            f"{one}/overage?from={shape}",
        ]
        assert {422: 4} == await play.refused("GET", asked)
        assert {200: 1} == await play.refused("GET", [f"/v1/customers?after={shape}"])
        assert {422: 2} == await play.refused(
            "POST", [f"/v1/admit?deny_status={shape}", f"/v1/admit?{shape}"], [join_of("x", TOLL)]
        )
    for name in ("If-Match", "If-None-Match", "Authorization", "X-Caller", "Content-Type", "Accept"):
        await play.call("PUT", "/v1/customers/acme", catalogue(), **{name: MISPLACED.e164})
        await play.call("GET", "/v1/customers/acme/overage", **{name: MISPLACED.e164})
    assert {400: 1} == await play.refused("POST", ["/v1/admit"], [join_of("x")], Content_Encoding=MISPLACED.e164)


async def play_bodies_that_are_no_json(play: Play) -> None:
    """Numbers in bodies that cannot be read."""
    number = MALFORMED.e164.encode()
    for body in (b'{"number": "%s"', b"%s", b'"%s"', b'{"number": "%s\xff"}', b'{"%s": 1, "%s": 2}'):
        for target in ("/v1/admit", "/v1/batch", "/v1/nodes/media-1/heartbeat", "/v1/customers/acme/suspend"):
            listener = play.gateways[0].admin_url if "customers" in target else play.gateways[0].url
            request = Request("POST", target, body.replace(b"%s", number), {"Content-Type": "application/json"})
            answer = await send(listener, request)
            assert answer.status in {400, 422}, answer.text
            play.answers.append((f"POST {len(play.answers)}", answer))


async def play_catalogues(play: Play) -> None:
    """Numbers in catalogues: where they belong they are hashed, elsewhere they are refused and not told."""
    number = MISPLACED.e164
    faulty: list[dict[str, Any]] = [
        customer_data(premium_calling(blocked_numbers=[text]))
        for text in (*SPELT, f"{number}0000000", int(number), [number])
    ]
    faulty += [
        customer_data(premium_calling(**{name: number}))
        for name in ("id", "rate_card", "plan", "term", "blocked_country_codes")
    ]
    faulty += [
        customer_data(premium_calling(blocked_country_codes=[number])),
        customer_data(global_audio(annual_fee=int(number))),
    ]
    faulty += [
        customer_data(ports(9), **{name: number})
        for name in ("name", "mode", "employee_count", "retention_days", "store_failure", number)
    ]
    faulty += [
        customer_data(ports(int(number))),
        customer_data(ports(1, pstn_limit=number)),
        customer_data(events(departments={number: 1})),
    ]
    host = {"id": number, "given_name": "Alice", "family_name": "Moreau"}
    faulty += [
        customer_data(named_hosts("alice", hosts=[host])),
        customer_data(named_hosts("alice", approvals=[{"id": number}])),
    ]
    faulty += [
        customer_data(ports(9), dolby_rooms(number)),
        customer_data(ports(9), dolby_rooms("attic", territory=[number])),
    ]
    faulty += [
        customer_data(ports(9), id=number),
        customer_data(ports(9), domains=[number]),
        customer_data({"plan": number}),
    ]
    assert {422: len(faulty)} == await play.refused(
        "PUT", ["/v1/customers/globex"], [{**body, "id": body["id"].replace("acme", "globex")} for body in faulty]
    )

    one = "/v1/customers/acme"
    assert {422: 2} == await play.refused("POST", [f"{one}/suspend", f"{one}/terminate"], [{"reason": number}])
    counts = [
        {"count": 9, "certified_by": number},
        {"count": 9, "subscription": number},
        {"count": int(number)},
        {"count": 9, "certified_on": number},
    ]
    assert {422: 4} == await play.refused("POST", [f"{one}/certifications"], counts)
    assist = {"kind": "meeting", "starts_at": "2030-01-01T00:00:00Z", "minutes": 60}
    assists = [
        {**assist, name: value}
        for name, value in (("id", number), ("kind", number), ("starts_at", number), ("minutes", int(number)))
    ]
    assert {422: 4} == await play.refused("POST", [f"{one}/assists"], assists)
    for body in ({"blocked_numbers": [BLOCKED_ACCESS.e164, BLOCKED_PERSON.e164]}, {"blocked_numbers": [TOLL.e164]}):
        answer = await play.call("PUT", one, catalogue(**body))
        (held,) = [each for each in answer.json()["subscriptions"] if each["plan"] == "calling.premium"]
        assert [True] * len(body["blocked_numbers"]) == [is_kept(kept) for kept in held["blocked_numbers"]]


async def read_all_reports(play: Play) -> None:
    """Every page that the OpenAPI document says can be read, and the metrics of both gateways."""
    paths = (await play.call("GET", "/openapi.json")).json()["paths"]
    asked = [
        path for path, item in paths.items() if "get" in item and path not in {"/livez", "/readyz", "/openapi.json"}
    ]
    assert "/v1/customers/{customer}/connections" in asked
    for path in [*asked, "/metrics", "/livez", "/readyz"]:
        target = (
            path.replace("{customer}", "acme").replace("{person}", "ann@acme.example").replace("{", "").replace("}", "")
        )
        for _ in play.gateways:
            for accept in ("application/json", "text/csv"):
                assert (await play.call("GET", target, Accept=accept)).status in {200, 404, 422}, target


async def ended(gateway: RunningGateway) -> str:
    """What it wrote to its standard output, once it has ended."""
    gateway.process.terminate()
    out, _ = await asyncio.wait_for(gateway.process.communicate(), 30)
    assert 0 == gateway.process.returncode
    return out.decode()


@pytest.fixture
def catalogue_file(tmp_path: Path) -> Path:
    """A catalogue with a blocked number, as operators write it."""
    path = tmp_path / "catalogue.yaml"
    globex = customer_data(
        ports(9), premium_calling(blocked_numbers=[AT_START.e164]), id="globex", domains=["globex.example"]
    )
    path.write_text(json.dumps({"customers": [globex]}))
    return path


async def test_T21_1_no_number_in_clear_in_store_logs_metrics_and_answers(
    make_gateway: MakeGateway, store_url: str, catalogue_file: Path, capfd: pytest.CaptureFixture[str], core: Core, tmp_path: Path
) -> None:
    """Hundreds of calls with 18 numbers, in every field, path, query, header and body, to two gateways that log everything."""
    options = ("--log-level", "debug", "--catalogue", str(catalogue_file))
    gateways = []
    for form in ("json", "console"):
        env = {"GATEWAY_LOG_FORMAT": form, "GATEWAY_DATA_DIR": str(tmp_path / form)}
        gateways.append(await make_gateway(*options, env={**env, "GATEWAY_NUMBER_KEY": KEY}))
    play = Play(tuple(gateways))
    await play_calls(play)
    # Whose country code is not blocked stands in the leg: hash, country, class, and nothing else of the number.
    _, legs = await core.reports.connections("acme", 0, 100)
    kept = {leg.connection: info.number for leg, info in legs}
    assert kept["toll"] == Telephone(hash=kept["toll"].hash if kept["toll"] else None, calling_code=44, country="GB")
    assert {True} == {is_kept(number.hash or "") for number in kept.values() if number is not None}
    assert 8 == len({number.hash for number in kept.values() if number is not None}), "one for each number"
    await play_numbers_in_wrong_places(play)
    await play_bodies_that_are_no_json(play)
    await play_catalogues(play)
    await read_all_reports(play)

    said = [await ended(gateway) for gateway in gateways]
    stored = await everything_in(store_url)
    captured = capfd.readouterr()
    assert "join.denied" in captured.err, "the logs are there"
    assert any(answer.text.count("gateway_") > 20 for _, answer in play.answers), "the metrics are there"
    assert KEY not in captured.err + captured.out + "".join(said) + str(stored)
    disks = {form: on_disk(tmp_path / form) for form in ("json", "console")}
    assert {"acme", "globex"} <= {row[0] for row in disks["json"]["entitlements"]}, "what is remembered on disk is there"
    everything = {
        "disks": disks,
        "logs": (captured.err, captured.out, *said),
        "store": stored,
        "answers": [(name, answer.text) for name, answer in play.answers],
    }
    assert [] == traces("", everything)


async def test_T21_1_no_number_in_clear_in_the_journal(make_gateway: MakeGateway, tmp_path: Path) -> None:
    """A leg that was let in without the store waits on disk as it is kept: with the hash of its number; nor do answers or metrics tell it."""
    env = {"GATEWAY_NUMBER_KEY": KEY, "GATEWAY_DECISION_BUDGET_MS": "150"}
    async with Standalone() as redis:
        play = Play((await make_gateway("--log-level", "debug", env=env, redis_url=redis.url),))
        held = {**catalogue(), "store_failure": "admit"}
        assert 201 == (await play.call("PUT", "/v1/customers/acme", held)).status
        assert "admitted" == await play.decided("admit", join_of("before", TOLL))
        redis.kill()
        assert "degraded" == await play.decided("admit", join_of("away", AWAY, access_number=ACCESS.e164))
        assert "degraded" == await play.decided("admit", join_of("again", AWAY, node="media-1"))
        await play.call("GET", "/metrics")
        disk = on_disk(tmp_path / "data")
    (_, entry), *_ = disk["journal"]
    assert b"hash:" in msgspec.json.decode(entry, type=Entry).body
    assert [] == traces("", {"disk": disk, "answers": [answer.text for _, answer in play.answers]})


def on_disk(folder: Path) -> dict[str, Any]:
    """What a gateway keeps in its data directory: every file as it is, and every row of what it remembers, by table."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (path,) = folder.glob("memory-*.db")
    for table in ("told", "entitlements", "registers", "journal"):
        found[table] = ask(path, f"SELECT * FROM {table}")
    return found


async def test_T15_2_one_number_has_one_hash_under_one_key(make_gateway: MakeGateway, core: Core) -> None:
    """Through two gateways with one key the same, which blocks it through both; through one with another key another."""
    ours = [await make_gateway(env={"GATEWAY_NUMBER_KEY": KEY}) for _ in range(2)]
    theirs = await make_gateway(env={"GATEWAY_NUMBER_KEY": OTHER_KEY})
    play = Play((*ours, theirs))
    assert (
        201 == (await play.call("PUT", "/v1/customers/acme", catalogue(blocked_numbers=[BLOCKED_PERSON.e164]))).status
    )
    play.answers.clear()
    reasons = [await play.decided("admit", join_of(f"leg{number}", TOLL)) for number in range(3)]
    reasons += [
        await play.decided("admit", join_of(f"called{number}", BLOCKED_PERSON, calling="call_me"))
        for number in range(3)
    ]
    assert ["admitted"] * 3 + ["number_blocked"] * 2 + ["admitted"] == reasons
    _, legs = await core.reports.connections("acme", 0, 100)
    hashes = {leg.connection: info.number.hash for leg, info in legs if info.number}
    assert hashes["leg0"] == hashes["leg1"]
    assert hashes["leg0"] != hashes["leg2"]
    assert 3 == len(set(hashes.values()))


async def test_T21_1_without_a_key_nothing_of_a_number_is_kept_but_what_was_derived(
    make_gateway: MakeGateway, store_url: str, core: Core
) -> None:
    """No hash; and a number cannot be blocked."""
    play = Play((await make_gateway(),))
    assert (
        422 == (await play.call("PUT", "/v1/customers/acme", catalogue(blocked_numbers=[BLOCKED_PERSON.e164]))).status
    )
    assert 201 == (await play.call("PUT", "/v1/customers/acme", catalogue())).status
    assert "admitted" == await play.decided("admit", join_of("a", TOLL))
    _, ((_, info),) = await core.reports.connections("acme", 0, 100)
    assert Telephone(None, 44, "GB", "standard") == info.number
    assert [] == traces(
        "", {"store": await everything_in(store_url), "answers": [answer.text for _, answer in play.answers]}
    )


async def test_T21_1_the_command_line_tells_no_number_of_a_catalogue(tmp_path: Path) -> None:
    """A faulty catalogue is refused with every fault and without the numbers in it, by `check` and by `serve`."""
    path = tmp_path / "faulty.yaml"
    faulty = customer_data(
        premium_calling(blocked_numbers=[*SPELT, MISPLACED.e164 + "0000000"], rate_card=MISPLACED.e164),
        **{MISPLACED.e164: 1},
    )
    path.write_text(json.dumps({"customers": [faulty, {"id": MISPLACED.e164}], MISPLACED.e164: 1}))
    for command, code in (("check", 1), ("serve", 1)):
        arguments = (
            [str(path)]
            if command == "check"
            else ["--catalogue", str(path), "--port", "0", "--data-dir", str(tmp_path)]
        )
        env = {**os.environ, "GATEWAY_NUMBER_KEY": KEY}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", command, *arguments, stdout=PIPE, stderr=PIPE, env=env
        )
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert code == process.returncode, (out, err)
        assert b"blocked_numbers" in out + err
        assert [] == traces(command, (out, err))


NO_HTTP = (
    b"GET /%s HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nX-Number: %s\x01\r\n\r\n", b"%s / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n%s\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: %s\r\n\r\n", b"GET /\xff%s HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


async def test_T21_1_a_number_in_what_is_no_http_is_not_echoed(
    make_gateway: MakeGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    """The answer says that it is not well-formed, and neither it nor the log repeats the line."""
    gateway = await make_gateway("--log-level", "debug")
    sent = [line.replace(b"%s", MALFORMED.e164.encode()) for line in NO_HTTP]
    answers = [await send_bytes(url, line) for line in sent for url in (gateway.url, gateway.admin_url)]
    assert {400} == {answer.status for answer in answers}
    said = await ended(gateway)
    assert [] == traces("", {"logs": (*capfd.readouterr(), said), "answers": [answer.text for answer in answers]})


@pytest.mark.parametrize("needle", [TOLL.e164, TOLL.code + TOLL.national, TOLL.national, SPELT[0]])
async def test_the_search_finds_a_number_that_was_planted(store_url: str, needle: str) -> None:
    """In the name of a key, in every type that the store has, within MessagePack and JSON: so it would have found one."""
    store: Any = Redis.from_url(store_url, protocol=2)
    packed = msgspec.msgpack.encode([1, b"\xff", {"info": json.dumps({"number": [needle]})}])
    await store.set(f"key {needle}", "x")
    await store.set("string", packed)
    await store.hset("hash", mapping={"value": packed, f"field {needle}": "x"})
    await store.zadd("sorted", {needle: 1})
    await store.xadd("stream", {"leg": packed})
    await store.sadd("set", needle)
    await store.rpush("list", needle)
    found = traces("", await everything_in(store_url))
    for place in ("(name)", "/'string'", "/'hash'", "/'sorted'", "/'stream'", "/'set'", "/'list'"):
        assert any(place in trace for trace in found), place
    await store.flushdb()
    await store.aclose()


@pytest.mark.parametrize("digits", [TOLL.code + TOLL.national, TOLL.national])
async def test_the_search_finds_a_number_that_is_no_text(store_url: str, digits: str) -> None:
    """As an integer or a fraction within MessagePack, as the score of a sorted set."""
    store: Any = Redis.from_url(store_url, protocol=2)
    await store.hset(
        "hash",
        mapping={"integer": msgspec.msgpack.encode([int(digits)]), "fraction": msgspec.msgpack.encode(float(digits))},
    )
    await store.zadd("sorted", {"x": int(digits)})
    found = traces("", await everything_in(store_url))
    for place in ("/b'integer'", "/b'fraction'", "/'sorted'"):
        assert any(place in trace for trace in found), place
    assert [] == traces(
        "", {"at": 1781118000000, "hash": "hash:4f924312:25085ff379e9b5dfb77d57d8f8ae9e73", "nothing": None}
    )
    await store.flushdb()
    await store.aclose()
