"""T21.2, T21.3: how long the ledger keeps who somebody was; to the millisecond, in bounded steps, and no figure changes."""

from dataclasses import dataclass
from typing import Any

import pytest
from ledger_bytes import connections, documents, named, traces_in
from ledger_past import Past, at, noon, seen_of
from plans import active_enterprise
from sqlalchemy import select
from support import named_hosts, ports, term

from gateway.domain.billing.entry import EntryId
from gateway.domain.days import DAY_MS, HOUR_MS
from gateway.kernel.keys import bucket_of
from gateway.ledger import pseudonyms, retention, schema
from gateway.ledger.database import Database
from gateway.ledger.entries import Change
from gateway.ledger.figures import Figures
from gateway.ledger.host_reports import HostReports
from gateway.ledger.lease import Lease, LeaseLost
from gateway.ledger.retention import Retention
from gateway.ledger.writer import Writer


ALICE, BOB, CAROL = "alice@acme.example", "bob@acme.example", "carol@elsewhere.example"
MORNING, ENDED = at("2026-06-01 09:00"), at("2026-06-01 10:00")


@dataclass
class Kept:
    """A ledger with its retention."""

    database: Database
    lease: Lease

    async def run(self, now_ms: int) -> int:
        """Until nothing is left to do; how many transactions it took."""
        total, kept = 0, Retention(self.database, self.lease)
        while done := await kept.run_once(now_ms):
            total += done
        return total

    async def write(self, past: Past) -> None:
        """What happened; the lease is the retention's again afterwards."""
        await self.lease.release(self.database)
        await past.write(self.database)
        assert await self.lease.acquire(self.database)


@pytest.fixture
async def kept(ledger_database: Database) -> Kept:
    """An empty ledger, and who writes it."""
    lease = Lease("retention")
    assert await lease.acquire(ledger_database)
    return Kept(ledger_database, lease)


def holding(*subscriptions: dict[str, Any], at_ms: int = MORNING - DAY_MS, **fields: Any) -> Past:
    """A customer that holds these."""
    past = Past()
    past.hold(at_ms, *(subscriptions or (ports(5, enforcement="metered"),)), **fields)
    return past


async def test_T21_2_metadata_is_pseudonymised_a_millisecond_after_its_days(kept: Kept) -> None:
    """A stretch that ended exactly 30 days ago is kept; one millisecond later nobody's name, node, number or connection is there."""
    past = holding(retention_days=30)
    record = seen_of(MORNING, meeting="weekly", host=ALICE, person=CAROL)
    record = type(record)(record.shape, MORNING, MORNING, "weekly", ALICE, CAROL, "media-fra-01", "hash:1:2")
    past._leg("admit", "call-1", MORNING, record)
    past._leg("release", "call-1", ENDED, record, "released")
    await kept.write(past)
    words = (ALICE, CAROL, "weekly", "media-fra-01", "hash:1:2", "call-1")

    assert 0 == await kept.run(ENDED + 30 * DAY_MS)
    assert (["call-1"], 5) == (await connections(kept.database), len(await named(kept.database)))

    assert 0 < await kept.run(ENDED + 30 * DAY_MS + 1)
    assert ([""], []) == (await connections(kept.database), await named(kept.database))
    assert [] == [trace for trace in await traces_in(kept.database, *words) if not trace.startswith("ledger-")]
    assert 0 == await kept.run(ENDED + 30 * DAY_MS + 1), "nothing is left to do"


async def test_T21_2_a_customer_that_asks_for_no_retention_keeps_its_metadata(kept: Kept) -> None:
    """Without `retention_days` nothing is pseudonymised, however old."""
    past = holding()
    past.leg("call-1", MORNING, ENDED, person=CAROL)
    await kept.write(past)

    assert 0 == await kept.run(ENDED + 4000 * DAY_MS)
    assert ["call-1"] == await connections(kept.database)


