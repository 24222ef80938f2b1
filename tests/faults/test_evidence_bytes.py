"""Every byte of a bundle: none can be changed unseen. The suite takes every 97th."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.evidence.bundle import write_bundle
from gateway.evidence.verify import verify_bundle
from tests.evidence.story import Story
from tests.evidence.test_two_verifiers import second

PROCESSES = len(os.sched_getaffinity(0))


def unseen(places: range, whole: bytes, fingerprints: list[str]) -> tuple[int, list[int]]:
    """Change one bit of the byte at each place; return how many were tried, and which of them a verifier took."""
    found: list[int] = []
    with TemporaryDirectory() as folder:
        path, raw = Path(folder) / "bundle.zip", bytearray(whole)
        for at in places:
            raw[at] ^= 1 << (at % 8)
            if verify_bundle(bytes(raw), fingerprints=fingerprints).ok:
                found.append(at)
            if at % 5 == 0 and second(path, bytes(raw), fingerprints) != 3:
                found.append(-at)
            raw[at] ^= 1 << (at % 8)
    return len(places), found


@pytest.mark.timeout(1800)
def test_no_byte_of_a_bundle_can_be_changed_unseen(tmp_path: Path) -> None:
    """One bit of each byte in turn, in every file, header and directory of a small bundle; the second takes a fifth.

    Each is judged as a whole, from the bytes on: nothing is kept from one to the next. One process a core.
    """
    story = Story()
    whole = write_bundle(replace(story.parts(), event=None, schema=None))
    assert verify_bundle(whole, fingerprints=story.fingerprints).ok
    assert second(tmp_path / "bundle.zip", whole, story.fingerprints) == 0
    shares = [range(first, len(whole), PROCESSES) for first in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        done = list(pool.map(unseen, shares, repeat(whole), repeat(story.fingerprints)))
    assert [found for _, found in done] == [[]] * PROCESSES
    assert sum(tried for tried, _ in done) == len(whole)
