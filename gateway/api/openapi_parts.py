"""Parts of the OpenAPI document: operations, bodies, references, parameters."""

from typing import Any

from gateway.api.problems import CONTENT_TYPE, TITLES


REF = "#/components/schemas/{name}"

CALLER = (401, 403)
BODY = (400, 408, 413, 422)
STORE = (503,)
"""Problems by what they come from: who calls, the body, the store."""


def operation(
    summary: str, answer: dict[str, Any] | None, faults: tuple[int, ...], *, etag: bool = False
) -> dict[str, Any]:
    """An operation with its answer (none: 204) and the problems that it may come to."""
    done: dict[str, Any] = content(answer, "Done.") if answer is not None else {"description": "Done."}
    if etag:
        done["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Version of the entitlements."}}
    titles = dict(TITLES.values())
    responses: dict[str, Any] = {"200" if answer is not None else "204": done}
    for status in sorted(faults):
        problem: dict[str, Any] = {CONTENT_TYPE: {"schema": ref("ProblemBody")}}
        responses[str(status)] = {"description": titles[status], "content": problem}
    return {"summary": summary, "responses": responses}


def content(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """What an answer holds."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def body(name: str, rules: dict[str, Any] | None = None, *, required: bool = True) -> dict[str, Any]:
    """The body of a request; `rules` narrow its schema for one operation."""
    schema = {"allOf": [ref(name), rules]} if rules else ref(name)
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def ref(name: str) -> dict[str, Any]:
    """A reference to a schema."""
    return {"$ref": REF.format(name=name)}


def path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    """A parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, **({"description": description} if description else {})}


def header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """A parameter that is a header."""
    return {"name": name, "in": "header", "schema": schema, "description": description}
