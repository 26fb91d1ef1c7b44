"""Scenes of what is bought beside meetings and events: rooms, calling, access, assists (T13 - T19). All telephone numbers are fictitious."""

import datetime as dt
from typing import Any

from gateway.demo.scenes import Join, Scene, Step, event, hosted, meeting, telephone


PERSON, OTHER_PERSON, ABROAD = "+14155550123", "+14155550124", "+442079460958"
ACCESS, OTHER_ACCESS = "+14155550199", "+14155550198"
"""The catalogue disables PERSON, ACCESS, and the country of ABROAD (T15.2)."""


def dolby_rooms() -> Scene:
    """T13."""
    river, willy = {"endpoint": "sip", "room": "river-room"}, "willy@wonka.example"
    return Scene("T13", "rooms.dolby_raas", "wonka", "ports", (
        Step("T4.4", "Willy opens his meeting", "admitted", hosted("plant", willy)),
        Step("T13.4", "a room joins: a connection like any other", "admitted", meeting("plant") | river),
        Step("T13.1", "its second screen, in the same meeting", "admitted", meeting("plant") | river),
        Step("T13.1", "the room in another meeting", "room_in_use", meeting("tour") | river),
        Step("T13.1", "a room without a licence", "room_not_licensed", meeting("plant", endpoint="sip", room="attic")),
        Step("T13.2", "a room that would host", "room_cannot_host",
             hosted("gum", willy) | {"endpoint": "sip", "room": "gum-room"}),
        Step("T13.5", "a room seen outside its territory", "admitted",
             meeting("plant", endpoint="sip", room="gum-room", country="DE")),
    ), findings=("T13.5",))  # fmt: skip


def network_rooms() -> Scene:
    """T14."""
    annex = {"endpoint": "h323", "room": "annex"}
    nadia, oscar = "nadia@dunder.example", "oscar@dunder.example"
    return Scene("T14", "rooms.network_room", "dunder", "meeting", (
        Step("T2.2", "Nadia hosts", "admitted", hosted("paper", nadia)),
        Step("T14", "the annex joins", "admitted", meeting("paper", nadia) | annex),
        Step("T14", "the annex in another meeting", "room_in_use", meeting("toner", oscar) | annex),
        Step("T14", "the annex would host", "room_cannot_host", hosted("toner", oscar) | annex),
        Step("T14", "a room without a licence", "room_not_licensed",
             meeting("paper", nadia, "sip", room="warehouse")),
    ))  # fmt: skip


def premium_calling() -> Scene:
    """T15."""
    return Scene("T15", "calling.premium", "bluth", "pstn", (
        Step("T4.4", "Rita opens her meeting", "admitted", hosted("stand", "rita@bluth.example")),
        Step("T15.1", "the service calls somebody", "admitted", telephone("stand", "call_me", number=OTHER_PERSON)),
        Step("T15.1", "the same at a customer without the plan", "feature_not_licensed",
             telephone("weekly", "call_me", number=OTHER_PERSON), customer="acme"),
        Step("T15.2", "a number that the administrator disabled", "number_blocked",
             telephone("stand", "call_me", number=PERSON)),
        Step("T15.2", "a country that is disabled", "number_blocked", telephone("stand", "call_me", number=ABROAD)),
        Step("T15.2", "dialled in on an access number disabled", "number_blocked",
             telephone("stand", "premium", number=OTHER_PERSON, access_number=ACCESS)),
        Step("T15.2", "on another one, whoever calls", "admitted",
             telephone("stand", "premium", number=PERSON, access_number=OTHER_ACCESS)),
        Step("T15.3", "a toll call: 3 telephones", "admitted", telephone("stand", "toll")),
        Step("T15.3", "a fourth", "pstn_full", telephone("stand", "toll_free")),
        Step("T15.3", "by computer there is room", "admitted", meeting("stand")),
    ))  # fmt: skip


def global_audio() -> Scene:
    """T16."""
    return Scene("T16", "calling.global_audio", "duff", "ports", (
        Step("T4.4", "Sami opens a meeting", "admitted", hosted("brew", "sami@duff.example")),
        Step("T15.1", "the service calls somebody", "admitted", telephone("brew", "call_me", number=OTHER_PERSON)),
        Step("T16.1", "a country that the plan before had disabled", "admitted",
             telephone("brew", "call_me", number=ABROAD)),
        Step("T1.2", "18 more telephones: hardly a video meeting", "admitted", telephone("brew", "toll"), times=18),
        Step("T17.2", "access from China, which was ended", "access_ended", meeting("brew", access="china")),
    ), findings=("T1.2",))  # fmt: skip


def china() -> Scene:
    """T17."""
    from_china = meeting("ape", access="china")
    return Scene("T17", "access.china", "monarch", "china", (
        Step("T4.4", "Tara opens a meeting", "admitted", hosted("ape", "tara@monarch.example")),
        Step("T17.1", "2 join from China: all of that pool", "admitted", from_china, times=2,
             answers={"counted_in": ["china-2026", "ports-2026"]}),
        Step("T17.1", "a third", "china_full", from_china),
        Step("T17.1", "by the ordinary way there is room", "admitted", meeting("ape")),
        Step("T17.1", "from China to a customer without the plan", "access_not_licensed",
             meeting("weekly", access="china"), customer="acme"),
    ))  # fmt: skip


def meeting_assists(now: dt.datetime) -> Scene:
    """T18, and streaming (T1.3)."""
    return Scene("T18", "assist.meeting", "massive", "meeting", (
        Step("T1.3", "a host whose meeting streams", "admitted",
             hosted("fringe", "uma@massive.example", features=["streaming"])),
        Step("T1.3", "3 more: as many as may be in it", "admitted", meeting("fringe"), times=3),
        Step("T1.3", "one more", "meeting_full", meeting("fringe")),
        Step("T1.3", "streaming is not in this customer's order", "feature_not_included",
             hosted("weekly", "dana@acme.example", features=["streaming"]), customer="acme"),
        _assist("T18.1", "an hour, 4 days from now", "booked", now, 4, 60),
        _assist("T18.1", "half an hour", "assist_too_short", now, 4, 30),
        _assist("T18.1", "tomorrow", "assist_too_late", now, 1, 60),
        _assist("T18.1", "a meeting that streams, in 4 days", "assist_too_late", now, 4, 60, streams=True),
        _assist("T18.1", "the same in 9 days", "booked", now, 9, 60, streams=True),
    ))  # fmt: skip


def event_assists(now: dt.datetime) -> Scene:
    """T19."""
    return Scene("T19", "assist.event", "sterling", "events", (
        Step("T11.1", "an event", "admitted", event("pitch", role="presenter")),
        _assist("T19.1", "two hours, 9 days from now", "booked", now, 9, 120, kind="event"),
        _assist("T19.1", "one hour", "assist_too_short", now, 9, 60, kind="event"),
        _assist("T19.1", "in 4 days", "assist_too_late", now, 4, 120, kind="event"),
    ))  # fmt: skip


def _assist(
    rule: str,
    says: str,
    expected: str,
    now: dt.datetime,
    days: int,
    minutes: int,
    *,
    kind: str = "meeting",
    **more: Any,
) -> Step:
    starts_at = (now + dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: Join = {"kind": kind, "starts_at": starts_at, "minutes": minutes, **more}
    return Step(rule, says, expected, body, operation="assist")
