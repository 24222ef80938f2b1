"""Our own keys: what is held, and how it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.web.control.bodies import Guarded, actor, answer, at, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.running import Gateway
    from gateway.services.keyroom import KeyChange


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes."""

    async def held(_request: web.Request) -> web.Response:
        """GET keys: no private part."""
        now = gateway.clock()
        keys = [
            {
                "name": record.name, "use": record.use, "status": record.status, "kids": list(record.kids),
                "nbf": at(record.nbf_ms), "exp": at(record.exp_ms), "revoked": at(record.revoked_ms),
            }
            for record in gateway.keys.records()
        ]  # fmt: skip
        certificates: list[dict[str, Any]] = [
            {"name": name, "use": "tls", "status": "active", "kids": [], "nbf": None, "exp": at(expires)}
            for name, expires in gateway.keys.certificates_expire()
        ]
        return answer({"keys": [*keys, *certificates], "warnings": gateway.keys.warnings(now)})

    async def rotate(request: web.Request) -> web.Response:
        """POST keys/rotate {"use", "plan"?}: make a new key, or say what would happen."""
        given = await members(request)
        use = text(given, "use")
        if given.get("plan"):
            return answer({"use": use, "steps": gateway.keyroom.plan(use)})
        return answer({"use": use} | _told(await gateway.keyroom.rotate(use, actor(request))), 201)

    async def revoke(request: web.Request) -> web.Response:
        """POST keys/revoke {"kid", "reason"}."""
        given = await members(request)
        return answer(_told(await gateway.keyroom.revoke(text(given, "kid"), text(given, "reason"), actor(request))))

    return (
        Guarded(("key.operate", "audit.read"), web.get("/keys", held)),
        Guarded(("key.operate",), web.post("/keys/rotate", rotate)),
        Guarded(("key.operate",), web.post("/keys/revoke", revoke)),
    )


def _told(change: KeyChange) -> dict[str, Any]:
    return {
        "names": list(change.names),
        "status": change.status,
        "counts_from": at(change.counts_from_ms),
        "card_version": change.card.version if change.card else None,
        "card_due": change.card_due,
    }
