"""Runs the listeners of one gateway, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.errors import ConfigurationError
from gateway.settings import Address

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

DRAIN: Final[web.AppKey[Callable[[], None]]] = web.AppKey("drain")
"""In an application: call it when the gateway stops, before its listener closes."""

# The header of a request is 8 KiB at most (protocol.md §4.5); a slow one does not hold a connection for ever.
MAX_HEADER_BYTES = 8190
READ_BUFFER_BYTES = 1024 * 1024
KEEP_ALIVE_S = 75.0


@asynccontextmanager
async def listening(
    app: web.Application, name: str, address: Address, tls: ssl.SSLContext | None, *, drain_s: float
) -> AsyncIterator[Address]:
    """Serve `app` while the block runs; yield the address bound. Raises ConfigurationError with the fix."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=False,
        keepalive_timeout=KEEP_ALIVE_S,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        read_bufsize=READ_BUFFER_BYTES,
        shutdown_timeout=drain_s,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port, ssl_context=tls, backlog=512)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(_refused(name, address, error)) from None
        server = site._server  # noqa: SLF001 - aiohttp shows the bound port nowhere else
        assert isinstance(server, asyncio.Server)
        host, port = server.sockets[0].getsockname()[:2]
        yield Address(host, port)
    finally:
        with contextlib.suppress(Exception):
            await runner.cleanup()


def _refused(name: str, address: Address, error: OSError) -> str:
    where = f"{name}.listen {address.host}:{address.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is in use; stop what uses it, or choose another"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine has no such address; choose one it has"
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 need privileges; choose a higher one"
    return f"{where}: {error.strerror}; choose another address"
