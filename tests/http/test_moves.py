"""Moving a live connection to another meeting or role, as media servers ask for it."""

from typing import Any

from callers import Callers, used
from http_people import People
from support import join_data, ports


pytest_plugins = ("http_fixtures",)


def to(meeting: str, origin: str, connection: str = "leg", **fields: Any) -> dict[str, Any]:
    """The body of a move."""
    return {**join_data(connection, meeting=meeting, **fields), "from": origin}


async def where(people: People) -> dict[str, tuple[str, str]]:
    """Meeting and role of each live connection."""
    return {
        each["connection"]: (each["meeting"], each["role"]) for each in (await people.get("connections"))["connections"]
    }


async def test_a_move_takes_a_connection_to_another_meeting_in_one_step(callers: Callers, people: People) -> None:
    """With every port in use it is admitted all the same: it gives back what it takes."""
    await callers.install(ports(1, id="ports-2026"))
    await callers.admit("leg", meeting="m1")

    decision = await callers.post("/v1/move", to("m2", "m1"))

    assert ("admit", "admitted", "leg", "ports-2026") == tuple(
        decision[name] for name in ("decision", "reason", "connection", "licensed_by")
    )
    assert {"leg": ("m2", "host")} == await where(people)
    usage = await callers.usage()
    assert (1, 1) == (usage["live"], used(usage, "ports"))


async def test_a_move_asked_for_again_is_replayed(callers: Callers) -> None:
    """The connection is there already, wherever the caller says that it came from."""
    await callers.install(ports(1))
    await callers.admit("leg", meeting="m1")

    asked = [to("m2", "m1"), to("m2", "m1"), to("m2", "m2"), to("m2", "elsewhere")]

    assert ["admitted", "replayed", "replayed", "replayed"] == [
        (await callers.post("/v1/move", body))["reason"] for body in asked
    ]


async def test_a_move_within_a_meeting_changes_the_role(callers: Callers, people: People) -> None:
    """From participant to host and back."""
    await callers.install(ports(2))
    await callers.admit("host", meeting="m1")
    await callers.admit("leg", meeting="m1", role="participant")

    for role in ("host", "participant"):
        assert "admitted" == (await callers.post("/v1/move", to("m1", "m1", role=role)))["reason"]
        assert ("m1", role) == (await where(people))["leg"]


async def test_a_move_that_is_denied_leaves_the_connection_where_it_is(callers: Callers, people: People) -> None:
    """A denial is an answer, and travels under the status that was asked for."""
    await callers.install(ports(3, max_endpoints=1))
    await callers.admit("leg", meeting="m1")
    await callers.admit("other", meeting="m2")

    denial = await callers.post("/v1/move", to("m2", "m1"))
    refused = await callers.post("/v1/move?deny_status=409", to("m2", "m1"), status=409)

    assert [("deny", "meeting_full")] * 2 == [(each["decision"], each["reason"]) for each in (denial, refused)]
    assert {"leg": ("m1", "host"), "other": ("m2", "host")} == await where(people)


async def test_what_is_not_live_cannot_be_moved(callers: Callers) -> None:
    """A connection that never was is a problem; one that has ended is denied, as its late admit would be."""
    await callers.install(ports(2))
    await callers.admit("leg", meeting="m1")
    await callers.release("leg")

    unknown = await callers.post("/v1/move", to("m2", "m1", connection="never"), status=404)
    ended = await callers.post("/v1/move", to("m2", "m1"))

    assert ["$.connection"] == [error["path"] for error in unknown["errors"]]
    assert ("deny", "already_released") == (ended["decision"], ended["reason"])


async def test_a_connection_that_is_elsewhere_is_not_moved(callers: Callers, people: People) -> None:
    """Who moves it must know where it is."""
    await callers.install(ports(2))
    await callers.admit("leg", meeting="m1")

    conflict = await callers.post("/v1/move", to("m3", "m2"), status=409)

    assert ["$.from"] == [error["path"] for error in conflict["errors"]]
    assert {"leg": ("m1", "host")} == await where(people)


async def test_moves_of_a_batch_run_in_order_and_each_stands_alone(callers: Callers, people: People) -> None:
    """Admitted, moved twice, and moved from where it is no more; another that never was."""
    await callers.install(ports(1))
    operations = [
        {"op": "admit", **join_data("leg", meeting="m1")},
        {"op": "move", **to("m2", "m1")},
        {"op": "move", **to("m3", "m2")},
        {"op": "move", **to("m4", "m2")},
        {"op": "move", **to("m2", "m1", connection="never")},
    ]

    results = (await callers.post("/v1/batch", {"operations": operations}))["results"]

    assert ["admitted"] * 3 == [each["reason"] for each in results[:3]]
    assert [(409, "$.operations[3].from"), (404, "$.operations[4].connection")] == [
        (each["status"], each["errors"][0]["path"]) for each in results[3:]
    ]
    assert {"leg": ("m3", "host")} == await where(people)
