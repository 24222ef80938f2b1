"""What a partner's witness and log clients call, in every state: C2SP tlog-witness v1.0.0, tlog-tiles v0.1.0."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from gateway.errors import GatewayError, MalformedRequest, NotFound, UnsupportedMediaType
from gateway.ledger.note import MAX_NOTE_BYTES
from gateway.protocol import members
from gateway.protocol.entries import MAX_ENTRIES_REQUEST_BYTES, read_question
from gateway.web.intake import INTAKE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.protocol.ids import PartyId
    from gateway.services.contact import Contacts
    from gateway.services.witnessing import Witnessing

# A checkpoint, and 63 lines of proof before it.
MAX_BODY_BYTES = MAX_NOTE_BYTES + 8192
TEXT = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"
JSON = "application/json"
_LOG_ID = re.compile(r"[0-9a-f]{64}")


class Parts(Protocol):
    """What of the listener's parts is called here."""

    @property
    def contacts(self) -> Contacts:
        """Who was heard of."""
        ...

    @property
    def witnessing(self) -> Witnessing:
        """The witness and our log."""
        ...


def witness_routes(parts: Parts, prefix: str, party_of: Callable[[web.Request], PartyId]) -> list[web.RouteDef]:
    """Return the routes; `party_of` tells whose certificate a request came with."""

    async def add_checkpoint(request: web.Request) -> web.Response:
        """POST witness/add-checkpoint: old size, proof and checkpoint in, a cosignature line out."""
        body = await request.app[INTAKE].read(request, party_of(request), MAX_BODY_BYTES)
        answer = await parts.witnessing.witness.add_checkpoint(party_of(request), body)
        headers = {"Content-Type": answer.content_type} if answer.content_type else {}
        return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)

    async def get_witnessed(request: web.Request) -> web.Response:
        """GET witness/<hex SHA-256 of an origin>/checkpoint: what we cosigned last of that log."""
        log_id = request.match_info["log_id"]
        found = await parts.witnessing.witness.checkpoint(log_id) if _LOG_ID.fullmatch(log_id) else None
        if found is None:
            raise NotFound("nothing of this log was cosigned here")
        return _text(found)

    async def get_checkpoint(_request: web.Request) -> web.Response:
        """GET log/checkpoint: our newest cosigned one."""
        return _text(parts.witnessing.log.checkpoint())

    async def get_tile(request: web.Request) -> web.Response:
        """GET log/tile/<L>/<N>[.p/<W>]: hashes."""
        found = await parts.witnessing.log.tile(f"tile/{request.match_info['path']}")
        return web.Response(body=found, content_type=OCTETS)

    async def post_entries(request: web.Request) -> web.Response:
        """POST messages/entries: the log entries of the caller's messages, unsigned; they prove themselves."""
        if request.content_type != JSON or "Content-Encoding" in request.headers:
            raise UnsupportedMediaType(f"Content-Type is {JSON}, without Content-Encoding")
        party = party_of(request)
        body = await request.app[INTAKE].read(request, party, MAX_ENTRIES_REQUEST_BYTES)
        try:
            asked = read_question(body)
        except members.Unfit as unfit:
            raise MalformedRequest(str(unfit), errors=(unfit.finding,)) from None
        # The log is shown in every state, also where nothing can be written (protocol.md §6).
        with contextlib.suppress(GatewayError):
            await parts.contacts.heard(party)
        return web.Response(body=await parts.witnessing.log.entries(party, asked), content_type=JSON)

    return [
        web.post(f"{prefix}/messages/entries", post_entries),
        web.post(f"{prefix}/witness/add-checkpoint", add_checkpoint),
        web.get(f"{prefix}/witness/{{log_id}}/checkpoint", get_witnessed, allow_head=False),
        web.get(f"{prefix}/log/checkpoint", get_checkpoint, allow_head=False),
        web.get(f"{prefix}/log/tile/{{path:.+}}", get_tile, allow_head=False),
    ]


def _text(note: str) -> web.Response:
    return web.Response(body=note.encode(), headers={"Content-Type": TEXT})
