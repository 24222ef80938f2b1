"""The read side of the audit log as C2SP tlog-tiles v0.1.0 has it: any tile client can follow and check it.

Checkpoint and hash tiles are public: salted hashes tell nothing. Entry bundles are for auditors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import NotFound
from gateway.ledger.tiles import parse_path
from gateway.web.api.answering import NO_STORE, tagged
from gateway.web.api.route import ETAG, Call, Route

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.services.auditlog import AuditLog

PREFIX = "/audit/log"
FOR_EVER = "public, max-age=31536000, immutable"


class TileLog:
    """The handlers of `/audit/log`."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def routes(self) -> list[Route]:
        """Return the routes; bundles come first, for `tile/{path}` fits them too."""
        octets = "application/octet-stream"
        return [
            Route("GET", f"{PREFIX}/checkpoint", (), self.get_checkpoint, "The newest signed checkpoint", "audit log",
                  media_type="text/plain", params=(ETAG,), problems=(404,)),
            Route("GET", f"{PREFIX}/tile/entries/{{path:.+}}", ("audit.read",), self.get_bundle, "An entry bundle",
                  "audit log", media_type=octets, params=(ETAG,), problems=(404,)),
            Route("GET", f"{PREFIX}/tile/{{path:.+}}", (), self.get_tile, "A tile of hashes", "audit log",
                  media_type=octets, params=(ETAG,), problems=(404,)),
        ]  # fmt: skip

    async def get_checkpoint(self, call: Call) -> web.Response:
        """GET checkpoint: the signed note, with the partners' cosignatures where there is a witness."""
        note = self._log.published.note.encode()
        return tagged(call.request, note, media_type="text/plain", cache="no-cache")

    async def get_tile(self, call: Call) -> web.Response:
        """GET tile/L/N: hashes. A tile once whole never changes, a partial one has its width in its name."""
        return await self._answer(call, f"tile/{call.request.match_info['path']}", FOR_EVER)

    async def get_bundle(self, call: Call) -> web.Response:
        """GET tile/entries/N: leaf data, each behind its length."""
        return await self._answer(call, f"tile/entries/{call.request.match_info['path']}", NO_STORE)

    async def _answer(self, call: Call, path: str, cache: str) -> web.Response:
        ref = parse_path(path)
        if ref is None:
            detail = "no tile has this name"
            raise NotFound(detail)
        return tagged(call.request, await self._log.tile(ref), media_type="application/octet-stream", cache=cache)
