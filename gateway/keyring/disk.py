"""Key material on disk: 0600 files in a 0700 folder, replaced whole or not at all.

Whoever can read a file here can speak as this party, so a loose permission stops the start instead of
being repaired in silence: somebody may have copied the file already.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SEED_BYTES: Final = 32
NONCE_BYTES: Final = 12  # random: a key-encryption key seals far fewer than 2^32 secrets


def make_folder(path: Path) -> None:
    """Create a folder only its owner may enter."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)  # whatever the umask


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 so that after a crash it is the old one or the new one, whole."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(path: Path) -> None:
    """Refuse a key folder that is missing or open to others."""
    if not path.is_dir():
        raise ConfigurationError(f"{path}: missing; restore it from the backup of the home, or run `gateway init`")
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path}: open to others; run `chmod 700 {path}` and think who may have read it")


def read_private(path: Path) -> bytes:
    """Read a file only its owner may read. Raises ConfigurationError with the fix."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigurationError(
                    f"{path}: readable by others; run `chmod 600 {path}` and think who may have read it"
                )
            return file.read()
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: missing; restore it from the backup of the home") from None
    except OSError as why:
        raise ConfigurationError(
            f"{path}: cannot be read ({why.strerror}); mend the permissions or restore it from the backup"
        ) from None


def read_seed(path: Path) -> bytes:
    """Read a 32-byte seed."""
    seed = read_private(path)
    if len(seed) != SEED_BYTES:
        raise damaged(path)
    return seed


def damaged(path: Path) -> ConfigurationError:
    """Return the error for a file that is not what was written there."""
    return ConfigurationError(f"{path}: damaged; restore it from the backup of the home")
