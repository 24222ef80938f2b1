"""Workers that read what strangers wrote: limits, turns, and what is left when one is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from gateway.errors import LedgerError, StorageUnavailable, TooManyRequests
from gateway.screening import outcomes
from gateway.screening.pool import WAITING_MOST, Broken, Pool
from gateway.screening.remake import Remake
from gateway.screening.turns import Turns
from tests.attachments.files import jpeg, pdf, png

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# A worker of the same kind whose jobs do what hostile files would have decoders do.
HOSTILE = """
import os, signal, sys, time
from gateway.screening import worker
def spin(raw):
    while True: pass
def eat(raw):
    return b"x" * (2 << 30)
def crash(raw):
    os.kill(os.getpid(), signal.SIGSEGV)
def sleep(raw):
    while True: time.sleep(1)
def read(raw):
    return open("/proc/self/limits", "rb").read()
def connect(raw):
    import socket
    socket.socket()
jobs = {name: worker.Job(f, 1) for name, f in list(globals().items()) if callable(f)}
worker.jobs_of = lambda kind: jobs | {"echo": worker.Job(lambda raw: raw, 1)}
sys.exit(worker.main())
"""


async def pieces(raw: bytes) -> AsyncIterator[bytes]:
    """Yield a file as it is opened."""
    for at in range(0, len(raw), 65_536):
        yield raw[at : at + 65_536]


@pytest.fixture(name="hostile")
async def _hostile() -> AsyncIterator[Pool]:
    pool = Pool("files", 1, command=(sys.executable, "-I", "-c", HOSTILE, "files"))
    yield pool
    await pool.close()


async def done(pool: Pool, job: str, raw: bytes = b"x", caller: str = "a") -> bytes:
    """Return the output of a job."""
    async with aclosing(pool.run(job, pieces(raw), caller)) as made:
        return b"".join([piece async for piece in made])


def children() -> list[psutil.Process]:
    """Return the processes that this one has started, and theirs."""
    return psutil.Process().children(recursive=True)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ("spin", outcomes.SLOW),
        ("eat", outcomes.TOO_LARGE),
        ("crash", outcomes.CRASHED),
        ("read", outcomes.UNREADABLE),
        ("connect", outcomes.UNREADABLE),
    ],
)
async def test_a_job_that_goes_wrong_costs_its_own_answer(hostile: Pool, job: str, code: int) -> None:
    """Processor, memory, files and sockets are bounded; the next job is done as if nothing had been."""
    with pytest.raises(Broken) as found:
        await done(hostile, job)
    assert found.value.code == code
    assert await done(hostile, "echo", b"here" * 100_000) == b"here" * 100_000


async def test_time_that_passes_without_work_is_bounded_too() -> None:
    """A job that waits for ever is ended with its worker."""
    command = (sys.executable, "-I", "-c", HOSTILE.replace("jobs =", "worker.WALL_S = 1\njobs ="), "files")
    pool = Pool("files", 1, command=command)
    with pytest.raises(Broken) as found:
        await done(pool, "sleep")
    assert found.value.code == outcomes.SLOW
    assert children() == []
    await pool.close()


@pytest.mark.parametrize("which", ["worker", "child"])
async def test_a_worker_that_is_killed_loses_one_answer(hostile: Pool, which: str) -> None:
    """503, and not a word against the file; the next one has a new worker."""
    await done(hostile, "echo")
    job = asyncio.create_task(done(hostile, "sleep"))
    await until(lambda: len(children()) == 2)
    worker, child = (process.pid for process in children())
    os.kill({"worker": worker, "child": child}[which], signal.SIGKILL)
    with pytest.raises(StorageUnavailable, match="ended from outside; try again"):
        await job
    assert await done(hostile, "echo", b"y") == b"y"
    assert worker not in [process.pid for process in children()]


async def test_whoever_stops_reading_leaves_no_process_behind(hostile: Pool) -> None:
    """A request that is cut off ends what it started."""
    job = asyncio.create_task(done(hostile, "sleep"))
    await until(lambda: len(children()) == 2)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    assert children() == []
    assert await done(hostile, "echo") == b"x"


async def test_a_file_that_cannot_be_read_to_its_end_is_no_fault_of_the_worker(hostile: Pool) -> None:
    """What keeps the input from coming is told; no job waits for it for ever."""

    async def half() -> AsyncIterator[bytes]:
        yield b"x"
        raise LedgerError("changed")

    with pytest.raises(LedgerError):
        async with aclosing(hostile.run("echo", half(), "a")) as made:
            assert [piece async for piece in made] == []
    assert await done(hostile, "echo") == b"x"


async def test_workers_die_with_a_killed_gateway() -> None:
    """`kill -9` ends every process of the gateway: the kernel is asked for it."""
    program = (
        "import asyncio, sys\n"
        "from gateway.screening.remake import Remake\n"
        "async def half():\n"
        "    yield b'x'\n"
        "    print('fed', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "async def main():\n"
        "    async for _ in Remake(1).remake('image/png', half(), 'a'): pass\n"
        "asyncio.run(main())\n"
    )
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert gateway.stdout is not None
    await gateway.stdout.readline()
    family = psutil.Process(gateway.pid)
    await until(lambda: len(family.children(recursive=True)) == 2)
    started = family.children(recursive=True)
    # Its limits come last of what a child gives up.
    await until(lambda: "Max open files            3" in Path(f"/proc/{started[1].pid}/limits").read_text())
    # Somebody else holds its input open: only the kernel's word can end it.
    held = os.open(f"/proc/{started[0].pid}/fd/0", os.O_RDONLY)
    gateway.kill()
    await gateway.wait()
    _, alive = psutil.wait_procs(started, timeout=20)
    os.close(held)
    assert alive == []


# --- turns -------------------------------------------------------------------------------------------


async def test_callers_are_served_in_rotation() -> None:
    """Who has asked for much waits behind who asks for little."""
    turns, served = Turns(1, WAITING_MOST), list[str]()

    async def ask(caller: str) -> None:
        async with turns.of(caller):
            served.append(caller)
            await asyncio.sleep(0)

    await asyncio.gather(*(ask(caller) for caller in ["much"] * 6 + ["little", "other", "little"]))
    assert served == ["much", "much", "little", "other", "much", "little", "much", "much", "much"]


async def test_one_caller_never_has_every_turn() -> None:
    """Of two turns the second is another's; nobody waits who need not."""
    turns, order = Turns(2, WAITING_MOST), list[str]()
    release = asyncio.Event()

    async def hold(caller: str) -> None:
        async with turns.of(caller):
            order.append(caller)
            await release.wait()

    tasks = [asyncio.create_task(hold("much")) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with turns.of("little"):
        assert order == ["much"]
    release.set()
    await asyncio.gather(*tasks)
    assert order == ["much"] * 3


async def test_what_one_caller_may_have_waiting_is_bounded() -> None:
    """Beyond it: 429, at once; others are not refused. A wait that is given up is none."""
    turns = Turns(1, 2)
    async with turns.of("much"):
        waiting = [asyncio.create_task(_once(turns, "much")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await _once(turns, "much")
        other = asyncio.create_task(_once(turns, "other"))
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        again = asyncio.create_task(_once(turns, "much"))
        await asyncio.sleep(0)
    await asyncio.gather(waiting[1], other, again)


async def _once(turns: Turns, caller: str) -> None:
    async with turns.of(caller):
        pass


async def test_a_small_file_passes_what_is_slow() -> None:
    """Another caller's is done while one caller's files go on."""
    pool = Pool("files", 2, command=(sys.executable, "-I", "-c", HOSTILE, "files"))
    slow = [asyncio.create_task(done(pool, "sleep", caller="much")) for _ in range(3)]
    assert await done(pool, "echo", b"small", caller="little") == b"small"
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    await pool.close()


async def test_a_worker_is_kept_for_the_next_file() -> None:
    """Every kind of file by one process; what a file did is gone with its child."""
    remake = Remake(1)
    for media_type, raw in (("image/jpeg", jpeg()), ("image/png", png()), ("application/pdf", pdf())):
        await _all(remake, media_type, raw, "a")
        [worker] = children()
    for media_type in ("image/jpeg", "image/png", "application/pdf"):
        with pytest.raises(ValueError, match=r"cannot be read|is damaged"):
            await _all(remake, media_type, b"%PDF-1.7", "a")
    assert children() == [worker]
    await remake.close()
    assert children() == []


async def _all(remake: Remake, media_type: str, raw: bytes, caller: str) -> bytes:
    return b"".join([piece async for piece in remake.remake(media_type, pieces(raw), caller)])
