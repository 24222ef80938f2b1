"""The JSON part `meta` of POST /attachments, read into what `Attacher` takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.errors import Finding, MalformedRequest, SchemaViolation
from gateway.primitives import b64u
from gateway.protocol.attachment import DIGEST_BYTES, AttachmentId, parse_attachment_id

if TYPE_CHECKING:
    from collections.abc import Callable

MEMBERS = frozenset({
    "attachmentId", "attachmentType", "mediaType", "byteLength", "sha256", "personRef", "derivedFrom", "description",
})  # fmt: skip
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,50}")
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,59}")
PERSON = re.compile(r"P-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DESCRIPTION_MOST = 200


@dataclass(frozen=True, slots=True)
class AttachmentMeta:
    """What a caller says of a file: the fields of the catalogue. Length and digest, where given, must be the file's."""

    id: AttachmentId | None
    attachment_type: str
    media_type: str
    byte_length: int | None
    sha256: bytes | None
    derived_from: AttachmentId | None
    details: dict[str, str]


def read_meta(body: object, content_type: str | None) -> AttachmentMeta:
    """Read `meta` (strict JSON, parsed); `content_type` is what the file's part says of itself.

    Raises MalformedRequest where it is no object, SchemaViolation naming every member at fault.
    """
    if not isinstance(body, dict):
        raise MalformedRequest("`meta` is a JSON object", errors=(Finding("/meta", "not an object"),))
    found: list[Finding] = []
    unknown = [name for name in body if name not in MEMBERS]
    if unknown:
        # Not named: a misplaced member may be a person's name.
        words = f"has {len(unknown)} unknown member(s); known are {', '.join(sorted(MEMBERS))}"
        found.append(Finding("/meta", words))

    def text(name: str, parse: Callable[[str], Any], words: str, default: str | None = None) -> Any:
        value = body.get(name, default)
        if value is None:
            return None
        try:
            return parse(value) if isinstance(value, str) else _refuse()
        except ValueError:
            found.append(Finding(f"/meta/{name}", words))
            return None

    def matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
        return lambda value: value if pattern.fullmatch(value) else _refuse()

    uuid = "is a UUID in lower case"
    meta = AttachmentMeta(
        id=text("attachmentId", parse_attachment_id, uuid),
        attachment_type=text("attachmentType", matching(CODE), "is a code of the list attachmentType") or "",
        media_type=text("mediaType", matching(MEDIA_TYPE), "is a media type such as image/jpeg", content_type) or "",
        byte_length=_length(body, found),
        sha256=text("sha256", _digest, "is a SHA-256 in base64url without padding"),
        derived_from=text("derivedFrom", parse_attachment_id, uuid),
        details={
            name: value
            for name, value in (
                ("personRef", text("personRef", matching(PERSON), "is a personRef: P- and a UUID")),
                ("description", text("description", _description, f"is 1 to {DESCRIPTION_MOST} characters, no names")),
            )
            if value is not None
        },
    )
    given = body if content_type is None else {"mediaType": content_type} | body
    found += [Finding(f"/meta/{name}", "is missing") for name in ("attachmentType", "mediaType") if not given.get(name)]
    if found:
        raise SchemaViolation(f"{len(found)} member(s) of meta are at fault", errors=tuple(found))
    return meta


def _length(body: dict[str, Any], found: list[Finding]) -> int | None:
    value = body.get("byteLength")
    if value is not None and (type(value) is not int or value < 1):
        found.append(Finding("/meta/byteLength", "is a whole number above 0"))
        return None
    return value


def _digest(text: str) -> bytes:
    found = b64u.decode(text)
    return found if len(found) == DIGEST_BYTES else _refuse()


def _description(text: str) -> str:
    return text if 0 < len(text) <= DESCRIPTION_MOST and text.isprintable() else _refuse()


def _refuse() -> Any:
    raise ValueError
