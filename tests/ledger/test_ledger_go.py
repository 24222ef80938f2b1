"""An export judged by a tool that is not ours: Go's x/mod/sumdb, as Debian packages it.

Needs golang-go and golang-golang-x-mod-dev.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from gateway.home import InitOptions, init
from gateway.ledger.note import COSIGNATURE, NoteSigner, add_lines, cosign
from gateway.ports.common import Actor
from gateway.running import wall_clock
from gateway.runtime import open_gateway
from tests.cli.terminal import run
from tests.support.golog import run_checklog

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.ports.store import Transaction

SIZE = 70_000
BATCH = 1733  # no multiple of a tile's width


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the folder that `gateway audit export` wrote of a home with 70,000 entries, and the log's verifier key."""
    folder = tmp_path_factory.mktemp("go")
    ports = {f"{name}_listen": f"127.0.0.1:{at}" for at, name in enumerate(("exchange", "api", "ops"), 1)}
    options = InitOptions(party="id.imigrasi", name="Imigrasi", country="ID", environment="test", **ports)
    settings, keys = init(folder / "home", options, now_ms=wall_clock())

    async def fill() -> None:
        async with open_gateway(settings, keys) as gateway:
            left = SIZE - 1 - (await gateway.store.write(lambda tx: tx.log.head()))[0]
            while left:
                left -= await gateway.store.write(partial(_log_some, most=min(left, BATCH)))

    asyncio.run(fill())
    made = run("--home", str(folder / "home"), "audit", "export", str(folder / "export"), "-o", "json").json
    checkpoint = folder / "export" / "checkpoint"
    text = checkpoint.read_text()
    witness = NoteSigner.from_seed("kh.gdi/bcx/witness/1", COSIGNATURE, bytes(32))
    # As a partner's witness adds it: Go knows nothing of these lines and must pass over them.
    checkpoint.write_text(add_lines(text, cosign(text[: text.rindex("\n\n") + 1], witness, wall_clock() // 1000)))
    return folder / "export", made["vkey"]


def _log_some(tx: Transaction, *, most: int) -> int:
    for at in range(most):
        tx.log.append(
            "message.received", actor=Actor("kh.gdi", "partner"), obj=("message", f"m{at}"), at=at, outcome="accepted"
        )
    return most


def test_go_rebuilds_the_root_compares_every_tile_and_proves(exported: tuple[Path, str]) -> None:
    """277 tiles as in the specification's example, narrower ones as prefixes, 97 leaves proved."""
    done = run_checklog(*exported)
    assert done.stderr == ""
    assert done.stdout == "size 70000 bundles 274 tiles 277 prefixes 127 proofs 194\n"


@pytest.mark.parametrize(
    "path",
    ["checkpoint", "tile/0/111", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/200"],
)
def test_go_refuses_a_flipped_bit(exported: tuple[Path, str], path: str) -> None:
    """So that its consent above means something."""
    folder, vkey = exported
    whole = (folder / path).read_bytes()
    try:
        (folder / path).write_bytes(whole[:20] + bytes((whole[20] ^ 1,)) + whole[21:])
        assert run_checklog(folder, vkey).returncode == 1
    finally:
        (folder / path).write_bytes(whole)
