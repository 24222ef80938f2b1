"""An image made anew from its pixels; jobs of the worker."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Final

from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from gateway.screening.jpeg import cost
from gateway.screening.outcomes import TOO_LARGE, Refused

PIXELS_MOST: Final = 50_000_000  # an A4 page at 600 dpi has 35 million
SCANS_MOST: Final = 100  # cameras write 1, or some 10 where the file is progressive
PASSES_MOST: Final = 1_000_000_000
"""Pixels a decoder goes over, all scans together: 50 million pixels in 20 scans."""


_LATER: Final = (
    "ExifTags", "ImageColor", "ImageFilter", "ImagePalette", "JpegPresets", "MpoImagePlugin", "TiffImagePlugin",
    "TiffTags",
)  # fmt: skip


def set_limits() -> None:
    """Load the decoders, and bound what Pillow takes by itself; once a process."""
    Image.preinit()
    # Pillow loads these when a file first needs them; a job can open no file.
    for name in _LATER:
        import_module(f"PIL.{name}")
    Image.MAX_IMAGE_PIXELS = PIXELS_MOST


def jpeg(raw: bytes) -> bytes:
    """Return a photograph made anew. Raises Refused before anything is decoded, and what Pillow raises."""
    # Each scan of a progressive file goes over the whole picture: 20,000 of them fit into 2 MB.
    pixels, scans = cost(raw)
    if pixels > PIXELS_MOST or scans > SCANS_MOST or pixels * scans > PASSES_MOST:
        raise Refused(TOO_LARGE)
    return clean(raw, "JPEG")


def png(raw: bytes) -> bytes:
    """Return a drawing made anew. Raises what Pillow raises."""
    return clean(raw, "PNG")


def clean(raw: bytes, kind: str) -> bytes:
    """Return the pixels of an image as a new file: upright, in sRGB, without anything that stood beside them."""
    with _opened(raw, kind) as found:
        options: dict[str, object] = {}
        if kind == "JPEG":
            # The same tables as before: no better and no worse, and about as large.
            options = _tables(found)
        transparency = found.info.get("transparency")
        found.load()
        image = ImageOps.exif_transpose(found)
        profile = found.info.get("icc_profile")
    image = _srgb(image, profile)
    if kind == "JPEG" and image.mode not in {"L", "RGB"}:
        image, options = image.convert("RGB"), {"quality": 92}
    # What is written comes from pixels and these options alone.
    image.info = {} if transparency is None else {"transparency": transparency}
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _opened(raw: bytes, kind: str) -> Image.Image:
    try:
        found = Image.open(io.BytesIO(raw), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(TOO_LARGE) from None
    if found.width * found.height > PIXELS_MOST:
        raise Refused(TOO_LARGE)
    return found


def _tables(image: Image.Image) -> dict[str, object]:
    if not isinstance(image, JpegImageFile):
        return {"quality": 92}
    return {"qtables": image.quantization, "subsampling": get_sampling(image)}


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn colours of another space into sRGB, which is what an image without a profile is read as."""
    if not profile or image.mode not in {"RGB", "RGBA"}:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB")) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
