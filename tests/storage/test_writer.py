"""The one writer: groups, savepoints, and what callers learn when the machine fails."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import Clash, ConfigurationError, StorageUnavailable
from gateway.ports.common import Actor
from gateway.storage import writer as writer_module
from gateway.storage.store import SqliteStore
from gateway.storage.volume import FilesReplaced, beside, holders
from tests.support.reader import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.ports.store import Transaction

GATEWAY = Actor("gateway", "system")


def noting(name: str, value: str = "1") -> Callable[[Transaction], str]:
    """Return a unit that stores a fact and logs it."""

    def unit(tx: Transaction) -> str:
        tx.state.put(name, value)
        tx.log.append("config.changed", actor=GATEWAY, obj=("settings", name), at=1)
        return name

    return unit


def failing(name: str, error: Exception) -> Callable[[Transaction], str]:
    """Return a unit that does the same and then raises."""

    def unit(tx: Transaction) -> str:
        noting(name)(tx)
        raise error

    return unit


def on_disk(path: Path) -> tuple[set[str], list[int]]:
    """Return what another connection sees: facts, and the leaf indexes."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        facts = {row[0] for row in db.execute("SELECT name FROM state")}
        return facts, [row[0] for row in db.execute("SELECT seq FROM entries ORDER BY seq")]
    finally:
        db.close()


async def test_a_unit_that_fails_takes_no_neighbour_down(store: SqliteStore) -> None:
    """In one group: refusals, bugs and broken constraints are undone alone, log entries included."""
    outcomes = await asyncio.gather(
        store.write(noting("a")),
        store.write(failing("b", Clash("refused"))),
        store.write(noting("c")),
        store.write(failing("d", ZeroDivisionError())),
        store.write(lambda tx: tx.state._run("INSERT INTO state (name) VALUES ('e')")),  # type: ignore[attr-defined]
        store.write(noting("f")),
        return_exceptions=True,
    )
    assert [type(o).__name__ for o in outcomes] == [
        "str", "Clash", "str", "ZeroDivisionError", "IntegrityError", "str",
    ]  # fmt: skip
    assert on_disk(store.path) == ({"a", "c", "f"}, [0, 1, 2])


async def test_nobody_learns_a_result_before_it_is_durable(tmp_path: Path) -> None:
    """At the moment of COMMIT no caller has been answered; after it, another connection sees everything."""
    seen: list[bool] = []
    calls: list[asyncio.Task[str]] = []

    def look(step: str) -> None:
        if step == "commit" and calls:
            seen.append(any(call.done() for call in calls))

    store = SqliteStore.open(tmp_path / "data" / "gateway.db", fault=look)
    calls += [asyncio.create_task(store.write(noting(str(n)))) for n in range(50)]
    for call in asyncio.as_completed(calls):
        assert await call in on_disk(store.path)[0]
        break
    await asyncio.gather(*calls)
    assert seen
    assert not any(seen[:1])
    await store.close()


async def test_many_units_share_one_commit(tmp_path: Path) -> None:
    """Else durable writes would be as slow as the disk turns."""
    groups: list[int] = []
    store = SqliteStore.open(tmp_path / "data" / "gateway.db", on_commit=lambda units, _s: groups.append(units))
    await asyncio.gather(*(store.write(noting(str(n))) for n in range(200)))
    assert sum(groups) == 200
    assert len(groups) < 100
    await store.close()


async def test_a_full_disk_is_answered_undone_and_outlived(store: SqliteStore) -> None:
    """Nothing was accepted; once there is room the same process goes on by itself."""
    await store.write(noting("before"))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageUnavailable, match="full") as fault:
        await store.write(noting("large", "x" * 200_000))
    assert fault.value.retry_after_s
    store._connection.execute("PRAGMA max_page_count=1000000")
    await store.write(noting("after"))
    assert on_disk(store.path) == ({"before", "after"}, [0, 1])


