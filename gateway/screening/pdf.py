"""A PDF made anew from what a harmless document is made of (ISO 32000-1); a job of the worker.

1. qpdf reads it, without guessing: what is damaged or encrypted is refused. No second reader decides what it holds.
2. Every object is looked at and every stream decoded, those that no page leads to as well. What acts, carries other
   files or cannot be decoded refuses the whole.
3. What is written is new: pages, and below them only the entries of `_KINDS`. Annotations and form fields are drawn
   into their pages. Links, outlines, metadata, structure and everything unknown stay behind.

So a script that (2) does not know by name is still not in what is written.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import pikepdf
import pikepdf.settings
from pikepdf import Array, Dictionary, Name, Object, Pdf, Stream

from gateway.screening import jpeg
from gateway.screening.outcomes import ACTIVE, DAMAGED, HIDDEN, TOO_LARGE, UNREADABLE, UNSUPPORTED, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

OBJECTS_MOST: Final = 200_000
PARTS_MOST: Final = 2_000_000
PAGES_MOST: Final = 2_000
DEPTH_MOST: Final = 60
STREAM_MOST: Final = 64 * 1024 * 1024
DECODED_MOST: Final = 384 * 1024 * 1024
PIXELS_MOST: Final = 50_000_000
SCANS_MOST: Final = 100
VERSION: Final = "1.7"

# --- (2) what is refused -----------------------------------------------------------------------------

_ACTING: Final = frozenset(
    {"/JS", "/JavaScript", "/AA", "/EF", "/EmbeddedFiles", "/AF", "/XFA", "/Collection", "/RichMediaContent"}
    | {"/RichMediaSettings", "/Launch", "/Encrypt"}
)
_ACTING_TYPES: Final = frozenset(
    {"/EmbeddedFile", "/EmbeddedFiles", "/Rendition", "/MediaClip", "/Sound", "/3D", "/RichMedia", "/PS"}
)
_ACTIONS: Final = frozenset({"/GoTo", "/URI", "/Named", "/Thread"})
_OTHER_ACTIONS: Final = frozenset(
    {"/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/ResetForm", "/Rendition", "/Sound", "/Movie", "/GoToE"}
    | {"/GoToR", "/GoTo3DView", "/RichMediaExecute", "/Hide", "/SetOCGState", "/GoToDp"}
)
_ANNOTATIONS: Final = frozenset(
    {"/Text", "/Link", "/FreeText", "/Line", "/Square", "/Circle", "/Polygon", "/PolyLine", "/Highlight"}
    | {"/Underline", "/Squiggly", "/StrikeOut", "/Redact", "/Stamp", "/Caret", "/Ink", "/Popup", "/Widget"}
    | {"/PrinterMark", "/TrapNet", "/Watermark"}
)
_NAME_TREES: Final = frozenset({"/Dests", "/Pages", "/Templates", "/IDS", "/URLS", "/AP"})
# What qpdf decodes by itself; an image may be packed in two more.
_FILTERS: Final = frozenset(
    {"/FlateDecode", "/LZWDecode", "/ASCIIHexDecode", "/ASCII85Decode", "/RunLengthDecode"}
    | {"/Fl", "/LZW", "/AHx", "/A85", "/RL"}
)
_DCT: Final = frozenset({"/DCTDecode", "/DCT"})
_FAX: Final = frozenset({"/CCITTFaxDecode", "/CCF"})

# Told of documents that every reader reads alike.
_HARMLESS: Final = ("Resources is missing", "reported number of objects")

# --- (3) what is kept --------------------------------------------------------------------------------

_PLAIN: Final = "plain"
_Kind = str
_KINDS: Final[Mapping[_Kind, Mapping[str, _Kind]]] = {
    "page": {
        **dict.fromkeys(("/MediaBox", "/CropBox", "/BleedBox", "/TrimBox", "/ArtBox", "/Rotate", "/UserUnit"), _PLAIN),
        "/Resources": "resources", "/Group": "group",
    },
    "resources": {
        "/Font": "font*", "/XObject": "xobject*", "/ColorSpace": "colours*", "/ExtGState": "state*",
        "/Pattern": "pattern*", "/Shading": "shading*", "/Properties": "layer*", "/ProcSet": _PLAIN,
    },
    "group": {**dict.fromkeys(("/Type", "/S", "/I", "/K"), _PLAIN), "/CS": "colours"},
    "layer": {**dict.fromkeys(("/Type", "/Name", "/Intent", "/P"), _PLAIN), "/OCGs": "layer", "/VE": "layer"},
    "layers": {"/OCGs": "layer", "/D": "shown"},
    "shown": {
        **dict.fromkeys(("/BaseState", "/Intent", "/ListMode"), _PLAIN),
        **dict.fromkeys(("/ON", "/OFF", "/Order", "/RBGroups", "/Locked"), "layer"),
    },
    "state": {
        **dict.fromkeys(
            ("/Type", "/LW", "/LC", "/LJ", "/ML", "/D", "/RI", "/OP", "/op", "/OPM", "/FL", "/SM", "/SA", "/BM", "/CA",
             "/ca", "/AIS", "/TK"), _PLAIN),
        "/Font": "font", "/SMask": "softmask",
        **dict.fromkeys(("/BG", "/BG2", "/UCR", "/UCR2", "/TR", "/TR2"), "function"),
    },
    "softmask": {**dict.fromkeys(("/Type", "/S", "/BC"), _PLAIN), "/G": "xobject", "/TR": "function"},
    "font": {
        **dict.fromkeys(
            ("/Type", "/Subtype", "/BaseFont", "/Name", "/FirstChar", "/LastChar", "/Widths", "/FontBBox",
             "/FontMatrix", "/DW", "/W", "/DW2", "/W2"), _PLAIN),
        "/CIDSystemInfo": "system", "/FontDescriptor": "descriptor", "/Encoding": "encoding", "/ToUnicode": "cmap",
        "/DescendantFonts": "font", "/CIDToGIDMap": "data", "/CharProcs": "glyph*", "/Resources": "resources",
    },
    "system": dict.fromkeys(("/Registry", "/Ordering", "/Supplement"), _PLAIN),
    "descriptor": {
        **dict.fromkeys(
            ("/Type", "/FontName", "/FontFamily", "/FontStretch", "/FontWeight", "/Flags", "/FontBBox", "/ItalicAngle",
             "/Ascent", "/Descent", "/Leading", "/CapHeight", "/XHeight", "/StemV", "/StemH", "/AvgWidth", "/MaxWidth",
             "/MissingWidth", "/CharSet", "/Lang"), _PLAIN),
        **dict.fromkeys(("/FontFile", "/FontFile2", "/FontFile3"), "program"), "/CIDSet": "data",
    },
    "program": dict.fromkeys(("/Length1", "/Length2", "/Length3", "/Subtype"), _PLAIN),
    "encoding": {
        **dict.fromkeys(("/Type", "/BaseEncoding", "/Differences", "/CMapName", "/WMode"), _PLAIN),
        "/CIDSystemInfo": "system", "/UseCMap": "encoding",
    },
    "cmap": {
        **dict.fromkeys(("/Type", "/CMapName", "/WMode"), _PLAIN), "/CIDSystemInfo": "system", "/UseCMap": "cmap",
    },
    "glyph": {},
    "data": {},
    "xobject": {
        **dict.fromkeys(
            ("/Type", "/Subtype", "/FormType", "/BBox", "/Matrix", "/Width", "/Height", "/BitsPerComponent", "/Intent",
             "/ImageMask", "/Decode", "/Interpolate", "/Matte", "/Name"), _PLAIN),
        "/Resources": "resources", "/Group": "group", "/ColorSpace": "colours", "/Mask": "xobject",
        "/SMask": "xobject", "/OC": "layer",
    },
    "fax": dict.fromkeys(
        ("/K", "/EndOfLine", "/EncodedByteAlign", "/Columns", "/Rows", "/EndOfBlock", "/BlackIs1",
         "/DamagedRowsBeforeError"), _PLAIN),
    "dct": {"/ColorTransform": _PLAIN},
    "colours": {
        **dict.fromkeys(
            ("/WhitePoint", "/BlackPoint", "/Gamma", "/Matrix", "/Range", "/N", "/Subtype", "/Components"), _PLAIN),
        **dict.fromkeys(
            ("/FunctionType", "/Domain", "/C0", "/C1", "/Bounds", "/Encode", "/Decode", "/Size", "/BitsPerSample",
             "/Order"), _PLAIN),
        "/Functions": "function", "/Alternate": "colours", "/Colorants": "colours*", "/Process": "colours",
        "/ColorSpace": "colours",
    },
    "function": {
        **dict.fromkeys(
            ("/FunctionType", "/Domain", "/Range", "/C0", "/C1", "/N", "/Bounds", "/Encode", "/Decode", "/Size",
             "/BitsPerSample", "/Order"), _PLAIN),
        "/Functions": "function",
    },
    "pattern": {
        **dict.fromkeys(
            ("/Type", "/PatternType", "/PaintType", "/TilingType", "/BBox", "/XStep", "/YStep", "/Matrix"), _PLAIN),
        "/Resources": "resources", "/Shading": "shading", "/ExtGState": "state",
    },
    "shading": {
        **dict.fromkeys(
            ("/ShadingType", "/Background", "/BBox", "/AntiAlias", "/Domain", "/Matrix", "/Coords", "/Extend",
             "/BitsPerCoordinate", "/BitsPerComponent", "/BitsPerFlag", "/Decode", "/VerticesPerRow"), _PLAIN),
        "/ColorSpace": "colours", "/Function": "function",
    },
}  # fmt: skip
_INHERITED: Final = ("/Resources", "/MediaBox", "/CropBox", "/Rotate")
_DEFAULT_BOX: Final = (0, 0, 612, 792)


def set_limits() -> None:
    """Bound what qpdf does by itself; once a process."""
    pikepdf.settings.set_qpdf_limits(
        doc_max_warnings=100, parser_max_container_size=500_000, max_stream_filters=8, flate_max_memory=STREAM_MOST,
        png_max_memory=STREAM_MOST, tiff_max_memory=STREAM_MOST, run_length_max_memory=STREAM_MOST,
    )  # fmt: skip


def rebuild(raw: bytes) -> bytes:
    """Return the document made anew. Raises Refused."""
    try:
        with pikepdf.open(io.BytesIO(raw), attempt_recovery=False, suppress_warnings=True) as source:
            if source.is_encrypted:
                raise Refused(HIDDEN)
            _Inspection().of(source)
            return _made_anew(source)
    except pikepdf.PasswordError:
        raise Refused(HIDDEN) from None
    except (pikepdf.PdfError, pikepdf.DependencyError, RecursionError):
        raise Refused(DAMAGED) from None


class _Inspection:
    """Looks at every object, once."""

    def __init__(self) -> None:
        self._parts = 0
        self._decoded = 0

    def of(self, source: Pdf) -> None:
        """Raise Refused for what acts, hides or is too much."""
        if len(source.objects) > OBJECTS_MOST:
            raise Refused(TOO_LARGE)
        self._look(source.trailer)
        self._catalog(source.Root)
        for part in source.objects:
            self._look(part)
        # An object stream that does not unpack, a length that is wrong: what another reader finds there, nobody knows.
        if not all(any(harmless in warning for harmless in _HARMLESS) for warning in map(str, source.get_warnings())):
            raise Refused(DAMAGED)
        for number, page in enumerate(source.pages):
            if number >= PAGES_MOST:
                raise Refused(TOO_LARGE)
            for annotation in _items(page.obj.get("/Annots")):
                if not _is_dictionary(annotation) or _text(annotation.get("/Subtype")) not in _ANNOTATIONS:
                    raise Refused(ACTIVE)

    def _catalog(self, root: Object) -> None:
        opened = root.get("/OpenAction")
        if _is_dictionary(opened) and _text(opened.get("/S")) != "/GoTo":
            raise Refused(ACTIVE)
        trees = root.get("/Names")
        if _is_dictionary(trees) and not set(trees.keys()) <= _NAME_TREES:
            raise Refused(ACTIVE)

    def _look(self, part: Object) -> None:
        """Look at one object and what stands in it; what it refers to comes by itself."""
        todo: list[tuple[Any, int]] = [(part, 0)]
        while todo:
            found, depth = todo.pop()
            self._count(1)
            if depth > DEPTH_MOST:
                raise Refused(TOO_LARGE)
            if isinstance(found, Stream):
                self._stream(found)
            if _is_dictionary(found):
                self._dictionary(found)
                self._count(len(found.keys()))
                todo += [(value, depth + 1) for _, value in found.items() if _is_inside(value)]
            elif isinstance(found, Array):
                self._count(len(found))
                todo += [(value, depth + 1) for value in found if _is_inside(value)]

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > PARTS_MOST:
            raise Refused(TOO_LARGE)

    def _dictionary(self, found: Object) -> None:
        if not _ACTING.isdisjoint(found.keys()):
            raise Refused(ACTIVE)
        if {_text(found.get(key)) for key in ("/Type", "/Subtype", "/S")} & (_ACTING_TYPES | _OTHER_ACTIONS):
            raise Refused(ACTIVE)
        if _text(found.get("/Type")) == "/Annot" and _text(found.get("/Subtype")) not in _ANNOTATIONS:
            raise Refused(ACTIVE)
        for key in ("/A", "/PA", "/Next"):
            for action in _items(found.get(key)):
                is_action = _is_dictionary(action) and ("/S" in action or _text(action.get("/Type")) == "/Action")
                if is_action and _text(action.get("/S")) not in _ACTIONS:
                    raise Refused(ACTIVE)

    def _stream(self, found: Stream) -> None:
        if "/F" in found:
            # Its content stands in another file.
            raise Refused(ACTIVE)
        filters = [_text(name) for name in _items(found.get("/Filter"))]
        coded = [place for place, name in enumerate(filters) if name not in _FILTERS]
        if coded and (coded != [len(filters) - 1] or filters[-1] not in _DCT | _FAX):
            raise Refused(UNSUPPORTED)
        content = found.read_raw_bytes() if coded == [0] else _decoded(found, coded=bool(coded))
        self._decoded += len(content)
        if len(content) > STREAM_MOST or self._decoded > DECODED_MOST:
            raise Refused(TOO_LARGE)
        if filters and filters[-1] in _DCT:
            _judge_photograph(content)
        if _number(found.get("/Width")) * _number(found.get("/Height")) > PIXELS_MOST:
            raise Refused(TOO_LARGE)


def _decoded(found: Stream, *, coded: bool) -> bytes:
    """Return a stream's content; of a photograph, the file that it is."""
    level = pikepdf.StreamDecodeLevel.generalized
    try:
        if not coded:
            return found.read_bytes(level)
        inner = Pdf.new()
        outer = Stream(inner, found.read_raw_bytes())
        filters, parameters = _items(found.get("/Filter")), _items(found.get("/DecodeParms"))
        outer.Filter = Array([Name(_text(name)) for name in filters[:-1]])
        if parameters:
            outer.DecodeParms = Array([_copied_plainly(p) for p in parameters[:-1]])
        return outer.read_bytes(level)
    except pikepdf.PdfError:
        raise Refused(HIDDEN) from None


