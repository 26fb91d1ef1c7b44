"""Routes that media servers call: admit, preview, move, confirm, release, batch."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway.admission import Admission, ConnectionConflict, ConnectionUnknown, CustomerUnknown
from gateway.api import answers, wire
from gateway.api.http import LARGE_BODY_BYTES_MAX, TELEPHONES, body_of, bound_to, caller, json_response, query_of
from gateway.api.problems import ErrorDetail, Problem, invalid, store_unavailable
from gateway.kernel.errors import StoreError
from gateway.kernel.outcomes import Released
from gateway.tokens import Token


ADMISSION = web.AppKey("ADMISSION", Admission)
DENY_STATUSES = {"403": 403, "409": 409, "429": 429}


def routes() -> list[web.RouteDef]:
    """The routes of the admission listener."""
    return [
        web.post("/v1/admit", admit),
        web.post("/v1/preview", preview),
        web.post("/v1/move", move),
        web.post("/v1/confirm", confirm),
        web.post("/v1/release", release),
        web.post("/v1/batch", batch),
    ]


async def admit(request: web.Request) -> web.Response:
    """Decides a join and takes its seat."""
    return await _decided(request, wire.decode_join)


async def preview(request: web.Request) -> web.Response:
    """Decides a join and changes nothing."""
    return await _decided(request, wire.decode_preview)


async def move(request: web.Request) -> web.Response:
    """Takes a leg to another meeting or role, in one step."""
    return await _decided(request, wire.decode_move)


async def confirm(request: web.Request) -> web.Response:
    """A leg is connected."""
    token = caller(request, "admit")
    query_of(request)
    return json_response(await _confirm(request.app, token, wire.decode_confirm(await body_of(request)), "$"))


async def release(request: web.Request) -> web.Response:
    """Gives back a seat."""
    token = caller(request, "admit")
    query_of(request)
    asked = wire.decode_release(await body_of(request))
    return json_response(await _release(request.app[ADMISSION], token, asked, "$"))


async def batch(request: web.Request) -> web.Response:
    """Carries out operations; each stands alone, and those on one connection run in the order given."""
    token = caller(request, "admit")
    query_of(request)
    body = await body_of(request, LARGE_BODY_BYTES_MAX)
    operations = wire.decode_batch(body).operations
    results: list[Any] = [None] * len(operations)
    lanes: dict[object, list[tuple[int, wire.Operation]]] = defaultdict(list)
    for position, raw in enumerate(operations):
        try:
            operation = wire.decode_operation(raw, f"$.operations[{position}]")
        except Problem as problem:
            if problem.status == 400:
                raise  # what is not JSON makes the whole body none
            results[position] = problem.body
        else:
            lanes[operation.customer, operation.connection].append((position, operation))

    async def run(lane: list[tuple[int, wire.Operation]]) -> None:
        for position, operation in lane:
            results[position] = await _result(request.app, token, operation, f"$.operations[{position}]")

    await asyncio.gather(*[run(lane) for lane in lanes.values()])
    return json_response(answers.BatchResult(results))


async def _decided(request: web.Request, decode: Callable[[bytes], wire.JoinRequest]) -> web.Response:
    token = caller(request, "admit")
    query = query_of(request, ("deny_status",))
    deny_status = DENY_STATUSES.get(query["deny_status"]) if "deny_status" in query else 200
    if deny_status is None:
        raise invalid("deny_status", f"is one of {', '.join(DENY_STATUSES)}")
    asked = decode(await body_of(request))
    answer = await _decide(request.app, token, asked, "$")
    return json_response(answer, deny_status if isinstance(answer, answers.DenyDecision) else 200)


async def _decide(
    app: web.Application, token: Token, asked: wire.JoinRequest, root: str
) -> answers.AdmitDecision | answers.DenyDecision:
    """What is decided of an admit, a preview or a move. Raises Problem."""
    join = wire.join_of(asked, app[TELEPHONES], root)
    bound_to(token, join.customer, join.node)
    admission, wait_s = app[ADMISSION], asked.deadline_ms / 1000
    try:
        if isinstance(asked, wire.MoveRequest):
            decision = await admission.move(join, asked.origin, wait_s=wait_s)
        elif isinstance(asked, wire.PreviewRequest):
            decision = await admission.preview(join)
        else:
            decision = await admission.admit(join, wait_s=wait_s)
    except ConnectionUnknown:
        message = "is not live"
        raise Problem(
            "not-found", f"{root}.connection {message}.", [ErrorDetail(f"{root}.connection", message)]
        ) from None
    except ConnectionConflict:
        raise _conflict(root, moves=isinstance(asked, wire.MoveRequest)) from None
    return answers.decision_body(decision)


async def _confirm(app: web.Application, token: Token, asked: wire.JoinRequest, root: str) -> answers.Confirmation:
    """What becomes of a leg that is connected. Raises Problem."""
    join = wire.join_of(asked, app[TELEPHONES], root)
    bound_to(token, join.customer, join.node)
    try:
        found = await app[ADMISSION].confirm(join)
    except ConnectionConflict:
        raise _conflict(root, moves=False) from None
    except CustomerUnknown:
        message = "is not known"
        raise Problem("not-found", f"{root}.customer {message}.", [ErrorDetail(f"{root}.customer", message)]) from None
    return answers.confirmation_body(join, found.result, found.lease, drop=found.drop)


def _conflict(root: str, *, moves: bool) -> Problem:
    path, message = (
        (f"{root}.from", "is not the meeting in which the connection is")
        if moves
        else (
            f"{root}.connection",
            "is live with other facts (meeting, role, endpoint, host, ...); to change them is a move, and a new leg needs a new id",
        )
    )
    return Problem("conflict", f"{path} {message}", [ErrorDetail(path, message)])


async def _release(admission: Admission, token: Token, asked: wire.ReleaseRequest, root: str) -> answers.ReleaseResult:
    wire.check_connection(asked.connection, root)
    if asked.cause == "operator":
        raise invalid(f"{root}.cause", "is for operators, who end connections through the admin listener")
    bound_to(token, asked.customer, asked.node)
    outcome = await admission.release(
        asked.customer, asked.connection, node=asked.node or "", cause=asked.cause or "released"
    )
    if outcome is None:  # the journal has it
        return answers.ReleaseResult(released=True)
    if not isinstance(outcome, Released):
        return answers.ReleaseResult(released=False)
    if outcome.connected_ms is None:
        return answers.ReleaseResult(released=True)
    return answers.ReleaseResult(released=True, connected_s=(outcome.now_ms - outcome.connected_ms) / 1000)


async def _result(app: web.Application, token: Token, operation: wire.Operation, root: str) -> Any:
    """The result of one operation of a batch; a problem stands in its place."""
    try:
        if isinstance(operation, wire.ReleaseOperation):
            return await _release(app[ADMISSION], token, operation, root)
        if isinstance(operation, wire.ConfirmOperation):
            return await _confirm(app, token, operation, root)
        return await _decide(app, token, operation, root)
    except Problem as problem:
        return problem.body
    except StoreError as error:
        return store_unavailable(error).body
