"""JPEG files as their segments (ITU-T T.81 annex B): what they would cost to decode, and the file without metadata.

Nothing is decoded here: a walk over markers, one pass, whatever the lengths say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SOI: Final = 0xD8
EOI: Final = 0xD9
SOS: Final = 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# JFIF and Adobe tell a decoder how colours are meant; every other APPn and COM tells about people and cameras.
_APP: Final = range(0xE0, 0xF0)
_KEPT_APP: Final = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}
_COMMENT: Final = 0xFE
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_MARKER: Final = re.compile(rb"\xff+[^\xff]", re.DOTALL)
# Neither a stuffed byte, nor a restart, nor fill.
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


class Cost(NamedTuple):
    """What a decoder would do: pixels of the frame, and how often it goes over them."""

    pixels: int
    scans: int


def cost(raw: bytes) -> Cost:
    """Return what decoding would cost. Raises ValueError where `raw` is no JPEG with one frame."""
    pixels = scans = 0
    for marker, start, end in _segments(raw):
        if marker in _FRAMES:
            if pixels or end - start < 10:
                raise ValueError("not one frame")
            height, width = raw[start + 5 : start + 7], raw[start + 7 : start + 9]
            pixels = int.from_bytes(height, "big") * int.from_bytes(width, "big")
        scans += marker == SOS
    if not pixels or not scans:
        raise ValueError("no frame, or no scan")
    return Cost(pixels, scans)


def bare(raw: bytes) -> bytes:
    """Return the same image, pixel for pixel, without metadata and without what follows its end. Raises ValueError."""
    kept = [b"\xff\xd8"]
    for marker, start, end in _segments(raw):
        signature = _KEPT_APP.get(marker)
        known = signature is not None and raw[start + 4 : end].startswith(signature)
        tells = marker == _COMMENT or (marker in _APP and not known)
        if not tells:
            kept.append(raw[start:end])
    return b"".join((*kept, b"\xff\xd9"))


def _segments(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment between SOI and EOI; a scan's entropy-coded data goes with it."""
    if not raw.startswith(b"\xff\xd8\xff"):
        raise ValueError("no JPEG")
    at = 2
    while True:
        found = _MARKER.match(raw, at)
        if found is None:
            raise ValueError("no marker where one must be")
        marker, at = raw[found.end() - 1], found.end()
        if marker == EOI:
            return
        if marker in _ALONE:
            continue
        end = at + int.from_bytes(raw[at : at + 2], "big")
        if end < at + 2 or end > len(raw) or marker in {0, SOI}:
            raise ValueError("a segment that does not end")
        if marker == SOS:
            following = _AFTER_SCAN.search(raw, end)
            if following is None:
                raise ValueError("cut short")
            end = following.start()
        yield marker, found.end() - 2, end
        at = end
