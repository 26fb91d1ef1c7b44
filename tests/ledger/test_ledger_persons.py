"""T21.4 in the ledger: what is kept about one person is exported whole, corrected, and erased without a trace; figures stay."""

import re
from typing import Any

import pytest
from ledger_bytes import documents, named, traces_in
from ledger_past import Past, at, noon
from plans import active_enterprise
from sqlalchemy import select
from support import ports

from gateway.api.person_bodies import person_body
from gateway.api.persons import CURSOR
from gateway.domain.billing.entry import EntryId
from gateway.domain.days import DAY_MS
from gateway.domain.person import PSEUDONYM, Person
from gateway.kernel.keys import bucket_of
from gateway.ledger import erasure, schema
from gateway.ledger.database import Database
from gateway.ledger.erasure import FORGOTTEN_CONNECTION, Erased, erase, fresh_alias, known_person
from gateway.ledger.figures import Figures
from gateway.ledger.host_reports import HostReports
from gateway.ledger.interning import key_of, pseudonym
from gateway.ledger.lease import Lease
from gateway.ledger.persons import Persons, Place
from gateway.ledger.scrub import scrub
from gateway.ledger.writer import Writer
from gateway.people import Export


ALICE, BOB, NEW = "alice.archer@acme.example", "bob@acme.example", "alice.baker@acme.example"
SPELT = "Alice.Archer+mobile@ACME.example"
NEEDLES = ("alice.archer", "Alice", "Archer")
MORNING, ENDED = at("2026-06-01 09:00"), at("2026-06-01 10:00")
NOW = noon("2026-06-20")
HOST = {"id": ALICE, "given_name": "Alice", "family_name": "Archer"}
LICENSED: dict[str, Any] = {"licensed_by": "meetings.active_host_enterprise"}


def past() -> Past:
    """Alice hosts and joins, in two spellings and in a meeting called by her address; she is named all over the entitlements."""
    told = Past()
    certified = [{"certified_on": "2026-01-01", "count": 10, "certified_by": "Alice Archer"}]
    held = active_enterprise(hosts=[HOST], certifications=certified, base_percentage=10)
    told.hold(MORNING - DAY_MS, held, ports(1, enforcement="metered"))
    told.hold(MORNING - DAY_MS + 1, held, ports(1, enforcement="metered"), name="Acme, asks alice.archer@acme.example")
    told.hold(MORNING - DAY_MS + 2, active_enterprise(base_percentage=10), ports(1, enforcement="metered"))
    told.leg("call-1", MORNING, ENDED, host=ALICE, person=SPELT, **LICENSED)
    told.leg("call-2", MORNING + 1, ENDED + 1, host=BOB, person=ALICE, meeting=f"room of {ALICE}", **LICENSED)
    told.leg("call-3", MORNING + 2, ENDED + 2, host=BOB, person=BOB, **LICENSED)
    told.leg("call-4", MORNING + 3, host=SPELT, person=BOB, **LICENSED)
    return told


@pytest.fixture
async def database(ledger_database: Database) -> Database:
    """A ledger in which it is written, with a finding, a notice and an audit that name her."""
    await past().write(ledger_database)
    async with ledger_database.writing() as connection:
        known_as = pseudonym(await key_of(connection, "acme"), "person", ALICE)
        finding = {
            "customer": "acme",
            "day": 739768,
            "pool": "",
            "kind": "x",
            "detail": f"Owned by {ALICE}.",
            "opened_ms": 1,
        }
        await connection.execute(schema.findings.insert(), [finding])
        body = f'{{"owner": "{SPELT}"}}'
        notice = {"id": "n", "kind": "x", "customer": "acme", "body": body, "made_ms": 2, "due_ms": 2, "attempts": 0}
        await connection.execute(schema.deliveries.insert(), [notice])
        await erasure.add_audit(connection, "acme", ALICE, "export", known_as, 3)
    return ledger_database


