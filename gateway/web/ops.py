"""The ops listener: alive, ready, metrics; plain HTTP on loopback, for probes and Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from aiohttp import web

from gateway.web.server import close_methods

Check = Callable[[], Awaitable[Sequence[tuple[str, str | None]]]]
"""Name and fault (None: fine) of everything readiness needs."""


def ops_app(ready: Check, metrics: Callable[[], Awaitable[bytes]], outermost: Any) -> web.Application:
    """Return the application. Alive has no dependencies; ready does not depend on a partner."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        found = await ready()
        faults = {name: fault for name, fault in found if fault is not None}
        body = {"ready": not faults, "checks": {name: fault or "ok" for name, fault in found}}
        return web.Response(
            status=503 if faults else 200, body=orjson.dumps(body), content_type="application/json",
            headers={"Retry-After": "5"} if faults else {},
        )  # fmt: skip

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application(middlewares=[outermost])
    app.add_routes([
        web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", show_metrics),
    ])  # fmt: skip
    close_methods(app)
    return app
