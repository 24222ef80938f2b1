"""The process and its database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from gateway import __version__
from gateway.errors import Clash, MalformedRequest
from gateway.web.control.bodies import answer, members, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.runtime import Gateway


def routes(gateway: Gateway) -> Iterable[web.RouteDef]:
    """Return the routes."""

    async def status(_request: web.Request) -> web.Response:
        """GET status: which process this is."""
        settings = gateway.settings
        latest = gateway.checkpoints.latest
        return answer(
            {
                "party": settings.party.id, "environment": settings.party.environment, "version": __version__,
                "pid": os.getpid(), "epoch": gateway.epoch.number, "log_size": latest.size if latest else 0,
            }
        )  # fmt: skip

    async def config(_request: web.Request) -> web.Response:
        """GET config: the settings this process runs with, secrets left out."""
        return answer(gateway.settings.redacted())

    async def backup(request: web.Request) -> web.Response:
        """POST backups {"path"}: copy the database, as of now, to a new file while traffic goes on."""
        target = Path(text(await members(request), "path"))
        if not target.is_absolute():
            raise MalformedRequest("`path` is absolute")
        if target.exists():
            raise Clash(f"{target} exists; name a new file")
        await gateway.store.backup(target)
        return answer({"path": str(target), "bytes": target.stat().st_size}, 201)

    return web.get("/status", status), web.get("/config", config), web.post("/backups", backup)
