"""`ports.Images`: each image is made anew by a process of its own, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

PROGRAM: Final = Path(__file__).with_name("reencode.py")
LIMIT_S: Final = 60.0
PIECE_BYTES: Final = 64 * 1024
REFUSALS: Final = {3: "the image cannot be read", 4: "the image has too many pixels"}


class ImageProcess:
    """`clean` yields the new file."""

    def __init__(self, program: Path = PROGRAM) -> None:
        self._program = program
        # One decoder may take a gigabyte; two side by side are not worth it.
        self._turn = asyncio.Semaphore(1)

    async def clean(self, media_type: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the new file. Raises ValueError where it is no image that can be read, StorageUnavailable."""
        async with self._turn:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", str(self._program), media_type, env={},
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
            except OSError as error:
                detail = f"the image decoder cannot be started ({type(error).__name__})"
                raise StorageUnavailable(detail) from None
            feeding = asyncio.create_task(_feed(process, pieces))
            try:
                async with asyncio.timeout(LIMIT_S):
                    assert process.stdout is not None
                    while piece := await process.stdout.read(PIECE_BYTES):
                        yield piece
                    await feeding
                    code = await process.wait()
            except TimeoutError:
                raise ValueError("the image takes too long to read") from None
            finally:
                await _end(process, feeding)
        if code != 0:
            raise ValueError(REFUSALS.get(code, "the image cannot be read"))


async def _feed(process: asyncio.subprocess.Process, pieces: AsyncIterator[bytes]) -> None:
    assert process.stdin is not None
    # A decoder that gave up reads no further: its exit code says why.
    with contextlib.suppress(ConnectionError):
        async for piece in pieces:
            process.stdin.write(piece)
            await process.stdin.drain()
    with contextlib.suppress(ConnectionError):
        process.stdin.close()
        await process.stdin.wait_closed()


async def _end(process: asyncio.subprocess.Process, feeding: asyncio.Task[None]) -> None:
    feeding.cancel()
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await asyncio.gather(feeding, return_exceptions=True)
    await process.wait()
