"""The control application: the REST API as whoever owns the home may use it, and the acts of its operator.

Served on a Unix socket of mode 0600 only. Handlers are thin: parse, call one service or query, render.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.services.accounts import LOCAL_OPERATOR
from gateway.web.api import api_app
from gateway.web.control import keys, log, parties, people, queue, registry, system

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.ports.people import Account
    from gateway.running import Gateway
    from gateway.services.gate import Gate

PREFIX = "/control/v1"
STILL: Final = frozenset({
    # These promise nothing that is kept,
    "/backups", "/partners/preview", "/partners/{party}/ping", "/schemas/diff", "/log/exports", "/log/vouched",
    # and these take something away: at once, and again after the repair.
    "/partners/{party}/suspend", "/keys/revoke", "/{noun:users|clients}/{name}/disable",
})  # fmt: skip
"""What an operator may do while a repair would throw away what is written now."""


def control_app(gateway: Gateway, outermost: Any, metrics: Callable[[], Awaitable[bytes]]) -> web.Application:
    """Return the application; every caller is the operator of this machine."""

    async def local(_request: web.Request) -> Account:
        return LOCAL_OPERATOR

    app = api_app(gateway, outermost, local)
    routes = [*system.routes(gateway, metrics)]
    for part in (parties, keys, queue, registry, people, log):
        routes += part.routes(gateway)
    app.add_routes([_prefixed(route, gateway.witnessing.gate) for route in routes])
    return app


def _prefixed(route: web.RouteDef, gate: Gate) -> web.RouteDef:
    async def handle(request: web.Request) -> web.StreamResponse:
        if route.method != "GET" and route.path not in STILL:
            gate.check_taking()
        response: web.StreamResponse = await route.handler(request)
        return response

    return web.route(route.method, PREFIX + route.path, handle, **route.kwargs)
