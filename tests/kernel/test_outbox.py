"""The outbox as a ledger reads it: in order, in pages, trimmed behind the reader; and what gives way where the reader is far behind."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from live_legs import BUCKET, Life, living
from plans import per_event
from steady_callers import until
from support import CLOCK_FRAGMENT, Clock, events, install, join, ports, told
from support import customer as holding

from gateway.core import Core, Telemetry, build_core
from gateway.domain.billing.entry import EntryId
from gateway.domain.changes import with_status
from gateway.domain.reasons import Reason
from gateway.events import Event, OutboxPressed
from gateway.kernel import scripts
from gateway.kernel.bounds import Bounds, Pressure
from gateway.kernel.errors import OutboxFull
from gateway.kernel.keys import bucket_key, keys_of
from gateway.kernel.outbox import OtherLedger, Outbox, RawEntry, Trimmed
from gateway.kernel.outcomes import Age, Mark
from gateway.kernel.past import read_past
from gateway.kernel.reminders import Reminders


OUTBOX_MAX = 40
META, OUTBOX = bucket_key("meta", BUCKET), bucket_key("outbox", BUCKET)
LEDGER = "ledger-1"
SET = "events events.per_event"


@dataclass
class Reader:
    """A gateway with a ledger that reads, and what it tells."""

    life: Life
    outbox: Outbox
    ears: "Ears"

    async def all(self) -> list[RawEntry]:
        """Every entry of the customer's bucket."""
        return await self.outbox.read(BUCKET, None, 10_000)

    async def numbers(self) -> list[int]:
        """Numbers of what is left."""
        return [entry.id.number for entry in await self.all()]

    async def last(self) -> EntryId:
        """Where the bucket stands."""
        return (await self.all())[-1].id

    async def grow(self, entries: int) -> None:
        """So many entries more."""
        for _ in range(entries):
            await self.life.redis("XADD", OUTBOX, f"{(await self.last()).epoch}-*", "op", "recovered", "at", 0)

    async def fill_to(self, entries: int) -> None:
        """The outbox is so long, and the gateway has looked."""
        await self.grow(entries - (await self.outbox.lengths())[BUCKET])
        await self.life.core.back_pressure.look()

    async def trim(self, through: EntryId, keep: int, ledger: str = LEDGER) -> Trimmed | OtherLedger:
        """Cuts off what is stored."""
        return await self.outbox.trim(BUCKET, through, ledger, keep)


def _changes(reader: Reader) -> list[tuple[str, str]]:
    """What was told of the pressure, before and now."""
    return [(each.before, each.now) for each in reader.ears.heard if isinstance(each, OutboxPressed)]


async def _forget(life: Life) -> None:
    """The store has lost what it remembered of the customer."""
    (key,) = keys_of("acme", ("past",))
    await life.redis("DEL", key)
    await life.redis("HSET", key, "", "")


class Ears(Telemetry):
    """Telemetry that keeps what it is told of the outbox."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keeps it."""
        if isinstance(event, OutboxPressed):
            self.heard.append(event)
        super().emit(event)


@pytest.fixture
async def reader(store_url: str, clock: Clock) -> AsyncIterator[Reader]:
    """Noon of an ordinary day; a ledger reads, and few entries may wait for it."""
    ears = Ears()
    core = build_core(store_url, budget_s=5.0, telemetry=ears, clock=CLOCK_FRAGMENT, outbox_max=OUTBOX_MAX)
    assert await core.start(), core.store.last_error
    life = await living(core, clock, store_url)
    yield Reader(life, Outbox(core.store, scripts.load(CLOCK_FRAGMENT)), ears)
    await core.close()


# Reading


