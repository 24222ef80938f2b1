"""Disks: full and freed, locked by another program, taken away for writing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from gateway.config import load_settings
from tests.support.checker import check
from tests.support.kills import Served, make_homes, until
from tests.support.pair import example
from tests.support.preload import Preload
from tests.support.reader import reading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Ballast:
    """A volume of our own whose free room is ours to take and give."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ballast"

    def fill(self) -> None:
        """Take all that is free."""
        free = shutil.disk_usage(self._file.parent).free
        with self._file.open("wb") as file:
            while free > 0:
                try:
                    file.write(bytes(min(free, 65_536)))
                    file.flush()
                except OSError:
                    return
                free = shutil.disk_usage(self._file.parent).free

    def free(self) -> None:
        """Give it back."""
        self._file.unlink()


async def run(*command: str) -> int:
    """Run a program."""
    process = await asyncio.create_subprocess_exec(*command)
    return await process.wait()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Path]:
    """Make a file system of 64 MB in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    assert await run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)) == 0
    yield folder
    await run("umount", str(folder))


async def post(side: Served) -> tuple[int, str | None]:
    """Submit one message; return status and Retry-After."""
    raw = orjson.dumps(example(side.bodies[0]))
    headers = {"Idempotency-Key": side.chance.randbytes(8).hex(), "Content-Type": "application/json"}
    url = "http://gateway/api/v1/messages"
    async with side.session() as session, session.post(url, data=raw, headers=headers) as answer:
        if answer.status == 202:
            side.promised.add(orjson.loads(await answer.read())["id"])
        return answer.status, answer.headers.get("Retry-After")


@contextlib.asynccontextmanager
async def serving(folder: Path, preload: Preload | None = None) -> AsyncIterator[tuple[Served, Served]]:
    """Run two gateways with homes in `folder`; after the block all is delivered, and the checker finds nothing."""
    homes = await make_homes(folder)
    env = preload.env if preload is not None else {}
    a = Served(homes[0], random.Random(1), ("case.referral/s1-sumarni",), env=env)
    b = Served(homes[1], random.Random(2), ("info.request/telephone-three-numbers",))
    await asyncio.gather(a.start(), b.start())
    try:
        yield a, b
        await until(lambda: not (a.waiting() + b.waiting()), 120, "drained")
        await asyncio.gather(a.stop(), b.stop())
    finally:
        for side in (a, b):
            if side.process is not None and side.process.poll() is None:
                side.kill()
    check(*homes, promised={"id.imigrasi": a.promised, "kh.gdi": b.promised})


@pytest.mark.timeout(300)
async def test_a_full_disk_is_refused_politely_and_outlived(small: Path) -> None:
    """503 with Retry-After while it is full, no 202 without a commit, and by itself again once there is room."""
    ballast = Ballast(small)
    async with serving(small) as (a, b):
        assert (await post(a))[0] == 202
        ballast.fill()
        refused = 0
        while refused < 10:  # the WAL may still have room for a few
            status, retry = await post(a)
            assert status in {202, 503}, status
            refused += status == 503
            assert status == 202 or retry
        ballast.free()
        assert (await post(a))[0] == (await post(b))[0] == 202


@pytest.mark.timeout(300)
async def test_a_database_locked_for_half_a_minute_loses_nothing(tmp_path: Path) -> None:
    """503 and never 500; what came before and after is delivered."""
    async with serving(tmp_path) as (a, b):
        assert (await post(a))[0] == 202
        for side in (a, b):
            other = sqlite3.connect(side.home / "data" / "gateway.db", isolation_level=None, timeout=5)
            other.execute("BEGIN IMMEDIATE")
            loop = asyncio.get_running_loop()
            end = loop.time() + 30
            while loop.time() < end:
                assert (await post(side))[0] == 503
            other.execute("ROLLBACK")
            other.close()
            assert (await post(a))[0] == (await post(b))[0] == 202


def database(side: Served) -> Path:
    """Return the main file of a side's database."""
    return side.home / "data" / "gateway.db"