def _judge_photograph(content: bytes) -> None:
    try:
        cost = jpeg.cost(content)
    except ValueError:
        raise Refused(UNREADABLE) from None
    if cost.pixels > PIXELS_MOST or cost.scans > SCANS_MOST:
        raise Refused(TOO_LARGE)


def _made_anew(source: Pdf) -> bytes:
    source.generate_appearance_streams()
    source.flatten_annotations("all")
    with Pdf.new() as target:
        copy = _Copy(target)
        for page in source.pages:
            target.pages.append(pikepdf.Page(copy.page(page.obj)))
        layers = source.Root.get("/OCProperties")
        if _is_dictionary(layers):
            target.Root.OCProperties = copy.of(layers, "layers")
        out = io.BytesIO()
        target.save(
            out, deterministic_id=True, force_version=VERSION, compress_streams=True,
            object_stream_mode=pikepdf.ObjectStreamMode.generate, fix_metadata_version=False,
        )  # fmt: skip
    return out.getvalue()


class _Copy:
    """Copies what `_KINDS` names into a new document; an object that is used twice stays one."""

    def __init__(self, target: Pdf) -> None:
        self._target = target
        self._done: dict[tuple[tuple[int, int], _Kind], Object] = {}
        self._depth = 0

    def page(self, found: Object) -> Object:
        """Return a page, with what it inherits, and with its contents as one stream."""
        made = self._entries(Dictionary(Type=Name.Page), found, "page")
        for key in _INHERITED:
            if key not in made and (value := _inherited(found, key)) is not None:
                made[key] = self.of(value, _KINDS["page"][key])
        if "/MediaBox" not in made:
            made["/MediaBox"] = Array(_DEFAULT_BOX)
        parts = [part.read_bytes() for part in _items(found.get("/Contents")) if isinstance(part, Stream)]
        made["/Contents"] = self._target.make_indirect(Stream(self._target, b"\n".join(parts)))
        return self._target.make_indirect(made)

    def of(self, found: Any, kind: _Kind) -> Any:
        """Return a copy of one object. Raises Refused where it goes too deep."""
        if not isinstance(found, Object) or not found.is_indirect:
            return self._copied(found, kind)
        key = (found.objgen, kind)
        if key not in self._done:
            # In its place before what is below it: an object may lead back to itself.
            empty = Stream(self._target, b"") if isinstance(found, Stream) else Dictionary()
            self._done[key] = self._target.make_indirect(empty)
            made = self._copied(found, kind, self._done[key])
            if made is not self._done[key]:
                self._done[key] = made
        return self._done[key]

    def _copied(self, found: Any, kind: _Kind, into: Object | None = None) -> Any:
        self._depth += 1
        if self._depth > DEPTH_MOST:
            raise Refused(TOO_LARGE)
        try:
            if kind == _PLAIN:
                return _copied_plainly(found)
            if isinstance(found, Array):
                return Array([self.of(item, kind) for item in found])
            if isinstance(found, Stream):
                made = into if into is not None else self._target.make_indirect(Stream(self._target, b""))
                return self._stream(made, found, kind)
            if _is_dictionary(found):
                return self._entries(into if into is not None else Dictionary(), found, kind)
            return _copied_plainly(found)
        finally:
            self._depth -= 1

    def _entries(self, made: Object, found: Object, kind: _Kind) -> Object:
        if kind.endswith("*"):
            for key, value in found.items():
                made[key] = self.of(value, kind[:-1])
            return made
        known = _KINDS[kind]
        for key, value in found.items():
            if key in known:
                made[key] = self.of(value, known[key])
        return made

    def _stream(self, made: Object, found: Stream, kind: _Kind) -> Object:
        filters = [_text(name) for name in _items(found.get("/Filter"))]
        if filters and filters[-1] in _DCT | _FAX:
            self._image(made, found, filters)
        else:
            made.write(found.read_bytes(pikepdf.StreamDecodeLevel.generalized))
        self._entries(made, found, kind)
        return made

    def _image(self, made: Object, found: Stream, filters: list[str]) -> None:
        content = found.read_raw_bytes() if len(filters) == 1 else _decoded(found, coded=True)
        fax = filters[-1] in _FAX
        parameters = _items(found.get("/DecodeParms"))
        last = parameters[-1] if parameters else None
        kept = Dictionary()
        if _is_dictionary(last):
            self._entries(kept, last, "fax" if fax else "dct")
        name = Name.CCITTFaxDecode if fax else Name.DCTDecode
        made.write(content if fax else jpeg.bare(content), filter=name, decode_parms=kept if len(kept.keys()) else None)


