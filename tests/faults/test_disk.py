"""Disks: full and freed, locked by another program, taken away for writing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.support.checker import check
from tests.support.kills import Served, make_homes, until
from tests.support.pair import example

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
async def serving(folder: Path) -> AsyncIterator[tuple[Served, Served]]:
    """Run two gateways with homes in `folder`; after the block all is delivered, and the checker finds nothing."""
    homes = await make_homes(folder)
    a = Served(homes[0], random.Random(1), ("case.referral/s1-sumarni",))
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
