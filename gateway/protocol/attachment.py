"""Attachments on the wire (protocol.md §5): ids, framing, and what an upload may do next.

A file goes beside its message, under a key of its own: C2SP chunked encryption (Cobblestone-256), its context
naming sender, recipient and id, so that no ciphertext can be passed off as another's. The event, signed and
sealed, holds key and digests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NewType

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from gateway.errors import Clash, Finding, MalformedRequest, NotFound, TooLarge
from gateway.primitives import b64u

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.protocol.ids import PartyId

AttachmentId = NewType("AttachmentId", str)

CONTEXT: Final = b"bcx-attachment/1"
KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 32
UPLOAD_LENGTH: Final = "Upload-Length"
UPLOAD_OFFSET: Final = "Upload-Offset"
MAX_ATTACHMENTS: Final = 100
"""Entries of `data.attachments` that are read; the catalogue allows 20."""

# C2SP chunked-encryption: a head of salt and key commitment, then chunks with a tag each; the last is short.
HEAD_BYTES: Final = 56
CHUNK_BYTES: Final = 16 * 1024
TAG_BYTES: Final = 16

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")


def parse_attachment_id(text: str) -> AttachmentId:
    """Return an id of the right form: a UUID in lower case; ValueError otherwise."""
    if not _ID.fullmatch(text):
        raise ValueError("an attachment id is a UUID in lower case")
    return AttachmentId(text)


def context(iss: PartyId, aud: PartyId, name: AttachmentId) -> bytes:
    """Return what ties a ciphertext to its sender, recipient and id."""
    return b"\n".join((CONTEXT, iss.encode(), aud.encode(), name.encode()))


def encrypted_length(length: int) -> int:
    """Return the bytes of the ciphertext of so many bytes."""
    return HEAD_BYTES + length + TAG_BYTES * (length // CHUNK_BYTES + 1)


# --- streams ----------------------------------------------------------------------------------------


class BrokenSealError(ValueError):
    """Not what was encrypted under this key and context: changed, cut short or somebody else's."""


class Measure:
    """Length and SHA-256 of what passed."""

    def __init__(self) -> None:
        self.length = 0
        self._digest = sha256()

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.length += len(piece)
        self._digest.update(piece)

    @property
    def sha256(self) -> bytes:
        """The digest so far."""
        return self._digest.digest()


class Sealing:
    """Encrypts a stream; `plain` and `sealed` measure both sides of it."""

    def __init__(self, key: bytes, about: bytes) -> None:
        self._cipher = Cobblestone256Encryptor(key, about)
        self.plain = Measure()
        self.sealed = Measure()

    def add(self, piece: bytes) -> bytes:
        """Take plaintext, return ciphertext."""
        self.plain.add(piece)
        return self._passed(self._cipher.update(piece))

    def end(self) -> bytes:
        """Return the last bytes."""
        return self._passed(self._cipher.finalize())

    def _passed(self, sealed: bytes) -> bytes:
        self.sealed.add(sealed)
        return sealed


class Opening:
    """Decrypts a stream. What it returns is authentic; that it is whole is known only after `end`."""

    def __init__(self, key: bytes, about: bytes) -> None:
        self._cipher = Cobblestone256Decryptor(key, about)
        self.plain = Measure()
        self.sealed = Measure()

    def add(self, piece: bytes) -> bytes:
        """Take ciphertext, return plaintext. Raises BrokenSealError."""
        self.sealed.add(piece)
        return self._passed(lambda: self._cipher.update(piece))

    def end(self) -> bytes:
        """Return the last bytes. Raises BrokenSealError where something is missing."""
        return self._passed(self._cipher.finalize)

    def _passed(self, opened: Any) -> bytes:
        try:
            plain: bytes = opened()
        except InvalidTag:
            raise BrokenSealError("the ciphertext does not open") from None
        self.plain.add(plain)
        return plain


