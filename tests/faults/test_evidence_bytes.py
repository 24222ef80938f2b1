"""Every byte of a bundle: none can be changed unseen. The suite takes every 97th."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.evidence.bundle import write_bundle
from gateway.evidence.verify import verify_bundle
from tests.evidence.story import Story
from tests.evidence.test_two_verifiers import second

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(1800)
def test_no_byte_of_a_bundle_can_be_changed_unseen(tmp_path: Path) -> None:
    """One bit of each byte in turn, in every file, header and directory of a small bundle; the second takes a fifth."""
    path = tmp_path / "bundle.zip"
    story = Story()
    raw = bytearray(write_bundle(replace(story.parts(), event=None, schema=None)))
    assert verify_bundle(bytes(raw), fingerprints=story.fingerprints).ok
    assert second(path, bytes(raw), story.fingerprints) == 0
    unseen = []
    for at in range(len(raw)):
        raw[at] ^= 1 << (at % 8)
        if verify_bundle(bytes(raw), fingerprints=story.fingerprints).ok:
            unseen.append(at)
        if at % 5 == 0 and second(path, bytes(raw), story.fingerprints) != 3:
            unseen.append(-at)
        raw[at] ^= 1 << (at % 8)
    assert unseen == []
