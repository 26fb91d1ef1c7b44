"""The script of `gateway demo --once`: each plan at its edge, with what must be decided, and the findings that are left."""

import datetime as dt
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.demo import added_scenes, event_scenes, meeting_scenes, teams_scenes
from gateway.demo.media_servers import Administrator, CallFailed, MediaServers
from gateway.demo.scenes import Scene, Step, hosted, meeting, outcome_of, teams


@dataclass(frozen=True, slots=True)
class Played:
    """A step with its answer; of several connections, the last one's, or the first that is not as expected."""

    scene: Scene
    step: Step
    answer: dict[str, Any]

    @property
    def outcome(self) -> str:
        """What came of it."""
        return outcome_of(self.answer)

    @property
    def surprise(self) -> str | None:
        """What is not as expected; None: nothing."""
        where = f"{self.scene.rule} {self.scene.customer}, {self.step.says}"
        if self.outcome != self.step.expected:
            return f"{where}: {self.outcome} instead of {self.step.expected}"
        for name, value in self.step.answers.items():
            if self.answer.get(name) != value:
                return f"{where}: {name} is {self.answer.get(name)} instead of {value}"
        return None


def scenes(now: dt.datetime) -> Iterator[Scene]:
    """All scenes, in the order of the rules."""
    yield _general()
    yield meeting_scenes.named_hosts()
    yield meeting_scenes.corporate_access()
    yield meeting_scenes.ports()
    yield meeting_scenes.active_hosts()
    yield meeting_scenes.department_hosts()
    yield teams_scenes.named_organisers()
    yield teams_scenes.room_connections()
    yield teams_scenes.all_users()
    yield teams_scenes.special_offer()
    yield event_scenes.per_event()
    yield event_scenes.unlimited()
    yield event_scenes.fallback()
    yield added_scenes.dolby_rooms()
    yield added_scenes.network_rooms()
    yield added_scenes.premium_calling()
    yield added_scenes.global_audio()
    yield added_scenes.china()
    yield added_scenes.meeting_assists(now)
    yield added_scenes.event_assists(now)
    yield _suspension()
    yield _shadow()


def _general() -> Scene:
    """T1."""
    return Scene("T1", "what is held, and what is not", "acme", "ports", (
        Step("", "a customer whom nobody knows", "customer_unknown", meeting("weekly"), customer="nobody"),
        Step("T1.1", "Teams meetings, which were never bought", "service_not_licensed", teams("weekly")),
        Step("T1.1", "meetings, whose term is over", "subscription_inactive", meeting("weekly"), customer="initech"),
    ))  # fmt: skip


def _suspension() -> Scene:
    """T20."""
    dana = "dana@acme.example"
    return Scene("T20", "acceptable use", "acme", "ports", (
        Step("T4.4", "Dana opens a meeting", "admitted", hosted("talk", dana)),
        Step("T20.1", "an operator suspends the customer", "suspended", operation="suspend"),
        Step("T20.1", "a guest", "customer_suspended", meeting("talk")),
        Step("T20.1", "the suspension ends", "active", operation="resume"),
        Step("T20.2", "Dana is still there; the guest may join", "admitted", meeting("talk")),
    ))  # fmt: skip


def _shadow() -> Scene:
    """Shadow mode."""
    cave = hosted("cave", "bruce@wayne.example")
    return Scene("Mode", "shadow: decided, and not enforced", "wayne", "ports", (
        Step("T4.1", "4 connections", "admitted", cave, times=4),
        Step("T4.1", "a fifth is let in, and recorded as refused", "shadow", cave, answers={"would_deny": "ports_full"}),
    ))  # fmt: skip


async def play(servers: MediaServers, administrator: Administrator, script: Sequence[Scene]) -> AsyncIterator[Played]:
    """Plays the scenes one after another; what is live at the end of a scene is released."""
    for scene in script:
        live: dict[tuple[str, str], None] = {}
        for number, step in enumerate(scene.steps):
            name = step.connection or f"{scene.rule}-{number}"
            for repeated in range(step.times):
                connection = name if step.times == 1 else f"{name}-{repeated}"
                customer = step.customer or scene.customer
                try:
                    answer = await _carry_out(servers, administrator, step, customer, connection)
                except CallFailed as failed:  # never expected, and told like any other surprise
                    answer = failed.problem
                if answer.get("decision") == "admit":
                    live[customer, connection] = None
                elif answer.get("released"):
                    live.pop((customer, connection), None)
                played = Played(scene, step, answer)
                if played.surprise:
                    break
            yield played
        for customer, connection in reversed(live):  # hosts came first, and go last
            await servers.release(customer, connection)


async def _carry_out(
    servers: MediaServers, administrator: Administrator, step: Step, customer: str, connection: str
) -> dict[str, Any]:
    match step.operation:
        case "admit":
            return await servers.admit(customer=customer, connection=connection, **step.body)
        case "move":
            return await servers.move(customer=customer, connection=connection, **step.body)
        case "release":
            return await servers.release(customer, connection)
        case "assist":
            return await administrator.book(customer, step.body)
        case "suspend":
            return await administrator.suspend(customer)
        case "resume":
            return await administrator.resume(customer)


@dataclass(frozen=True, slots=True)
class Found:
    """Findings of a customer by one rule, and whether any are expected."""

    customer: str
    rule: str
    findings: tuple[dict[str, Any], ...]
    expected: bool

    @property
    def surprise(self) -> str | None:
        """What is not as expected; None: nothing."""
        if bool(self.findings) == self.expected:
            return None
        return f"{self.customer}: {'no' if self.expected else 'an unexpected'} finding of {self.rule}"


async def findings(administrator: Administrator, customers: Sequence[str], script: Sequence[Scene]) -> list[Found]:
    """What the play has left for the provider to look at, by customer and rule; also what it should have left."""
    expected: defaultdict[str, set[str]] = defaultdict(set)
    for scene in script:
        expected[scene.customer].update(scene.findings)
    rows: list[Found] = []
    for customer in customers:
        found = await administrator.findings(customer)
        rules = dict.fromkeys([finding["rule"] for finding in found] + sorted(expected[customer]))
        rows += [
            Found(customer, rule, tuple([each for each in found if each["rule"] == rule]), rule in expected[customer])
            for rule in rules
        ]
    return rows