async def ready(side: Served) -> tuple[int, dict[str, str]]:
    """Ask /readyz; return status and checks."""
    address = load_settings(side.home).ops.address
    url, patience = f"http://{address.host}:{address.port}/readyz", aiohttp.ClientTimeout(total=9)
    async with aiohttp.ClientSession(timeout=patience) as session, session.get(url) as answer:
        return answer.status, orjson.loads(await answer.read())["checks"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("others", [False, True])
async def test_a_forgotten_reader_fills_the_volume_and_a_start_empties_it(
    small: Path, killed: bool, others: bool
) -> None:
    """503 before the last of it, of which a start makes room; where others fill that too, it says how much to free."""
    ballast = Ballast(small)
    async with serving(small) as (a, b):
        assert (await post(a))[0] == 202
        await until(lambda: not a.waiting(), 30, "delivered")
        shell = await reading(database(a))
        status = 202
        while status == 202:
            status, _ = await post(a)
        assert status == 503
        free = shutil.disk_usage(small).free
        assert free > 1024 * 1024, free
        code, checks = await ready(a)
        assert (code, "are kept" in checks["disk"]) == (503, True), checks
        if others:
            ballast.fill()
        if killed:
            a.kill()
        else:
            await a.stop()
        wal = database(a).with_name("gateway.db-wal")
        held = wal.stat().st_size
        await shell.communicate(b"")
        if others:
            with contextlib.suppress(AssertionError):
                await a.start()
            assert a.process is not None
            if a.process.poll() is not None:
                said = a.output.read_text()[-400:]
                assert re.search(r"is full.*: free \d+ MiB on it, .* must not be deleted", said), said
                ballast.free()
                await a.start()
            else:
                ballast.free()
        else:
            await a.start()
        await until(lambda: wal.stat().st_size < held // 2, 60, "emptied")
        await until(lambda: not (a.waiting() + b.waiting()), 60, "drained")
        assert (await post(a))[0] == 202


@pytest.mark.timeout(300)
async def test_a_deleted_wal_breaks_no_promise(tmp_path: Path) -> None:
    """Under load: it is noticed by the next group, the process ends, and the next has all that got its 202."""
    async with serving(tmp_path) as (a, _):
        over = asyncio.Event()
        load = asyncio.create_task(a.load(over))
        await until(lambda: len(a.promised) > 100, 60, "loaded")
        database(a).with_name("gateway.db-wal").unlink()
        assert a.process is not None
        process = a.process
        await until(lambda: process.poll() is not None, 40, "ended")
        assert process.returncode != 0
        await a.start()
        over.set()
        await load
        with contextlib.closing(sqlite3.connect(database(a))) as db:
            alarms = db.execute("SELECT outcome FROM entries WHERE typ = 'audit.alarm'").fetchall()
        assert ("files replaced",) in alarms


@pytest.mark.timeout(300)
async def test_storage_that_hangs_is_not_ready_within_ten_seconds(tmp_path: Path) -> None:
    """Nothing is written at the moment: a probe finds it all the same, and everything goes on once it answers."""
    preload = Preload(tmp_path)
    async with serving(tmp_path, preload) as (a, b):
        assert (await post(a))[0] == 202
        await until(lambda: not (a.waiting() + b.waiting()), 60, "delivered")
        assert (await ready(a))[0] == 200
        preload.hangs = True
        preload.apply()
        hung, status = time.monotonic(), 200
        while status == 200:
            status, checks = await ready(a)
        assert time.monotonic() - hung < 10
        assert "storage" in checks["database"]
        assert await refused(a) < 10
        preload.hangs = False
        preload.apply()
        while (await ready(a))[0] != 200:
            pass  # asked again at once: the answer is what is waited for
        assert (await post(a))[0] == 202


async def refused(side: Served) -> float:
    """Submit until that is refused at once; return how long the last one took."""
    while True:
        started = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(9):
                assert (await post(side))[0] == 503
                return time.monotonic() - started
