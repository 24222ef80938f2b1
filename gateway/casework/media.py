"""Files as they pass (P20): first bytes against the declared media type, and no PDF that acts.

Fed piece by piece, so that a file of any size is judged in little memory.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

from gateway.errors import Finding

if TYPE_CHECKING:
    from gateway.casework.codelists import CodeLists

TYPES_LIST: Final = "attachmentType"
ORIGINAL: Final = "EVIDENTIAL_ORIGINAL"
ORIGINAL_MEDIA: Final = "application/octet-stream"
PDF: Final = "application/pdf"
IMAGES: Final = frozenset({"image/jpeg", "image/png"})

_MAGIC: Final = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    PDF: (b"%PDF-",),
    "application/json": (b"{", b"["),
}
# Only a JSON text may begin with white space or a byte order mark.
_BLANK: Final = b"\xef\xbb\xbf \r\n\t"
HEAD_BYTES: Final = 1024

WRONG_TYPE: Final = "the content is not of the declared media type"
ACTIVE: Final = "the document holds scripts, actions or other files"
HIDDEN: Final = "parts of the document cannot be looked into: it is encrypted, or packed in a way not read here"

# Names (PDF 32000-1 §7.3.5) that make a document act or carry other files.
_ACTIVE: Final = frozenset(
    {b"/JavaScript", b"/JS", b"/Launch", b"/EmbeddedFile", b"/OpenAction", b"/AA", b"/RichMedia", b"/XFA"}
)
# What says how a stream is packed; only object streams hold objects, and only plain Flate is looked into.
_PACKING: Final = frozenset({b"/ObjStm", b"/Predictor", b"/Crypt"})
_SHORT: Final = frozenset({b"/JS", b"/AA"})
_NAME_REST: Final = rb"[^\x00\t\n\f\r ()<>\[\]{}/%]{1,200}"
_TOKEN: Final = re.compile(rb"/" + _NAME_REST + rb"|\bendstream\b|\bstream[ \t]*(?:\r\n|\n|\r)|(?<=[\s\x00])obj\b")
_NAME: Final = re.compile(rb"/" + _NAME_REST)
_ESCAPED: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
# A token is at most this long; what may be the beginning of one is kept for the next piece.
_TOKEN_BYTES: Final = 256
_INFLATE_STEP: Final = 64 * 1024
_INFLATED_MOST: Final = 64 * 1024 * 1024


def type_faults(codelists: CodeLists, attachment_type: str, media_type: str, length: int) -> list[Finding]:
    """Return why a file may not be of this type: unknown (E-CODE), media type (E-MEDIA), size (E-SIZE)."""
    listed = codelists.find(TYPES_LIST, attachment_type)
    if listed is None:
        return [Finding("/meta/attachmentType", f"is no code of the list {TYPES_LIST}", "E-CODE")]
    found = []
    media, most = listed.attributes.get("media"), listed.attributes.get("maxBytes")
    if isinstance(media, list) and media_type not in media:
        found.append(Finding("/meta/mediaType", f"this kind of file is {' or '.join(media)}", "E-MEDIA"))
    if isinstance(most, int) and length > most:
        found.append(Finding("/file", f"this kind of file has at most {most} bytes", "E-SIZE"))
    return found


def head_fault(media_type: str, head: bytes) -> str | None:
    """Return why the first bytes are not those of a media type, or None."""
    magic = _MAGIC.get(media_type)
    start = head.lstrip(_BLANK) if media_type == "application/json" else head
    return None if magic is None or start.startswith(magic) else WRONG_TYPE


class Screening:
    """Judges a file while it passes; its type need not be known before the end."""

    def __init__(self) -> None:
        self._head = b""
        self._pdf = PdfScreening()

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes."""
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        if self._head.startswith(b"%PDF-"):
            self._pdf.feed(piece)

    def fault(self, media_type: str) -> str | None:
        """Return why the file is not what its media type promises, or None. E-MEDIA."""
        fault = head_fault(media_type, self._head)
        if fault is None and media_type == PDF:
            self._pdf.end()
            fault = self._pdf.fault
        return fault


