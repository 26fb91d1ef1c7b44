"""T21.4 over HTTP, with a real gateway, its ledger's process and a real Redis: export, correct, erase; what is refused, and what is left."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from http_client import Answer, everything_in, json_request, send
from http_people import People
from plans import corporate
from redis.asyncio import Redis
from support import RunningGateway, join_data, ports


MakeGateway = Callable[..., Awaitable[RunningGateway]]

ALICE, NEW = "alice.archer@acme.example", "alice.baker@acme.example"
FOREIGN = "alice.archer@elsewhere.example"
NEEDLES = ("alice.archer", "Archer")
HOST = {"id": ALICE, "given_name": "Alice", "family_name": "Archer"}
CERTIFIED = [{"certified_on": "2026-01-01", "count": 9, "certified_by": "Alice Archer"}]
HOLDING = corporate(hosts=[HOST], certifications=CERTIFIED)
WAIT_S = 30.0


@dataclass
class World:
    """A gateway with a ledger, the store that it works on, and where its files are."""

    gateway: RunningGateway
    people: People
    store_url: str
    folder: Path

    async def join(self, connection: str, **fields: Any) -> str:
        """Reason of the decision."""
        request = json_request("POST", "/v1/admit", join_data(connection, **fields))
        return str((await send(self.gateway.url, request)).json()["reason"])

    async def release(self, *connections: str) -> None:
        """Connections end."""
        for connection in connections:
            body = {"customer": "acme", "connection": connection}
            assert (await send(self.gateway.url, json_request("POST", "/v1/release", body))).json()["released"]

    async def dump(self) -> bytes:
        """Every byte that Redis has: names of keys, contents, and the serialised form, which may hold what was deleted."""
        store: Any = Redis.from_url(self.store_url, protocol=2)
        try:
            keys = [key async for key in store.scan_iter(count=1000)]
            return b"".join([key + await store.dump(key) for key in keys])
        finally:
            await store.aclose()

    async def found(self) -> list[str]:
        """Where the person stands, in the store and in all files of the gateway and of the ledger."""
        places = {"dump": await self.dump(), "store": repr(await everything_in(self.store_url)).encode()}
        places |= {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        return sorted(
            f"{name}: {needle}"
            for name, held in places.items()
            for needle in NEEDLES
            if needle.lower().encode() in held.lower()
        )

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Waits for something to become true."""
        limit = time.monotonic() + WAIT_S
        while not await condition():
            assert time.monotonic() < limit, what
            await asyncio.sleep(0.05)


async def begun(make_gateway: MakeGateway, store_url: str, folder: Path) -> World:
    """A gateway with a ledger."""
    gateway = await make_gateway(env={"GATEWAY_LEDGER_URL": f"sqlite:///{folder}/data/ledger.db"})
    return World(gateway, People(gateway), store_url, folder / "data")


@pytest.fixture
async def world(make_gateway: MakeGateway, store_url: str, tmp_path: Path) -> World:
    """One."""
    return await begun(make_gateway, store_url, tmp_path)


async def play(world: World) -> None:
    """What people and media servers do."""
    people = world.people
    await people.hold(HOLDING, ports(1, enforcement="metered"))

    async def is_read() -> bool:
        return (await people.ask("GET", "persons/nobody@acme.example")).status == 404

    await world.until(is_read, "the ledger can be read")
    await people.post(f"hosts/{ALICE}/suspend", {"reason": "aup"})
    assert "host_suspended" == await world.join("c0", host=ALICE)
    await people.post(f"hosts/{ALICE}/resume", {})
    assert "admitted" == await world.join("c1", host=ALICE, person="Alice.Archer+tag@acme.example")
    assert "admitted" == await world.join("c2", host="bob@acme.example", person=ALICE, meeting="m2")
    assert "admitted" == await world.join("c3", host="bob@acme.example", person="bob@acme.example", meeting="m2")


def changed(answer: Answer) -> dict[str, Any]:
    """What was done."""
    assert 200 == answer.status, answer.text
    return {name: value for name, value in answer.json().items() if name != "customer" and value}


