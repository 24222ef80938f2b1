"""Real processes whose clocks are moved while they run, the wall clock alone or every clock there is."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.faults.test_disk import post
from tests.support.checker import check
from tests.support.kills import Served, make_homes, until
from tests.support.preload import Preload

if TYPE_CHECKING:
    from pathlib import Path

WEEKS_MS = 20 * 86_400_000
WRONG_FOR_S = 8


def states(side: Served) -> list[str]:
    """Return the states of what a side sends, in order."""
    with closing(sqlite3.connect(f"file:{side.home}/data/gateway.db?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT state FROM outbox ORDER BY id")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("everything", [False, True])
async def test_eight_seconds_of_a_wrong_clock_end_nothing(tmp_path: Path, everything: bool) -> None:
    """Three weeks ahead and back: what waits has its fourteen days still, and goes once the partner is there."""
    homes = await make_homes(tmp_path)
    preload = Preload(tmp_path)
    a = Served(homes[0], random.Random(1), ("case.referral/s1-sumarni",), env=preload.env)
    b = Served(homes[1], random.Random(2), ("info.request/telephone-three-numbers",))
    await asyncio.gather(a.start(), b.start())
    try:
        assert (await post(a))[0] == 202
        await until(lambda: states(a) == ["accepted"], 30, "delivered")
        await b.stop()
        for _ in range(4):
            assert (await post(a))[0] == 202
        preload.wall_ms = WEEKS_MS
        preload.elapsed_ms = WEEKS_MS if everything else 0
        preload.apply()
        await asyncio.sleep(WRONG_FOR_S)
        preload.wall_ms = 0  # the other one never goes back: whatever waits for a time would wait for ever
        preload.apply()
        await asyncio.sleep(WRONG_FOR_S)
        assert states(a)[1:] == ["queued"] * 4
        await b.start()
        await until(lambda: states(a) == ["accepted"] * 5, 120, "drained")
        await asyncio.gather(a.stop(), b.stop())
    finally:
        for side in (a, b):
            if side.process is not None and side.process.poll() is None:
                side.kill()
    check(*homes, promised={"id.imigrasi": a.promised, "kh.gdi": b.promised})
