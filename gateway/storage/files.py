"""The files beside the database: ciphertext only, under opaque names, each durable before a row names it.

Whatever a killed process left half written has no row, and is removed by the next start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from typing import TYPE_CHECKING, Final

from gateway.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = re.compile(r"[0-9a-f]{32}")
# Kept free for the database: a full disk must stop uploads before it stops the log.
FREE_LEAST_BYTES: Final = 64 * 1024 * 1024


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageUnavailable("the data volume is full: free space on it; the file was not taken") from None
        detail = f"an attachment cannot be read or written ({type(error).__name__}); check the disk"
        raise StorageUnavailable(detail) from None


class _Held:
    """A descriptor that is closed only while no thread uses it: its number may be another file's a moment later."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._lock = threading.Lock()

    def __enter__(self) -> int:
        self._lock.acquire()
        if self._descriptor is None:
            self._lock.release()
            raise StorageUnavailable("the file was closed")
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def close(self) -> None:
        """Close it, once."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None


class FileSink:
    """`ports.Sink`: a file being written."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._held = _Held(descriptor)

    def write(self, piece: bytes) -> None:
        """Append. Raises StorageUnavailable, before the disk is full to the last byte."""
        with self._held as descriptor, _translated():
            space = os.fstatvfs(descriptor)
            if space.f_bavail * space.f_frsize < FREE_LEAST_BYTES + len(piece):
                raise OSError(errno.ENOSPC, "too little is free")
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]

    def sync(self) -> None:
        """Make the bytes and the name durable."""
        with self._held as descriptor, _translated():
            os.fsync(descriptor)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """Let go of the file."""
        self._held.close()


class FileSource:
    """`ports.Source`: a file being read."""

    def __init__(self, descriptor: int) -> None:
        self._held = _Held(descriptor)

    def read(self, size: int) -> bytes:
        """Return the next bytes, empty at the end."""
        with self._held as descriptor, _translated():
            return os.read(descriptor, size)

    def close(self) -> None:
        """Let go of the file."""
        self._held.close()


class FileStore:
    """`ports.Files` in one folder of mode 0700."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, name: str) -> FileSink:
        """Begin a file that is not there yet."""
        with _translated():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return FileSink(self._folder, os.open(self._path(name), flags, 0o600))

    def resume(self, name: str, offset: int) -> FileSink:
        """Go on with a file behind its first `offset` bytes; what stands there is cut off."""
        with _translated():
            descriptor = os.open(self._path(name), os.O_WRONLY | os.O_CLOEXEC)
            os.truncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
            return FileSink(self._folder, descriptor)

    def open(self, name: str, offset: int = 0) -> FileSource:
        """Read a file from `offset` on."""
        with _translated():
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(descriptor, offset, os.SEEK_SET)
            return FileSource(descriptor)

    def size(self, name: str) -> int | None:
        """Return the length of a file, None where there is none."""
        with _translated():
            try:
                return self._path(name).stat().st_size
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is well."""
        with _translated():
            self._path(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the name of every file."""
        with _translated():
            found = self._folder.iterdir() if self._folder.is_dir() else ()
            return [path.name for path in found if _NAME.fullmatch(path.name)]

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError("no name of ours")
        return self._folder / name
