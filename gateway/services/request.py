"""The body of POST /messages, read into what `Submitter` takes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from gateway.casework.handling import unlisted
from gateway.errors import Finding, MalformedRequest, SchemaViolation
from gateway.primitives.times import parse_ms
from gateway.protocol.attachment import MAX_ATTACHMENTS, AttachmentId, parse_attachment_id
from gateway.protocol.event import URGENCIES
from gateway.protocol.ids import MessageId, PartyId, parse_message_id, parse_party, parse_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEMBERS = frozenset({
    "recipient", "type", "case", "urgency", "handling", "data", "in_reply_to", "supersedes", "expires_at",
    "attachments", "rows",
})  # fmt: skip
MOST_FAULTS = 16  # of the handling codes; more help nobody


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A message somebody wants sent. `urgency` None takes the type's own; times in ms."""

    recipient: PartyId
    subject: str
    case: str | None
    urgency: str | None
    handling: tuple[str, ...]
    data: Mapping[str, Any]
    in_reply_to: MessageId | None
    supersedes: MessageId | None
    expires_at: int | None
    rows: str | None = None
    """CSV that becomes the rows of `data` (`gateway.casework.tabular`)."""
    attachments: tuple[AttachmentId, ...] = ()


def read_request(body: object) -> SubmitRequest:
    """Read one message of a POST body (strict JSON, parsed).

    Raises MalformedRequest where it is no object, SchemaViolation naming every member at fault.
    """
    if not isinstance(body, dict):
        raise MalformedRequest("the body is a JSON object", errors=(Finding("", "not an object"),))
    found: list[Finding] = []
    unknown = [name for name in body if name not in MEMBERS]
    if unknown:
        # Not named: a misplaced member may be a person's name.
        found.append(Finding("", f"has {len(unknown)} unknown member(s); known are {', '.join(sorted(MEMBERS))}"))
    attachments = _attachments(body.get("attachments"), found)

    def text(name: str, parse: Callable[[str], Any], words: str, *, required: bool = False) -> Any:
        value = body.get(name)
        if value is None:
            if required:
                found.append(Finding(f"/{name}", "is missing"))
            return None
        try:
            return parse(value) if isinstance(value, str) else _refuse()
        except ValueError:
            found.append(Finding(f"/{name}", words))
            return None

    recipient = text("recipient", parse_party, "is a party such as kh.gdi", required=True)
    subject = text("type", parse_subject, "is a message type such as case.referral", required=True)
    case = text("case", str, "is a case reference such as XC-ID-2026-000123-8")
    urgency = text("urgency", _urgency, f"is one of {', '.join(URGENCIES)}")
    reply = text("in_reply_to", parse_message_id, "is a message id (UUIDv7, lower case)")
    supersedes = text("supersedes", parse_message_id, "is a message id (UUIDv7, lower case)")
    expires = text("expires_at", parse_ms, "is a time such as 2026-11-24T02:00:00.000Z (UTC, milliseconds)")
    handling = body.get("handling")
    if not isinstance(handling, list) or not handling or not all(isinstance(code, str) for code in handling):
        found.append(Finding("/handling", 'is a list of handling codes such as ["H1","V1"]', "E-HANDLING"))
        handling = []
    found += islice(unlisted(handling), MOST_FAULTS)
    rows = text("rows", str, "is CSV as a text")
    data = body.get("data")
    if not isinstance(data, dict):
        found.append(Finding("/data", "is missing" if data is None else "is an object"))
    if found or not isinstance(data, dict):
        raise SchemaViolation(f"{len(found)} member(s) of the message are at fault", errors=tuple(found))
    return SubmitRequest(
        recipient, subject, case, urgency, tuple(handling), data, reply, supersedes, expires,
        rows, attachments,
    )  # fmt: skip


def _attachments(value: object, found: list[Finding]) -> tuple[AttachmentId, ...]:
    """Return the ids named, each once and in order."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        found.append(Finding("/attachments", "is a list of ids that POST /attachments gave"))
        return ()
    if len(value) > MAX_ATTACHMENTS:
        found.append(Finding("/attachments", f"names {MAX_ATTACHMENTS} files at most", "E-SIZE"))
        return ()
    ids: dict[AttachmentId, None] = {}
    for place, name in enumerate(value):
        try:
            ids[parse_attachment_id(name)] = None
        except ValueError as error:
            found.append(Finding(f"/attachments/{place}", str(error), "E-REF"))
    return tuple(ids)


def _urgency(text: str) -> str:
    return text if text in URGENCIES else _refuse()


def _refuse() -> Any:
    raise ValueError
