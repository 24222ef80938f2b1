"""`ports.Scanner` over clamd's INSTREAM: a length and a piece, again and again, then a length of 0."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from gateway.errors import StorageUnavailable
from gateway.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = get_logger()

CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0
ANSWER_BYTES: Final = 4096
RETRY_S: Final = 30
TOO_MUCH: Final = "it broke off or answered with an error; is StreamMaxLength below limits.attachment_bytes?"


class Clamd:
    """Asks the clamd at `address`: a path, or HOST:PORT. It must answer: what is not scanned is not taken."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def scan(self, pieces: AsyncIterator[bytes]) -> bool:
        """Say whether the file is clean. Raises StorageUnavailable where clamd does not say so itself."""
        try:
            answer = await self._ask(pieces)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise _down(type(error).__name__) from None
        if answer == "stream: OK":
            return True
        if answer.startswith("stream: ") and answer.endswith(" FOUND"):
            log.warning("virus found", reason=answer.removeprefix("stream: ").removesuffix(" FOUND"))
            return False
        raise _down(TOO_MUCH)

    async def _ask(self, pieces: AsyncIterator[bytes]) -> str:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await self._connect()
        try:
            writer.write(b"zINSTREAM\0")
            with contextlib.suppress(ConnectionError):  # over its limit it hangs up, and its answer may say so
                async for piece in pieces:
                    writer.write(len(piece).to_bytes(4, "big") + piece)
                    async with asyncio.timeout(ANSWER_S):
                        await writer.drain()
                writer.write(bytes(4))
                await writer.drain()
            async with asyncio.timeout(ANSWER_S):
                found = await reader.read(ANSWER_BYTES)
        except ConnectionError:
            # Its answer may be lost with the connection it closed on us.
            raise _down(TOO_MUCH) from None
        else:
            return found.rstrip(b"\0\n").decode("ascii", "replace")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._address.startswith("/"):
            return await asyncio.open_unix_connection(self._address)
        host, _, port = self._address.rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port))


def _down(reason: str) -> StorageUnavailable:
    return StorageUnavailable(f"the virus scanner does not answer ({reason}); start clamd", retry_after_s=RETRY_S)
