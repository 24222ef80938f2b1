"""A program of its own: an image on stdin, its pixels as a new file of the same type on stdout.

Decoders are where hostile files bite, so this runs apart: bounded memory, time and pixels, no file, no network
use, and it dies with whoever started it. Exit codes: 0 done, 3 not an image that can be read, 4 too many pixels.
Started as `python -I reencode.py image/jpeg`; it imports nothing of ours.
"""

import ctypes
import io
import os
import resource
import signal
import sys

from PIL import Image, ImageCms, ImageOps
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

UNREADABLE = 3
TOO_LARGE = 4
PIXELS_MOST = 50_000_000  # an A4 page at 600 dpi has 35 million
MEMORY_MOST = 1024 * 1024 * 1024
SECONDS_MOST = 30
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
PR_SET_PDEATHSIG = 1


def confine() -> None:
    """Give up what a decoder does not need."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(UNREADABLE)
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_MOST),
        (resource.RLIMIT_CPU, SECONDS_MOST),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (most, most))


def clean(raw: bytes, kind: str) -> bytes:
    """Return the pixels of an image as a new file: upright, in sRGB, without anything that stood beside them."""
    Image.MAX_IMAGE_PIXELS = PIXELS_MOST
    with Image.open(io.BytesIO(raw), formats=[kind]) as found:
        if found.width * found.height > PIXELS_MOST:
            raise Image.DecompressionBombError
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


def main() -> int:
    """Read, clean, write."""
    kind = FORMATS[sys.argv[1]]
    Image.preinit()
    confine()
    raw = sys.stdin.buffer.read()
    try:
        sys.stdout.buffer.write(clean(raw, kind))
        sys.stdout.buffer.flush()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return TOO_LARGE
    except Exception:  # noqa: BLE001 - whatever a decoder raises, the file is at fault, and its text may quote it
        return UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
