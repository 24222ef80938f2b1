"""Processes that read what strangers wrote: started when needed, kept for the next job, ended after a quiet minute.

A worker that is killed, or broken by what it read, loses the answer to that one input; the next job has a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final

from gateway.errors import StorageUnavailable
from gateway.screening.outcomes import CRASHED, DONE, KILLED
from gateway.screening.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

PROGRAM: Final = "gateway.screening.worker"
IDLE_S: Final = 60.0
WAITING_MOST: Final = 16
RETRY_S: Final = 5
ENDING_S: Final = 5.0


class Broken(Exception):
    """The input is at fault; `code` is one of `outcomes`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Pool:
    """`run` is the only verb, `close` the end."""

    def __init__(self, kind: str, size: int, *, command: Sequence[str] = ()) -> None:
        """Take what kind of worker, and how many jobs may run at once."""
        self._command = tuple(command) or (sys.executable, "-I", "-m", PROGRAM, kind)
        self._kind = kind
        self._turns = Turns(size, WAITING_MOST)
        self._idle: list[_Worker] = []
        self._closed = False

    async def run(self, job: str, pieces: AsyncIterator[bytes], caller: str) -> AsyncGenerator[bytes, None]:
        """Yield the output of a job. Raises Broken, StorageUnavailable, TooManyRequests; after output too."""
        async with self._turns.of(caller):
            worker = await self._worker()
            try:
                async with contextlib.aclosing(worker.run(job, pieces)) as made:
                    async for piece in made:
                        yield piece
                code = worker.code
            except (asyncio.IncompleteReadError, ConnectionError):
                code = await worker.end()
            except BaseException:
                await worker.end()
                raise
            else:
                await self._keep(worker)
        if code == KILLED or code < 0:
            detail = "the process that looks into files was ended from outside; try again"
            raise StorageUnavailable(detail, retry_after_s=RETRY_S)
        if code != DONE:
            raise Broken(code)

    async def close(self) -> None:
        """End every process."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    async def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            worker.rest_no_more()
            if worker.lives:
                return worker
            await worker.end()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, env={}, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            detail = f"the process that looks into files cannot be started ({type(error).__name__})"
            raise StorageUnavailable(detail, retry_after_s=RETRY_S) from None
        return _Worker(process)

    async def _keep(self, worker: _Worker) -> None:
        if self._closed:
            await worker.end()
            return
        self._idle.append(worker)
        worker.rest(IDLE_S, lambda: self._idle.remove(worker))


class _Worker:
    """One process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._resting: asyncio.Task[None] | None = None
        self._starved: Exception | None = None
        self.code = CRASHED

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None and not self._stdout.at_eof()

    async def run(self, job: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the output of a job; `code` is how it ended.

        Raises IncompleteReadError or ConnectionError where the process breaks, and what `pieces` raises.
        """
        feeding = asyncio.create_task(self._feed(job, pieces))
        try:
            while length := int.from_bytes(await self._stdout.readexactly(4), "big"):
                yield await self._stdout.readexactly(length)
            self.code = (await self._stdout.readexactly(1))[0]
            await feeding
        except asyncio.IncompleteReadError:
            if self._starved is not None:
                raise self._starved from None
            raise
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, job: str, pieces: AsyncIterator[bytes]) -> None:
        try:
            await self._fed(job, pieces)
        except ConnectionError:
            # It reads no further: what became of it, its output says.
            return
        except Exception as error:  # noqa: BLE001 - whatever keeps the input from coming is the caller's to hear
            self._starved = error
            self._process.kill()

    async def _fed(self, job: str, pieces: AsyncIterator[bytes]) -> None:
        for part in (job.encode("ascii"), b""):
            await self._frame(part)
        async for piece in pieces:
            if piece:
                await self._frame(piece)
        await self._frame(b"")

    async def _frame(self, piece: bytes) -> None:
        self._stdin.write(len(piece).to_bytes(4, "big"))
        self._stdin.write(piece)
        await self._stdin.drain()

    def rest(self, seconds: float, forget: Callable[[], None]) -> None:
        """End by itself after a while, unless `rest_no_more`."""

        async def end() -> None:
            await asyncio.sleep(seconds)
            forget()
            self._resting = None
            await self.end()

        self._resting = asyncio.create_task(end(), name="resting worker")

    def rest_no_more(self) -> None:
        """There is work again."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    async def end(self) -> int:
        """Kill the process, with the child it works in; return how it had ended, if it had."""
        self.rest_no_more()
        if self._stdout.at_eof():
            # It is ending by itself: its exit code says what became of its child.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENDING_S):
                    await self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                self._process.kill()
        self._stdin.close()
        with contextlib.suppress(ConnectionError):
            await self._stdin.wait_closed()
        return await self._process.wait()
