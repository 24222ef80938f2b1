"""Files as people send them, made here: a photograph that says where it was taken, documents, and what is wrong."""

from __future__ import annotations

import io
import zlib

from PIL import Image

# Written into metadata, names and contents that must not be found anywhere afterwards.
CANARY = "KANARIE-RAHASIA"


def jpeg(*, size: tuple[int, int] = (320, 240), upright: bool = True, canary: bool = True) -> bytes:
    """Return a photograph whose EXIF holds a position, a comment and, unless `upright`, a turn by 90 degrees."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = CANARY if canary else "scan"  # ImageDescription
    exif[0x0112] = 1 if upright else 6  # Orientation
    exif.get_ifd(0x8825).update({1: "S", 2: (6.0, 10.0, 30.0), 3: "E", 4: (106.0, 49.0, 0.0)})  # GPS
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, comment=(CANARY if canary else "c").encode(), quality=80)
    return out.getvalue()


def png(*, size: tuple[int, int] = (64, 64)) -> bytes:
    """Return an image with transparency and a text beside its pixels."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", CANARY)
    out = io.BytesIO()
    Image.new("RGBA", size, (10, 20, 30, 128)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def pdf(*objects: bytes, packed: bytes | None = None, trailer: bytes = b"") -> bytes:
    """Return a one-page document with further objects; `packed` goes into an object stream."""
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
        *objects,
    ]
    if packed is not None:
        parts.append(stream(packed, b"/Type /ObjStm /N 1 /First 4"))
    body = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    for number, part in enumerate(parts, 1):
        body += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    return body + b"trailer << /Root 1 0 R %b >>\n%%%%EOF\n" % trailer


def stream(content: bytes, entries: bytes = b"", filters: bytes = b"/Filter /FlateDecode") -> bytes:
    """Return a stream object, packed."""
    raw = zlib.compress(content)
    return b"<< %b %b /Length %d >>\nstream\n%b\nendstream" % (entries, filters, len(raw), raw)