async def test_a_locked_database_is_waited_for(store: SqliteStore) -> None:
    """A backup or a shell may hold it for a moment: nothing fails."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    call = asyncio.create_task(store.write(noting("a")))
    while not store.writer._group_units and not call.done() and store.writer._wake.is_set():  # noqa: ASYNC110 - the state of the writer has no event
        await asyncio.sleep(0)
    other.execute("COMMIT")
    other.close()
    assert await call == "a"


async def test_a_database_that_stays_locked_answers_everybody_at_once(
    store: SqliteStore,
) -> None:
    """All that waited get 503 together: the tenth must not wait ten times as long."""
    store.writer._busy_limit_s = 0.05
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    loop = asyncio.get_running_loop()
    started = loop.time()
    outcomes = await asyncio.gather(*(store.write(noting(str(n))) for n in range(10)), return_exceptions=True)
    assert [type(o) for o in outcomes] == [StorageUnavailable] * 10
    assert loop.time() - started < 1
    other.execute("COMMIT")
    other.close()
    assert await store.write(noting("after")) == "after"
    assert on_disk(store.path) == ({"after"}, [0])


def _raising(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    return error


async def test_after_an_io_error_nothing_more_is_written(tmp_path: Path) -> None:
    """What fsync lost, a second fsync would call durable: those that waited already are refused too."""
    broken: list[str] = []

    def fault(step: str) -> None:
        if step == "commit" and not broken:
            broken.append(step)
            raise _raising(sqlite3.SQLITE_IOERR_FSYNC)

    store = SqliteStore.open(tmp_path / "data" / "gateway.db", fault=fault)

    def slow(tx: Transaction) -> str:
        # Fills the group, so that the others are still waiting when it breaks.
        deadline = asyncio.get_running_loop().time() + writer_module.GROUP_SLICE_S
        while asyncio.get_running_loop().time() < deadline:
            pass
        return noting("slow")(tx)

    outcomes = await asyncio.gather(
        store.write(slow), *(store.write(noting(str(n))) for n in range(5)), return_exceptions=True
    )
    assert [type(o) for o in outcomes] == [StorageUnavailable] * 6
    with pytest.raises(StorageUnavailable):
        await store.write(noting("later"))
    assert on_disk(store.path) == (set(), [])
    await store.close()


async def test_a_shared_index_that_cannot_grow_is_a_full_disk_and_no_lost_write(tmp_path: Path) -> None:
    """SQLite calls it an I/O error; taking it for one would stop a gateway that only needs room."""
    faults: list[Any] = [_raising(sqlite3.SQLITE_IOERR_SHMSIZE)]

    def fault(step: str) -> None:
        if step == "commit" and faults:
            raise faults.pop()

    store = SqliteStore.open(tmp_path / "data" / "gateway.db", fault=fault)
    with pytest.raises(StorageUnavailable, match="full"):
        await store.write(noting("a"))
    assert await store.write(noting("a")) == "a"
    await store.close()


async def test_a_writer_that_dies_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Whoever waits learns that it will not be done, and the home is free for the next process."""

    class Bug(BaseException):
        """Something nobody thought of."""

    def fault(step: str) -> None:
        if step == "unit":
            raise Bug

    store = SqliteStore.open(tmp_path / "data" / "gateway.db", fault=fault)
    outcomes = await asyncio.gather(*(store.write(noting(str(n))) for n in range(3)), return_exceptions=True)
    assert [type(o) for o in outcomes] == [StorageUnavailable] * 3
    with pytest.raises(Bug):
        await store.close()
    again = SqliteStore.open(tmp_path / "data" / "gateway.db")
    assert await again.write(noting("a")) == "a"
    await again.close()


async def test_a_second_process_is_refused_with_the_fix(store: SqliteStore) -> None:
    """One writer a home; the message names the file."""
    with pytest.raises(ConfigurationError, match="in use by another gateway"):
        SqliteStore.open(store.path)


async def test_a_caller_who_left_is_not_served(store: SqliteStore) -> None:
    """A request that was given up before its turn changes nothing."""
    call = asyncio.create_task(store.write(noting("gone")))
    await asyncio.sleep(0)
    call.cancel()
    await store.write(noting("here"))
    assert "here" in on_disk(store.path)[0]
    assert call.cancelled()


async def test_a_deleted_wal_is_noticed_by_the_next_commit_and_what_it_held_is_saved(tmp_path: Path) -> None:
    """A tidy-up script takes `-wal` away: no promise after it, and none before it is broken."""
    store = SqliteStore.open(tmp_path / "data" / "gateway.db")
    ended: list[str] = []
    store.writer.ended.append(lambda: ended.append("ended"))
    await store.write(noting("before"))
    beside(store.path, "-wal").unlink()
    outcomes = await asyncio.gather(*(store.write(noting(str(n))) for n in range(3)), return_exceptions=True)
    assert [type(o) for o in outcomes] == [FilesReplaced] * 3
    with pytest.raises(FilesReplaced):
        await store.write(noting("later"))
    assert ended == ["ended"]
    await store.close()
    facts, leaves = on_disk(store.path)
    assert "before" in facts
    assert "later" not in facts
    assert leaves == list(range(len(leaves)))
    again = SqliteStore.open(store.path)
    assert await again.write(lambda tx: tx.log.head()[0]) == len(leaves)
    with closing(sqlite3.connect(store.path)) as db:
        assert db.execute("SELECT outcome FROM entries WHERE typ = 'audit.alarm'").fetchall() == [("files replaced",)]
    await again.close()


async def test_a_database_that_was_put_in_its_place_is_noticed_and_ours_is_saved_beside_it(tmp_path: Path) -> None:
    """Somebody restores a backup under a running gateway: what it accepted since is not thrown away."""
    store = SqliteStore.open(tmp_path / "data" / "gateway.db")
    await store.write(noting("before"))
    other = tmp_path / "data" / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE t (x)")
    other.replace(store.path)
    with pytest.raises(FilesReplaced, match="replaced while the gateway runs"):
        await store.write(noting("after"))
    await store.close()
    [saved] = store.path.parent.glob("gateway.db.saved-*")
    assert "before" in on_disk(saved)[0]
    assert saved.stat().st_mode & 0o077 == 0


async def test_the_wal_is_emptied_as_soon_as_the_reader_that_held_it_is_gone(tmp_path: Path) -> None:
    """A forgotten shell keeps an old snapshot: the WAL grows, its holder is named; afterwards it shrinks to nothing."""
    store = SqliteStore.open(tmp_path / "data" / "gateway.db")
    await store.write(noting("before"))
    reader = await reading(store.path)
    for n in range(18):
        await store.write(noting(str(n), "x" * 1_000_000))
    assert store.writer.wal_bytes > writer_module.WAL_CALM
    store.writer.empty_wal()
    await store.write(noting("held"))
    assert store.writer.wal_fault == "held by a reader"
    assert [holder.split()[-1] for holder in holders(store.path)] == [str(reader.pid)]
    await reader.communicate(b"")
    store.writer._emptied_at = 0.0
    await store.write(noting("free"))
    store.writer.empty_wal()
    await store.close()
    assert store.writer.wal_bytes == 0
