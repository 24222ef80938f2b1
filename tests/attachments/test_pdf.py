from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

import pikepdf
import pytest

from gateway.screening import outcomes
from gateway.screening.outcomes import Refused
from gateway.screening.pdf import rebuild, set_limits
from tests.attachments.documents import (
    CATALOG,
    HEAD,
    PAGE,
    PAGES,
    SCRIPT,
    document,
    held,
    objects,
    packed,
    raw_stream,
    stream,
)
from tests.attachments.files import CANARY, jpeg, pdf

if TYPE_CHECKING:
    from collections.abc import Iterator

set_limits()

OPENS = b"/OpenAction 4 0 R"
HIDDEN = {1: CATALOG % OPENS, 4: SCRIPT}
INNER, ENTRIES = held(HIDDEN)
OBJECTS = b"/Type /ObjStm " + ENTRIES
FLATE = zlib.compress(INNER)
NOTHING = zlib.compress(b"", 1)
# What the PNG predictor Sub makes of it, in one row.
DIFFERENCES = bytes((b - a) % 256 for a, b in zip(bytes(1) + INNER, INNER, strict=False))
PROGRAM = (stream(b"MZ" + bytes(200)), b"<< /Type /Filespec /F (a.exe) /EF << /F 4 0 R >> >>")
IN_TREE = b"/Names << /EmbeddedFiles << /Names [(a) 5 0 R] >> >>"


def in_stream(holder: bytes, more: dict[int, bytes] | None = None) -> bytes:
    """Return a document that opens with a script; that it does, and the script, stand in this object stream."""
    return packed({2: PAGES, 3: PAGE % b""}, HIDDEN, holder, more)


SEVEN = {
    "an object stream filtered twice": in_stream(
        raw_stream(zlib.compress(FLATE), b"/Filter [/FlateDecode /FlateDecode] " + OBJECTS)
    ),
    "a decoy in the stream's dictionary": in_stream(
        raw_stream(FLATE, OBJECTS + b" /Filter /FlateDecode /Note (\nstream\n" + NOTHING + b"\nendstream\n)")
    ),
    "a filter given by reference": in_stream(
        raw_stream(zlib.compress(FLATE), b"/Filter [/FlateDecode 9 0 R] " + OBJECTS), {9: b"/FlateDecode"}
    ),
    "a filter's parameters given by reference": in_stream(
        raw_stream(zlib.compress(b"\1" + DIFFERENCES), b"/Filter /FlateDecode /DecodeParms 9 0 R " + OBJECTS),
        {9: b"<< /Predictor 11 /Columns %d >>" % len(INNER)},
    ),
    "an object stream of no type": in_stream(raw_stream(FLATE, b"/Filter /FlateDecode " + ENTRIES)),
    "a program in the tree of names": document(objects(IN_TREE, b"", *PROGRAM)),
    "a program in an annotation": document(
        objects(b"", b"/Annots [<< /Type /Annot /Subtype /FileAttachment /Rect [0 0 9 9] /FS 5 0 R >>]", *PROGRAM)
    ),
}  # fmt: skip


