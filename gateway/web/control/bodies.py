"""What the control routes read and write: strict JSON in, JSON out, times as RFC 3339 text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import web

from gateway.errors import Finding, MalformedRequest
from gateway.primitives import strictjson
from gateway.primitives.times import format_ms
from gateway.web.problems import CALLER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.common import Actor


class Guarded(NamedTuple):
    """A route of the control application, and what a caller must be permitted: one of `acts`."""

    acts: tuple[str, ...]
    route: web.RouteDef


def actor(request: web.Request) -> Actor:
    """Return who calls, as the log names them."""
    return request[CALLER]


def answer(value: Any, status: int = 200) -> web.Response:
    """Return JSON."""
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


async def members(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a body; an empty body is `{}`. Raises MalformedRequest."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        found = strictjson.loads(raw)
    except strictjson.NotStrict as error:
        raise MalformedRequest(f"the body is not strict JSON: {error}") from None
    if not isinstance(found, dict):
        raise MalformedRequest("the body is a JSON object")
    return found


def text(given: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a text member. Raises MalformedRequest naming it."""
    value = given.get(name, default)
    if not isinstance(value, str):
        raise MalformedRequest(f"`{name}` is missing", errors=(Finding(f"/{name}", "is missing, or is no text"),))
    return value


def number(given: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """Return a number between 1 and `most`. Raises MalformedRequest naming it."""
    value = given.get(name, default)
    try:
        found = int(value)
    except (TypeError, ValueError):
        found = 0
    if not 1 <= found <= most:
        raise MalformedRequest(f"`{name}` is a number from 1 to {most}")
    return found


def at(ms: int | None) -> str | None:
    """Return a time as text."""
    return None if ms is None else format_ms(ms)
