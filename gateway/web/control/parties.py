"""Our card, and the partners."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import ConfigurationError, MalformedRequest, NotFound, PartnerError, TransportError
from gateway.primitives import b64u
from gateway.protocol.card import Card, build_payload, read_card
from gateway.protocol.ids import PartyId
from gateway.web.control.bodies import Guarded, actor, answer, at, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.running import Gateway

JOSE_JSON = "application/jose+json"


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes."""
    desk = _Desk(gateway)
    look, operate = ("reference.read",), ("partner.operate",)
    return (
        Guarded(look, web.get("/card", desk.card)),
        Guarded(look, web.get("/card/summary", desk.card_summary)),
        Guarded(operate, web.get("/card/unsigned", desk.unsigned)),
        Guarded(("key.operate",), web.put("/card", desk.adopt)),
        Guarded(look, web.get("/partners", desk.partners)),
        Guarded(operate, web.post("/partners/preview", desk.preview)),
        Guarded(operate, web.post("/partners", desk.enrol)),
        Guarded(look, web.get("/partners/{party}", desk.partner)),
        Guarded(operate, web.post("/partners/{party}/suspend", desk.suspend)),
        Guarded(operate, web.post("/partners/{party}/resume", desk.resume)),
        Guarded(operate, web.post("/partners/{party}/ping", desk.ping)),
    )


def summary(card: Card) -> dict[str, Any]:
    """Return what officers and operators look at."""
    return {
        "party": card.party,
        "name": card.name,
        "country": card.country,
        "environment": card.environment,
        "version": card.version,
        "fingerprint": card.fingerprint,
        "issued": at(card.issued_ms),
        "expires": at(card.expires_ms),
        "endpoint": card.endpoint,
        "log_vkey": card.log_vkey,
        "witness_vkey": card.witness_vkey,
        "digest": b64u.encode(sha256(card.payload).digest()),
        "schemas": {subject: list(versions) for subject, versions in card.schemas.items()},
        "keys": [
            {"kid": k.kid, "alg": k.alg, "status": k.status, "nbf": at(k.nbf_ms), "exp": at(k.exp_ms)}
            for k in card.keys
        ],
    }


class _Desk:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    # --- our card -----------------------------------------------------------------------------------

    async def card(self, _request: web.Request) -> web.Response:
        """GET card: the JWS bytes."""
        return web.Response(body=self._gateway.directory.mine.raw, content_type=JOSE_JSON)

    async def card_summary(self, _request: web.Request) -> web.Response:
        """GET card/summary: what it says."""
        return answer(summary(self._gateway.directory.mine))

    async def unsigned(self, _request: web.Request) -> web.Response:
        """GET card/unsigned: the payload of the next version, for the machine that holds the root keys."""
        try:
            version = self._gateway.directory.mine.version + 1
        except NotFound:
            version = 1
        payload = build_payload(self._gateway.identity.draft(version))
        return web.Response(body=payload, content_type="application/json")

    async def adopt(self, request: web.Request) -> web.Response:
        """PUT card: put a card in force that was signed where the root keys live."""
        try:
            card = read_card((await request.read()).strip())
        except PartnerError as error:
            raise MalformedRequest(f"this is no signed card: {error.detail}", errors=error.errors) from None
        try:
            await self._gateway.identity.adopt(card)
        except ConfigurationError as error:
            raise MalformedRequest(error.detail) from None
        return answer(summary(card))

    # --- partners -----------------------------------------------------------------------------------

    async def partners(self, _request: web.Request) -> web.Response:
        """GET partners."""
        return answer({"partners": [self._partner(row) for row in await self._gateway.queries.partners()]})

    async def partner(self, request: web.Request) -> web.Response:
        """GET partners/{party}: with its card."""
        party = request.match_info["party"]
        known = self._gateway.directory.partner(party)
        if known is None:
            raise NotFound("no such partner is enrolled; `gateway partner list` shows them")
        rows = [row for row in await self._gateway.queries.partners() if row["party"] == party]
        return answer(self._partner(rows[0]) | {"card": summary(known.card)})

    async def preview(self, request: web.Request) -> web.Response:
        """POST partners/preview: what a card file says, before anybody trusts it."""
        given = await members(request)
        card = self._gateway.enroller.preview(text(given, "card").encode())
        return answer(summary(card) | {"enrolled": self._gateway.directory.partner(card.party) is not None})

    async def enrol(self, request: web.Request) -> web.Response:
        """POST partners: enrol a party whose fingerprint two officers compared, or take its later card."""
        given = await members(request)
        card, result = await self._gateway.enroller.enrol(
            text(given, "card").encode(), text(given, "fingerprint"), actor(request)
        )
        return answer(summary(card) | {"result": result}, 200 if result == "known" else 201)

    async def suspend(self, request: web.Request) -> web.Response:
        """POST partners/{party}/suspend."""
        party = PartyId(request.match_info["party"])
        await self._gateway.enroller.set_state(party, "suspended", actor(request))
        return answer({"party": party, "state": "suspended"})

    async def resume(self, request: web.Request) -> web.Response:
        """POST partners/{party}/resume."""
        party = PartyId(request.match_info["party"])
        await self._gateway.enroller.set_state(party, "active", actor(request))
        return answer({"party": party, "state": "active"})

    async def ping(self, request: web.Request) -> web.Response:
        """POST partners/{party}/ping: signed both ways; reaches no case."""
        party = PartyId(request.match_info["party"])
        known = self._gateway.directory.partner(party)
        if known is None:
            raise NotFound("no such partner is enrolled; `gateway partner list` shows them")
        if not known.active:
            raise TransportError(f"{party} is suspended; `gateway partner resume {party}` first")
        started = self._gateway.clock()
        try:
            async with self._gateway.link(party) as link:
                skew = await self._gateway.contacts.ask(party, link)
        except (TransportError, PartnerError) as error:
            raise TransportError(
                f"{party} gave no verified answer at {known.card.endpoint} ({error.detail}): "
                "ask whether it is up and has enrolled us"
            ) from None
        took = self._gateway.clock() - started
        return answer({"party": party, "endpoint": known.card.endpoint, "took_ms": took, "clock_ms": skew})

    def _partner(self, row: Mapping[str, Any]) -> dict[str, Any]:
        known = self._gateway.directory.partner(row["party"])
        assert known is not None
        return {
            "party": row["party"],
            "name": known.card.name,
            "state": row["state"],
            "card_version": known.card.version,
            "card_expires": at(known.card.expires_ms),
            "fingerprint": known.card.fingerprint,
            "endpoint": known.card.endpoint,
            "enrolled_at": at(row["enrolled_at"]),
            "contact_at": at(row["contact_at"]),
            "down_since": at(row["down_since"]),
            "problem": row["problem"],
            "checkpoint_size": row["checkpoint_size"],
            "waiting": row["waiting"],
        }
