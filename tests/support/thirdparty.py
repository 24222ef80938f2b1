"""Test files of others, which are not in this repository: where they are, and what does not run without them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = Path(os.environ.get("BCX_VECTORS", ROOT.parent / "shared" / "vectors" / "third-party"))


class Source(NamedTuple):
    """One collection: its place below `FOLDER`, what it tries, and how many tests are made of it."""

    path: str
    what: str
    tests: int

    @property
    def place(self) -> Path:
        """Return where it should be."""
        return FOLDER / self.path


CCTV: Final = Source("ed25519/cctv-ed25519vectors.json", "Ed25519 corner cases of C2SP CCTV", 1)
JSON_SUITE: Final = Source("json/JSONTestSuite/test_parsing", "JSONTestSuite", 319)
MERKLE: Final = Source("merkle/testdata", "Merkle proofs of transparency-dev", 196)
SOURCES: Final = (CCTV, JSON_SUITE, MERKLE)


def absent() -> list[Source]:
    """Return the collections that are not here."""
    return [source for source in SOURCES if not source.place.exists()]


def notice() -> list[str]:
    """Return what a run without some of them says in its last lines; nothing where all are here."""
    lacking = absent()
    if not lacking:
        return []
    count = sum(source.tests for source in lacking)
    return [
        f"NOT RUN: {count} tests, for {len(lacking)} collections of others are absent:",
        *(f"  {source.tests:>4}  {source.what}: {source.path}" for source in lacking),
        "  their folder is beside this one, shared/vectors/third-party, or BCX_VECTORS names it",
    ]


def must_be_here() -> bool:
    """Tell whether a run without them is no success: where a machine decides by it."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}
