"""The SQLite store: one writer, read-only readers, one process at a time.

The lock file is held by whoever may write. It is a kernel lock, so that `kill -9` frees it at once and
the next start waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.errors import ConfigurationError, StorageUnavailable
from gateway.ports.room import Level
from gateway.storage.schema import upgrade
from gateway.storage.transaction import SqlTransaction
from gateway.storage.volume import DatabaseFiles, Reserve, holders, make_room, volume_of
from gateway.storage.writer import WAL_CALM, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import aiosqlite

    from gateway.ports.common import Entropy, FaultPoint
    from gateway.ports.store import Transaction

T = TypeVar("T")

CACHE_KIB = 4 * 1024
READERS = 4
# Each; the pages behind them are in the system's cache.
READER_CACHE_KIB = 512


class HomeLock:
    """The right to write in a home; gone when the process is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> bool:
        """Take the lock, or keep it where it is ours; False where another process holds it."""
        if self._fd is not None:
            return True
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def close(self) -> None:
        """Give the lock back, if it is ours."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class SqliteStore:
    """`ports.Store` on one SQLite file."""

    def __init__(self, path: Path, writer: Writer, connection: sqlite3.Connection, lock: HomeLock) -> None:
        self.path = path
        self.writer = writer
        self._connection = connection
        self._lock = lock
        self._reserve = Reserve(path.parent)
        self._reading: dict[aiosqlite.Connection, float] = {}
        self._copying: list[sqlite3.Connection] = []
        self.readers: AsyncEngine = _read_only_engine(path, self._reading)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        lock: HomeLock | None = None,
        entropy: Entropy = os.urandom,
        fault: FaultPoint | None = None,
        on_commit: Callable[[int, float], None] | None = None,
    ) -> SqliteStore:
        """Open the database for writing, migrated to this code's revision; call inside a running loop.

        A `lock` that the caller waited for is taken over. Raises ConfigurationError when another process
        writes there, or the file cannot be used.
        """
        lock = lock or HomeLock(path.with_suffix(".lock"))
        try:
            taken = lock.take()
        except OSError as error:
            detail = f"{path.parent}: {error.strerror}; make the data folder writable for the gateway's user"
            raise ConfigurationError(detail) from None
        if not taken:
            detail = f"{path} is in use by another gateway process: stop it, or name another home"
            raise ConfigurationError(detail)
        try:
            make_room(path)
            upgrade(path)
            connection = _connect(path)
            transaction = SqlTransaction(connection, entropy)
            files = DatabaseFiles(path)
        except BaseException:
            lock.close()
            raise
        writer = Writer(connection, transaction, files=files, fault=fault, on_commit=on_commit)
        writer.start()
        return cls(path, writer, connection, lock)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one durable transaction. Raises what it raised, or StorageUnavailable."""
        return await self.writer.run(work)

    def on_grown(self, listener: Callable[[int], None]) -> None:
        """Call `listener(count)` after each commit that added entries to the log."""
        self.writer.log.listeners.append(listener)

    def on_erased(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that left files to be taken off the disk."""
        rows = self.writer.attachments

        def look(_count: int) -> None:
            if rows.erased:
                rows.erased = False
                listener()

        # An erasure is always logged.
        self.on_grown(look)

    async def backup(self, target: Path) -> None:
        """Copy the database, as of now, to a new file while traffic goes on. Raises StorageUnavailable."""
        temporary = target.with_name(target.name + ".part")
        try:
            await asyncio.to_thread(_copy, self.path, temporary, self._copying)
            temporary.rename(target)
        except (OSError, sqlite3.Error) as error:
            ended = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
            with contextlib.suppress(OSError):  # its folder may be what is missing
                temporary.unlink(missing_ok=True)
            detail = f"the backup could not be written ({type(error).__name__}); check the target's space and rights"
            if ended:
                detail = "the backup was ended, as the journal reached storage.wal_bytes; take it at a quieter time"
            raise StorageUnavailable(detail) from None

    def level(self, wal_most: int) -> Level:
        """Measure the room there is. Raises OSError."""
        volume, writer = volume_of(self.path.parent), self.writer
        # What the main file will need is promised to it: else no start could put the WAL there.
        kept = volume.kept + writer.growth_bytes
        return Level(volume.free, kept, writer.wal_bytes, wal_most, writer.wal_fault)

    def tend(self) -> None:
        """Have the files looked at soon, and the WAL emptied where it grew."""
        (self.writer.empty_wal if self.writer.wal_bytes > WAL_CALM else self.writer.look)()

    def keep_reserve(self, *, give_up: bool) -> None:
        """Give the reserve up, or make it again where there is room. Raises OSError."""
        if give_up:
            self._reserve.give_up()
        else:
            self._reserve.make(volume_of(self.path.parent))

    async def cut_readings(self, most_s: float, *, copies: bool) -> int:
        """End readings of our own that last longer, and copies of the whole too if told; return how many."""
        late = [connection for connection, since in self._reading.items() if time.monotonic() - since > most_s]
        for connection in late:
            await connection.interrupt()
        copying = list(self._copying) if copies else []
        for copy in copying:
            copy.interrupt()
        return len(late) + len(copying)

    def holders(self) -> Sequence[str]:
        """Return the other processes that hold the database."""
        return holders(self.path)

    async def close(self) -> None:
        """Finish what waits to be written, then let go of the file."""
        try:
            await self.writer.close()
        finally:
            # Whatever the writer died of, the next start must find the home free.
            await self.readers.dispose()
            # The last to close it empties the WAL; while another program reads there, as much as that lets us.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
            self._lock.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"cache_size=-{CACHE_KIB}",
        # The writer waits for a lock without blocking the loop (Writer._begin).
        "busy_timeout=0",
        "temp_store=MEMORY",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _copy(source: Path, target: Path, copying: list[sqlite3.Connection]) -> None:
    target.unlink(missing_ok=True)
    # Made first, so that no moment shows the records to others.
    target.touch(mode=0o600)
    connection = sqlite3.connect(f"file:{source}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    copying.append(connection)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
        with target.open("rb") as copied:
            os.fsync(copied.fileno())
    finally:
        copying.remove(connection)
        connection.close()


def _read_only_engine(path: Path, reading: dict[aiosqlite.Connection, float]) -> AsyncEngine:
    """Return the readers; `reading` holds the connections in use, with the time since."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true",
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=10,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA busy_timeout=2000")
        cursor.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "checkout")
    def _begun(connection: Any, _record: object, _proxy: object) -> None:
        reading[connection.driver_connection] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkin")
    def _done(connection: Any, _record: object) -> None:
        if connection is not None:
            reading.pop(connection.driver_connection, None)

    return engine
