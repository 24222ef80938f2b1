"""Attachments on the exchange listener: PUT, HEAD and PATCH of a partner's ciphertexts (protocol.md §5)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from gateway.errors import Clash, MalformedRequest, NotFound, RequestError, TooLarge, UnsupportedMediaType
from gateway.ports.common import Actor
from gateway.protocol.attachment import (
    UPLOAD_LENGTH,
    UPLOAD_OFFSET,
    AttachmentId,
    Upload,
    parse_attachment_id,
    read_number,
)
from gateway.web.intake import INTAKE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.protocol.ids import PartyId
    from gateway.services.deposit import Deposits
    from gateway.services.refusals import Refusals


class _Parts(Protocol):
    """What the handlers call."""

    @property
    def deposits(self) -> Deposits: ...
    @property
    def refusals(self) -> Refusals: ...


def upload_routes(parts: _Parts, prefix: str, party_of: Callable[[web.Request], PartyId]) -> list[web.RouteDef]:
    """Return the routes of attachments, under the path of our `endpoint`."""
    handlers = _Uploads(parts, party_of)
    path = f"{prefix}/attachments/{{id}}"
    return [
        web.put(path, handlers.put),
        web.head(path, handlers.head),
        web.patch(path, handlers.patch),
    ]


class _Uploads:
    def __init__(self, parts: _Parts, party_of: Callable[[web.Request], PartyId]) -> None:
        self._parts = parts
        self._party_of = party_of

    async def put(self, request: web.Request) -> web.Response:
        """PUT attachments/{id}: begin."""
        async with self._noting(request) as party:
            length = read_number(request.headers.get(UPLOAD_LENGTH), UPLOAD_LENGTH)
            pieces = self._pieces(request, length)
            return _told(await self._parts.deposits.put(party, _name(request), length, pieces))

    async def head(self, request: web.Request) -> web.Response:
        """HEAD attachments/{id}: how far it is."""
        found = await self._parts.deposits.state(self._party_of(request), _name(request))
        if found is None:
            raise NotFound("no upload of this id has begun")
        return _told(found, status=200)

    async def patch(self, request: web.Request) -> web.Response:
        """PATCH attachments/{id}: go on from `Upload-Offset`."""
        async with self._noting(request) as party:
            offset = read_number(request.headers.get(UPLOAD_OFFSET), UPLOAD_OFFSET)
            pieces = self._pieces(request, None)
            return _told(await self._parts.deposits.patch(party, _name(request), offset, pieces))

    @asynccontextmanager
    async def _noting(self, request: web.Request) -> AsyncIterator[PartyId]:
        """Log what is refused, counted; to stand elsewhere than the sender thinks is no fault."""
        party = self._party_of(request)
        try:
            yield party
        except (Clash, NotFound):
            raise
        except RequestError as error:
            await self._parts.refusals.note("attachment.refused", Actor(party, "partner"), error.slug)
            raise

    def _pieces(self, request: web.Request, length: int | None) -> AsyncIterator[bytes]:
        if "Content-Encoding" in request.headers:
            # A compressed body could unpack to anything.
            raise UnsupportedMediaType("no Content-Encoding is read")
        if length is not None and (request.content_length or 0) > length:
            raise TooLarge("the body is longer than `Upload-Length`")
        return self._arriving(request)

    async def _arriving(self, request: web.Request) -> AsyncIterator[bytes]:
        pace = request.app[INTAKE].pace(request)
        try:
            while piece := await pace.wait(request.content.readany()):
                yield piece
        except (ConnectionError, web.RequestPayloadError):
            # A partner that hangs up is no fault of ours; what came is kept.
            raise MalformedRequest("the body broke off") from None


def _name(request: web.Request) -> AttachmentId:
    try:
        return parse_attachment_id(request.match_info["id"])
    except ValueError as error:
        raise MalformedRequest(str(error)) from None


def _told(upload: Upload, status: int = 204) -> web.Response:
    headers = {
        UPLOAD_OFFSET: str(upload.offset), UPLOAD_LENGTH: str(upload.length), "Cache-Control": "no-store",
    }  # fmt: skip
    return web.Response(status=status, headers=headers)