async def test_T21_2_legs_over_a_day_long_and_those_that_came_late_are_found(kept: Kept) -> None:
    """A leg of three days goes by its end; one that is read a day after its end, when its time has passed already, goes too."""
    past = holding(retention_days=1)
    past.leg("short", MORNING, ENDED)
    past.leg("long", MORNING, MORNING + 3 * DAY_MS)
    await kept.write(past)

    await kept.run(ENDED + DAY_MS + 1)
    assert ["", "long"] == sorted(await connections(kept.database))
    await kept.run(MORNING + 4 * DAY_MS)
    assert ["", "long"] == sorted(await connections(kept.database))
    await kept.run(MORNING + 4 * DAY_MS + 1)
    assert ["", ""] == await connections(kept.database)

    later = Past()
    late_ms = MORNING + 3 * DAY_MS + HOUR_MS
    later.leg("late", late_ms, late_ms + 1)
    await _write_behind(kept, later)
    await kept.run(late_ms + 2 * DAY_MS)
    assert ["", "", ""] == await connections(kept.database)


async def test_T21_2_it_goes_on_where_it_was_stopped(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps of two stretches, at most three at a time: every run goes further, by another process too, and the end is the same."""
    monkeypatch.setattr(pseudonyms, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "BATCHES_MAX", 3)
    past = holding(retention_days=1)
    for number in range(20):
        past.leg(f"call-{number}", MORNING + number // 4, ENDED + number, person=f"p{number % 3}@acme.example")
    await kept.write(past)

    left = []
    while await Retention(kept.database, kept.lease).run_once(ENDED + 2 * DAY_MS):
        left.append(sum(each != "" for each in await connections(kept.database)))

    assert [14, 8, 2, 0] == left[:4]
    assert [] == await named(kept.database)


async def test_T21_2_a_host_seen_before_and_after_counts_once(kept: Kept) -> None:
    """Active hosts of a cycle, and overage, are the same before and after, also where a host is met again under its name."""
    past = holding(active_enterprise(), ports(1, enforcement="metered"), retention_days=5)
    licensed: dict[str, Any] = {"licensed_by": "meetings.active_host_enterprise"}
    past.leg("a", MORNING, ENDED, **licensed)
    past.leg("b", MORNING + 1, ENDED, host=BOB, **licensed)
    past.leg("c", MORNING + 10 * DAY_MS, ENDED + 10 * DAY_MS, host="Alice+x@ACME.example", **licensed)
    await kept.write(past)
    now_ms = noon("2026-06-12")
    before = await _figures(kept.database, now_ms)
    assert 2 == before[0]

    assert 0 < await kept.run(now_ms)

    assert ["", "", "c"] == await connections(kept.database)
    assert [("meeting", "m1"), ("person", "Alice+x@ACME.example")] == await named(kept.database)
    assert before == await _figures(kept.database, now_ms)


async def test_T21_2_another_writer_is_not_disturbed(kept: Kept) -> None:
    """Who has lost the lease pseudonymises nothing."""
    past = holding(retention_days=1)
    past.leg("call-1", MORNING, ENDED)
    await kept.write(past)
    await kept.lease.release(kept.database)
    assert await Lease("another").acquire(kept.database)

    with pytest.raises(LeaseLost):
        await kept.run(ENDED + 9 * DAY_MS)
    assert ["call-1"] == await connections(kept.database)


async def test_T21_3_a_host_is_forgotten_180_days_after_it_left_the_catalogue(kept: Kept) -> None:
    """Its name goes, and old versions have its pseudonym instead; who stayed keeps the name, and figures stay."""
    past = holding(named_hosts("alice", "bob"))
    past.leg("a", MORNING, ENDED)
    past.leg("b", MORNING + 1, ENDED, host=BOB)
    left_ms = MORNING + DAY_MS
    past.hold(left_ms, named_hosts("bob"))
    await kept.write(past)

    assert 0 == await kept.run(left_ms + 180 * DAY_MS)
    assert 0 < await kept.run(left_ms + 180 * DAY_MS + 1)

    assert [("meeting", "m1"), ("person", BOB)] == await named(kept.database)
    first, second = await documents(kept.database)
    assert ALICE not in str(first)
    assert "Alice" not in str(first)
    assert (True, True) == (BOB in str(first), BOB in str(second))
    assert 0 == await kept.run(left_ms + 181 * DAY_MS)


@pytest.mark.parametrize("how", ["deleted", "terminated", "out of term"])
async def test_T21_3_nobody_of_a_customer_is_known_180_days_after_it_is_over(kept: Kept, how: str) -> None:
    """All names are forgotten, all documents without people, the key destroyed: then the same name has another pseudonym."""
    over_ms = at("2026-07-01 00:00")
    past = holding(named_hosts("alice", **term("2026-01-01", "2026-06-30" if how == "out of term" else "2030-12-31")))
    past.leg("a", MORNING, ENDED, person=CAROL)
    _end(past, how, over_ms)
    await kept.write(past)
    before = await Figures(kept.database).overage("acme", 739760, 739790, noon("2027-06-01"))
    known_as = await _pseudonyms(kept.database)

    await kept.run(over_ms + 180 * DAY_MS)
    assert 3 == len(await named(kept.database))
    await kept.run(over_ms + 180 * DAY_MS + 1)

    assert ([], [""]) == (await named(kept.database), await connections(kept.database))
    traces = await traces_in(kept.database, ALICE, CAROL, "Alice")
    assert [] == [trace for trace in traces if not trace.startswith("ledger-")]
    async with kept.database.reading() as connection:
        key, destroyed_ms = (
            await connection.execute(select(schema.pseudonym_keys.c.key, schema.pseudonym_keys.c.destroyed_ms))
        ).one()
    assert (None, over_ms + 180 * DAY_MS + 1) == (key, destroyed_ms)
    assert before == await Figures(kept.database).overage("acme", 739760, 739790, noon("2027-06-01"))
    assert 0 == await kept.run(over_ms + 182 * DAY_MS)

    again = Past()
    again.leg("b", over_ms + 200 * DAY_MS, over_ms + 200 * DAY_MS + 1, person=CAROL)
    await _write_behind(kept, again)
    now_known = await _pseudonyms(kept.database)
    assert known_as < now_known
    assert 3 == len(now_known - known_as), "alice, carol and the meeting are others now"


def _end(past: Past, how: str, over_ms: int) -> None:
    if how == "deleted":
        past._versions += 1
        past._tell(over_ms, lambda id_: _change(past, id_, over_ms, b"{}"))
    elif how == "terminated":
        held = past._told[0][2](None).document
        document = held[:-1] + f',"status":"terminated","status_at_ms":{over_ms}}}'.encode()
        past._versions += 1
        past._tell(over_ms + HOUR_MS, lambda id_: _change(past, id_, over_ms + HOUR_MS, document))


def _change(past: Past, id_: Any, at_ms: int, document: bytes) -> Any:
    return Change(id_, at_ms, past.customer, 2, "remove", "test", document)


async def _write_behind(kept: Kept, past: Past) -> None:
    """Writes what comes after everything that was read before."""
    writer, bucket = Writer(kept.database, kept.lease), bucket_of("acme")
    await writer.load()
    last = writer.positions[bucket].id
    entries = [make(EntryId(last.epoch, last.number + 1 + place)) for place, (_, _, make) in enumerate(past._told)]
    assert [] == await writer.write({bucket: entries})


async def _figures(database: Database, now_ms: int) -> tuple[int, list[Any]]:
    (report,) = await HostReports(database).active_hosts("acme", "2026-06", now_ms)
    return report.cycle.hosts, await Figures(database).overage("acme", 739760, 739790, now_ms)


async def _pseudonyms(database: Database) -> set[str]:
    async with database.reading() as connection:
        return set((await connection.execute(select(schema.names.c.pseudonym))).scalars())
