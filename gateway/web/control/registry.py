"""Schemas: what is registered, what a file would change, approval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import MalformedRequest, NotFound
from gateway.primitives import b64u
from gateway.registry.subject import version_key
from gateway.services.catalogue import ALL_SUBJECTS
from gateway.web.control.bodies import Guarded, actor, answer, at, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports.parties import StoredSchema
    from gateway.running import Gateway


def routes(gateway: Gateway) -> Iterable[Guarded]:
    """Return the routes."""
    desk = _Desk(gateway)
    look, operate = ("reference.read",), ("schema.operate",)
    return (
        Guarded(look, web.get("/schemas", desk.held)),
        Guarded(look, web.get("/schemas/{subject}/{version}", desk.one)),
        Guarded(look, web.get("/schemas/modes", desk.modes)),
        Guarded(operate, web.post("/schemas", desk.register)),
        Guarded(operate, web.post("/schemas/approve", desk.approve)),
        Guarded(look, web.post("/schemas/diff", desk.diff)),
    )


class _Desk:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def held(self, request: web.Request) -> web.Response:
        """GET schemas?subject=."""
        subject = request.query.get("subject")
        return answer({"schemas": [_told(s) for s in self._stored() if subject in {None, s.subject}]})

    async def one(self, request: web.Request) -> web.Response:
        """GET schemas/{subject}/{version}: the document, byte for byte; `latest` is the highest version."""
        found = self._find(request.match_info["subject"], request.match_info["version"])
        return web.Response(body=found.document, content_type="application/schema+json")

    async def register(self, request: web.Request) -> web.Response:
        """POST schemas {"document", "subject"?, "version"?}: refused where it breaks the mode in force."""
        given = await members(request)
        stored, fresh = await self._gateway.registrar.propose(
            text(given, "document").encode(), actor(request), subject=_optional(given, "subject"),
            version=_optional(given, "version"),
        )  # fmt: skip
        return answer(_told(stored) | {"result": "registered" if fresh else "known"}, 201 if fresh else 200)

    async def modes(self, _request: web.Request) -> web.Response:
        """GET schemas/modes: the compatibility mode in force of all subjects and of each."""
        catalogue = self._gateway.rules.catalogue
        names = [ALL_SUBJECTS, *sorted({s.subject for s in catalogue.stored} | set(catalogue.own_modes()))]
        return answer(
            {
                "modes": [
                    {
                        "subject": name or "all",
                        "mode": catalogue.mode(name),
                        "own": catalogue.own_mode(name) is not None,
                    }
                    for name in names
                ]
            }
        )

    async def approve(self, request: web.Request) -> web.Response:
        """POST schemas/approve {"subject", "version"} or {"all": true}: the card lists them from now on."""
        given = await members(request)
        if given.get("all") is True:
            wanted = [(s.subject, s.version) for s in self._stored() if s.approved_at is None]
        else:
            found = self._find(text(given, "subject"), text(given, "version"))
            wanted = [(found.subject, found.version)]
        for subject, version in wanted:
            await self._gateway.registrar.approve(subject, version, actor(request))
        card = await self._gateway.identity.publish()
        return answer(
            {
                "approved": [{"subject": subject, "version": version} for subject, version in wanted],
                "card_version": card.version if card else None,
            }
        )

    async def diff(self, request: web.Request) -> web.Response:
        """POST schemas/diff {"subject", "old", "new"}: each a version, or an object, the document itself."""
        given = await members(request)
        subject = text(given, "subject")
        old, new = (self._side(subject, given.get(name)) for name in ("old", "new"))
        found = await self._gateway.appraiser.diff(old, new, caller=actor(request).sub)
        return answer(
            {
                "subject": subject, "verdict": found.verdict, "lines": list(found.lines()),
                "backward": not found.backward, "forward": not found.forward,
                "changes": [
                    {"what": c.what, "pointer": c.pointer, "old": c.old, "new": c.new} for c in found.changes
                ],
            }
        )  # fmt: skip

    def _side(self, subject: str, side: object) -> bytes:
        if not isinstance(side, str):
            raise MalformedRequest("`old` and `new` are versions or documents")
        return side.encode() if side.lstrip().startswith("{") else self._find(subject, side).document

    def _stored(self) -> list[StoredSchema]:
        return sorted(self._gateway.rules.catalogue.stored, key=lambda s: (s.subject, version_key(s.version)))

    def _find(self, subject: str, version: str) -> StoredSchema:
        held = [s for s in self._stored() if s.subject == subject and version in {s.version, "latest"}]
        if not held:
            raise NotFound(f"no schema {subject} {version} is registered; `gateway schema list` shows them")
        return held[-1]


def _optional(given: dict[str, Any], name: str) -> str | None:
    return text(given, name) if name in given else None


def _told(stored: StoredSchema) -> dict[str, Any]:
    return {
        "id": stored.id,
        "subject": stored.subject,
        "version": stored.version,
        "ordinal": stored.ordinal,
        "state": "registered" if stored.approved_at is None else "approved",
        "digest": b64u.encode(stored.digest),
        "registered_at": at(stored.registered_at),
        "approved_at": at(stored.approved_at),
    }
