"""The one writer: many units of work, one durable transaction.

Laws:
1. Only this connection writes, and it does the WAL checkpoints too: SQLite before 3.51.3 can corrupt a
   database when two connections do (the WAL-reset bug).
2. A unit is a plain function; it runs whole, inside a savepoint. One that raises is undone alone and
   never takes its neighbours down.
3. Nobody learns a unit's result before the COMMIT that holds it (synchronous=FULL) has returned.
4. After an I/O error nothing more is written by this process: what fsync has lost, a second fsync calls
   durable. A full disk is no such error: it is undone, answered with 503, and tried again.
5. Files that are no longer those of the next start hold no promise: each COMMIT looks whether the main file and the
   WAL are still at their paths. If not, what they hold is saved as far as can be, and the writer ends.
6. The WAL is emptied as it grows, not only by the small steps that any reader stops.
7. Statements run in the event loop, COMMIT in a thread: the fsync is what takes long, and hand-overs
   of the rest cost more than they save (measured: 0.93 of the throughput against 0.78 in threads).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.errors import GatewayError, LedgerError, StorageUnavailable
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.storage.volume import DatabaseFiles, FilesReplaced, growth

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.common import FaultPoint
    from gateway.storage.attachments import AttachmentRows
    from gateway.storage.log import LogRows
    from gateway.storage.transaction import SqlTransaction

T = TypeVar("T")
log = get_logger()

# Longest stretch of statements before a COMMIT: what a reader of the same loop may have to wait.
GROUP_SLICE_S = 0.004
# Units that may wait; beyond it callers are told to come back (503) instead of filling memory.
MAX_WAITING_UNITS = 4096
# How long a locked database is waited for before callers get 503.
BUSY_LIMIT_S = 5.0
BUSY_STEP_S = 0.02
# Larger than what a checkpoint of SQLite's own leaves behind, on a busy gateway: above it something holds it.
GROWTH_FROM = 8 * 1024 * 1024
WAL_STEP = 1024 * 1024
WAL_CALM = 16 * 1024 * 1024
EMPTY_EVERY_S = 1.0
# How long the storage may take for one COMMIT before new work is refused at once.
STALL_S = 5.0

FULL = {sqlite3.SQLITE_FULL}
# The shared index of the WAL could not grow: a full disk too, and nothing durable was touched.
FULL_INDEX = sqlite3.SQLITE_IOERR_SHMSIZE
MACHINE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}  # fmt: skip
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class _Unit(Generic[T]):
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[SqlTransaction], T], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """Run units of work in groups; each group is one transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        transaction: SqlTransaction,
        *,
        files: DatabaseFiles | None = None,
        fault: FaultPoint | None = None,
        on_commit: Callable[[int, float], None] | None = None,
    ) -> None:
        """Take a connection in autocommit mode that nothing else uses, and its files; None for one in memory.

        `fault` is called at each step by name (fault injection; None costs nothing).
        `on_commit(units, seconds)` observes each durable group.
        """
        self._connection = connection
        self._transaction = transaction
        self._files = files
        self._wal_fault: str | None = None
        self._growth_bytes = 0
        self._emptied_at = 0.0
        self._must_empty = False
        self._must_look = False
        self._written_at = time.monotonic()
        self._working_since: float | None = None
        self._fault = fault
        self._on_commit = on_commit
        self._waiting: deque[_Unit[Any]] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._task: asyncio.Task[None] | None = None
        self._broken: GatewayError | None = None
        self._closing = False
        self._busy_limit_s = BUSY_LIMIT_S
        self._group_units: list[_Unit[Any]] = []
        self._wal_told = 0
        self.crowded: list[Callable[[], None]] = []
        """Called where a write found no room, and each time the WAL has grown by `WAL_STEP`."""
        self.ended: list[Callable[[], None]] = []
        """Called once the writer has ended for files that were replaced."""

    def start(self) -> None:
        """Begin to take units."""
        self._task = asyncio.create_task(self._run(), name="writer")

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._closing = True
        self._wake.set()
        try:
            if self._task is not None:
                await self._task
        finally:
            self._thread.shutdown()

    @property
    def log(self) -> LogRows:
        """The log this writer appends to."""
        return self._transaction.log

    @property
    def attachments(self) -> AttachmentRows:
        """The files beside the database, as rows."""
        return self._transaction.attachments

    @property
    def broken(self) -> GatewayError | None:
        """Why nothing more is written, or None."""
        return self._broken

    @property
    def wal_bytes(self) -> int:
        """How large the WAL was after the last COMMIT."""
        return self._files.wal_bytes if self._files is not None else 0

    @property
    def growth_bytes(self) -> int:
        """How much the main file grows once the WAL is put into it: room that is promised to it."""
        return self._growth_bytes

    @property
    def wal_fault(self) -> str | None:
        """Why the WAL could not be emptied the last time; None where it could, or did not have to be."""
        return self._wal_fault

    @property
    def stalled_s(self) -> float:
        """For how long the storage has not answered what was asked of it last."""
        since = self._working_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def quiet_s(self) -> float:
        """For how long nothing was written."""
        return time.monotonic() - self._written_at

    def empty_wal(self) -> None:
        """Have the WAL emptied soon, also where nothing is written."""
        self._must_empty = True
        self._wake.set()

    def look(self) -> None:
        """Have the files looked at soon, also where nothing is written: a promise was given on them."""
        self._must_look = True
        self._wake.set()

    async def run(self, work: Callable[[SqlTransaction], T]) -> T:
        """Run `work` in the next group and return its result once it is durable.

        Raises what `work` raised (only that unit is undone), or `StorageUnavailable` when the group
        could not be written: then nothing of it was.
        """
        if self._broken is not None:
            raise self._broken
        if self.stalled_s > STALL_S:
            raise StorageUnavailable(f"the storage has not answered for {self.stalled_s:.0f} s; nothing was accepted")
        if self._closing or len(self._waiting) >= MAX_WAITING_UNITS:
            detail = "too much waits to be written" if not self._closing else "the gateway is stopping"
            raise StorageUnavailable(detail)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Unit(work, future))
        self._wake.set()
        try:
            return await future
        finally:
            # An error raised here has this frame in its traceback: the two must not hold one another.
            del future, work

    async def _run(self) -> None:
        try:
            await self._take_groups()
        finally:
            # Whatever ended the writer, nobody may wait for ever for what it will not do.
            stopped = self._broken or StorageUnavailable("the gateway is stopping")
            self._broken = stopped
            self._fail([*self._group_units, *self._all_waiting()], stopped)

    async def _take_groups(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                if self._broken is not None:
                    # Law 4 holds for those that already waited, too.
                    self._fail(self._all_waiting(), self._broken)
                else:
                    await self._group()
            if self._must_empty or self.wal_bytes > WAL_CALM:
                await self._empty()
            if self._must_look:
                await self._look()
            if self._closing:
                return

    async def _group(self) -> None:
        units = self._group_units = []
        started = time.perf_counter()
        try:
            await self._begin()
            while self._waiting and time.perf_counter() - started < GROUP_SLICE_S:
                unit = self._waiting.popleft()
                if unit.future.cancelled():
                    continue
                units.append(unit)
                self._perform(unit)
            self._transaction.log.seal_group()
            self._point("commit")
            await self._in_thread(self._commit)
            self._point("committed")
        except FilesReplaced as error:
            await self._rescue(units, error)
            return
        except sqlite3.Error as error:
            self._undo(units, self._translate(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever a unit raises belongs to its caller, and the writer lives on
            # A bug in what belongs to the group as a whole: its callers learn of it, the writer lives on.
            self._undo(units, error)
            return
        self._answer(units, time.perf_counter() - started)

    def _answer(self, units: list[_Unit[Any]], seconds: float) -> None:
        """Tell everybody what came of a group that is durable now."""
        self._transaction.log.group_committed()
        if abs(self.wal_bytes - self._wal_told) >= WAL_STEP:
            self._wal_told = self.wal_bytes
            self._tell(self.crowded)
        if self._on_commit is not None:
            self._on_commit(len(units), seconds)
        for unit in units:
            if unit.future.cancelled():
                continue
            if unit.error is not None:
                unit.future.set_exception(unit.error)
            else:
                unit.future.set_result(unit.result)
        # Not until the next group: a unit holds what it was to write.
        self._group_units = []

    async def _in_thread(self, work: Callable[[], None]) -> None:
        self._working_since = time.monotonic()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._working_since = None

    def _commit(self) -> None:
        self._connection.commit()
        self._written_at = time.monotonic()
        if self._files is not None:
            self._files.check()
            if self.wal_bytes > GROWTH_FROM:
                self._growth_bytes = growth(self._connection, self._files.path)

    async def _empty(self) -> None:
        """Put the WAL into the main file and cut it to nothing, once a second at most."""
        if self._files is None or self._broken is not None or time.monotonic() - self._emptied_at < EMPTY_EVERY_S:
            return
        self._must_empty = False
        self._emptied_at = time.monotonic()
        try:
            await self._in_thread(self._checkpoint)
        except FilesReplaced as error:
            await self._rescue([], error)
        except sqlite3.Error as error:
            # The WAL still has everything: the main file is written anew from it by the next one that succeeds.
            self._wal_fault = getattr(error, "sqlite_errorname", type(error).__name__)

    async def _look(self) -> None:
        self._must_look = False
        if self._files is None or self._broken is not None:
            return
        try:
            await self._in_thread(self._files.check)
        except FilesReplaced as error:
            await self._rescue([], error)

    def _checkpoint(self) -> None:
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._wal_fault = "held by a reader" if busy else None
        if self._files is not None:
            self._files.check()
            self._growth_bytes = growth(self._connection, self._files.path)

    async def _rescue(self, units: list[_Unit[Any]], error: FilesReplaced) -> None:
        """End the writer; save first what a WAL holds that has no name any more."""
        self._broken = error
        self._transaction.log.group_committed()
        try:
            await self._in_thread(self._save)
        except (sqlite3.Error, OSError) as failed:
            log.critical("what the database held could not be saved", error=type(failed).__name__)
        log.critical("the files of the database were replaced", reason=error.detail)
        self._fail([*units, *self._all_waiting()], error)
        self._tell(self.ended)

    def _tell(self, listeners: list[Callable[[], None]]) -> None:
        for listener in listeners:
            listener()

    def _save(self) -> None:
        files, connection = self._files, self._connection
        assert files is not None
        if files.rescuable:
            connection.execute("BEGIN IMMEDIATE")
            now_ms = int(time.time() * 1000)
            self._transaction.log.append(
                "audit.alarm", actor=SYSTEM, obj=("storage", "wal"), at=now_ms, outcome="files replaced"
            )
            self._transaction.log.seal_group()
            connection.commit()
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                log.warning("what the deleted file held is in the database")
                return
        saved = files.path.with_name(f"{files.path.name}.saved-{int(time.time())}")
        saved.touch(mode=0o600, exist_ok=False)
        connection.execute("VACUUM INTO ?", (str(saved),))
        log.warning("what the database held is saved beside it", file=saved.name)

    async def _begin(self) -> None:
        deadline = time.perf_counter() + self._busy_limit_s
        while True:
            self._point("begin")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                # Another program holds the file (a backup, an administrator's shell): wait without
                # blocking the loop, then say 503.
                if error.sqlite_errorcode not in BUSY or time.perf_counter() > deadline:
                    raise
                await asyncio.sleep(BUSY_STEP_S)
            else:
                return

    def _perform(self, unit: _Unit[Any]) -> None:
        connection = self._connection
        connection.execute("SAVEPOINT unit")
        self._transaction.log.begin_unit()
        try:
            unit.result = unit.work(self._transaction)
            self._point("unit")
        except sqlite3.Error as error:
            # The machine's fault undoes the group; a broken statement or constraint is this unit's alone.
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in MACHINE:
                raise
            unit.error = error
        except GatewayError as error:
            # Ours says all in its detail; its traceback would hold this frame, which holds the error again.
            unit.error = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - whatever a unit raises belongs to its caller, and the writer lives on
            unit.error = error
        if unit.error is not None:
            connection.execute("ROLLBACK TO unit")
            self._transaction.log.undo_unit()
        connection.execute("RELEASE unit")

    def _undo(self, units: list[_Unit[Any]], error: Exception) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error as failed:
            self._broken = StorageUnavailable(f"undoing failed ({type(failed).__name__}); start the gateway again")
        self._transaction.log.group_undone()
        # BEGIN itself failed after its patience: whoever waits meets the same lock, and must not wait in turn.
        self._fail(units or self._all_waiting(), error)
        self._group_units = []

    def _all_waiting(self) -> list[_Unit[Any]]:
        units = list(self._waiting)
        self._waiting.clear()
        return units

    def _fail(self, units: list[_Unit[Any]], error: Exception) -> None:
        for unit in units:
            if not unit.future.done():
                unit.future.set_exception(unit.error or error)

    def _translate(self, error: sqlite3.Error) -> GatewayError:
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        if primary in FULL or code == FULL_INDEX:
            self._tell(self.crowded)
            return StorageUnavailable("the data volume is full: free space on it; nothing was accepted")
        if primary in BUSY:
            return StorageUnavailable("the database is locked by another program; nothing was accepted")
        detail = f"the database cannot be written ({getattr(error, 'sqlite_errorname', 'error')}); check the disk"
        if primary in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            self._broken = LedgerError(detail) if primary != sqlite3.SQLITE_IOERR else StorageUnavailable(detail)
            return self._broken
        return StorageUnavailable(detail)

    def _point(self, name: str) -> None:
        if self._fault is not None:
            self._fault(name)
