"""Files as they pass (P20): type, size, and first bytes against the declared media type.

What a file holds beyond its first bytes is read by `gateway.screening`, in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import Finding

if TYPE_CHECKING:
    from gateway.casework.codelists import CodeLists

TYPES_LIST: Final = "attachmentType"
ORIGINAL: Final = "EVIDENTIAL_ORIGINAL"
ORIGINAL_MEDIA: Final = "application/octet-stream"
PDF: Final = "application/pdf"
REMADE: Final = frozenset({"image/jpeg", "image/png", PDF})
"""What is made anew before it is sent: what is served and sent is never what came."""

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


class Head:
    """The first bytes of a file, kept while it passes; its type need not be known before the end."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes."""
        if len(self._kept) < HEAD_BYTES:
            self._kept += piece[: HEAD_BYTES - len(self._kept)]

    def fault(self, media_type: str) -> str | None:
        """Return why the file is not what its media type promises, or None. E-MEDIA."""
        return head_fault(media_type, self._kept)
