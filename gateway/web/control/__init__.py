"""The control application: the REST API as whoever sits at the server may use it, and the acts of an operator.

Served on a Unix socket of mode 0600 only. Without a token the caller is the local operator, who reads no case data;
with one it is whom the token names, judged and logged as over the network. Handlers are thin: parse, call one service
or query, render.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.services.accounts import LOCAL_OPERATOR
from gateway.web.api import api_app, bearer
from gateway.web.api.guard import Guard
from gateway.web.api.messages import PURPOSE_NEEDED
from gateway.web.control import clock, keys, log, parties, people, queue, registry, system
from gateway.web.server import close_methods

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.ports.people import Account
    from gateway.running import Gateway
    from gateway.services.gate import Gate
    from gateway.web.control.bodies import Guarded
    from gateway.web.problems import Handler

PREFIX = "/control/v1"
STILL: Final = frozenset({
    # These promise nothing that is kept,
    "/backups", "/partners/preview", "/partners/{party}/ping", "/schemas/diff", "/log/exports", "/log/vouched",
    "/clock/confirmed",
    # and these take something away: at once, and again after the repair.
    "/partners/{party}/suspend", "/keys/revoke", "/{noun:users|clients}/{name}/disable",
})  # fmt: skip
"""What an operator may do while a repair would throw away what is written now."""


def control_app(gateway: Gateway, outermost: Any, metrics: Callable[[], Awaitable[bytes]]) -> web.Application:
    """Return the application."""
    by_token = bearer(gateway)

    async def caller(request: web.Request) -> Account:
        # A header that is there and names nobody is refused: who meant to act as somebody must not act as another.
        return await by_token(request) if "Authorization" in request.headers else LOCAL_OPERATOR

    app = api_app(gateway, outermost, caller, local=True)
    app[PURPOSE_NEEDED] = True
    found = [*system.routes(gateway, metrics)]
    for part in (parties, keys, queue, registry, people, log, clock):
        found += part.routes(gateway)
    guard = Guard(caller, gateway.refusals, None, gateway.witnessing.gate)
    app.add_routes([_guarded(one, guard, gateway.witnessing.gate) for one in found])
    close_methods(app)
    return app


def _guarded(one: Guarded, guard: Guard, gate: Gate) -> web.RouteDef:
    handler: Handler = one.route.handler

    async def handle(request: web.Request) -> web.StreamResponse:
        await guard.admit(request, one.acts)
        if one.route.method != "GET" and one.route.path not in STILL:
            gate.check_taking()
        return await handler(request)

    return web.route(one.route.method, PREFIX + one.route.path, handle, **one.route.kwargs)
