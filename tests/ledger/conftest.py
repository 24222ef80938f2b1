"""A whole log in memory, kept by the code under test; the public Merkle cases, where they are."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from gateway.ledger import entry, note, tiles
from gateway.primitives import merkle
from tests.support.thirdparty import MERKLE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VECTORS = MERKLE.place
ORIGIN = "id.imigrasi/bcx/log/1"


class MemoryLog:
    """The storage a gateway has: entries by seq, tiles by (level, number), checkpoints by size."""

    def __init__(self) -> None:
        self.signer = note.NoteSigner.from_seed(ORIGIN, note.ED25519, bytes(range(32)))
        self.witness = note.NoteSigner.from_seed("kh.gdi/bcx/witness/1", note.COSIGNATURE, bytes(32))
        self.entries: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.edge = tiles.Edge()
        self.frontier = merkle.Frontier()
        self.checkpoints: list[str] = []

    def append(self, count: int, batch: int = 1) -> MemoryLog:
        """Log `count` entries, in transactions of `batch`."""
        left = count
        while left:
            data = [self.entry(len(self.entries) + at) for at in range(min(batch, left))]
            left -= len(data)
            leaves = [merkle.leaf_hash(one) for one in data]
            self.entries += data
            self.edge, rows = self.edge.grow(leaves)
            self.frontier = self.frontier.extend(leaves)
            self.tiles.update({(row.level, row.number): row.hashes for row in rows})
        return self

    @staticmethod
    def entry(seq: int) -> bytes:
        """Build the entry of one number, always the same."""
        return entry.build(
            seq=seq,
            at_ms=1_795_485_600_000 + seq,
            typ="message.received",
            actor_sub="kh.gdi",
            actor_role="partner",
            obj_kind="message",
            obj_id=f"m{seq}",
            salt=seq.to_bytes(16, "big"),
            outcome="accepted",
        )

    def read_hashes(self, level: int, number: int) -> Sequence[bytes]:
        """Read a tile as storage would: the one being filled at level 0 out of the entries."""
        raw = self.tiles.get((level, number), b"")
        if level == 0 and not raw:
            return [merkle.leaf_hash(data) for data in self.entries[number << 8 : (number + 1) << 8]]
        return tiles.split_hashes(raw) if raw else []

    def sign(self) -> str:
        """Sign and keep a checkpoint of all there is."""
        self.checkpoints.append(note.sign_checkpoint(len(self.entries), self.frontier.root(), self.signer))
        return self.checkpoints[-1]

    def cosigned(self) -> str:
        """Sign a checkpoint and have the witness cosign it."""
        text = self.sign()
        body = text[: text.rindex("\n\n") + 1]
        return note.add_lines(text, note.cosign(body, self.witness, 1_795_485_700))

    def export(self) -> dict[str, bytes]:
        """Return the files of an export by path."""
        size = len(self.entries)
        files = {"checkpoint": self.cosigned().encode()}
        files |= dict(tiles.export_files(size, lambda start, end: self.entries[start:end], self.read_hashes))
        return files


@pytest.fixture(scope="session")
def new_log() -> Callable[[], MemoryLog]:
    """Give empty logs."""
    return MemoryLog


@pytest.fixture(scope="session")
def export_600() -> dict[str, bytes]:
    """Give an export of 600 leaves: two full bundles and one of 88, two levels of tiles."""
    return MemoryLog().append(600, batch=37).export()


@pytest.fixture(scope="session")
def golden() -> dict[str, object]:
    """Give the `log` part of the golden vectors."""
    found: dict[str, object] = json.loads((ROOT / "tests/vectors/bcx-1.json").read_text())["log"]
    return found


def merkle_cases(part: str) -> list[object]:
    """Return the public cases of one part, `inclusion` or `consistency`; 98 each."""
    files = sorted((VECTORS / part).rglob("*.json"))
    return [pytest.param(json.loads(file.read_text()), id=str(file.relative_to(VECTORS))) for file in files]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Feed the public cases to whoever asks for `public_inclusion` or `public_consistency`."""
    for part in ("inclusion", "consistency"):
        if f"public_{part}" in metafunc.fixturenames:
            metafunc.parametrize(f"public_{part}", merkle_cases(part))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop tests of public cases where the cases are absent: not collected, never skipped."""
    if not VECTORS.is_dir():
        items[:] = [item for item in items if not {"public_inclusion", "public_consistency"} & _wants(item)]


def _wants(item: pytest.Item) -> set[str]:
    return set(itertools.chain(getattr(item, "fixturenames", ())))