class PdfScreening:
    """Looks for scripts, actions and embedded files in a PDF, in object streams too.

    A name counts wherever it stands: a string or comment may hold the word `stream`, and a reader finds objects by
    their offset, inside of streams too. Only the shortest names, which pixels spell by chance, count there no sooner
    than something looks like an object; no action works by them alone.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self._kept = b""
        self._in_stream = False
        self._objects_inside = False
        # Since the last stream began. Nothing else clears them: a comment may say `endobj`.
        self._names: set[bytes] = set()
        self._packed: _Inflating | None = None
        self._left = _INFLATED_MOST

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes."""
        self._look(self._kept + piece, final=False)

    def end(self) -> None:
        """Look at what is left."""
        self._look(self._kept, final=True)

    def _look(self, window: bytes, *, final: bool) -> None:
        end = len(window) if final else max(0, len(window) - _TOKEN_BYTES)
        done = 0
        for token in _TOKEN.finditer(window):
            if self.fault is not None or token.start() >= end:
                break
            self._unpack(window[done : token.start()])
            done = token.end()
            self._take(token.group())
        end = max(end, done)
        self._unpack(window[done:end])
        self._kept = window[end:]

    def _take(self, token: bytes) -> None:
        if token == b"endstream":
            if self._packed is not None and not self._packed.whole:
                # The word stands inside of packed bytes, and what follows is not what it seems.
                self.fault = HIDDEN
            if self._packed is not None:
                self._left = self._packed.left
            self._in_stream = self._objects_inside = False
            self._packed = None
        elif self._packed is not None:
            self._unpack(token)
        elif token.startswith(b"stream"):
            self._begin_stream()
        elif token.endswith(b"obj"):
            self._objects_inside = True
        else:
            self._name(_unescaped(token))

    def _name(self, name: bytes) -> None:
        if name in _ACTIVE and (name not in _SHORT or not self._in_stream or self._objects_inside):
            self.fault = ACTIVE
        elif name == b"/Encrypt":
            self.fault = HIDDEN
        if name in _PACKING or name.endswith(b"Decode"):
            self._names.add(name)

    def _begin_stream(self) -> None:
        if b"/ObjStm" in self._names:
            if self._names != {b"/ObjStm", b"/FlateDecode"}:
                self.fault = HIDDEN
            else:
                self._packed = _Inflating(self._left)
        self._in_stream, self._objects_inside = True, False
        self._names.clear()

    def _unpack(self, raw: bytes) -> None:
        if self._packed is not None and raw and self.fault is None:
            self.fault = self._packed.feed(raw)


class _Inflating:
    """Unpacks an object stream and looks at the names in it, in little memory and up to a bound of output."""

    def __init__(self, left: int) -> None:
        """Take how many bytes the document may still unpack to."""
        self._inflate = zlib.decompressobj()
        self._kept = b""
        self._left = left

    @property
    def left(self) -> int:
        """How much may still be unpacked."""
        return self._left

    @property
    def whole(self) -> bool:
        """Whether its end has come."""
        return self._inflate.eof

    def feed(self, raw: bytes) -> str | None:
        """Return the fault of what these bytes unpack to, or None."""
        while raw and not self._inflate.eof:
            try:
                plain = self._inflate.decompress(raw, _INFLATE_STEP)
            except zlib.error:
                return HIDDEN
            raw = self._inflate.unconsumed_tail
            self._left -= len(plain)
            if self._left < 0:
                return HIDDEN
            window = self._kept + plain
            if any(_unescaped(name) in _ACTIVE for name in _NAME.findall(window)):
                return ACTIVE
            self._kept = window[-_TOKEN_BYTES:]
        return None


def _unescaped(name: bytes) -> bytes:
    # `/J#61vaScript` is `/JavaScript` to every reader.
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), name)
