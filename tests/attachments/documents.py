"""PDF files written object by object, so that a test decides where every byte stands."""

from __future__ import annotations

import zlib

CATALOG = b"<< /Type /Catalog /Pages 2 0 R %b >>"
PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Resources << >> %b >>"
SCRIPT = b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>"
HEAD = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"

Objects = dict[int, bytes]


def objects(catalog: bytes = b"", page: bytes = b"", *more: bytes) -> Objects:
    """Return a one-page document as its objects, 1 to 3, and what is given from 4 on."""
    return dict(enumerate((CATALOG % catalog, PAGES, PAGE % page, *more), 1))


def stream(content: bytes, entries: bytes = b"", filters: bytes = b"/Filter /FlateDecode") -> bytes:
    """Return a stream object, packed as `filters` say where that is Flate, else as it is."""
    raw = zlib.compress(content) if b"FlateDecode" in filters else content
    return raw_stream(raw, b"%b %b" % (entries, filters))


def raw_stream(raw: bytes, entries: bytes = b"") -> bytes:
    """Return a stream object whose bytes are packed already."""
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (entries, len(raw), raw)


def body(found: Objects, start: bytes = HEAD) -> tuple[bytes, dict[int, int]]:
    """Return a file up to its cross-reference, and where each object stands."""
    text, places = start, {}
    for number, content in found.items():
        places[number] = len(text)
        text += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    return text, places


def document(found: Objects, trailer: bytes = b"", start: bytes = HEAD) -> bytes:
    """Return a document with a cross-reference table."""
    text, places = body(found, start)
    size = max(found) + 1
    table = b"".join(b"%010d 00000 n \n" % places[n] if n in places else b"0000000000 65535 f \n" for n in range(size))
    end = b"trailer << /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, len(text))
    return text + b"xref\n0 %d\n%b" % (size, table) + end


def packed(found: Objects, inner: Objects, holder: bytes, after: Objects | None = None) -> bytes:
    """Return a document whose objects `inner` stand in the object stream `holder`, behind a cross-reference stream.

    `after` are objects that stand behind `holder`.
    """
    after = after or {}
    place = max((*found, *inner, *after)) + 1
    text, places = body({**found, place: holder, **after})
    rows = [b"\0" + bytes(6) for _ in range(place + 2)]
    for number, at in {**places, place + 1: len(text)}.items():
        rows[number] = b"\1" + at.to_bytes(4, "big") + bytes(2)
    for index, number in enumerate(inner):
        rows[number] = b"\2" + place.to_bytes(4, "big") + index.to_bytes(2, "big")
    entries = b"/Type /XRef /W [1 4 2] /Size %d /Root 1 0 R" % (place + 2)
    cross = b"%d 0 obj\n%b\nendobj\n" % (place + 1, stream(b"".join(rows), entries))
    return text + cross + b"startxref\n%d\n%%%%EOF\n" % len(text)


def held(inner: Objects) -> tuple[bytes, bytes]:
    """Return what an object stream unpacks to, and the entries that describe it."""
    numbers, contents = b"", b""
    for number, content in inner.items():
        numbers += b"%d %d " % (number, len(contents))
        contents += content + b" "
    return numbers + contents, b"/N %d /First %d" % (len(inner), len(numbers))