async def test_entries_come_in_the_order_in_which_they_happened_and_are_numbered_without_gaps(reader: Reader) -> None:
    """One epoch, numbers from 0, every operation of a leg's life, with the leg's own times."""
    life = reader.life
    await life.hold(ports(1))
    await life.ask("a", node="media-1")
    await life.later(1)
    await life.confirm("a", node="media-1")
    assert "ports_full" == await life.told("b")
    await life.leave("a")

    entries = await reader.all()

    assert ["epoch", "install", "admit", "confirm", "deny", "release"] == [entry.op for entry in entries]
    assert [EntryId(entries[0].id.epoch, number) for number in range(6)] == [entry.id for entry in entries]
    assert [b"acme"] * 5 == [entry.fields["customer"] for entry in entries[1:]]
    assert [b"a", b"a", b"b", b"a"] == [entry.fields["connection"] for entry in entries[2:]]
    assert [0, 1000, 1000, 1000] == [int(entry.fields["at"]) - int(entries[2].fields["at"]) for entry in entries[2:]]


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 100])
async def test_pages_give_every_entry_once_whatever_their_size(reader: Reader, size: int) -> None:
    """Each page goes on behind the last entry of the one before; behind the end there is nothing."""
    await reader.life.hold(ports(9))
    await reader.life.fill(4)
    found: list[RawEntry] = []

    while page := await reader.outbox.read(BUCKET, found[-1].id if found else None, size):
        assert len(page) <= size
        found += page

    assert await reader.all() == found
    assert list(range(6)) == [entry.id.number for entry in found]


async def test_many_buckets_are_read_at_one_time(reader: Reader) -> None:
    """A page of each, from its own position; a bucket in which nothing ever happened has none."""
    await reader.life.hold(ports(9))
    await reader.life.fill(2)
    everything = await reader.all()
    other = (BUCKET + 1) % 64

    pages = await reader.outbox.read_many({BUCKET: everything[0].id, other: None}, 2)

    assert {BUCKET: everything[1:3], other: []} == pages
    lengths = await reader.outbox.lengths()
    assert (64, 4, 4) == (len(lengths), lengths[BUCKET], sum(lengths))


async def test_a_new_epoch_names_the_last_entry_of_the_one_before(reader: Reader) -> None:
    """So a ledger that has more of that epoch knows what the store has lost; the first epoch of all names none."""
    life = reader.life
    await life.hold(ports(9))
    await life.fill(1)
    before = await reader.last()
    await life.later(1)
    await life.redis("HSET", META, "server", "another")
    await life.fill(1, prefix="more")

    epochs = [entry for entry in await reader.all() if entry.op == "epoch"]

    assert [b"", str(before).encode()] == [entry.fields["prior"] for entry in epochs]
    assert [0, 0] == [entry.id.number for entry in epochs]
    assert before < epochs[1].id


# Changes of entitlements


async def test_changes_of_entitlements_carry_the_document_and_who_made_them(reader: Reader) -> None:
    """Every version as it was stored, also one that is put back into a store that had lost it."""
    life, entitlements = reader.life, reader.life.core.entitlements
    await life.hold(ports(9))
    first = await life.core.kernel.entitlements("acme")
    await entitlements.change("acme", with_status("acme", "suspended", None, "olga"), "suspend", "olga")
    second = await life.core.kernel.entitlements("acme")
    await life.redis("DEL", *keys_of("acme", ("groups", "entitlements")))
    await entitlements.restore("acme")

    changes = [entry for entry in await reader.all() if "version" in entry.fields]

    assert [("install", b"1", b"test"), ("suspend", b"2", b"olga"), ("restore", b"2", b"")] == [
        (entry.op, entry.fields["version"], entry.fields["by"]) for entry in changes
    ]
    assert [first.document, second.document, second.document] == [entry.fields["document"] for entry in changes]


async def test_where_no_ledger_reads_documents_do_not_pile_up(core: Core) -> None:
    """The entry still says what was done, and by whom."""
    await install(core.entitlements, holding(ports(9)))

    (entry,) = [each for each in await Outbox(core.store, scripts.load()).read(BUCKET, None, 9) if each.op == "install"]

    assert {"at", "customer", "version", "by"} == entry.fields.keys()


# Trimming


@pytest.mark.parametrize(
    ("through", "keep", "left"),
    [(4, 0, [5, 6, 7]), (4, 3, [5, 6, 7]), (4, 4, [4, 5, 6, 7]), (7, 0, []), (7, 2, [6, 7]), (0, 2, [*range(1, 8)]), (4, 99, [*range(8)])],
)  # fmt: skip
async def test_what_is_stored_is_cut_off_and_nothing_else(
    reader: Reader, through: int, keep: int, left: list[int]
) -> None:
    """Up to the entry that the ledger names, and never the last few; done again, nothing more goes, and numbers go on."""
    await reader.life.hold(ports(9))
    await reader.life.fill(6)
    last = await reader.last()

    answers = [await reader.trim(EntryId(last.epoch, through), keep) for _ in range(2)]

    assert [Trimmed(8 - len(left), len(left)), Trimmed(0, len(left))] == answers
    assert left == await reader.numbers()
    await reader.life.fill(1, prefix="more")
    assert EntryId(last.epoch, 8) == await reader.last()


