"""Runs the listeners of one gateway, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from gateway.errors import ConfigurationError
from gateway.settings import Address
from gateway.web.connections import CALLER_OF, CONNECTIONS, Caps, Connections, Door, Times

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DRAIN: Final[web.AppKey[Callable[[], None]]] = web.AppKey("drain")
"""In an application: call it when the gateway stops, before its listener closes."""

# A header is 8 KiB at most (protocol.md §4.5); all of a request, `HEAD_BYTES`.
MAX_HEADER_BYTES = 8190
MAX_HEADERS = 128
# What may lie here unread of a body whose turn has not come, half of it: a hundred of them must not fill the memory.
READ_BUFFER_BYTES = 64 * 1024
KEEP_ALIVE_S = 75.0
_OPTIONS: Final[dict[str, Any]] = {
    "access_log": None,
    # Nothing here reads a coded body, so that none may unpack while it waits to be refused.
    "auto_decompress": False,
    "keepalive_timeout": KEEP_ALIVE_S,
    "max_line_size": MAX_HEADER_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
    "max_headers": MAX_HEADERS,
    "read_bufsize": READ_BUFFER_BYTES,
    # `Conversation` reads what is left of a refused body, by the byte and not by the clock alone.
    "lingering_time": 0,
}
# What a handler has to end after it was cancelled.
CANCEL_S = 1.0
FREELY: Final = Caps()
"""Without settings."""
PATIENTLY: Final = Times()


def close_methods(app: web.Application) -> None:
    """Have each path answer 405 for the methods it has no handler for; call it when all routes are there.

    Else a longer list is told: `/messages/batch` fits `/messages/{id}` too, and GET would go there and be a 404.
    """
    paths: dict[str, list[web.AbstractResource]] = {}
    for resource in app.router.resources():
        paths.setdefault(resource.canonical, []).append(resource)
    for resources in paths.values():
        taken = sorted({route.method for resource in resources for route in resource})
        if hdrs.METH_ANY not in taken:
            last = resources[-1]
            assert isinstance(last, web.Resource)
            last.add_route(hdrs.METH_ANY, _not_taken(taken))


def _not_taken(taken: list[str]) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, taken)

    return refuse


@asynccontextmanager
async def listening(
    app: web.Application,
    name: str,
    address: Address,
    tls: ssl.SSLContext | None,
    *,
    drain_s: float,
    caps: Caps = FREELY,
    times: Times = PATIENTLY,
    refused: Callable[[str, str], None] = lambda _listener, _cap: None,
) -> AsyncIterator[Address]:
    """Serve `app` while the block runs; yield the address bound. Raises ConfigurationError with the fix.

    `refused(listener, cap)` hears of each connection that a cap ended. At the end of the block nothing new is
    accepted, and what was begun has `drain_s` to finish.
    """  # fmt: skip
    flight = _Flight()
    app.middlewares.insert(0, flight.middleware)
    connections = app[CONNECTIONS] = Connections(
        name, caps, times, refused, app.get(CALLER_OF, lambda _transport: None)
    )
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=CANCEL_S)
    await runner.setup()
    door = Door(connections, runner, tls, _OPTIONS)
    try:
        try:
            host, port = door.open(address.host, address.port)
        except OSError as error:
            raise ConfigurationError(_refused(name, address, error)) from None
        yield Address(host, port)
    finally:
        await door.close()
        if DRAIN in app:
            app[DRAIN]()
        await flight.land(drain_s)
        with contextlib.suppress(Exception):
            await runner.cleanup()


class _Flight:
    """The requests under way. aiohttp itself reads no byte more of them once it shuts down, so we wait before."""

    def __init__(self) -> None:
        self._count = 0
        self._landing = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def middleware(self) -> Any:
        """Return what counts requests; while landing, each connection ends with its answer."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._count += 1
            self._empty.clear()
            try:
                response = await handler(request)
                if self._landing:
                    response.force_close()
                return response
            finally:
                self._count -= 1
                if not self._count:
                    self._empty.set()

        return handle

    async def land(self, limit_s: float) -> None:
        """Wait until nothing is under way, at most so long."""
        self._landing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), limit_s)


def _refused(name: str, address: Address, error: OSError) -> str:
    where = f"{name}.listen {address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is in use; stop what uses it, or choose another"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine has no such address; choose one it has"
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need privileges; choose a higher one"
    return f"{where}: {error.strerror}; choose another address"
