"""`gateway demo` as its user runs it: a command that ends in order, and the gateways it may have left."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-c", "from gateway.cli.main import run; run()")
LIMIT_S = 60  # this machine may be busy; the table itself says how long it took


@contextlib.contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command with its temporary files under `folder`; end it in order whatever the test does."""
    environ = {**os.environ, "TMPDIR": str(folder), "GATEWAY_HOME": "/nowhere", "GATEWAY__OPS__LOG_LEVEL": "nonsense"}
    process = subprocess.Popen(
        [*COMMAND, *words], env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=LIMIT_S)


def processes_under(folder: Path) -> list[str]:
    """Return the command lines that name a folder: gateways whose home lies in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if any(word.startswith(os.fsencode(folder)) for word in words):
                    found.append(b" ".join(words).decode())
    return found