@pytest.mark.parametrize(("keep", "left"), [(0, 3), (3, 3), (4, 4), (6, 6), (99, 7)])
async def test_trimming_knows_no_epoch(reader: Reader, keep: int, left: int) -> None:
    """What was read in the epoch before may go in the next one, also where no gateway has met the store yet; the same entries are kept."""
    life = reader.life
    await life.hold(ports(9))
    await life.fill(2)
    before = await reader.last()
    await life.later(1)
    await life.redis("HSET", META, "server", "another")
    await life.fill(2, prefix="more")
    await life.redis("HSET", META, "server", "a third")
    everything = await reader.all()

    assert Trimmed(7 - left, left) == await reader.trim(before, keep)

    assert everything[7 - left :] == await reader.all()


async def test_a_ledger_that_knows_more_than_the_store_cuts_nothing_off(reader: Reader) -> None:
    """It has not read what is here from here: the store has lost something, and what it has may be news."""
    await reader.life.hold(ports(9))
    await reader.life.fill(2)
    last = await reader.last()

    assert Trimmed(0, 4) == await reader.trim(EntryId(last.epoch, last.number + 1), 0)
    assert Trimmed(0, 4) == await reader.trim(EntryId(last.epoch + 1, 0), 0)


async def test_only_the_ledger_of_a_bucket_may_trim_it(reader: Reader) -> None:
    """The first that asks is the one; another learns of it, and cuts nothing off, unless it takes over."""
    await reader.life.hold(ports(9))
    await reader.life.fill(2)
    last = await reader.last()

    assert Trimmed(1, 3) == await reader.trim(EntryId(last.epoch, 0), 0)
    assert OtherLedger(LEDGER, 3) == await reader.trim(last, 0, "ledger-2")
    assert [1, 2, 3] == await reader.numbers()
    assert Trimmed(3, 0) == await reader.outbox.trim(BUCKET, last, "ledger-2", 0, take_over=True)
    assert OtherLedger("ledger-2", 0) == await reader.trim(last, 0)


async def test_an_outbox_that_is_not_there_yet_is_trimmed_to_nothing(reader: Reader) -> None:
    """A bucket without a customer has no entries, and may have a ledger."""
    assert Trimmed(0, 0) == await reader.trim(EntryId(1, 0), 0)
    assert 0 == await reader.life.redis("EXISTS", OUTBOX)


# Back-pressure


def test_pressure_comes_at_its_bounds_and_goes_a_little_below_them() -> None:
    """Half and all of what may wait; where no ledger reads there is none."""
    bounds, unread = Bounds(100), Bounds()

    seen = [bounds.see(3, entries).value for entries in (49, 50, 46, 45, 44, 100, 91, 89, 44, 120, 0)]

    assert [0, 1, 1, 1, 0, 2, 2, 1, 0, 2, 0] == seen
    assert [Pressure.NONE] * 2 == [unread.see(3, 10**9), bounds.pressure(4)]
    assert (20_000, 400) == (unread.cut_at, bounds.cut_at)


