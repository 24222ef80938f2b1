"""The control application: the REST API as whoever owns the home may use it, and the acts of its operator.

Served on a Unix socket of mode 0600 only. Handlers are thin: parse, call one service or query, render.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.services.accounts import LOCAL_OPERATOR
from gateway.web.control import keys, log, parties, people, queue, registry, system

if TYPE_CHECKING:
    from gateway.ports import Account
    from gateway.runtime import Gateway

PREFIX = "/control/v1"


def control_app(gateway: Gateway, outermost: Any) -> web.Application:
    """Return the application; every caller is the operator of this machine."""

    async def local(_request: web.Request) -> Account:
        return LOCAL_OPERATOR

    try:
        from gateway.web.api import api_app

        app = api_app(gateway, outermost, local)
    except ImportError:
        app = web.Application(middlewares=[outermost], client_max_size=gateway.settings.limits.api_body_bytes)
    for part in (system, parties, keys, queue, registry, people, log):
        app.add_routes([_prefixed(route) for route in part.routes(gateway)])
    return app


def _prefixed(route: web.RouteDef) -> web.RouteDef:
    return web.route(route.method, PREFIX + route.path, route.handler, **route.kwargs)
