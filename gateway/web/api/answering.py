"""Writes answers: JSON with an ETag, pages with a signed cursor, and the headers every answer carries."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from gateway.primitives import b64u
from gateway.primitives.table import csv_text
from gateway.web.api.asking import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.people import StoredAnswer

NO_STORE = "no-store"
REVALIDATE = "private, no-cache"
TAG_BYTES = 12

SECURITY = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


async def secure(_request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer carries, errors included; what a handler set itself stays."""
    headers = response.headers
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", NO_STORE)
    # Which software and release answers is nobody's business.
    headers["Server"] = "gateway"


def json_answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a value as JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=headers or {})


def answered(stored: StoredAnswer, *, replayed: bool) -> web.Response:
    """Return the answer kept under an Idempotency-Key; a repetition says that it is one."""
    headers = {"Location": stored.location} if stored.location else {}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return web.Response(body=stored.answer, status=stored.status, content_type="application/json", headers=headers)


def tagged(
    request: web.Request,
    body: bytes,
    *,
    media_type: str = "application/json",
    cache: str = NO_STORE,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """Return bytes with their ETag, or 304 where the caller holds them already (RFC 9110 §13.1.2)."""
    tag = f'"{b64u.encode(sha256(body).digest()[:TAG_BYTES])}"'
    sent = {"ETag": tag, "Cache-Control": cache, **(headers or {})}
    asked = request.headers.get("If-None-Match", "")
    held = {part.strip().removeprefix("W/") for part in asked.split(",")}
    if tag in held or "*" in held:
        return web.Response(status=304, headers=sent)
    return web.Response(body=body, content_type=media_type, headers=sent)


class Cursors:
    """Where a page ended: opaque and signed, so that no caller can make one or take it to another list."""

    def __init__(self) -> None:
        self._key = b""

    def use(self, key: bytes) -> None:
        """Take the key; callers keep cursors, so it outlives the process."""
        self._key = key

    def write(self, listing: str, place: str) -> str:
        """Return the cursor for a place in a list."""
        return b64u.encode(self._sign(listing, place) + place.encode())

    def read(self, listing: str, text: str, name: str = "cursor") -> str:
        """Return the place a cursor of ours stands for. Raises MalformedRequest."""
        try:
            raw = b64u.decode(text)
            place = raw[TAG_BYTES:].decode()
        except ValueError:
            raw, place = b"", ""
        if not hmac.compare_digest(raw[:TAG_BYTES], self._sign(listing, place)):
            raise refuse(name, "is not a cursor of this list: take `next_cursor` of an answer, unchanged")
        return place

    def _sign(self, listing: str, place: str) -> bytes:
        return hmac.digest(self._key, f"{listing}\n{place}".encode(), "sha256")[:TAG_BYTES]


def page(
    request: web.Request, items: Sequence[Any], following: str | None, *, more: bool, **beside: Any
) -> web.Response:
    """Return one page of a list; `following` is the cursor to go on with, `beside` further members."""
    body = orjson.dumps({"items": items, "next_cursor": following, "has_more": more, **beside})
    return tagged(request, body, headers=_link(request, following if more else None))


def csv_page(request: web.Request, rows: Sequence[Sequence[object]], following: str | None) -> web.Response:
    """Return one page of a list as CSV (RFC 4180), the names first; its Link leads to the next."""
    return web.Response(
        body=csv_text(rows).encode(), content_type="text/csv", charset="utf-8", headers=_link(request, following)
    )


def _link(request: web.Request, following: str | None) -> dict[str, str]:
    if following is None:
        return {}
    return {"Link": f'<{request.rel_url.update_query({_cursor_of(request): following})}>; rel="next"'}


def _cursor_of(request: web.Request) -> str:
    return "after" if request.path.endswith("/inbox") else "cursor"