async def test_past_half_of_what_may_wait_denials_are_only_tallied(reader: Reader) -> None:
    """Everything else is written as before; and so are denials, when the ledger has caught up."""
    life = reader.life
    await life.hold(ports(1))
    await life.fill(1)
    await reader.fill_to(OUTBOX_MAX // 2)

    assert "ports_full" == await life.told("b")
    assert "ports_full" == told(await life.core.admission.preview(join("b")))
    await life.leave("fill0")
    await life.fill(1, prefix="more")
    assert [] == await life.entries("deny")
    await reader.trim(await reader.last(), 0)
    await life.core.back_pressure.look()
    assert "ports_full" == await life.told("b")

    assert ["b"] == [entry["connection"] for entry in await life.entries("deny")]
    assert 2 == (await life.core.reports.usage("acme")).snapshot.denied[Reason.PORTS_FULL]
    assert [("none", "denials_tallied"), ("denials_tallied", "none")] == _changes(reader)


async def test_a_move_that_is_denied_is_only_tallied_too(reader: Reader) -> None:
    """It stays where it is."""
    life = reader.life
    await life.hold(ports(9), events(1, attendees_enforcement="hard"))
    await life.ask("a", "e1", service="event", department="finance")
    await life.ask("m", "e1", service="event", role="moderator", department="finance")
    await reader.fill_to(OUTBOX_MAX)

    moved = await life.moved("m", "e1", "e1", service="event", role="attendee", department="finance")

    assert "event_full" == told(moved)
    assert [] == await life.entries("deny")


@pytest.mark.parametrize(
    ("failure", "answers", "seats"),
    [
        ("deny", ["refused"] * 3, 3),
        ("admit", ["degraded"] * 3, 6),
        ("bounded", ["degraded", "refused", "refused"], 4),
    ],
)
async def test_where_no_more_may_wait_the_customer_says_what_becomes_of_joins(
    reader: Reader, failure: str, answers: list[str], seats: int
) -> None:
    """As without the store, never as if a limit were reached; the store answers for who is in, and lets go of them."""
    life = reader.life
    await life.hold(ports(4), store_failure=failure)
    await life.fill(3)
    await reader.fill_to(OUTBOX_MAX)

    said = []
    for number in range(3):
        try:
            said.append(await life.told(f"b{number}", node="media-1"))
        except OutboxFull:
            said.append("refused")

    assert answers == said
    assert seats == (await life.counts())["ports"]
    assert "replayed" == await life.told("fill0")
    with pytest.raises(OutboxFull):
        await life.core.admission.preview(join("c"))
    await life.leave("fill0", "fill1", "fill2", "b0", "b1", "b2")
    assert {} == await life.counts()
    assert [] == await life.entries("deny")
    await reader.trim(await reader.last(), 0)
    await life.core.back_pressure.look()
    assert "admitted" == await life.told("c")
    assert [("none", "admits_refused"), ("admits_refused", "none")] == _changes(reader)


async def test_a_gateway_looks_by_itself_and_metrics_tell_of_it(reader: Reader) -> None:
    """How many buckets are under which pressure; none when the ledger has caught up."""

    def shown() -> list[float | None]:
        registry = reader.ears.metrics.registry
        names = ("denials_tallied", "admits_refused")
        return [registry.get_sample_value("gateway_outbox_pressed_buckets", {"pressure": name}) for name in names]

    life = reader.life
    await life.hold(ports(1))
    assert [0, 0] == shown()
    await reader.grow(OUTBOX_MAX)
    work = asyncio.create_task(life.core.back_pressure.run())
    await until(lambda: shown() == [0, 1], "the gateway has looked")
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    last = await reader.last()
    await reader.trim(EntryId(last.epoch, OUTBOX_MAX // 4), 0)
    await life.core.back_pressure.look()
    assert [1, 0] == shown()
    await reader.trim(last, 0)
    await life.core.back_pressure.look()

    assert [0, 0] == shown()


async def test_what_a_ledger_has_not_read_is_not_cut_off(reader: Reader) -> None:
    """Above what may wait the entries of those who leave are still written, and the first is still there."""
    await reader.life.hold(ports(9))
    await reader.fill_to(3 * OUTBOX_MAX)
    await reader.life.core.kernel.release("acme", "nobody")
    await reader.life.hold(ports(8))

    assert list(range(3 * OUTBOX_MAX + 1)) == await reader.numbers()


# Reminding a store of what it has lost


async def test_T11_1_an_event_that_the_store_forgot_is_used_up_again(reader: Reader) -> None:
    """The mark is back, is counted, and refuses the next event; told again it changes nothing."""
    life = reader.life
    await life.hold(per_event(1))
    await life.ask("a", "e1", service="event")
    await life.leave("a")
    known = await read_past(life.core.kernel, "acme")
    await _forget(life)
    reminders = Reminders(life.core.kernel.urgent)

    raised = [await reminders.remind("acme", known.marks, known.ages) for _ in range(2)]

    assert [2, 0] == raised
    assert known == await read_past(life.core.kernel, "acme")
    assert ["1", "1"] == [entry["raised"] for entry in await life.entries("assert")]
    assert "events_exhausted" == await life.told("b", "e2", service="event")
    assert "admitted" == await life.told("c", "e1", service="event")


async def test_T11_1_a_pending_mark_becomes_final_if_told_so_and_never_the_other_way(reader: Reader) -> None:
    """A pending one that is only told is not put back: nothing would give it back."""
    life = reader.life
    await life.hold(per_event(3))
    await life.ask("a", "e1", service="event", node="media-1")
    (pending,) = (await read_past(life.core.kernel, "acme")).marks[SET]
    reminders = Reminders(life.core.kernel.urgent)

    assert 0 == await reminders.remind("acme", {SET: [Mark("e2", 5, None), pending]}, [])
    assert 1 == await reminders.remind("acme", {SET: [Mark("e1", pending.made_ms, pending.made_ms + 7)]}, [])
    assert 0 == await reminders.remind("acme", {SET: [pending]}, [])
    await life.leave("a")

    (final,) = (await read_past(life.core.kernel, "acme")).marks[SET]
    assert Mark("e1", pending.made_ms, pending.made_ms + 7) == final


async def test_T11_5_live_time_of_an_event_that_is_live_again_goes_on_where_it_was(reader: Reader) -> None:
    """The store is emptied after an hour, the leg is adopted, and the ledger tells of it: duration counts from the beginning."""
    life = reader.life
    await life.hold(per_event(1))
    await life.ask("a", "e1", service="event")
    began_ms = life.now_ms
    (known,) = (await read_past(life.core.kernel, "acme")).ages
    await life.later(3600)
    await life.leave("a")
    await _forget(life)
    await life.later(10)
    await life.confirm("b", "e1", service="event")
    reminders = Reminders(life.core.kernel.urgent)

    assert 1 == await reminders.remind("acme", {}, [known])
    await life.later(60)
    assert 0 == await reminders.remind("acme", {}, [known])

    (age,) = (await read_past(life.core.kernel, "acme")).ages
    assert (began_ms, 3_670_000, 1) == (age.first_ms, age.live_ms(life.now_ms), age.joined)
    assert began_ms + 3_610_000 == age.since_ms


@pytest.mark.parametrize("is_live", [False, True], ids=["ended", "live"])
async def test_reminders_may_come_in_any_order_and_again(reader: Reader, *, is_live: bool) -> None:
    """All orders of what three ledgers know, each told twice, leave the same behind."""
    life = reader.life
    await life.hold(per_event(5))
    reminders = Reminders(life.core.kernel.urgent)
    noon, minute = life.now_ms, 60_000
    group, licence = "attendees:event:e1", "events.per_event"
    told = [
        ([Mark("e1", noon - 9, noon - 5)], [Age(group, noon - 9 * minute, None, 8 * minute, 3, noon - minute, 5, licence)]),
        ([Mark("e1", noon - 8, None)], [Age(group, noon - 7 * minute, noon - 7 * minute, 0, 4, noon - 2 * minute, 2, licence)]),
        ([Mark("e1", noon - 7, noon - 6), Mark("e2", 1, 2)], [Age(group, noon - 11 * minute, None, minute, 4, noon - 3 * minute, 4, "old")]),
    ]  # fmt: skip
    left = []
    for number, order in enumerate(itertools.permutations(told)):
        await _forget(life)
        if is_live:
            await life.ask(f"a{number}", "e1", service="event")
        for marks, ages in (*order, *order):
            await reminders.remind("acme", {SET: marks}, ages)
        left.append(await read_past(life.core.kernel, "acme"))
        if is_live:
            await life.leave(f"a{number}")

    assert [left[0]] * 6 == left
    (age,) = [age for age in left[0].ages if age.group == group]
    assert [Mark("e2", 1, 2), Mark("e1", noon - 9, noon - 6)] == list(left[0].marks[SET])
    since = noon if is_live else None
    assert Age(group, noon - 9 * minute, since, 8 * minute, 4, noon - 2 * minute, 5, licence) == age


async def test_nobody_is_reminded_of_a_customer_that_is_not_installed(reader: Reader) -> None:
    """Its entitlements come first."""
    reminders = Reminders(reader.life.core.kernel.urgent)

    assert 0 == await reminders.remind("acme", {SET: [Mark("e1", 1, 2)]}, [])
    assert 0 == await reader.life.redis("EXISTS", *keys_of("acme", ("past",)))


async def test_more_than_one_script_holds_is_told_in_several(reader: Reader) -> None:
    """Five hundred marks, each counted."""
    life = reader.life
    await life.hold(per_event(900))
    reminders = Reminders(life.core.kernel.urgent)

    assert 500 == await reminders.remind("acme", {SET: [Mark(f"e{number}", 1, 2) for number in range(500)]}, [])

    (key,) = keys_of("acme", ("past",))
    assert b"500" == await life.redis("HGET", key, f"+{SET}")
    assert 3 == len(await life.entries("assert"))
