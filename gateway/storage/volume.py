"""The files of the database and the volume they lie on: whether they are still ours, how large, and what holds them.

SQLite's journal of pages not yet in the main file, the WAL, grows while a reader keeps an old snapshot or the main file
takes no writes. It grows to the end of the volume unless somebody looks.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError, StorageUnavailable

MIB: Final = 1024 * 1024
KEPT_SHARE: Final = 20
"""One part in so many of a volume is kept free of new messages: what was taken must still be finished and logged."""
KEPT_MOST: Final = 4096 * MIB
RESERVE_SHARE: Final = 100
RESERVE_MOST: Final = 16 * MIB
START_LEAST: Final = 2 * MIB
"""What a start may write of its own before anybody can look at the room."""


class FilesReplaced(StorageUnavailable):
    """The files we write to are not those that the next start would open: nothing more may be promised."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in bytes; `kept` is what new messages may not use."""

    total: int
    free: int

    @property
    def kept(self) -> int:
        """What is kept for finishing, draining and logging."""
        return min(self.total // KEPT_SHARE, KEPT_MOST)


def volume_of(folder: Path) -> Volume:
    """Return what the volume of a folder has. Raises OSError."""
    found = os.statvfs(folder)
    return Volume(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def beside(path: Path, suffix: str) -> Path:
    """Return SQLite's file beside a database: `-wal` or `-shm`."""
    return path.with_name(path.name + suffix)


class DatabaseFiles:
    """The main file and the WAL as the writer opened them."""

    def __init__(self, path: Path) -> None:
        """Take the files that are there: call it while their connection is open and has read."""
        self.path = path
        self.wal = beside(path, "-wal")
        self._ours = {file: self._identity(file) for file in (path, self.wal)}
        self.wal_bytes = 0
        self.check()

    def check(self) -> None:
        """Measure the WAL. Raises FilesReplaced where a path leads to another file than ours, or to none."""
        try:
            changed = [file.name for file, ours in self._ours.items() if self._identity(file) != ours]
            self.wal_bytes = 0 if changed else self.wal.stat().st_size
        except OSError as error:
            # What cannot be looked at may be another file as well; the COMMIT before this must not count as undone.
            changed = [f"{self.path.name} ({error.strerror})"]
        if changed:
            raise FilesReplaced(
                f"{' and '.join(changed)}: deleted or replaced while the gateway runs; nothing is accepted any more: "
                "see what does that, then start the gateway again"
            )

    @property
    def rescuable(self) -> bool:
        """Whether only the WAL is gone: its pages may still go into the main file, and nobody else writes there."""
        there = self._identity(self.wal)
        return self._identity(self.path) == self._ours[self.path] and (there is None or not self.wal.stat().st_size)

    def _identity(self, file: Path) -> tuple[int, int] | None:
        try:
            found = file.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def growth(connection: sqlite3.Connection, path: Path) -> int:
    """Return how many bytes the main file grows once its WAL is put into it."""
    pages, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "page_size"))
    return max(0, pages * size - path.stat().st_size)


def holders(path: Path) -> list[str]:
    """Return the other processes that hold the database: name and id. They may keep the WAL from being emptied."""
    try:
        inode = beside(path, "-shm").stat().st_ino
        locks = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return []
    pids = {
        int(fields[4])
        for fields in map(str.split, locks)
        if len(fields) > 5 and fields[1] == "POSIX" and fields[5].endswith(f":{inode}")
    }
    return [f"{_name_of(pid)} {pid}" for pid in sorted(pids - {os.getpid(), -1})]


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "process"


class Reserve:
    """A file of nothing that is given up first when the volume is full, and made again when there is room."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "reserve"

    def give_up(self) -> bool:
        """Remove it; say whether there was one."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def make(self, volume: Volume) -> None:
        """Make it where there is room for it beside what is kept; one that does not succeed is none."""
        size = min(volume.total // RESERVE_SHARE, RESERVE_MOST)
        if self.path.exists() or volume.free < 2 * volume.kept + size:
            return
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                self.path.unlink()
            finally:
                os.close(fd)


def make_room(path: Path) -> None:
    """Empty the WAL of a database nobody has open, where its volume is full. Raises ConfigurationError with the fix.

    A stopped process may have left there what no longer fits beside it: putting it into the main file frees it.
    """
    if not path.exists():
        return
    wal, volume = beside(path, "-wal"), volume_of(path.parent)
    if volume.free >= max(volume.kept, START_LEAST):
        return
    Reserve(path.parent).give_up()
    held = wal.stat().st_size if wal.exists() else 0
    fault, needed = "", held
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            # Without shared memory: its file could not grow on a full volume.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            needed = growth(connection, path)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        fault = f" ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    if volume_of(path.parent).free < START_LEAST:
        # What could not be emptied though there is room, as another program reads, is looked after by the running one.
        least, held_mib = -(-needed // MIB) + START_LEAST // MIB, -(-held // MIB)
        raise ConfigurationError(
            f"the volume of {path.parent} is full{fault}: free {least} MiB on it, such as old backups and exports; "
            f"{wal.name} ({held_mib} MiB) holds accepted messages and must not be deleted"
        )