async def figures(database: Database) -> Any:
    """Everything that is billed, and every stretch."""
    (report,) = await HostReports(database).active_hosts("acme", "2026-06", NOW)
    rows = await Figures(database).overage("acme", 739760, 739790, NOW)
    columns = [schema.legs.c[name] for name in ("held_ms", "freed_ms", "connected_ms", "until_ms", "shape", "cause")]
    async with database.reading() as connection:
        stretches = (await connection.execute(select(*columns).order_by(schema.legs.c.held_ms))).all()
    return report.cycle, report.figures, rows, stretches


async def erased(database: Database) -> tuple[str, Erased]:
    """Alice is no more; her pseudonym, and how much there was."""
    alias, person = fresh_alias(), await known_person(database, "acme", ALICE)
    return alias, await erase(database, "acme", person, alias, "admin-1", NOW)


async def test_T21_4_after_an_erasure_nothing_is_left_and_every_figure_is_the_same(database: Database) -> None:
    """No row of any table and no byte of the files names her; overage, active hosts and all stretches are as before."""
    before = await figures(database)
    assert 2 == before[0].hosts
    assert [] != await traces_in(database, *NEEDLES)

    _, counted = await erased(database)
    assert await scrub(database, NEEDLES)

    assert Erased(legs=3, names=2, meetings=1, versions=2, notices=2, audit=1) == counted
    assert [] == await traces_in(database, *NEEDLES)
    assert before == await figures(database)


async def test_T21_4_nobody_can_tell_who_it_was_not_even_by_the_key(database: Database) -> None:
    """All her rows have one fresh pseudonym, also the audit's and the documents'; it is not what the key makes of her address."""
    alias, _ = await erased(database)
    async with database.reading() as connection:
        known_as = pseudonym(await key_of(connection, "acme"), "person", ALICE)
        pseudonyms = set((await connection.execute(select(schema.names.c.pseudonym))).scalars())
        subjects = set((await connection.execute(select(schema.audit.c.subject))).scalars())

    assert (True, False, {alias}) == (alias in pseudonyms, known_as in pseudonyms, subjects)
    assert PSEUDONYM.fullmatch(alias)
    first, _, last = await documents(database)
    assert await scrub(database, [known_as])
    assert [] == await traces_in(database, known_as)
    assert alias in str(first)
    assert "hosts" not in str(last)


async def test_T21_4_an_erasure_may_be_done_again(database: Database) -> None:
    """The second one finds nothing."""
    await erased(database)
    assert Erased(0, 0, 0, 0, 0, 0) == (await erased(database))[1]


async def test_T21_4_a_leg_that_goes_on_ends_under_the_pseudonym(database: Database) -> None:
    """The ledger has it as live when its owner is erased; its end brings nobody back."""
    await erased(database)
    more = Past()
    more._leg("release", "call-4", ENDED + 5, past_seen(), "released")
    await write_behind(database, more)

    assert [("meeting", "m1"), ("person", BOB)] == [pair for pair in await named(database) if pair[1][0] != "~"]


async def test_T21_4_everything_is_exported(database: Database) -> None:
    """Her legs as person and as owner, page by page, those that go on too; every version in which she stands; findings, notices, audit."""
    kept, person = Persons(database), await known_person(database, "acme", ALICE)
    first = await kept.legs("acme", ALICE, None, 2)
    second = await kept.legs("acme", ALICE, first[-1].place, 2)

    assert Person(ALICE, frozenset({"alice archer"})) == person
    assert ["call-1", "call-2", "call-4"] == [leg.connection for leg in [*first, *second]]
    assert [(ALICE, SPELT), (BOB, ALICE), (SPELT, BOB)] == [(leg.host, leg.person) for leg in [*first, *second]]
    assert [
        (1, 2, "$.customer.subscriptions[0].certifications[0].certified_by"),
        (1, 2, "$.customer.subscriptions[0].hosts[0]"),
        (2, 2, "$.customer.name"),
    ] == [(each.first, each.last, each.path) for each in await kept.mentions("acme", person)]
    assert ["finding", "notice", "audit"] == [each.kind for each in await kept.notices("acme", person)]
    assert [] == await kept.legs("acme", "nobody@acme.example", None, 9)