def mutations() -> Iterator[tuple[str, bytes]]:
    """Yield other spellings of the seven."""
    filters = (b"[/ASCIIHexDecode /FlateDecode]", b"[/ASCII85Decode /Fl]", b"[9 0 R /FlateDecode]")
    raw = (FLATE.hex().encode() + b">", None, zlib.compress(FLATE))
    for name, content in zip(filters, raw, strict=True):
        if content is not None:
            holder = raw_stream(content, b"/Filter %b " % name + OBJECTS)
            yield f"filters {name.decode()}", in_stream(holder, {9: b"/FlateDecode"})
    yield "a filter by an escaped name", in_stream(raw_stream(FLATE, b"/Filter /Fl#61teDecode " + OBJECTS))
    yield (
        "a type by an escaped name",
        in_stream(raw_stream(FLATE, b"/Filter /FlateDecode " + OBJECTS.replace(b"ObjStm", b"Obj#53tm"))),
    )
    yield "no filter at all", in_stream(raw_stream(INNER, OBJECTS))
    yield (
        "a predictor",
        in_stream(
            raw_stream(
                zlib.compress(b"\1" + DIFFERENCES),
                b"/Filter /FlateDecode /DecodeParms << /Predictor 11 /Columns %d >> " % len(INNER) + OBJECTS,
            )
        ),
    )
    yield "a program that nothing leads to", document(objects(b"", b"", *PROGRAM))
    yield "a program as an associated file", document(objects(b"/AF [5 0 R]", b"", *PROGRAM))
    yield "a portfolio", document(objects(b"/Collection << /View /D >>"))
    script = SCRIPT.replace(b"/JavaScript /JS", b"/J#61vaScript /#4aS")
    yield "a script by an escaped name", document(objects(OPENS, b"", script))
    yield "a script that nothing leads to", document(objects(b"", b"", SCRIPT))
    yield (
        "a script in the tree of names",
        document(objects(b"/Names << /JavaScript << /Names [(a) 4 0 R] >> >>", b"", SCRIPT)),
    )
    yield (
        "a script behind a link",
        document(objects(b"", b"/Annots [<< /Subtype /Link /Rect [0 0 9 9] /A 4 0 R >>]", SCRIPT)),
    )
    for kind in (b"Launch", b"SubmitForm", b"ImportData", b"GoToR", b"GoToE", b"Rendition", b"Movie", b"Unheard"):
        action = b"<< /S /%b /F (x) >>" % kind
        yield (
            f"a link of {kind.decode()}",
            document(objects(b"", b"/Annots [<< /Subtype /Link /Rect [0 0 9 9] /A %b >>]" % action)),
        )
    yield (
        "a chain of actions",
        document(
            objects(b"", b"/Annots [<< /Subtype /Link /Rect [0 0 9 9] /A << /S /GoTo /D (a) /Next 4 0 R >> >>]", SCRIPT)
        ),
    )
    yield "a place on the web, when it is opened", document(objects(b"/OpenAction << /S /URI /URI (x:) >>"))
    yield "an action of a page", document(objects(b"", b"/AA << /O 4 0 R >>", SCRIPT))
    yield (
        "a form of another language",
        document(objects(b"/AcroForm << /Fields [] /XFA 4 0 R >>", b"", stream(b"<x/>"))),
    )
    for kind in (b"RichMedia", b"Screen", b"Movie", b"Sound", b"3D", b"Unheard"):
        yield (
            f"an annotation of {kind.decode()}",
            document(objects(b"", b"/Annots [<< /Type /Annot /Subtype /%b /Rect [0 0 9 9] >>]" % kind)),
        )
    yield "content in another file", document(objects(b"", b"", b"<< /F (x) /Length 0 >>\nstream\n\nendstream"))
    base = document(objects())
    yield "a script in a later edition", edition(base, 1, CATALOG % b"/OpenAction << /S /JavaScript /JS (x) >>")


def edition(base: bytes, number: int, content: bytes) -> bytes:
    """Return a document with an object replaced at its end."""
    before = int(base.rsplit(b"startxref\n", 1)[1].split()[0])
    text = base + b"%d 0 obj\n%b\nendobj\n" % (number, content)
    cross = b"xref\n%d 1\n%010d 00000 n \ntrailer << /Size 4 /Root 1 0 R /Prev %d >>\n" % (number, len(base), before)
    return text + cross + b"startxref\n%d\n%%%%EOF\n" % len(text)


def code(raw: bytes) -> int:
    """Return how a job with this document ends."""
    try:
        rebuild(raw)
    except Refused as why:
        return why.code
    return outcomes.DONE


def graph(raw: bytes) -> set[str]:
    """Return every name in every object of a document: what any reader may act on."""
    found: set[str] = set()
    with pikepdf.open(io.BytesIO(raw)) as opened:
        todo = [opened.trailer, *opened.objects]
        while todo:
            part = todo.pop()
            if isinstance(part, (pikepdf.Dictionary, pikepdf.Stream)):
                found |= set(part.keys())
                todo += [value for _, value in part.items() if not getattr(value, "is_indirect", False)]
            elif isinstance(part, pikepdf.Array):
                todo += [value for value in part if not getattr(value, "is_indirect", False)]
            elif isinstance(part, pikepdf.Name):
                found.add(str(part))
    return found


MUTATIONS = list(mutations())


