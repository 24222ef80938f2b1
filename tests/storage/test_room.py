"""Room on the data volume: nothing new is taken before the last of it, and what holds the WAL is ended or named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StorageUnavailable
from gateway.ports.room import Level
from gateway.services.gate import Gate
from gateway.services.room import Room, judge
from gateway.storage.volume import MIB, Reserve, Volume
from gateway.storage.writer import WAL_CALM
from tests.storage.test_writer import noting
from tests.support.reader import reading

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.storage.store import SqliteStore

sizes = st.integers(0, 1 << 44)


@given(sizes, sizes, sizes, sizes)
def test_nothing_new_is_taken_before_the_last_of_the_room(free: int, kept: int, wal: int, most: int) -> None:
    """Whatever refuses is alarmed too, and the reserve goes only where the last of the room is reached."""
    found = judge(Level(free, kept, wal, most))
    assert (found.refuse is not None) is (free < kept or wal > most)
    assert found.alarm is not None or found.refuse is None
    assert not found.give_up or found.refuse == "disk"


@given(sizes, st.integers(0, 100))
def test_a_twentieth_is_kept_and_never_more_than_four_gib(total: int, percent: int) -> None:
    """On a volume of many terabytes, shared with others, a twentieth would stop a gateway that has all it needs."""
    volume = Volume(total, total * percent // 100)
    assert volume.kept == min(total // 20, 4096 * MIB)


def test_the_reserve_is_made_where_there_is_room_and_given_up_once(tmp_path: Path) -> None:
    """Its blocks are really taken, or giving it up would free nothing."""
    reserve = Reserve(tmp_path)
    reserve.make(Volume(1000 * MIB, 90 * MIB))
    assert not reserve.path.exists()
    reserve.make(Volume(1000 * MIB, 500 * MIB))
    assert reserve.path.stat().st_blocks * 512 >= 10 * MIB
    assert [reserve.give_up(), reserve.give_up()] == [True, False]


async def test_a_reader_that_stays_stops_what_is_new_and_nothing_else(store: SqliteStore) -> None:
    """The WAL reaches its bound: refused with the holder's name, one alarm; once it is gone messages are taken."""
    gate = Gate()
    room = Room(store, store, gate, lambda: 1, wal_most=WAL_CALM)
    await store.write(noting("before"))
    shell = await reading(store.path)
    for n in range(20):
        await store.write(noting(str(n), "x" * 1_000_000))
    await room.look()
    await room.look()
    with pytest.raises(StorageUnavailable, match=f"python.* {shell.pid}; end that; nothing was accepted"):
        gate.check_room()
    await store.write(noting("goes on"))
    with_alarms = await store.write(lambda tx: [tx.log.data(seq) for seq in range(tx.log.head()[0])])
    assert sum(b'"audit.alarm"' in data and b'"wal ' in data for data in with_alarms) == 1
    await shell.communicate(b"")
    store.writer._emptied_at = 0.0
    await store.write(noting("free"))
    await asyncio.wait_for(_emptied(store), 5)
    gate.check_room()
    assert room.fault is None


async def _emptied(store: SqliteStore) -> None:
    while store.writer.wal_bytes:
        store.writer._emptied_at = 0.0
        store.tend()
        await store.write(lambda _tx: None)
        store.writer.empty_wal()
        await asyncio.sleep(0.01)


async def test_a_reading_of_our_own_that_lasts_too_long_is_ended(store: SqliteStore) -> None:
    """One statement that never ends would keep its snapshot, and with it the WAL, for ever."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

    async def read() -> None:
        async with store.readers.connect() as connection:
            await connection.exec_driver_sql(endless)

    task = asyncio.create_task(read())
    while not store._reading:  # noqa: ASYNC110 - the state of the pool has no event
        await asyncio.sleep(0.01)
    assert await store.cut_readings(60, copies=True) == 0
    while not task.done():
        await store.cut_readings(0, copies=False)
        await asyncio.sleep(0.01)
    with pytest.raises(Exception, match="interrupted"):
        task.result()
    assert not store._reading
