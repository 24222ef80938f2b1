"""The bodies of the API as models: OpenAPI is generated from them, and the tests read every answer by them.

Answers are written by `gateway.web.api.render` and requests read by `gateway.services.request`: no model is on
the path of a message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.protocol import members
from gateway.protocol.reasons import CANCEL_REASONS
from gateway.registry.subject import MAX_SUBJECT_LENGTH, SUBJECT_NAME
from gateway.web.api.messages import CASE
from gateway.web.api.route import anchored

Time = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", examples=["2026-11-24T02:00:00.000Z"]),
]
MessageId = Annotated[
    str, Field(pattern=anchored(members.MESSAGE_ID.pattern), examples=["019c8a52-3b6e-7d10-8c55-1f0a2b3c4d5e"])
]
CaseRef = Annotated[str, Field(pattern=anchored(CASE.pattern), examples=["XC-ID-2026-000123-8"])]
Party = Annotated[str, Field(pattern=anchored(members.PARTY.pattern), examples=["kh.gdi"])]
Subject = Annotated[
    str, Field(pattern=anchored(SUBJECT_NAME.pattern), max_length=MAX_SUBJECT_LENGTH, examples=["case.referral"])
]
HandlingCode = Literal["H0", "H1", "H2", "H3", "V1", "V2", "NP", "EO", "OR"]
Urgency = Literal["FLASH", "URGENT", "PRIORITY", "ROUTINE", "INFO"]
OutState = Literal["held", "queued", "sending", "accepted", "rejected", "dead", "cancelled"]
Digest = Annotated[str, Field(description="base64url without padding")]


class Model(BaseModel):
    """A closed object: what is not described is not sent."""

    model_config = ConfigDict(extra="forbid")


class FoundError(Model):
    """One fault: where (JSON Pointer), which rule, in plain words; never a value."""

    pointer: str
    reason: str
    code: str | None = Field(None, examples=["E-SCHEMA"])


class Fault(FoundError):
    """One fault in a request."""

    code: str = Field(examples=["E-SCHEMA"])


class Problem(Model):
    """RFC 9457. `code` is stable; `trace_id` finds the refusal in the logs."""

    type: str
    title: str
    status: int
    code: str
    trace_id: str
    instance: str
    detail: str | None = None
    errors: list[Fault] | None = None


class Signature(Model):
    """One signature of a signed object."""

    protected: Digest
    signature: Digest


class SignedObject(Model):
    """A JWS in general JSON serialization (RFC 7515): Ed25519 first, ML-DSA-65 second."""

    payload: Digest
    signatures: list[Signature] = Field(min_length=2, max_length=2)


class MessageRequest(Model):
    """A message to send."""

    recipient: Party
    type: Subject
    case: CaseRef | None = Field(None, description="absent: the type opens a case, or belongs to none")
    urgency: Urgency | None = Field(None, description="absent: the type's own")
    handling: list[HandlingCode] = Field(
        min_length=1, examples=[["V1", "H2"]], description="each once", json_schema_extra={"uniqueItems": True}
    )
    data: dict[str, Any] = Field(description="as the schema of the type says")
    in_reply_to: MessageId | None = None
    supersedes: MessageId | None = None
    expires_at: Time | None = None
    attachments: list[str] | None = Field(None, description="ids that POST /attachments gave, in order")
    rows: str | None = Field(None, description="CSV that becomes the rows of `data`; see /templates/{subject}")


class Catalogued(Model):
    """Members under the names of the catalogue."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class AttachmentMeta(Catalogued):
    """What the catalogue says of a file; length and digest, where given, must be those of the file that came."""

    attachment_type: str = Field(examples=["PASSPORT_SCAN"], description="a code of the list attachmentType")
    media_type: str | None = Field(None, examples=["image/jpeg"], description="absent: the part's Content-Type")
    attachment_id: str | None = Field(None, description="absent: the gateway gives one")
    byte_length: int | None = None
    sha256: Digest | None = None
    person_ref: str | None = None
    derived_from: str | None = Field(None, description="an upload of yours this is a copy of")
    description: str | None = Field(None, max_length=200, description="no names")


class AttachmentUpload(Model):
    """A file and what it is; its name is not read."""

    file: bytes
    meta: AttachmentMeta


class Original(Catalogued):
    """What came, sealed and kept as evidence."""

    id: str
    byte_length: int
    sha256: Digest


