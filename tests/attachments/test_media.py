from __future__ import annotations

import random
import zlib

import pytest

from gateway.casework import media
from tests.attachments.files import jpeg, pdf, png, stream

JS = b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>"


def fault(raw: bytes, media_type: str = media.PDF, step: int = 1000) -> str | None:
    """Return what a screening says of a file that comes in pieces."""
    screening = media.Screening()
    for at in range(0, len(raw), step):
        screening.feed(raw[at : at + step])
    return screening.fault(media_type)


@pytest.mark.parametrize(
    ("what", "raw"),
    [
        ("a page", pdf()),
        ("names that only begin like others", pdf(b"<< /JSON 1 /AAB 2 /LaunchPad 3 >>")),
        ("a packed page", pdf(stream(b"BT /F1 12 Tf (hello) Tj ET"))),
        ("objects packed, none of them active", pdf(packed=b"5 0 << /Type /Font /BaseFont /Helvetica >>")),
        ("pixels that spell a name", pdf(b"<< /Length 40 >>\nstream\n\x00/JS \xff/AA \x00\nendstream")),
        (
            "a cross-reference stream with a predictor",
            pdf(stream(b"x", b"/Type /XRef /DecodeParms << /Predictor 12 >>")),
        ),
    ],
)
def test_a_plain_document_passes(what: str, raw: bytes) -> None:
    """Also in the smallest pieces."""
    assert [fault(raw, step=step) for step in (1, 7, 100_000)] == [None] * 3, what


@pytest.mark.parametrize(
    ("what", "raw"),
    [
        ("a script", pdf(JS)),
        ("a script by an escaped name", pdf(JS.replace(b"/JavaScript /JS", b"/J#61vaScript /#4aS"))),
        ("a script behind a comment", pdf(b"% stream\n" + JS)),
        ("a script behind a string", pdf(b"<< /Title (>>\nstream\n) >> " + JS)),
        ("an action when it is opened", pdf(b"<< /OpenAction 9 0 R >>")),
        ("an action of a page", pdf(b"<< /AA << /O 9 0 R >> >>")),
        ("a program to start", pdf(b"<< /S /Launch /F (x) >>")),
        ("a file inside", pdf(b"<< /Type /EmbeddedFile >>")),
        ("a form of another language", pdf(b"<< /AcroForm << /XFA 1 0 R >> >>")),
        ("media", pdf(b"<< /Subtype /RichMedia >>")),
        ("an object inside of a stream", pdf(b"<< /Length 9 >>\nstream\n9 0 obj " + JS + b" endobj\nendstream")),
        ("a packed script", pdf(packed=b"5 0 " + JS)),
        ("a packed script, its type escaped", pdf(stream(b"5 0 " + JS, b"/Type /Obj#53tm /N 1 /First 4"))),
        ("a packed script far inside", pdf(packed=b"5 0 " + b"(" + b"x" * 300_000 + b")" + JS)),
    ],
)
def test_a_document_that_acts_is_refused(what: str, raw: bytes) -> None:
    """However it is written, and wherever the pieces are cut."""
    assert [fault(raw, step=step) for step in (1, 7, 256, 100_000)] == [media.ACTIVE] * 4, what


@pytest.mark.parametrize(
    ("what", "raw"),
    [
        ("encrypted", pdf(trailer=b"/Encrypt 9 0 R")),
        ("objects packed twice", pdf(stream(b"x", b"/Type /ObjStm", b"/Filter [/ASCIIHexDecode /FlateDecode]"))),
        ("objects behind a predictor", pdf(stream(b"x", b"/Type /ObjStm /DecodeParms << /Predictor 12 >>"))),
        ("objects that are not packed as they say", pdf(
            b"<< /Type /ObjStm /Filter /FlateDecode >>\nstream\nxx\nendstream")),
        ("packed objects cut by a false end", pdf(
            b"<< /Type /ObjStm /Filter /FlateDecode >>\nstream\n"
            + zlib.compress(b" endstream " + JS, 0)[:18] + b"\nendstream")),
        ("objects that unpack to far too much", pdf(packed=bytes(80 * 1024 * 1024))),
    ],
)  # fmt: skip
def test_a_document_that_hides_something_is_refused(what: str, raw: bytes) -> None:
    """What cannot be looked into is not sent on as harmless."""
    assert fault(raw) == media.HIDDEN, what


def test_random_streams_are_no_scripts() -> None:
    """Five megabytes of compressed pixels hold any three bytes somewhere; a scan must not be refused for it."""
    noise = b"\x00/JS\x00/AA\x00".join(random.Random(seed).randbytes(2_500_000) for seed in (1, 2))
    raw = pdf(b"<< /Length 1 >>\nstream\n" + noise + b"\nendstream")
    assert fault(raw, step=256 * 1024) is None


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
