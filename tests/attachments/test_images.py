from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from gateway.screening.remake import Remake
from tests.attachments.files import CANARY, jpeg, png

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def pieces(raw: bytes, step: int = 10_000) -> AsyncIterator[bytes]:
    """Yield a file as an upload does."""
    for at in range(0, len(raw), step):
        yield raw[at : at + step]


@pytest.fixture(name="remake")
async def _remake() -> AsyncIterator[Remake]:
    remake = Remake(1)
    yield remake
    await remake.close()


async def clean(remake: Remake, raw: bytes, media_type: str) -> bytes:
    """Return an image made anew."""
    return b"".join([piece async for piece in remake.remake(media_type, pieces(raw), "client")])


async def test_nothing_but_pixels_comes_through(remake: Remake) -> None:
    """No position, no comment, no text beside the image, nothing behind its end; a turn is made, not noted."""
    photo, drawing = jpeg(size=(320, 240), upright=False), png()
    assert all(CANARY.encode() in raw for raw in (photo, drawing))

    photo_out, drawing_out = (
        await clean(remake, photo + CANARY.encode(), "image/jpeg"),
        await clean(remake, drawing, "image/png"),
    )

    for raw, kind, size, mode in (
        (photo_out, "JPEG", (240, 320), "RGB"), (drawing_out, "PNG", (64, 64), "RGBA"),
    ):  # fmt: skip
        assert CANARY.encode() not in raw
        with Image.open(io.BytesIO(raw)) as found:
            assert (found.format, found.size, found.mode) == (kind, size, mode)
            assert not found.getexif()
            assert not {"comment", "exif", "icc_profile", "Author", "xmp"} & found.info.keys()
    assert b"Exif" not in photo_out
    assert 0.5 < len(photo_out) / len(photo) < 2, "the same tables make about the same size"
    with Image.open(io.BytesIO(drawing_out)) as found:
        assert found.getpixel((5, 5)) == (10, 20, 30, 128)


async def test_a_photograph_for_print_becomes_one_for_screens(remake: Remake) -> None:
    """Four inks are no JPEG that a browser shows right."""
    out = io.BytesIO()
    Image.new("CMYK", (32, 32), (0, 0, 0, 0)).save(out, "JPEG")
    with Image.open(io.BytesIO(await clean(remake, out.getvalue(), "image/jpeg"))) as found:
        assert (found.mode, found.getpixel((3, 3))) == ("RGB", (255, 255, 255))


HIDDEN = b"second picture"


async def test_no_colour_travels_that_no_pixel_shows(remake: Remake) -> None:
    """A palette holds what its pixels use, once each; what was invisible has no colour, and no second index."""
    drawing = Image.new("P", (8, 8))
    drawing.putpalette(bytes((200, 30, 40, 200, 30, 40, 9, 8, 7, 70, 80, 90)) + HIDDEN.ljust(600, b"!"))
    drawing.putdata([0, 1, 2, 3] * 16)
    out = io.BytesIO()
    drawing.save(out, "PNG", transparency=b"\xff\xff\x00\x80")
    assert HIDDEN in out.getvalue()

    raw = await clean(remake, out.getvalue(), "image/png")

    assert HIDDEN not in raw
    with Image.open(io.BytesIO(raw)) as found:
        assert found.mode == "P"
        palette = bytes(found.getpalette("RGB") or ()).rstrip(b"\0")
        assert {palette[at : at + 3] for at in range(0, len(palette), 3)} <= {
            bytes((200, 30, 40)), bytes(3), bytes((70, 80, 90)),
        }  # fmt: skip
        assert len(set(found.get_flattened_data())) == 3, "two names of one colour were a second picture"
        shown = list(found.convert("RGBA").get_flattened_data())
    assert shown == [(200, 30, 40, 255), (200, 30, 40, 255), (0, 0, 0, 0), (70, 80, 90, 128)] * 16


async def test_a_palette_without_transparency_keeps_its_pixels(remake: Remake) -> None:
    """Two hundred colours and one that is named invisible: the same picture as before."""
    drawing = Image.new("P", (16, 16))
    drawing.putpalette(bytes(range(256)) * 3)
    drawing.putdata(list(range(256)))
    for options in ({}, {"transparency": 7}):
        out = io.BytesIO()
        drawing.save(out, "PNG", **options)
        with Image.open(io.BytesIO(out.getvalue())) as before:
            wanted = [p if p[3] else (0, 0, 0, 0) for p in before.convert("RGBA").get_flattened_data()]
        with Image.open(io.BytesIO(await clean(remake, out.getvalue(), "image/png"))) as found:
            assert list(found.convert("RGBA").get_flattened_data()) == wanted


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
async def test_no_picture_travels_under_an_opacity_of_none(remake: Remake, mode: str) -> None:
    """Invisible pixels come out black; all others, the faintest too, as they were."""
    bands = len(mode)
    drawing = Image.new(mode, (4, 1))
    pixels = [(11,) * (bands - 1) + (0,), (22,) * (bands - 1) + (1,), (33,) * (bands - 1) + (255,), (44,) * bands]
    drawing.putdata(pixels)
    out = io.BytesIO()
    drawing.save(out, "PNG")
    with Image.open(io.BytesIO(await clean(remake, out.getvalue(), "image/png"))) as found:
        assert found.mode == mode
        assert list(found.get_flattened_data()) == [(0,) * bands, *pixels[1:]]


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that says it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("what", "raw", "media_type", "words"),
    [
        ("a page", b"<html></html>", "image/jpeg", "cannot be read"),
        ("an image of another kind", png(), "image/jpeg", "cannot be read"),
        ("half an image", jpeg()[:1500], "image/jpeg", "cannot be read"),
        ("nothing", b"", "image/png", "cannot be read"),
        ("fifty-one million pixels", bomb(51_000, 1_000), "image/png", "too many pixels"),
        ("more pixels than memory", bomb(2_000_000_000, 2_000_000_000), "image/png", "cannot be read|too many pixels"),
    ],
)
async def test_what_is_no_image_is_refused(remake: Remake, what: str, raw: bytes, media_type: str, words: str) -> None:
    """In words that quote nothing of it."""
    with pytest.raises(ValueError, match=words):
        await clean(remake, raw, media_type)
    assert what


def again_and_again(scans: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """Return a progressive photograph whose last scan stands there so often."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).save(out, "JPEG", progressive=True)
    raw = out.getvalue()
    last = raw.rindex(b"\xff\xda")
    return raw[:last] + raw[last:-2] * scans + b"\xff\xd9"


@pytest.mark.parametrize(
    ("what", "raw", "taken"),
    [
        ("a progressive photograph", again_and_again(1), True),
        ("one that goes over itself", again_and_again(20_000), False),
        ("one that goes over very much", again_and_again(30, (7000, 7000)), False),
        ("two photographs in one, as telephones write them", jpeg() + jpeg(), True),
        ("a photograph of fifty-one million pixels", jpeg().replace(b"\x00\xf0\x01\x40", b"\xff\xf0\x03\x40"), False),
    ],
)
async def test_what_a_decoder_would_do_is_counted_before_it_is_done(
    remake: Remake, what: str, raw: bytes, taken: bool
) -> None:
    """20,000 scans fit into two megabytes, and each is a walk over all pixels."""
    if taken:
        assert await clean(remake, raw, "image/jpeg"), what
        return
    with pytest.raises(ValueError, match="too many pixels, passes or parts"):
        await clean(remake, raw, "image/jpeg")
