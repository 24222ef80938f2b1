"""Schemas: what is registered, what a file would change, approval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import MalformedRequest, NotFound
from gateway.primitives import b64u
from gateway.registry.compatibility import Mode, check_mode
from gateway.registry.diff import diff
from gateway.registry.lint import advise
from gateway.registry.subject import SchemaVersion, load_schema, next_version, parse_document, version_key
from gateway.web.control.bodies import OPERATOR, answer, at, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports import StoredSchema
    from gateway.runtime import Gateway


def routes(gateway: Gateway) -> Iterable[web.RouteDef]:
    """Return the routes."""
    desk = _Desk(gateway)
    return (
        web.get("/schemas", desk.held),
        web.get("/schemas/{subject}/{version}", desk.one),
        web.post("/schemas/check", desk.check),
        web.post("/schemas", desk.register),
        web.post("/schemas/approve", desk.approve),
        web.post("/schemas/diff", desk.diff),
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

    async def check(self, request: web.Request) -> web.Response:
        """POST schemas/check {"document", "subject"?, "version"?, "mode"?}: register nothing."""
        given = await members(request)
        schema = self._load(given)
        mode = text(given, "mode", Mode.BACKWARD)
        if mode not in Mode.__members__:
            raise MalformedRequest(f"`mode` is one of {', '.join(Mode)}")
        earlier = [(s.version, self._document(s)) for s in self._stored() if s.subject == schema.subject]
        taken = next((s for s in self._stored() if (s.subject, s.version) == (schema.subject, schema.version)), None)
        breaks = (
            []
            if taken is not None
            else check_mode(Mode(mode), schema.document, earlier, codelists=self._gateway.rules.catalogue.codelists)
        )
        return answer(
            {
                "subject": schema.subject, "version": schema.version, "digest": b64u.encode(schema.digest),
                "registered": taken is not None and taken.digest == schema.digest,
                "taken": taken is not None and taken.digest != schema.digest,
                "mode": mode, "compatible": not breaks, "breaks": [str(b) for b in breaks],
                "advice": [{"pointer": f.pointer, "reason": f.reason} for f in advise(schema.document)],
            }
        )  # fmt: skip

    async def register(self, request: web.Request) -> web.Response:
        """POST schemas {"document", "subject"?, "version"?}."""
        schema = self._load(await members(request))
        fresh = await self._gateway.registrar.register([schema], OPERATOR)
        found = self._find(schema.subject, schema.version)
        return answer(_told(found) | {"result": "registered" if fresh else "known"}, 201 if fresh else 200)

    async def approve(self, request: web.Request) -> web.Response:
        """POST schemas/approve {"subject", "version"} or {"all": true}: the card lists them from now on."""
        given = await members(request)
        if given.get("all") is True:
            wanted = [(s.subject, s.version) for s in self._stored() if s.approved_at is None]
        else:
            found = self._find(text(given, "subject"), text(given, "version"))
            wanted = [(found.subject, found.version)]
        for subject, version in wanted:
            await self._gateway.registrar.approve(subject, version, OPERATOR)
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
        found = diff(old, new, codelists=self._gateway.rules.catalogue.codelists)
        return answer(
            {
                "subject": subject, "verdict": found.verdict, "lines": list(found.lines()),
                "backward": not found.backward, "forward": not found.forward,
                "changes": [
                    {"what": c.what, "pointer": c.pointer, "old": c.old, "new": c.new} for c in found.changes
                ],
            }
        )  # fmt: skip

    def _side(self, subject: str, side: object) -> dict[str, Any]:
        if not isinstance(side, str):
            raise MalformedRequest("`old` and `new` are versions or documents")
        return (
            parse_document(side.encode())
            if side.lstrip().startswith("{")
            else self._document(self._find(subject, side))
        )

    def _load(self, given: dict[str, Any]) -> SchemaVersion:
        raw = text(given, "document").encode()
        subject, version = given.get("subject"), given.get("version")
        if subject is not None and version is None and "$id" not in parse_document(raw):
            held = [s.version for s in self._stored() if s.subject == subject]
            latest = max(held, key=version_key, default=None)
            version = next_version(latest, compatible=self._reads_latest(raw, str(subject), latest))
        return load_schema(raw, subject=subject, version=version)

    def _reads_latest(self, raw: bytes, subject: str, latest: str | None) -> bool:
        if latest is None:
            return True
        earlier = [(latest, self._document(self._find(subject, latest)))]
        candidate = load_schema(raw, subject=subject, version=latest)
        lists = self._gateway.rules.catalogue.codelists
        return not check_mode(Mode.BACKWARD, candidate.document, earlier, codelists=lists)

    def _stored(self) -> list[StoredSchema]:
        return sorted(self._gateway.rules.catalogue.stored, key=lambda s: (s.subject, version_key(s.version)))

    def _find(self, subject: str, version: str) -> StoredSchema:
        held = [s for s in self._stored() if s.subject == subject and version in {s.version, "latest"}]
        if not held:
            raise NotFound(f"no schema {subject} {version} is registered; `gateway schema list` shows them")
        return held[-1]

    def _document(self, stored: StoredSchema) -> dict[str, Any]:
        return self._gateway.rules.catalogue.version(stored.subject, stored.version).document


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
