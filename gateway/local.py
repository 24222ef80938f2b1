"""The control socket of a home: where it is, and how it is bound and reached.

`serve` listens at `run/control.sock`, in a folder of mode 0700: who may reach it may write in the home anyway.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_FOLDER: Final = "run"
SOCKET_FILE: Final = "control.sock"
# Linux takes 107 bytes in a socket address; a home may lie deeper than that.
ADDRESS_BYTES_MAX: Final = 100


def socket_path(home: Path) -> Path:
    """Return where `serve` of this home listens for the command line."""
    return home / RUN_FOLDER / SOCKET_FILE


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield a name of `path` short enough for a socket address, valid while the block runs.

    Raises FileNotFoundError where its folder is missing.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def connect(path: Path, timeout_s: float | None) -> socket.socket | None:
    """Return a connection to whoever listens there; None where nobody does."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(timeout_s)
    try:
        with address_of(path) as address:
            found.connect(address)
    except OSError:
        found.close()
        return None
    return found


def bind(path: Path) -> socket.socket:
    """Return a listening socket of mode 0600 there, in place of what a killed process left behind.

    The caller holds the home's lock, so that no living process owns the old one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address_of(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(64)
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
    except BaseException:
        listener.close()
        raise
    return listener