def _copied_plainly(found: Any, depth: int = 0) -> Any:
    """Return numbers, names, texts and lists of them; of anything else, nothing."""
    if depth > DEPTH_MOST:
        raise Refused(TOO_LARGE)
    if isinstance(found, Array):
        return Array([_copied_plainly(item, depth + 1) for item in found])
    if isinstance(found, Stream):
        return None
    if _is_dictionary(found):
        return Dictionary({key: _copied_plainly(value, depth + 1) for key, value in found.items()})
    if isinstance(found, Name):
        return Name(str(found))
    return pikepdf.String(bytes(found)) if isinstance(found, pikepdf.String) else found


def _inherited(page: Object, key: str) -> Object | None:
    node: Object | None = page
    for _ in range(DEPTH_MOST):
        node = node.get("/Parent") if node is not None else None
        if not _is_dictionary(node):
            return None
        if key in node:
            return node[key]
    raise Refused(TOO_LARGE)


def _is_dictionary(found: object) -> TypeGuard[Object]:
    """Say whether this has entries: a dictionary, or a stream by its own."""
    return isinstance(found, (Dictionary, Stream))


def _is_inside(value: object) -> bool:
    return isinstance(value, Object) and not value.is_indirect and (_is_dictionary(value) or isinstance(value, Array))


def _items(found: object) -> list[Any]:
    if found is None:
        return []
    return list(found) if isinstance(found, Array) else [found]


def _text(found: object) -> str:
    return str(found) if isinstance(found, Name) else ""


def _number(found: object) -> int:
    return found if isinstance(found, int) else 0