# --- what the event says ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enclosure:
    """One entry of `data.attachments`, as far as the wire reads it."""

    id: AttachmentId
    attachment_type: str
    media_type: str
    byte_length: int
    sha256: bytes
    encrypted_length: int
    encrypted_sha256: bytes
    key: bytes
    derived_from: str | None = None
    details: Mapping[str, str] | None = None
    """What else the catalogue says of the file: `personRef`, `description`."""

    def as_dict(self) -> dict[str, Any]:
        """Return the members of the entry."""
        found: dict[str, Any] = {
            "attachmentId": self.id,
            "attachmentType": self.attachment_type,
            "mediaType": self.media_type,
            "byteLength": self.byte_length,
            "sha256": b64u.encode(self.sha256),
            "encryptedLength": self.encrypted_length,
            "encryptedSha256": b64u.encode(self.encrypted_sha256),
            "key": b64u.encode(self.key),
        }
        if self.derived_from is not None:
            found["derivedFrom"] = self.derived_from
        return found | dict(self.details or {})


def read_enclosures(data: Mapping[str, Any]) -> tuple[list[Enclosure], list[Finding]]:
    """Return the entries of `data.attachments`, and what is wrong with those that cannot be read."""
    rows = data.get("attachments")
    if rows is None:
        return [], []
    if not isinstance(rows, list) or len(rows) > MAX_ATTACHMENTS:
        return [], [Finding("/data/attachments", f"is no list of at most {MAX_ATTACHMENTS}", "E-SIZE")]
    found: list[Enclosure] = []
    faults: list[Finding] = []
    for place, row in enumerate(rows):
        try:
            found.append(_enclosure(row))
        except (ValueError, KeyError, TypeError, AttributeError):
            faults.append(Finding(f"/data/attachments/{place}", "does not say what the wire needs", "E-SCHEMA"))
    return found, faults


def _enclosure(row: Any) -> Enclosure:
    found = Enclosure(
        id=parse_attachment_id(row["attachmentId"]),
        attachment_type=str(row.get("attachmentType", "")),
        media_type=str(row["mediaType"]),
        byte_length=int(row["byteLength"]),
        sha256=b64u.decode(row["sha256"]),
        encrypted_length=int(row["encryptedLength"]),
        encrypted_sha256=b64u.decode(row["encryptedSha256"]),
        key=b64u.decode(row["key"]),
        derived_from=row.get("derivedFrom"),
        details={name: str(row[name]) for name in ("personRef", "description") if name in row},
    )
    sizes = {len(found.sha256), len(found.encrypted_sha256)}
    if sizes != {DIGEST_BYTES} or len(found.key) != KEY_BYTES:
        raise ValueError("a digest or key of the wrong length")
    return found


# --- what an upload may do next -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upload:
    """How far a ciphertext has come: `offset` of `length` bytes are here."""

    length: int
    offset: int

    @property
    def whole(self) -> bool:
        """Whether all of it is here."""
        return self.offset == self.length


def read_number(text: str | None, name: str) -> int:
    """Return the number of a header. Raises MalformedRequest."""
    if text is None or not _NUMBER.fullmatch(text):
        detail = f"`{name}` is missing, or is no whole number"
        raise MalformedRequest(detail)
    return int(text)


def judge_put(held: Upload | None, length: int, most: int) -> None:
    """Say whether an upload may begin, or begin again. Raises TooLarge, MalformedRequest, Clash."""
    if held is not None and held.whole:
        # Else the bytes that an accepted message names could be exchanged behind its back.
        raise Clash("the upload is complete, and a complete upload is never replaced")
    if length > most:
        detail = f"an encrypted attachment is at most {most} bytes"
        raise TooLarge(detail)
    if length < encrypted_length(1):
        detail = f"an encrypted attachment is at least {encrypted_length(1)} bytes"
        raise MalformedRequest(detail)


def judge_patch(held: Upload | None, offset: int) -> None:
    """Say whether an upload may go on from `offset`. Raises NotFound, Clash."""
    if held is None:
        raise NotFound("no upload of this id has begun: PUT it")
    if held.whole:
        raise Clash("the upload is complete")
    if held.offset != offset:
        detail = f"the upload stands at {held.offset}: ask by HEAD, go on from there"
        raise Clash(detail)


def judge_content(place: int, entry: Enclosure, opening: Opening) -> tuple[Finding, ...]:
    """Compare what was opened whole with what the event says of it: step (12)."""
    where = f"/data/attachments/{place}"
    found = []
    if opening.plain.length != entry.byte_length:
        found.append(Finding(f"{where}/byteLength", "is not the length of the file", "E-HASH"))
    if opening.plain.sha256 != entry.sha256:
        found.append(Finding(f"{where}/sha256", "is not the digest of the file", "E-HASH"))
    return tuple(found)
