from __future__ import annotations

import pytest

from gateway.casework import media
from tests.attachments.files import jpeg, png


def fault(raw: bytes, media_type: str, step: int) -> str | None:
    """Return what is said of a file that comes in pieces."""
    head = media.Head()
    for at in range(0, len(raw), step):
        head.feed(raw[at : at + step])
    return head.fault(media_type)


@pytest.mark.parametrize(
    ("media_type", "raw", "refused"),
    [
        ("image/jpeg", jpeg(), False),
        ("image/png", png(), False),
        ("image/jpeg", png(), True),
        ("image/jpeg", b"%PDF-1.7", True),
        ("image/jpeg", b" \xff\xd8\xff", True),
        ("application/pdf", jpeg(), True),
        ("application/pdf", b"\n%PDF-1.7", True),
        ("application/json", b'\xef\xbb\xbf \n{"a":1}', False),
        ("application/json", b"<html>", True),
        ("application/octet-stream", bytes(range(7, 71)), False),
    ],
)
def test_first_bytes_are_those_of_the_type(media_type: str, raw: bytes, refused: bool) -> None:
    """A declared type that the content contradicts is E-MEDIA (case 13 of the refusals)."""
    assert (fault(raw, media_type, step=2) is not None) is refused
