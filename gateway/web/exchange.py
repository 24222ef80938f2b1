"""The exchange listener: what a partner's gateway calls, over mutual TLS 1.3 (protocol.md §5)."""

from __future__ import annotations

import contextlib
import re
import weakref
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from gateway.errors import (
    Draining,
    GatewayError,
    MalformedRequest,
    PartnerError,
    RequestError,
    TooManyRequests,
    UnknownParty,
    UnsupportedMediaType,
)
from gateway.logs import Seldom, get_logger
from gateway.ports.common import Actor, Clock
from gateway.protocol.ids import PartyId, parse_message_id
from gateway.protocol.jwe import MAX_REQUEST_BYTES
from gateway.protocol.stream import StreamItem, sign_ping, sign_stream

if TYPE_CHECKING:
    from asyncio import BaseTransport

    from gateway.ports.keys import KeyRing
    from gateway.ports.store import Store
    from gateway.services.contact import Contacts
    from gateway.services.deposit import Deposits
    from gateway.services.directory import Directory
    from gateway.services.receive import Receiver
    from gateway.services.refusals import Refusals
    from gateway.services.witnessing import Witnessing
    from gateway.web.problems import Handler
from gateway.web.connections import CALLER_OF, CONNECTIONS
from gateway.web.intake import INTAKE, LARGE_BYTES, Intake
from gateway.web.problems import CALLER
from gateway.web.rates import REFUSED_COST, Rates, cost_of
from gateway.web.server import DRAIN, close_methods
from gateway.web.uploads import upload_routes
from gateway.web.witness import witness_routes

log = get_logger()

JOSE = "application/jose"
JOSE_JSON = "application/jose+json"
STREAM_MOST = 1000
# A partner waits for an answer no longer (protocol.md §7).
BODY_S = 30.0
PEER_CHECK_EVERY_MS = 60_000
LINES_MOST = 60
PARTY = web.RequestKey[PartyId]("party", PartyId)
_NUMBER = re.compile(r"[0-9]{1,16}")


class Identify(Protocol):
    """Tells whose client certificate this is."""

    def peer_of(self, der: bytes | None) -> PartyId | None:
        """Return the pinned party of a leaf certificate, or None."""
        ...


@dataclass(frozen=True, slots=True)
class ExchangeParts:
    """What the handlers call."""

    receiver: Receiver
    contacts: Contacts
    directory: Directory
    refusals: Refusals
    keys: KeyRing
    store: Store
    clock: Clock
    tls: Identify
    witnessing: Witnessing
    deposits: Deposits
    intake: Intake = field(default_factory=lambda: Intake(most_bytes=MAX_REQUEST_BYTES, total_s=BODY_S))
    rates: Rates = field(default_factory=Rates)


def exchange_app(parts: ExchangeParts, prefix: str, outermost: Any) -> web.Application:
    """Return the application, its routes under the path of our `endpoint`."""
    handlers = _Handlers(parts)
    app = web.Application(middlewares=[outermost, handlers.identify], client_max_size=MAX_REQUEST_BYTES)
    app[INTAKE] = parts.intake
    app.add_routes(
        [
            web.post(f"{prefix}/envelopes", handlers.post_envelope),
            web.get(f"{prefix}/messages/{{jti}}", handlers.get_message, allow_head=False),
            web.get(f"{prefix}/stream", handlers.get_stream, allow_head=False),
            web.get(f"{prefix}/card", handlers.get_card, allow_head=False),
            web.post(f"{prefix}/ping", handlers.post_ping),
            *witness_routes(parts, prefix, lambda request: request[PARTY]),
            *upload_routes(parts, prefix, lambda request: request[PARTY]),
        ]
    )
    close_methods(app)
    app[DRAIN] = handlers.drain
    app[CALLER_OF] = handlers.peer
    return app


