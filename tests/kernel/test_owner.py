"""The owner of a meeting is fixed by the leg that makes it live, until it empties."""

import asyncio
from collections import Counter

from support import admit, customer, install, join, named_hosts, told

from gateway.core import Core
from gateway.domain.claims import Claims, Facts
from gateway.domain.join import Join
from gateway.kernel.arguments import attempt_of
from gateway.kernel.outcomes import Admitted, Bound, DecisionOutcome


ALICE, BOB = "alice@acme.example", "bob@acme.example"


async def take(core: Core, asked: Join, claims: Claims) -> DecisionOutcome:
    """One evaluation of claims, without compiling again."""
    deadline_ms = core.kernel.store_now_ms() + 5000
    return await core.kernel.admit(
        asked, claims, attempt=attempt_of(deadline_ms), lease_ms=60_000, connected=True, final=True, infos=[b"[]"]
    )


async def test_claims_for_another_owner_than_the_live_meeting_has_are_answered_with_its_owner(core: Core) -> None:
    """Nothing is taken; compiled for the real owner, the join is decided."""
    await install(core.entitlements, customer(named_hosts("alice", "bob")))
    await admit(core, join("a", host=ALICE))
    policy, asked = await core.entitlements.policy("acme"), join("b", host=BOB)

    answer = await take(core, asked, policy.claims(asked))

    assert isinstance(answer, Bound)
    assert answer.facts is not None
    assert 1 == (await core.reports.usage("acme")).snapshot.live
    assert isinstance(await take(core, asked, policy.claims(asked, Facts.parse(answer.facts))), Admitted)


async def test_claims_for_the_owner_of_a_meeting_that_has_emptied_since_take_nothing(core: Core) -> None:
    """A leg without a host must not go live under the licence of whoever owned the meeting before."""
    await install(core.entitlements, customer(named_hosts("alice")))
    await admit(core, join("a", host=ALICE))
    policy, asked = await core.entitlements.policy("acme"), join("b")
    found = await take(core, asked, policy.claims(asked))
    assert isinstance(found, Bound)
    assert found.facts is not None
    await core.admission.release("acme", "a")

    late = await take(core, asked, policy.claims(asked, Facts.parse(found.facts)))

    assert Bound(late.now_ms, None) == late
    assert "host_not_licensed" == told(await admit(core, join("c")))
    assert 0 == (await core.reports.usage("acme")).snapshot.live


async def test_T2_3_meetings_that_change_owners_under_load_leak_no_host(core: Core) -> None:
    """Two hosts take turns in four meetings, 600 legs come and go: whoever gets in is licensed, and nothing is left."""
    await install(core.entitlements, customer(named_hosts("alice", "bob")))
    reasons: Counter[str] = Counter()

    async def leg(number: int) -> None:
        host = (ALICE, BOB, None)[number % 3]
        decision = await admit(core, join(f"c{number}", meeting=f"m{number % 4}", host=host))
        reasons[told(decision)] += 1
        if decision.admitted:
            await asyncio.sleep(0)
            await core.admission.release("acme", f"c{number}")

    for wave in range(20):
        await asyncio.gather(*[leg(wave * 30 + number) for number in range(30)])

    assert {"admitted", "host_busy", "host_not_licensed"} == set(reasons)
    usage = await core.reports.usage("acme")
    assert (0, 0) == (usage.snapshot.live, usage.snapshot.groups["hosts:meeting"][0])
