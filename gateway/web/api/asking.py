"""Reads requests: bodies and query parameters. What cannot be read is refused with the reason, never echoed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.errors import Finding, IdempotencyKeyMissing, MalformedRequest, UnsupportedMediaType
from gateway.primitives import strictjson
from gateway.protocol.ids import parse_party
from gateway.web.intake import INTAKE
from gateway.web.problems import caller_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

JSON = "application/json"
LIMIT = 50
LIMIT_MOST = 200
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
KEY = re.compile(r"[!-~]{1,255}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+ -][0-9]{2}:[0-9]{2})")


async def read_body(request: web.Request, most: int, types: Collection[str] = (JSON,)) -> bytes:
    """Return the bytes of a JSON body. Raises UnsupportedMediaType, TooLarge, SlowBody, TooManyRequests."""
    if request.content_type not in types:
        detail = f"Content-Type is {' or '.join(types)}"
        raise UnsupportedMediaType(detail)
    if "Content-Encoding" in request.headers:
        # A compressed body could unpack to anything.
        detail = "no Content-Encoding is read: send the body as it is"
        raise UnsupportedMediaType(detail)
    return await request.app[INTAKE].read(request, caller_of(request), most)


def idempotency_key(request: web.Request) -> str:
    """Return the key a creating POST names itself by. Raises IdempotencyKeyMissing, MalformedRequest."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        detail = "send `Idempotency-Key`, new for each request and the same when you repeat it"
        raise IdempotencyKeyMissing(detail)
    if not KEY.fullmatch(key):
        detail = "Idempotency-Key is 1 to 255 visible ASCII characters"
        raise MalformedRequest(detail)
    return key


def parse_body(raw: bytes) -> Any:
    """Return the strict JSON value of a body. Raises MalformedRequest with the fault."""
    try:
        return strictjson.loads(raw)
    except strictjson.NotStrict as error:
        detail = f"the body is not strict JSON: {error}"
        raise MalformedRequest(detail) from None


async def read_options(request: web.Request, most: int, members: Collection[str]) -> dict[str, Any]:
    """Return the members of a small JSON object, which may be absent as a whole. Raises MalformedRequest."""
    if not request.can_read_body:
        return {}
    found = parse_body(await read_body(request, most))
    if not isinstance(found, dict) or not found.keys() <= set(members):
        detail = f"the body is a JSON object of {', '.join(sorted(members))}, or absent"
        raise MalformedRequest(detail)
    return found


def refuse(name: str, reason: str) -> MalformedRequest:
    """Return the refusal of one parameter; the caller raises it."""
    return MalformedRequest(f"`{name}` {reason}", errors=(Finding(f"/{name}", reason),))


def number(request: web.Request, name: str) -> int | None:
    """Return a whole number of the query, or None."""
    text = request.query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise refuse(name, "is a whole number")
    return int(text)


def limit(request: web.Request) -> int:
    """Return how many items a page may have."""
    found = number(request, "limit")
    if found is None:
        return LIMIT
    if not 1 <= found <= LIMIT_MOST:
        raise refuse("limit", f"is 1 to {LIMIT_MOST}")
    return found


def one_of(request: web.Request, name: str, known: Collection[str]) -> str | None:
    """Return a code of the query, or None."""
    text = request.query.get(name)
    if text is not None and text not in known:
        raise refuse(name, f"is one of {', '.join(sorted(known))}")
    return text


def matching(request: web.Request, name: str, pattern: re.Pattern[str], words: str) -> str | None:
    """Return a word of the query that has the form wanted, or None."""
    text = request.query.get(name)
    if text is not None and not pattern.fullmatch(text):
        raise refuse(name, words)
    return text


def sender(request: web.Request) -> str | None:
    """Return the party whose message is meant, or None: a message id is its sender's word."""
    return _party(request, "sender")


def partner(request: web.Request) -> str | None:
    """Return the partner whose case is meant, or None: partners of one State may use one reference."""
    return _party(request, "partner")


def _party(request: web.Request, name: str) -> str | None:
    text = request.query.get(name)
    try:
        return None if text is None else parse_party(text)
    except ValueError:
        raise refuse(name, "is a party such as kh.gdi") from None


def when(request: web.Request, name: str) -> int | None:
    """Return a time of the query in ms: RFC 3339, or a day (its start, UTC); None where it is not given."""
    text = request.query.get(name)
    return None if text is None else parse_when(text, name)


def parse_when(text: object, name: str) -> int:
    """Read a time as people write it. Raises MalformedRequest."""
    if isinstance(text, str):
        # A `+` that was not escaped arrives as a space.
        text = text.replace(" ", "+")
        try:
            if _DAY.fullmatch(text):
                return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
            if _TIME.fullmatch(text):
                return round(datetime.fromisoformat(text).timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    raise refuse(name, "is a time such as 2026-11-24T02:00:00Z, or a day such as 2026-11-24")


def flag(request: web.Request, name: str) -> bool:
    """Return a truth value of the query; absent is false."""
    return one_of(request, name, ("true", "false")) == "true"