@pytest.mark.parametrize("known", [False, True], ids=["a new address", "one that is known"])
async def test_T21_4_a_person_is_corrected_in_what_was(database: Database, known: bool) -> None:
    """All of it stands under the other address, once; where that one was a person already, they are one, and one active host less."""
    if known:
        more = Past()
        more.leg("call-5", MORNING + 9 * DAY_MS, ENDED + 9 * DAY_MS, host=NEW, person=NEW, **LICENSED)
        await write_behind(database, more)
    before = await figures(database)

    await Persons(database).correct("acme", Person(ALICE), NEW, "admin-1", NOW)

    legs = await Persons(database).legs("acme", NEW, None, 9)
    assert ["call-1", "call-2", "call-4", *(["call-5"] if known else [])] == [leg.connection for leg in legs]
    assert {NEW, BOB} == {name for leg in legs for name in (leg.host, leg.person)}
    assert [] == await Persons(database).legs("acme", ALICE, None, 9)
    first, _, _ = await documents(database)
    assert (True, False, True) == (NEW in str(first), ALICE in str(first), "Archer" in str(first))
    assert before[0].hosts - int(known) == (await figures(database))[0].hosts
    assert before[2:] == (await figures(database))[2:]


async def test_T21_4_what_was_erased_is_still_pseudonymised_later(database: Database) -> None:
    """The ids of her own connections are gone at once, in a way that retention does not take for its own."""
    await erased(database)
    async with database.reading() as connection:
        rows = await connection.execute(select(schema.legs.c.connection).order_by(schema.legs.c.held_ms))
        assert [FORGOTTEN_CONNECTION, FORGOTTEN_CONNECTION, "call-3"] == list(rows.scalars())


async def test_T21_4_what_the_file_still_holds_is_found_and_written_over(database: Database) -> None:
    """Rows deleted by somebody who does not overwrite them stay as bytes of the file; then it is written anew (SQLite)."""
    if database.kind != "sqlite":
        assert await scrub(database, NEEDLES)
        return
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA secure_delete = OFF")
        for statement in ("CREATE TABLE x (y TEXT)", "INSERT INTO x VALUES ('a needle that is gone')", "DELETE FROM x"):
            await connection.exec_driver_sql(statement)
    assert [] != await traces_in(database, "a needle that is gone")

    assert await scrub(database, ["a needle that is gone"])

    assert [] == await traces_in(database, "a needle that is gone")
    assert 3 == len(await documents(database)), "everything else is there"


def past_seen() -> Any:
    """The leg that goes on, as its record says."""
    return next(each for each in past()._told if each[0] == MORNING + 3)[2](None).seen


async def write_behind(database: Database, more: Past) -> None:
    """What happens after everything that was read."""
    lease, bucket = Lease("test"), bucket_of("acme")
    assert await lease.acquire(database)
    writer = Writer(database, lease)
    await writer.load()
    last = writer.positions[bucket].id
    entries = [make(EntryId(last.epoch, last.number + 1 + place)) for place, (_, _, make) in enumerate(more._told)]
    assert [] == await writer.write({bucket: entries})


def test_T21_4_the_next_page_begins_behind_a_leg_that_no_entry_told() -> None:
    """Such a leg has a number below 0; the cursor that is answered behind it is one that is taken again."""
    page = person_body("acme", Export([], Place(1_700_000_000_000, 1_700_000_000_000, -1 - (2**56 - 1))))

    assert "1700000000000_1700000000000_-72057594037927936" == page.next
    assert re.match(CURSOR, page.next)
