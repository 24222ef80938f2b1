"""The verifier at the size it must carry: an exported log of 1,000,000 entries, whole and with one byte changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway.ledger import entry, note, tiles
from gateway.primitives import merkle
from tests.cli.terminal import run
from tests.evidence.story import JTI, START_MS, seed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEAVES = 1_000_000
WITHIN_S = 60.0


def exported(folder: Path) -> str:
    """Write the export of a log of so many messages received; return its key."""
    entries = [
        entry.build(
            seq=at, at_ms=START_MS + at, typ="message.received", actor_sub="id.imigrasi", actor_role="partner",
            obj_kind="message", obj_id=JTI, jti=JTI, event=bytes(32), outcome="accepted", salt=bytes(16),
        )
        for at in range(LEAVES)
    ]  # fmt: skip
    levels: list[Sequence[bytes]] = [[merkle.leaf_hash(data) for data in entries]]
    while len(below := levels[-1]) >= tiles.TILE_WIDTH:
        levels.append([merkle.root(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)])
    signer = note.NoteSigner.from_seed("kh.gdi/bcx/log/1", note.ED25519, seed("log"))
    folder.mkdir()
    (folder / "checkpoint").write_text(note.sign_checkpoint(LEAVES, merkle.root(levels[0]), signer))
    for path, content in tiles.export_files(
        LEAVES,
        lambda start, end: entries[start:end],
        lambda level, number: levels[level][number * 256 : number * 256 + 256] if level < len(levels) else [],
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return signer.key.vkey


@pytest.mark.timeout(600)
def test_a_million_entries_are_verified_within_a_minute(tmp_path: Path) -> None:
    """By the command, its start included; one changed byte is named by its entry."""
    folder = tmp_path / "log"
    vkey = exported(folder)
    started = time.perf_counter()
    found = run("audit", "verify", str(folder), "--vkey", vkey, "-o", "json").json
    assert time.perf_counter() - started < WITHIN_S
    assert (found["verified"], found["size"], found["faults"]) == (True, LEAVES, [])

    index = 777_777
    bundle = folder / tiles.bundle_path(index >> 8)
    raw = bytearray(bundle.read_bytes())
    raw[raw.index(b'"seq":%d,' % index) - 40] ^= 1
    bundle.write_bytes(raw)
    started = time.perf_counter()
    bad = run("audit", "verify", str(folder), "--vkey", vkey, "-o", "json", code=3).json
    assert time.perf_counter() - started < WITHIN_S
    assert bad["first_bad_index"] == index
    assert {fault["index"] for fault in bad["faults"]} == {index}