class Attachment(Catalogued):
    """A stored file; `original` where an image was made anew."""

    id: str
    attachment_id: str
    attachment_type: str
    media_type: str
    byte_length: int
    sha256: Digest
    derived_from: str | None
    original: Original | None
    stored_at: Time = Field(alias="stored_at")


class BatchRequest(Model):
    """Several messages; all that can be accepted commit together."""

    messages: list[MessageRequest] = Field(min_length=1, max_length=100)


class Accepted(Model):
    """A message that will be sent."""

    id: MessageId
    case: CaseRef | None
    state: Literal["queued"]
    recipient: Party
    type: str
    urgency: Urgency
    handling: list[str]
    accepted_at: Time
    expires_at: Time


class Valid(Model):
    """The answer to a dry run that found no fault."""

    valid: Literal[True]


class Advice(Model):
    """The least handling a message must have, by type, content, case and what it answers; and advice, no refusal."""

    handling: list[str] = Field(examples=[["H2", "V1", "NP"]])
    advice: list[FoundError]


class BatchAccepted(Model):
    """One result a message, in the order of the request."""

    results: list[Accepted | Problem]


class Message(Model):
    """What stands of a message; no case data."""

    id: MessageId
    direction: Literal["in", "out"]
    sender: Party
    recipient: Party
    type: str
    schema_version: str
    case: CaseRef | None
    case_seq: int | None
    stream_seq: int
    urgency: Urgency
    handling: list[str]
    state: OutState | Literal["received"]
    proved: bool | None = Field(
        description="of ours, once answered: the entry its receipt names stands in the partner's log under a "
        "checkpoint we cosigned; false: it does not, and there is an alarm; null: not looked at yet"
    )
    held_for: Literal["release", "operator"] | None
    accepted_at: Time
    expires_at: Time | None
    settled_at: Time | None
    attempts_made: int
    next_try: Time | None
    reason: str | None
    errors: list[FoundError]
    in_reply_to: MessageId | None
    supersedes: MessageId | None
    leaf: int = Field(description="our log entry of it")


class Attempt(Model):
    """One attempt to deliver a message."""

    at: Time
    envelope: str | None
    result: Literal["deferred", "refused", "unreachable", "unverified", "settled"]
    reason: str | None
    next_try: Time | None


class ReceiptFacts(Model):
    """What the partner signed; the receipt itself is at `…/receipt`."""

    status: Literal["accepted", "rejected"]
    received_at: Time | None
    leaf: int | None = Field(description="the partner's log entry")
    envelope: str | None
    proved_at: Time | None = Field(description="when that entry was seen under a checkpoint we cosigned")
    unproved: str | None = Field(description="why it could not be: late, differs, unknown, not-shown")


class RecordMark(Model):
    """What a record.action did to the message, or to one of its files; `by` is that record.action."""

    part: str = Field(examples=["message", "part", "attachment:0a000000-0000-4000-8000-000000000002"])
    mark: Literal["erased", "blocked", "restricted"]
    reason: str
    by: MessageId
    at: Time


class MessageWhole(Message):
    """A message with its attempts, the facts of its receipt, and what record.action did to it."""

    envelope: str | None
    digest: Digest
    attempts: list[Attempt]
    receipt: ReceiptFacts | None
    record: list[RecordMark]
    actions: list[Literal["hold", "release", "retry", "cancel"]]


class Page(Model):
    """A page of a list."""

    next_cursor: str | None
    has_more: bool


class Messages(Page):
    """Messages, newest first."""

    items: list[Message]


class CloudEvent(BaseModel):
    """The event of protocol page section 4.1, as it was sealed."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: MessageId
    source: str
    type: str
    time: Time
    data: dict[str, Any]


class InboxItem(Message):
    """A received message with its event; `cursor` goes on behind it."""

    cursor: str
    event: CloudEvent | None
    problem: Literal["record-changed"] | None = Field(
        description="why there is no event: what is stored is not what was logged; GET /messages/{id} shows the rest"
    )


class Inbox(Page):
    """Received messages in the order of arrival; `next_cursor` stays valid when there is nothing more yet."""

    items: list[InboxItem]


class Reason(Model):
    """Why, by a code: it is logged, so no free text is taken."""

    reason: Literal[tuple(CANCEL_REASONS)] | None = None  # type: ignore[valid-type]


class Since(Model):
    """From when on."""

    since: str


class Retried(Model):
    """How many messages are due now."""

    retried: int
