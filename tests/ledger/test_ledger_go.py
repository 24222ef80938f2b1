"""An export judged by a tool that is not ours: Go's x/mod/sumdb, as Debian packages it.

Needs golang-go and golang-golang-x-mod-dev.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ledger.conftest import MemoryLog

PROGRAM = Path(__file__).parent / "go"
DEBIAN_GOPATH = "/usr/share/gocode"  # where golang-golang-x-mod-dev puts its sources
SIZE = 70_000


@pytest.fixture(scope="module")
def checklog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the checker, offline, from Debian's sources; the build cache lives as long as the run."""
    built = tmp_path_factory.mktemp("go")
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


@pytest.fixture(scope="module")
def exported(new_log: Callable[[], MemoryLog], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the folder of an export of 70,000 leaves, and the log's verifier key."""
    log = new_log().append(SIZE, batch=173)
    folder = tmp_path_factory.mktemp("export")
    for path, raw in log.export().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(raw)
    return folder, log.signer.key.vkey


def _run(checklog: Path, folder: Path, vkey: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(checklog), str(folder), vkey], capture_output=True, text=True, check=False, timeout=60)


def test_go_rebuilds_the_root_compares_every_tile_and_proves(checklog: Path, exported: tuple[Path, str]) -> None:
    """277 tiles as in the specification's example, narrower ones as prefixes, 97 leaves proved."""
    done = _run(checklog, *exported)
    assert done.stderr == ""
    assert done.stdout == "size 70000 bundles 274 tiles 277 prefixes 127 proofs 194\n"


@pytest.mark.parametrize(
    "path",
    ["checkpoint", "tile/0/111", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/200"],
)
def test_go_refuses_a_flipped_bit(checklog: Path, exported: tuple[Path, str], path: str) -> None:
    """So that its consent above means something."""
    folder, vkey = exported
    whole = (folder / path).read_bytes()
    try:
        (folder / path).write_bytes(whole[:20] + bytes((whole[20] ^ 1,)) + whole[21:])
        assert _run(checklog, folder, vkey).returncode == 1
    finally:
        (folder / path).write_bytes(whole)
