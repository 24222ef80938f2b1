"""A gateway hosted by a command, for as long as the command runs: where no `serve` has the home."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from gateway import local, logs
from gateway.cli.common import ENV_TRACEBACK, note
from gateway.errors import StorageUnavailable
from gateway.home import open_home
from gateway.serving import Health, listening_locally, opened
from gateway.web.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.running import Gateway


class Host:
    """A gateway in a thread of this process, with its control application on a socket in `folder`."""

    def __init__(self, where: Path, folder: Path, *, working: bool) -> None:
        """Take the home, a folder of ours, and whether it also sends."""
        self._where = where
        self._path = folder / local.SOCKET_FILE
        self._working = working
        self._thread = threading.Thread(target=self._run, name="gateway")
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Path:
        """Return the socket once somebody answers there. Raises ConfigurationError where the home cannot be opened."""
        # Every fault reaches the user as an error of the command; the log itself is for who looks for a bug.
        logs.configure("error" if os.environ.get(ENV_TRACEBACK) else "critical", sys.stderr)
        logs.harden_process()
        self._thread.start()
        try:
            self._ready.wait()
        except BaseException:
            self._end()
            raise
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self._path

    def __exit__(self, *_: object) -> None:
        self._end()
        if self._error is not None:
            raise self._error

    def _end(self) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        settings, keys = open_home(self._where)
        metrics = Metrics()
        async with opened(settings, keys, metrics) as opened_gateway:
            async with contextlib.AsyncExitStack() as stack:
                if self._working:
                    await stack.enter_async_context(opened_gateway.working())
                await stack.enter_async_context(listening_locally(Health(opened_gateway, metrics), self._path))
                self._ready.set()
                await self._stop.wait()
            await _sign(opened_gateway)


async def _sign(opened_gateway: Gateway) -> None:
    """Sign what this command logged: nobody else does until `serve` starts."""
    try:
        await opened_gateway.checkpoints.sign()
    except StorageUnavailable as error:
        note(f"warning: no checkpoint was signed: {error.detail}")
