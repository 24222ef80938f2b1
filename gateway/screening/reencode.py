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
    image.info = {}
    if image.mode == "P":
        image, transparency = _used_colours(image, transparency)
    elif "A" in image.getbands():
        _clear(image)
    # What is written comes from pixels and these options alone.
    if transparency is not None:
        image.info["transparency"] = transparency
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


def _used_colours(image: Image.Image, transparency: object) -> tuple[Image.Image, bytes | None]:
    """Return the image with the colours it shows and no others, and their opacity where any is not whole.

    A palette holds 256 colours whatever the pixels use, and one that nobody sees can be any three bytes.
    """
    held = bytes(image.getpalette("RGB") or ()).ljust(768, b"\0")
    opacity = bytearray(b"\xff" * 256)
    if isinstance(transparency, bytes):
        opacity[: len(transparency)] = transparency[:256]
    elif isinstance(transparency, int):
        opacity[transparency & 0xFF] = 0
    seen: dict[bytes, int] = {}
    places = bytearray(256)
    for at, count in enumerate(image.histogram()[:256]):
        if count:
            colour = (held[3 * at : 3 * at + 3] if opacity[at] else bytes(3)) + opacity[at : at + 1]
            places[at] = seen.setdefault(colour, len(seen))
    # Taken as numbers of colours, and given the colours again: nothing of the old palette comes with it.
    made = Image.frombytes("L", image.size, image.tobytes()).point(list(places))
    made.putpalette(b"".join(colour[:3] for colour in seen))
    alphas = b"".join(colour[3:] for colour in seen)
    return made, alphas.rstrip(b"\xff") or None


def _clear(image: Image.Image) -> None:
    """Give every pixel that nobody sees no colour, in place: a second picture can stand under an opacity of 0."""
    unseen = image.getchannel("A").point([255] + [0] * 255)
    image.paste((0,) * len(image.getbands()), (0, 0, *image.size), unseen)


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn colours of another space into sRGB, which is what an image without a profile is read as."""
    if not profile or image.mode not in {"RGB", "RGBA"}:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB")) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
