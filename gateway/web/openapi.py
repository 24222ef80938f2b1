"""OpenAPI 3.1, generated from the route table and the models: what is served is what is described."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.protocol.members import PARTY
from gateway.registry.subject import MAX_SUBJECT_LENGTH, SUBJECT_NAME
from gateway.web.api.described import Models
from gateway.web.api.messages import CASE
from gateway.web.api.route import anchored
from gateway.web.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.web.api.described import Named
    from gateway.web.api.route import Param, Route

PROBLEM: Final = Models("gateway.web.api.models").Problem
VALID: Final = Models("gateway.web.api.models").Valid
REF: Final = "#/components/schemas/{model}"
JSON: Final = "application/json"
# What the members of paths look like; anything else is refused, or is the name of nothing.
MEMBERS: Final[dict[str, dict[str, Any]]] = {
    "id": {"examples": ["019c8a52-3b6e-7d10-8c55-1f0a2b3c4d5e"]},
    "ref": {"pattern": anchored(CASE.pattern), "examples": ["XC-ID-2026-000123-8"]},
    "party": {"pattern": anchored(PARTY.pattern), "examples": ["kh.gdi"]},
    "subject": {
        "pattern": anchored(SUBJECT_NAME.pattern),
        "maxLength": MAX_SUBJECT_LENGTH,
        "examples": ["case.referral"],
    },
    "version": {"pattern": "^(latest|-1|[1-9][0-9]{0,8})$", "examples": ["latest"]},
    "number": {"pattern": "^[1-9][0-9]{0,14}$"},
}
PATH_MEMBER: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")

MEANING: Final = {
    200: "Done", 201: "Made", 202: "Accepted for sending", 304: "You hold it already",
    400: "The request cannot be read", 401: "Sign in first", 403: "Your role may not do this",
    404: "Unknown, or not yours to see", 405: "Not a method of this path", 408: "The body comes too slowly",
    409: "The state does not allow it", 413: "Too large",
    415: "Unsupported media type", 416: "Not a range of this file", 422: "A rule refuses it: `errors` name each place",
    429: "Too many requests", 431: "All headers together are too large",
    500: "A fault of the gateway", 502: "The partner gave no verified answer",
    503: "Not now: try again",
}  # fmt: skip
_RETRY_AFTER: Final = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
_ALLOW: Final = {"Allow": {"description": "the methods of this path", "schema": {"type": "string"}}}
HEADERS: Final = {405: _ALLOW, 429: _RETRY_AFTER, 503: _RETRY_AFTER}


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(template(route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Case exchange gateway",
            "version": __version__,
            "description": "Submit messages to a partner authority, follow them to a signed receipt, and audit it all.",
        },
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(routes),
        },
    }


def template(path: str) -> str:
    """Return a path as OpenAPI writes it: without the patterns of its members."""
    return PATH_MEMBER.sub(r"{\1}", path)


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    from pydantic.json_schema import models_json_schema

    named = dict.fromkeys(
        model
        for model in (PROBLEM, VALID, *(m for route in routes for m in (route.body, route.answer, route.fault)))
        if model is not None
    )
    _, found = models_json_schema([(model.load(), "validation") for model in named], ref_template=REF)
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.method.lower() + re.sub(r"[^A-Za-z0-9]+", "_", template(route.path)).rstrip("_"),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string", **MEMBERS.get(name, {})}}
              for name in PATH_MEMBER.findall(route.path)),
            *(_parameter(param) for param in route.params),
        ],
        "responses": _responses(route),
    }  # fmt: skip
    words = [route.text] if route.text else []
    if route.acts:
        words.append(f"Needs the right {' or '.join(f'`{act}`' for act in route.acts)}.")
    else:
        found["security"] = []
    found["description"] = " ".join(words) or route.summary
    if route.body is not None:
        # The body of a step may be absent; a message may not.
        optional = all(not field.is_required() for field in route.body.load().model_fields.values())
        taken = (route.body_type, route.media_type) if route.fault else (route.body_type,)
        found["requestBody"] = {"required": not optional, "content": {name: _content(route.body) for name in taken}}
    return found


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name, "in": param.where, "required": param.required, "description": param.text,
        "schema": param.schema,
    }  # fmt: skip


def _responses(route: Route) -> dict[str, Any]:
    plain = {"schema": {"type": "string"}}
    content = {route.media_type: _content(route.answer) if route.answer else plain}
    found: dict[int, dict[str, Any]] = {route.status: {"description": MEANING[route.status], "content": content}}
    if any(param.name == "Idempotency-Key" for param in route.params):
        found[route.status]["headers"] = {
            "Idempotency-Replayed": {"description": "`true`: the stored answer", "schema": {"type": "string"}}
        }
    if any(param.name == "dry_run" for param in route.params):
        found[200] = {"description": "It would be accepted", "content": {JSON: _content(VALID)}}
        found[202]["headers"]["Location"] = {"description": "where it is followed", "schema": {"type": "string"}}
    if any(param.name == "If-None-Match" for param in route.params):
        found[304] = {"description": MEANING[304]}
    fault = {route.media_type: _content(route.fault)} if route.fault else {MEDIA_TYPE: _content(PROBLEM)}
    # Who is known has a rate, who sends a body has its time, and every head its size; 400: the guard refuses a query
    # parameter that a route does not know, of every route.
    anywhere = (*((401, 403, 429) if route.acts else ()), *((408, 429) if route.body else ()), 400, 405, 431, 500)
    for status in (*route.problems, *anywhere):
        found[status] = {"description": MEANING[status], "content": fault}
        if status in HEADERS:
            found[status]["headers"] = HEADERS[status]
    return {str(status): found[status] for status in sorted(found)}


def _content(model: Named) -> dict[str, Any]:
    return {"schema": {"$ref": REF.format(model=model.name)}}
