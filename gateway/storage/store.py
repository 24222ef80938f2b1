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
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.errors import ConfigurationError, StorageUnavailable
from gateway.storage.schema import upgrade
from gateway.storage.transaction import SqlTransaction
from gateway.storage.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        self.readers: AsyncEngine = _read_only_engine(path)

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
            upgrade(path)
            connection = _connect(path)
            transaction = SqlTransaction(connection, entropy)
        except BaseException:
            lock.close()
            raise
        writer = Writer(connection, transaction, fault=fault, on_commit=on_commit)
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
            await asyncio.to_thread(_copy, self.path, temporary)
            temporary.rename(target)
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):  # its folder may be what is missing
                temporary.unlink(missing_ok=True)
            detail = f"the backup could not be written ({type(error).__name__}); check the target's space and rights"
            raise StorageUnavailable(detail) from None

    async def close(self) -> None:
        """Finish what waits to be written, then let go of the file."""
        try:
            await self.writer.close()
        finally:
            # Whatever the writer died of, the next start must find the home free.
            await self.readers.dispose()
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


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    # Made first, so that no moment shows the records to others.
    target.touch(mode=0o600)
    connection = sqlite3.connect(f"file:{source}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
        with target.open("rb") as copied:
            os.fsync(copied.fileno())
    finally:
        connection.close()


def _read_only_engine(path: Path) -> AsyncEngine:
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

    return engine
