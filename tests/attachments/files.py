"""Files as people send them, made here: a photograph that says where it was taken, documents, and what is wrong."""

from __future__ import annotations

import io
import random

from PIL import Image

from gateway.screening.pdf import rebuild
from tests.attachments.documents import document, objects, raw_stream

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


def thick(size: int) -> bytes:
    """Return a document as it is when it was made anew, of a little more than so many bytes that cannot be packed."""
    # Random: what is looked for must not be there by chance, and chunk ends lie where they like.
    page = b"/Contents 4 0 R"
    return rebuild(document(objects(b"", page, raw_stream(random.Random(5).randbytes(size)))))


def pdf(*more: bytes, catalog: bytes = b"", page: bytes = b"") -> bytes:
    """Return a one-page document with further objects, from 4 on."""
    return document(objects(catalog, page, *more))
