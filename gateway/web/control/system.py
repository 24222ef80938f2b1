"""The database and the numbers of the process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import Clash, MalformedRequest
from gateway.web.control.bodies import Guarded, answer, members, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.running import Gateway


def routes(gateway: Gateway, metrics: Callable[[], Awaitable[bytes]]) -> Iterable[Guarded]:
    """Return the routes; `metrics` gives the exposition."""

    async def backup(request: web.Request) -> web.Response:
        """POST backups {"path"}: copy the database, as of now, to a new file while traffic goes on."""
        target = Path(text(await members(request), "path"))
        if not target.is_absolute():
            raise MalformedRequest("`path` is absolute")
        if await asyncio.to_thread(target.exists):
            raise Clash(f"{target} exists; name a new file")
        await gateway.store.backup(target)
        return answer({"path": str(target), "bytes": (await asyncio.to_thread(target.stat)).st_size}, 201)

    async def numbers(_request: web.Request) -> web.Response:
        """GET metrics: what Prometheus would read now."""
        return web.Response(body=await metrics(), content_type="text/plain")

    return (
        Guarded(("system.operate",), web.get("/metrics", numbers)),
        Guarded(("system.operate",), web.post("/backups", backup)),
    )
