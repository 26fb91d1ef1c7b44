"""The sample catalogue and what the demo plays with it."""

import contextlib
import datetime as dt
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from gateway.app import Gateway, running
from gateway.cli import demo
from gateway.demo import quarter, script, view
from gateway.demo.media_servers import Administrator, MediaServers
from gateway.demo.sample import PATH, sample
from gateway.demo.scenes import Scene, Step, meeting
from gateway.domain.catalogue import parse_catalogue
from gateway.domain.compliance import Observed, findings
from gateway.domain.days import PACIFIC
from gateway.domain.plans import AnySubscription
from gateway.domain.record import Record
from gateway.settings import Settings


NOW = dt.datetime.now(dt.UTC)
PLANS = {get_args(plan.model_fields["plan"].annotation)[0] for plan in get_args(get_args(AnySubscription)[0])}


@pytest.fixture
async def played_on(store_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the sample."""
    settings = Settings(port=0, admin_port=0, redis_url=store_url, data_dir=tmp_path, number_key="k" * 32,
                        decision_budget_ms=5000)  # fmt: skip
    async with running(settings, sample(NOW.astimezone(PACIFIC).date())) as gateway:
        yield gateway


def test_the_sample_has_every_plan() -> None:
    """18 plans, held by 20 customers whose first five the documentation names."""
    customers = parse_catalogue(PATH.read_bytes())

    assert 18 == len(PLANS)
    assert PLANS == {held.plan for customer in customers for held in customer.subscriptions}
    assert 20 == len(customers)
    assert ["acme", "globex", "initech", "umbrella", "wayne"] == [customer.id for customer in customers[:5]]


@pytest.mark.parametrize("today", ["2026-03-01", "2026-07-01", "2026-12-31", "2028-02-29", "2030-06-30", "2035-12-30"])
def test_the_sample_is_of_the_present_in_any_year(today: str) -> None:
    """Every plan is in force but the two that are there because they ended, and the findings of the orders alone are always the same."""
    day = dt.date.fromisoformat(today)
    customers = sample(day)

    over = [
        (customer.id, held.id)
        for customer in customers
        for held in customer.subscriptions
        if not held.active(day.toordinal())
    ]
    found = {
        (customer.id, finding.rule)
        for customer in customers
        for finding in findings(Record(1, customer), day, Observed())
    }
    assert [("initech", "ports-2024"), ("duff", "china-2024")] == over
    assert {("hooli", "T3.2"), ("stark", "T5.1"), ("tyrell", "T3.3")} == found


def test_every_plan_has_a_scene() -> None:
    """What is in the sample is also played."""
    played = {plan for scene in script.scenes(NOW) for plan in scene.plan.split(", with ")}

    assert set() == PLANS - played


async def test_every_scene_ends_as_it_says(played_on: Gateway) -> None:
    """All decisions and findings are the expected ones, no telephone number is told, lines are at most 100 wide, nobody stays."""
    scenes = tuple(script.scenes(NOW))
    customers = list(await played_on.core.reports.customers())
    surprises: list[str | None] = []
    lines: list[str] = []
    async with MediaServers(played_on.url) as servers, Administrator(played_on.admin_url) as administrator:
        async for played in script.play(servers, administrator, scenes):
            surprises.append(played.surprise)
            lines.append(demo._told(played))
        found = await script.findings(administrator, customers, scenes)

    assert [] == [surprise for surprise in surprises if surprise]
    assert [] == [one.surprise for one in found if one.surprise]
    assert [] == [line for line in lines if len(line) > demo.WIDTH or "555" in line or "+" in line]
    assert sum(len(scene.steps) for scene in scenes) == len(lines)
    assert {0} == {(await played_on.core.reports.usage(customer)).snapshot.live for customer in customers}


async def test_a_decision_other_than_expected_is_told_and_fails(
    played_on: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason that came, the one that was due, and exit code 1."""
    wrong = Step("T4.4", "a guest is early", "admitted", meeting("weekly"), times=3)
    scene = Scene("T4", "meetings.concurrent_connections", "acme", "ports", (wrong,), findings=("T4.5",))
    async with MediaServers(played_on.url) as servers:
        code = await demo._once(played_on, servers, ["acme"], (scene,))

    assert 1 == code
    assert [
        "unexpected: T4 acme, a guest is early: host_not_present instead of admitted",
        "unexpected: acme: no finding of T4.5",
    ] == capsys.readouterr().err.splitlines()


def test_a_seed_gives_one_quarter() -> None:
    """The same arrivals for the same seed, others for another one; everybody in the sample takes part."""
    first = quarter.quarter(1)

    assert first == quarter.quarter(1)
    assert first != quarter.quarter(2)
    assert {customer.id for customer in parse_catalogue(PATH.read_bytes())} == {stay.customer for stay in first}


async def test_the_quarter_shows_overage_and_refusals_and_leaves_nobody(played_on: Gateway) -> None:
    """Moves included; its picture fits into a terminal of 80 by 24 at its end."""
    async with MediaServers(played_on.url) as servers:
        await quarter.play(servers, quarter.quarter(1), duration_s=2)
        rows = await view.look(played_on.core)

    assert {
        "overage",
        "ports_full",
        "teams_ports_full",
        "host_busy",
        "events_concurrent_full",
        "room_in_use",
        "shadow",
    } <= set(servers.decisions)
    assert 20 == len({row.customer for row in rows})
    assert {0} == {row.used for row in rows}
    drawn = _drawn(rows, servers)
    assert 22 >= len(drawn)
    assert 80 >= max(len(line) for line in drawn)


def test_a_full_picture_fits_into_80_by_24() -> None:
    """However many pools, reasons and long names there are; the fullest pools are the ones that are shown."""
    servers = MediaServers("http://127.0.0.1")
    rows = [view.Row("customer", "teams_ports", used, 20, 10_000, 10_000, 10_000, 10_000) for used in range(40)]
    for _ in range(30):
        decision = {"customer": "customer", "meeting": "m" * 128, "endpoint": "other", "decision": "deny"}
        servers.recent.append({**decision, "reason": "department_not_licensed"})
    servers.decisions.update({f"events_concurrent_full_{number}": 100_000 for number in range(30)})

    drawn = _drawn(rows, servers)

    assert 22 >= len(drawn)
    assert 80 >= max(len(line) for line in drawn)
    assert [str(used) for used in range(31, 40)] == [line.split()[2] for line in drawn[2:11]]
    assert 5 == sum("department_not_licensed" in line for line in drawn)


def _drawn(rows: list[view.Row], servers: MediaServers) -> list[str]:
    text = io.StringIO()
    with contextlib.closing(text):
        Console(file=text, width=80, height=24, force_terminal=False).print(view.screen(rows, servers, 24))
        return text.getvalue().splitlines()