class _Handlers:
    def __init__(self, parts: ExchangeParts) -> None:
        self._parts = parts
        self._peers: weakref.WeakKeyDictionary[BaseTransport, tuple[PartyId | None, int]] = weakref.WeakKeyDictionary()
        self._draining = False
        self._seldom = Seldom(LINES_MOST)

    def drain(self) -> None:
        """Take no more requests; uploads go on elsewhere from where they are."""
        self._draining = True
        self._parts.deposits.drain()

    @property
    def identify(self) -> Any:
        """Return the middleware that knows the peer, or refuses it."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._draining:
                raise Draining("this gateway is stopping; try again")
            party = None if request.transport is None else self.peer(request.transport)
            known = self._parts.directory.partner(party) if party is not None else None
            if known is None or not known.active:
                await self._parts.refusals.note(
                    "access.refused", Actor(party or "stranger", "partner"), "unknown-party"
                )
                raise UnknownParty
            request[PARTY] = known.party
            request[CALLER] = Actor(known.party, "partner")
            if CONNECTIONS in request.app:
                request.app[CONNECTIONS].identify(request, known.party)
            wait_s = self._parts.rates.spend(known.party, cost_of(request))
            if wait_s is not None:
                raise TooManyRequests("more than a partner may ask for; come again", retry_after_s=wait_s)
            try:
                return await handler(request)
            except (RequestError, PartnerError) as error:
                if error.status != TooManyRequests.status:
                    self._parts.rates.charge(known.party, REFUSED_COST)
                raise

        return handle

    def peer(self, transport: BaseTransport) -> PartyId | None:
        """Return whose certificate a connection came with, or None."""
        now = self._parts.clock()
        held = self._peers.get(transport)
        # Looked at again each minute: a certificate expires, a partner changes its CA. That it is nobody's is not
        # remembered: a suspended partner that is taken back would be refused for a minute more.
        if held is None or held[0] is None or now - held[1] > PEER_CHECK_EVERY_MS:
            tls = transport.get_extra_info("ssl_object")
            party = self._parts.tls.peer_of(tls.getpeercert(binary_form=True) if tls is not None else None)
            held = (party, now)
            self._peers[transport] = held
        return held[0]

    async def post_envelope(self, request: web.Request) -> web.Response:
        """POST envelopes: a compact JWE in, a signed receipt out."""
        party: PartyId = request[PARTY]
        raw = await _body(request, JOSE)
        large = len(raw) > LARGE_BYTES
        async with request.app[INTAKE].working() if large else contextlib.nullcontext():
            try:
                envelope = await self._parts.contacts.reading(
                    party, partial(self._parts.receiver.open, raw, party), aside=large
                )
            except PartnerError as error:
                left_out = self._seldom.admit((party, error.slug))
                if left_out is not None:
                    log.warning("envelope refused", partner=party, code=error.slug, detail=error.detail,
                                left_out=left_out)  # fmt: skip
                await self._parts.refusals.note("envelope.refused", Actor(party, "partner"), error.slug)
                raise
            del raw
            self._parts.contacts.told_time(party, envelope.iat_ms)
            await self._parts.contacts.heard(party)
            receipt, _ = await self._parts.receiver.receive(envelope)
            # Its events go before the memory they were read in is given back, which is at the end of the turn.
            del envelope
        return web.Response(body=receipt, content_type=JOSE_JSON)

    async def get_message(self, request: web.Request) -> web.Response:
        """GET messages/{jti}: what became of one message."""
        party: PartyId = request[PARTY]
        try:
            jti = parse_message_id(request.match_info["jti"])
        except ValueError as error:
            raise MalformedRequest(str(error)) from None
        await self._parts.contacts.heard(party)
        return web.Response(body=await self._parts.receiver.answer_again(party, jti), content_type=JOSE_JSON)

    async def get_stream(self, request: web.Request) -> web.Response:
        """GET stream?from=N&limit=M: what I hold of yours."""
        party: PartyId = request[PARTY]
        start, limit = _query_number(request, "from", 1), _query_number(request, "limit", STREAM_MOST)
        await self._parts.contacts.heard(party)
        rows = await self._parts.store.write(lambda tx: tx.inbox.stream(party, start, min(limit, STREAM_MOST)))
        items = [
            StreamItem(row.stream_seq, parse_message_id(row.jti), row.digest, row.status)
            for row in rows
            if row.jti is not None
        ]
        now = self._parts.clock()
        body = sign_stream(
            iss=self._parts.directory.me, aud=party, iat_ms=now, from_seq=start, items=items,
            signer=self._parts.keys.signer(now),
        )  # fmt: skip
        return web.Response(body=body, content_type=JOSE_JSON)

    async def get_card(self, request: web.Request) -> web.Response:
        """GET card: our card in force."""
        # The card is served in every state, also where nothing can be written (protocol.md §6).
        with contextlib.suppress(GatewayError):
            await self._parts.contacts.heard(request[PARTY])
        return web.Response(body=self._parts.directory.mine.raw, content_type=JOSE_JSON)

    async def post_ping(self, request: web.Request) -> web.Response:
        """POST ping: signed both ways; reaches no case."""
        party: PartyId = request[PARTY]
        raw = await _body(request, JOSE_JSON)
        contacts = self._parts.contacts
        ping = await contacts.reading(party, lambda: contacts.read_ping(party, raw))
        contacts.told_time(party, ping.iat_ms)
        await contacts.heard(party)
        now = self._parts.clock()
        body = sign_ping(iss=self._parts.directory.me, aud=party, iat_ms=now, signer=self._parts.keys.signer(now))
        return web.Response(body=body, content_type=JOSE_JSON)


async def _body(request: web.Request, media_type: str) -> bytes:
    if request.content_type != media_type:
        detail = f"Content-Type is {media_type}"
        raise UnsupportedMediaType(detail)
    if "Content-Encoding" in request.headers:
        # A compressed body could unpack to anything.
        raise UnsupportedMediaType("no Content-Encoding is read")
    return await request.app[INTAKE].read(request, request[PARTY], MAX_REQUEST_BYTES)


def _query_number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise MalformedRequest(f"`{name}` is a positive number")
    return int(text)