@pytest.mark.parametrize("what", SEVEN)
def test_seven_documents_that_once_went_through_act_and_are_refused(what: str) -> None:
    """Each opens in a reader, which finds the script or the program."""
    found = graph(SEVEN[what])
    assert {"/JavaScript", "/EF"} & found
    assert code(SEVEN[what]) == outcomes.ACTIVE


@pytest.mark.parametrize(("what", "raw"), MUTATIONS, ids=[what for what, _ in MUTATIONS])
def test_what_acts_is_refused_however_it_is_written(what: str, raw: bytes) -> None:
    """Also where nothing leads to it."""
    assert code(raw) == outcomes.ACTIVE, what


@pytest.mark.parametrize(
    ("what", "raw", "wanted"),
    [
        ("encrypted for nobody", document(objects(), b"/ID [(a)(b)] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 "
            b"/O (12345678901234567890123456789012) /U (12345678901234567890123456789012) >>"), outcomes.HIDDEN),
        ("packed for a reader with a plug-in", document(objects(b"", b"", raw_stream(b"x", b"/Filter /Crypt"))),
            outcomes.UNSUPPORTED),
        ("an image that is not decoded here", document(objects(b"", b"", raw_stream(
            b"x", b"/Type /XObject /Subtype /Image /Width 9 /Height 9 /Filter /JBIG2Decode"))), outcomes.UNSUPPORTED),
        ("packed, but not as it says", document(objects(b"", b"", raw_stream(b"xx", b"/Filter /FlateDecode"))),
            outcomes.HIDDEN),
        ("an object stream that does not unpack", in_stream(raw_stream(b"xx", b"/Filter /FlateDecode " + OBJECTS)),
            outcomes.DAMAGED),
        ("no cross-reference", document(objects()).rpartition(b"startxref")[0], outcomes.DAMAGED),
        ("a cross-reference that leads to itself", document(objects(), b"/Prev %d " % document(objects()).index(
            b"xref\n0")), outcomes.DAMAGED),
        ("pages that contain themselves", document({
            1: CATALOG % b"", 2: b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"}), outcomes.DAMAGED),
        ("cut short", document(objects())[:120], outcomes.DAMAGED),
        ("no pages", document({1: b"<< /Type /Catalog >>"}), outcomes.DAMAGED),
        ("a list in a list in a list", document(objects(b"/X " + b"[" * 400 + b"]" * 400)), outcomes.TOO_LARGE),
        ("eighty megabytes in eighty thousand bytes", document(objects(b"", b"", stream(bytes(80 << 20)))),
            outcomes.HIDDEN),
        ("a name three million times", packed(objects(), {4: b""}, raw_stream(zlib.compress(
            b"4 0 [" + b"/A" * 3_000_000 + b"]"), b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode")),
            outcomes.DAMAGED),
        ("a drawing of three billion pixels", document(objects(b"", b"", stream(
            b"x", b"/Type /XObject /Subtype /Image /Width 60000 /Height 60000 /ColorSpace /DeviceGray"))),
            outcomes.TOO_LARGE),
        ("a photograph that goes over itself", document(objects(b"", b"", raw_stream(
            jpeg().replace(b"\xff\xd9", b"") + b"\xff\xda\x00\x03\x00\x00" * 200 + b"\xff\xd9",
            b"/Type /XObject /Subtype /Image /Width 320 /Height 240 /Filter /DCTDecode"))), outcomes.TOO_LARGE),
        ("more pages than anybody reads", document({1: CATALOG % b"", 2: b"<< /Type /Pages /Kids [%b] /Count 2001 >>"
            % b" ".join(b"%d 0 R" % n for n in range(3, 2004)), **dict.fromkeys(range(3, 2004), PAGE % b"")}),
            outcomes.TOO_LARGE),
    ],
)  # fmt: skip
def test_what_hides_or_is_too_much_is_refused(what: str, raw: bytes, wanted: int) -> None:
    """What cannot be looked into is not sent on as harmless."""
    assert code(raw) == wanted, what


def drawn() -> bytes:
    """Return a document as offices make them: text, a photograph, a link, a form field, a layer, and much beside."""
    photo = raw_stream(
        jpeg(),
        b"/Type /XObject /Subtype /Image /Width 320 /Height 240 /BitsPerComponent 8 /ColorSpace /DeviceRGB "
        b"/Filter /DCTDecode /Metadata 9 0 R",
    )
    look = stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /PieceInfo << /X << >> >>")
    found = {
        1: CATALOG % (
            b"/OpenAction [3 0 R /Fit] /Metadata 9 0 R /Lang (id) /OCProperties << /OCGs [8 0 R] /D << /OFF [8 0 R] "
            b"/Order [8 0 R] >> >> /AcroForm << /Fields [10 0 R] >>"
        ),
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 300 400] /Rotate 90 >>",
        3: b"<< /Type /Page /Parent 2 0 R /Contents [4 0 R 5 0 R] /Resources << /Font << /F1 6 0 R >> /XObject "
        b"<< /I 7 0 R >> /Properties << /L 8 0 R >> >> /Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] "
        b"/A << /S /URI /URI (https://example.org) >> >> 10 0 R] /Thumb 7 0 R /PieceInfo << >> /Tabs /S >>",
        4: stream(b"BT /F1 12 Tf (Sumarni"),
        5: stream(b") Tj ET /I Do"),
        6: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Unheard 9 0 R >>",
        7: photo,
        8: b"<< /Type /OCG /Name (Draft) >>",
        9: stream(CANARY.encode(), b"/Type /Metadata /Subtype /XML"),
        10: b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (Sumarni) /Rect [0 0 9 9] /AP << /N 11 0 R >> >>",
        11: look,
        12: b"<< /Author (%b) >>" % CANARY.encode(),
    }  # fmt: skip
    return document(found, b"/Info 12 0 R") + b"PK\3\4" + CANARY.encode()


def test_what_is_written_is_new() -> None:
    """Pages, pixels, text and layers stay; whatever tells of people or leads elsewhere does not, nor what follows."""
    raw = drawn()
    made = rebuild(raw)

    assert CANARY.encode() in raw
    assert rebuild(raw) == made, "the same every time"
    assert not {
        "/URI",
        "/A",
        "/Annots",
        "/AcroForm",
        "/Metadata",
        "/PieceInfo",
        "/Unheard",
        "/Thumb",
        "/Author",
    } & graph(made)
    assert b"PK\3\4" not in made
    with pikepdf.open(io.BytesIO(made)) as opened:
        [page] = opened.pages
        assert ([int(side) for side in page.mediabox], page.obj.Rotate) == ([0, 0, 300, 400], 90)
        assert b"(Sumarni\n) Tj" in page.obj.Contents.read_bytes()
        assert len(page.obj.Resources.XObject.keys()) == 2, "the form field is drawn into its page"
        photo = page.obj.Resources.XObject["/I"].read_raw_bytes()
        assert photo.startswith(b"\xff\xd8\xff")
        assert b"Exif" not in photo
        assert page.obj.Resources.Properties["/L"].objgen == opened.Root.OCProperties.D.OFF[0].objgen
        assert all(CANARY.encode() not in part.read_bytes() for part in opened.objects
                   if isinstance(part, pikepdf.Stream) and "/Width" not in part)  # fmt: skip
    assert rebuild(made) == made, "made anew once more it is the same"


@pytest.mark.parametrize(
    ("what", "raw"),
    [
        ("a page", pdf()),
        ("a page without resources", document(objects()).replace(b"/Resources << >>", b"                ")),
        ("a script in an edition that was replaced", edition(pdf(catalog=OPENS), 1, CATALOG % b"")),
        ("a script behind the end", pdf() + b"9 0 obj " + SCRIPT + b" endobj"),
        ("a script in a comment", document(objects(), start=HEAD + b"% 9 0 obj " + SCRIPT + b" endobj\n")),
        ("names that only begin like others", pdf(b"<< /JSON 1 /AAB 2 /LaunchPad 3 >>")),
        ("an action that is not there", pdf(catalog=b"/OpenAction 9 0 R")),
        ("a drawing that spells names", pdf(stream(b"/JS /AA /OpenAction"))),
    ],
)  # fmt: skip
def test_a_plain_document_passes_without_what_is_no_page(what: str, raw: bytes) -> None:
    """Nothing that acts is in what is written."""
    assert not {"/JS", "/JavaScript", "/OpenAction", "/AA", "/JSON"} & graph(rebuild(raw)), what
