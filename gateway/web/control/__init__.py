"""The control application: the REST API as whoever owns the home may use it, and the acts of its operator.

Served on a Unix socket of mode 0600 only. Handlers are thin: parse, call one service or query, render.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.services.accounts import LOCAL_OPERATOR
from gateway.web.api import api_app
from gateway.web.control import keys, log, parties, people, queue, registry, system
from gateway.web.server import close_methods

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.ports.people import Account
    from gateway.running import Gateway

PREFIX = "/control/v1"


def control_app(gateway: Gateway, outermost: Any, metrics: Callable[[], Awaitable[bytes]]) -> web.Application:
    """Return the application; every caller is the operator of this machine."""

    async def local(_request: web.Request) -> Account:
        return LOCAL_OPERATOR

    app = api_app(gateway, outermost, local)
    app.add_routes([_prefixed(route) for route in system.routes(gateway, metrics)])
    for part in (parties, keys, queue, registry, people, log):
        app.add_routes([_prefixed(route) for route in part.routes(gateway)])
    close_methods(app)
    return app


def _prefixed(route: web.RouteDef) -> web.RouteDef:
    return web.route(route.method, PREFIX + route.path, route.handler, **route.kwargs)
