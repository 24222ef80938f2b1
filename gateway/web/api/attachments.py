"""Attachments: a file comes as multipart and goes out as a stream; neither is ever in memory as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import BodyPartReader, web

from gateway.errors import Finding, GatewayError, MalformedRequest, RangeRefused, UnsupportedMediaType
from gateway.logs import get_logger
from gateway.primitives import b64u
from gateway.primitives.times import format_ms
from gateway.protocol.ids import parse_party
from gateway.services.attach import Stored, described, request_digest
from gateway.services.attach_request import read_meta
from gateway.services.submit import Idempotency
from gateway.services.vault import PIECE_BYTES
from gateway.web.api import asking
from gateway.web.api.messages import purpose_of
from gateway.web.intake import INTAKE, Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container

    from gateway.running import Gateway
    from gateway.services.attach import Draft
    from gateway.services.fetch import Reading
    from gateway.web.api.route import Call

log = get_logger()

ROUTE = "POST /attachments"
META_BYTES = 16 * 1024
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "application/pdf": "pdf", "application/json": "json"}
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")


class Span(NamedTuple):
    """The bytes [start, end) of a file."""

    start: int
    end: int


class Attachments:
    """The handlers of `/attachments`."""

    def __init__(self, gateway: Gateway) -> None:
        self._attacher = gateway.attachments.attacher
        self._reader = gateway.attachments.reader

    async def post(self, call: Call) -> web.Response:
        """POST /attachments: 201 with the id that a message names."""
        key = asking.idempotency_key(call.request)
        async with self._attacher.receiving(call.account) as draft:
            said, content_type = await self._parts(call.request, draft)
            meta = read_meta(said, content_type)
            assert draft.kept is not None
            once = Idempotency(ROUTE, key, request_digest(draft.kept, said))
            stored, replayed = await self._attacher.accept(draft, meta, call.account, once, _answer)
        headers = {"Location": stored.location or ""}
        if replayed:
            headers["Idempotency-Replayed"] = "true"
        return web.Response(body=stored.answer, status=stored.status, content_type="application/json", headers=headers)

    async def _parts(self, request: web.Request, draft: Draft) -> tuple[Any, str | None]:
        """Take the file into `draft`; return `meta` and what the file's part says of its type."""
        if request.content_type != "multipart/form-data" or "Content-Encoding" in request.headers:
            detail = "the body is multipart/form-data, as it is: a part `file` and a JSON part `meta`"
            raise UnsupportedMediaType(detail)
        found: dict[str, Any] = {}
        content_type: str | None = None
        pace = request.app[INTAKE].pace(request)
        try:
            parts = await request.multipart()
            while (part := await pace.wait(parts.next())) is not None:
                if not isinstance(part, BodyPartReader) or not _is_wanted(part, found):
                    detail = "the parts are `file` and `meta`, once each, as they are"
                    raise MalformedRequest(detail, errors=(Finding("", detail),))
                name = part.name or ""
                if name == "meta":
                    found[name] = asking.parse_body(await _meta(part, pace))
                else:
                    content_type = part.headers.get("Content-Type")
                    await self._attacher.fill(draft, _pieces(part, pace))
                    found[name] = True
        except (ValueError, ConnectionError, web.RequestPayloadError):
            detail = "the body broke off, or is no multipart/form-data"
            raise MalformedRequest(detail) from None
        missing = [name for name in ("file", "meta") if name not in found]
        if missing:
            detail = f"the part `{missing[0]}` is missing"
            raise MalformedRequest(detail, errors=tuple(Finding(f"/{name}", "is missing") for name in missing))
        return found["meta"], content_type

    async def get(self, call: Call) -> web.StreamResponse:
        """GET /attachments/{id}: the bytes, a PDF made anew; the log entry of the reading is committed first."""
        request = call.request
        partner = request.query.get("partner")
        try:
            party = parse_party(partner) if partner else None
        except ValueError:
            raise asking.refuse("partner", "is a party such as kh.gdi") from None
        original = asking.one_of(request, "original", ("true", "false")) == "true"
        name, purpose = request.match_info["id"], purpose_of(request)
        async with self._reader.reading(
            name, party, call.owner, call.account, purpose, original=original
        ) as found:  # fmt: skip
            return await _answered(request, found)


async def _answered(request: web.Request, found: Reading) -> web.StreamResponse:
    tag = f'"{b64u.encode(found.sha256)}"'
    span = _span(request, found.byte_length, tag)
    response = web.StreamResponse(status=200 if span is None else 206, headers=_headers(found, tag))
    start, end = span or Span(0, found.byte_length)
    if span is not None:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.byte_length}"
    response.content_length = end - start
    await response.prepare(request)
    await _send(response, found.pieces, start, end, request)
    return response


def _is_wanted(part: BodyPartReader, found: Container[str]) -> bool:
    return part.name in {"file", "meta"} and part.name not in found and "Content-Encoding" not in part.headers


def _answer(stored: Stored) -> bytes:
    row, original = stored.served, stored.original
    shown = {"id": row.id, **described(stored), "stored_at": format_ms(row.at)}
    shown["original"] = None if original is None else {
        "id": original.id, "byteLength": original.byte_length, "sha256": b64u.encode(original.sha256),
    }  # fmt: skip
    return orjson.dumps(shown)


async def _meta(part: BodyPartReader, pace: Pace) -> bytes:
    raw = b""
    while piece := await pace.wait(part.read_chunk(META_BYTES + 1 - len(raw))):
        raw += piece
        if len(raw) > META_BYTES:
            detail = f"`meta` has at most {META_BYTES} bytes"
            raise MalformedRequest(detail, errors=(Finding("/meta", detail, "E-SIZE"),))
    return raw


async def _pieces(part: BodyPartReader, pace: Pace) -> AsyncIterator[bytes]:
    while piece := await pace.wait(part.read_chunk(PIECE_BYTES)):
        yield bytes(piece)


def _headers(found: Reading, tag: str) -> dict[str, str]:
    extension = EXTENSIONS.get(found.media_type, "bin")
    return {
        "Content-Type": found.media_type,
        # An id and nothing else: what the file was called stayed where it came from.
        "Content-Disposition": f'attachment; filename="{found.attachment.id}.{extension}"',
        # Made anew, it is not the file whose digest a message names.
        "Attachment-Form": "made-anew" if found.made_anew else "as-stored",
        # Whatever a browser makes of the bytes, it runs nothing of them.
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
    }


def _span(request: web.Request, length: int, tag: str) -> Span | None:
    """Return the one range asked for (RFC 9110 §14), None for the whole file. Raises RangeRefused."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None or request.headers.get("If-Range", tag) != tag:
        return None
    start = int(found[1])
    end = min(int(found[2]) + 1, length) if found[2] else length
    if start >= end:
        raise RangeRefused("the file ends before this range begins")
    return Span(start, end)


async def _send(
    response: web.StreamResponse, pieces: AsyncIterator[bytes], start: int, end: int, request: web.Request
) -> None:
    """Write the bytes [start, end). What cannot be read to its end breaks off: the caller sees that it is short."""
    place = 0
    try:
        async for piece in pieces:
            wanted = piece[max(0, start - place) : max(0, end - place)]
            place += len(piece)
            if wanted:
                await response.write(wanted)
    except GatewayError as error:
        log.error("attachment broke off", code=error.slug, detail=error.detail)  # noqa: TRY400 - no traceback: it is known
        if request.transport is not None:
            request.transport.abort()
        return
    await response.write_eof()
