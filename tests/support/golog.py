"""A log judged by a tool that is not ours: Go's x/mod/sumdb, as Debian packages it.

Needs golang-go and golang-golang-x-mod-dev.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM = Path(__file__).resolve().parents[1] / "ledger" / "go"
DEBIAN_GOPATH = "/usr/share/gocode"  # where golang-golang-x-mod-dev puts its sources


@lru_cache(maxsize=1)
def checklog() -> Path:
    """Build the checker, offline, from Debian's sources; it lives as long as this process."""
    built = Path(tempfile.mkdtemp(prefix="bcx-go-"))
    atexit.register(shutil.rmtree, built, ignore_errors=True)
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": DEBIAN_GOPATH,
        "GOCACHE": str(built / "cache"),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    command = ["go", "build", "-o", str(built / "checklog"), "."]
    subprocess.run(command, cwd=PROGRAM, env=environment, check=True, timeout=120)
    return built / "checklog"


def run_checklog(folder: Path, vkey: str) -> subprocess.CompletedProcess[str]:
    """Check the export in `folder`."""
    command = [str(checklog()), str(folder), vkey]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def go_fault(files: Iterable[tuple[str, bytes]], vkey: str) -> str | None:
    """Return what Go finds wrong with the (path, content) of an export, or None."""
    with tempfile.TemporaryDirectory(dir=checklog().parent) as name:
        for path, raw in files:
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_bytes(raw)
        done = run_checklog(Path(name), vkey)
    return None if done.returncode == 0 else done.stderr.strip()