async def test_T21_4_a_person_is_erased_everywhere_and_the_figures_stay(
    make_gateway: MakeGateway, store_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """While she is live, or a host in the catalogue, it says what to do first; then nothing names her, and nothing else has changed.

    Not the store with what it has deleted, no file of the gateway or of the ledger, no line of the logs.
    """
    world = await begun(make_gateway, store_url, tmp_path)  # here, so that its logs are captured
    await play(world)
    people, one = world.people, f"persons/{ALICE}"

    async def remembered() -> bool:
        return "memory-0.db-wal: Archer" in await world.found()

    await world.until(remembered, "the gateway remembers her on its disk")
    assert [] == await people.refused(409, "DELETE", one)
    await world.release("c1", "c2", "c3")
    assert [] == await people.refused(409, "DELETE", one)
    await people.hold(corporate(certifications=CERTIFIED), ports(1, enforcement="metered"))
    seen = await marks(world)

    async def read() -> bool:
        return {"dump: alice.archer", "ledger.db-wal: alice.archer"} <= set(await world.found())

    await world.until(read, "she stands everywhere")

    async def told() -> bool:
        return [("open", 3)] == [(row.get("state"), row["peak"]) for row in (await people.get("overage"))["rows"]]

    await world.until(told, "the figures are the ledger's, and all is read")
    before = await people.get("overage")

    answer = await people.ask("DELETE", one)

    done = changed(answer)
    assert {"pseudonym", "entitlements", "legs", "names", "versions", "marks"} <= done.keys()
    assert (2, 2, 1) == (done["legs"], done["names"], done["entitlements"])

    async def gone() -> bool:
        return not await world.found()

    await world.until(gone, "the gateway's own file still names her")
    assert before["rows"] == (await people.get("overage"))["rows"]
    assert {name: len(members) for name, members in seen.items()} == {
        name: len(members) for name, members in (await marks(world)).items()
    }
    assert done["pseudonym"] in {member for members in (await marks(world)).values() for member in members}
    assert [] == await people.refused(404, "GET", one)
    assert {"pseudonym"} == changed(await people.ask("DELETE", one)).keys()
    await world.gateway.stop()
    captured = capfd.readouterr()
    assert "join.denied" in captured.err, "the logs are there"
    assert [] == [needle for needle in NEEDLES if needle.lower() in (captured.err + captured.out).lower()]


@pytest.mark.slow
async def test_T21_4_everything_that_is_kept_about_a_person_is_exported(world: World) -> None:
    """What is live, what the record says, what is remembered, and from the ledger all connections and versions; page by page."""
    await play(world)
    await world.release("c1")

    async def read() -> bool:
        answer = await world.people.ask("GET", f"persons/{ALICE}")
        return answer.status == 200 and len(answer.json()["legs"]) == 2 and bool(answer.json()["versions"])

    await world.until(read, "the ledger has read it")
    export = await world.people.get(f"persons/{ALICE.upper()}?limit=1")
    assert ["c2"] == [leg["connection"] for leg in export["live"]]
    assert ["$.customer.subscriptions[0].hosts[0]"] == [
        place["path"] for place in export["record"] if "hosts" in place["path"]
    ]
    assert HOST in [place["value"] for place in export["versions"]]
    assert 1 == len(export["marks"])
    assert ["c1"] == [leg["connection"] for leg in export["legs"]]
    more = await world.people.get(f"persons/{ALICE}?limit=1&cursor={export['next']}")
    assert ["c2"] == [leg["connection"] for leg in more["legs"]]
    assert [] == await world.people.refused(404, "GET", "persons/nobody@acme.example")


@pytest.mark.slow
async def test_T21_4_a_person_is_corrected_everywhere(world: World) -> None:
    """The catalogue, what is remembered and what was go by the other address; one that the catalogue may not hold is refused."""
    await play(world)
    people = world.people
    assert [] == await people.refused(409, "PATCH", f"persons/{ALICE}", {"person": NEW})
    await world.release("c1", "c2", "c3")
    refused = await people.refused(422, "PATCH", f"persons/{ALICE}", {"person": FOREIGN})
    assert [("$.subscriptions[0].hosts[0].id", "T3.4")] == refused

    done = changed(await people.ask("PATCH", f"persons/{ALICE}", {"person": NEW}))

    assert (2, 2) == (done["legs"], done["names"])
    assert [NEW] == [host["id"] for host in (await people.get(""))["subscriptions"][0]["hosts"]]
    export = await people.get(f"persons/{NEW}")
    assert ["c1", "c2"] == [leg["connection"] for leg in export["legs"]]
    assert [] == await people.refused(404, "GET", f"persons/{ALICE}")
    assert [] == await people.refused(404, "PATCH", f"persons/{ALICE}", {"person": NEW})


async def marks(world: World) -> dict[str, set[str]]:
    """Members of the sets that the store remembers."""
    found: dict[str, set[str]] = {}
    for key, (_, content, _) in (await everything_in(world.store_url)).items():
        if key.endswith(":past"):
            for name in content:
                if name.startswith(b"="):
                    of, _, member = name[1:].decode().partition("\x1f")
                    found.setdefault(of, set()).add(member)
    return found
