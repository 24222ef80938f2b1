"""A wire one can look at: whatever goes over a port of loopback is carried to another port, and kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

PIECE = 65_536


class Relay:
    """Carries connections from `port` to `target` on loopback; `seen` is all that passed, of each direction."""

    def __init__(self, port: int, target: int) -> None:
        self._port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.seen: list[bytearray] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # nobody is there: the caller finds that the connection breaks
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(back)
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        for end in (writer, back):
            end.transport.abort()
            self._open.discard(end)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        seen = bytearray()
        self.seen.append(seen)
        try:
            while piece := await source.read(PIECE):
                seen += piece
                target.write(piece)
                await target.drain()
            # What ends in one direction may go on in the other.
            if target.can_write_eof():
                target.write_eof()
        except OSError:
            # Broken, as a killed process leaves it: the other end learns of it at once, as it would without us.
            target.transport.abort()
