"""The bodies of the API as models: OpenAPI is generated from them, and the tests read every answer by them.

Answers are written by `gateway.web.api.render` and requests read by `gateway.services.request`: no model is on
the path of a message.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", examples=["2026-11-24T02:00:00.000Z"]),
]
MessageId = Annotated[str, Field(examples=["019c8a52-3b6e-7d10-8c55-1f0a2b3c4d5e"])]
CaseRef = Annotated[str, Field(examples=["XC-ID-2026-000123-8"])]
Party = Annotated[str, Field(examples=["kh.gdi"])]
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


class Problem(Model):
    """RFC 9457. `code` is stable; `trace_id` finds the refusal in the logs."""

    type: str
    title: str
    status: int
    code: str
    trace_id: str
    instance: str
    detail: str | None = None
    errors: list[FoundError] | None = None


class MessageRequest(Model):
    """A message to send."""

    recipient: Party
    type: str = Field(examples=["case.referral"])
    case: CaseRef | None = Field(None, description="absent: the type opens a case, or belongs to none")
    urgency: Urgency | None = Field(None, description="absent: the type's own")
    handling: list[str] = Field(min_length=1, examples=[["V1", "H2"]])
    data: dict[str, Any] = Field(description="as the schema of the type says")
    in_reply_to: MessageId | None = None
    supersedes: MessageId | None = None
    expires_at: Time | None = None
    attachments: list[str] | None = None


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


class MessageWhole(Message):
    """A message with its attempts and the facts of its receipt."""

    envelope: str | None
    digest: Digest
    attempts: list[Attempt]
    receipt: ReceiptFacts | None
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
    event: CloudEvent


class Inbox(Page):
    """Received messages in the order of arrival; `next_cursor` stays valid when there is nothing more yet."""

    items: list[InboxItem]


class Reason(Model):
    """Why, in one line without case data: it is logged."""

    reason: str | None = Field(None, max_length=200)


class Since(Model):
    """From when on."""

    since: str


class Retried(Model):
    """How many messages are due now."""

    retried: int


class Clock(Model):
    """The service clocks of a case; both start with the signed receipt."""

    started_at: Time | None
    turn: Party | None
    acknowledge_by: Time | None
    acknowledged_at: Time | None
    reply_by: Time | None
    replied_at: Time | None
    overdue: bool


class Case(Model):
    """Where a case stands; no case data."""

    case: CaseRef
    partner: Party
    opener: Party
    status: str
    urgency: Urgency
    handling: list[str]
    opened_at: Time
    updated_at: Time
    clock: Clock


class Cases(Page):
    """Cases, last changed first."""

    items: list[Case]


class Move(Model):
    """A change of status."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_status: str = Field(alias="from")
    to: str


class PendingMove(Move):
    """A change of status of ours that the partner has not answered yet."""

    message: MessageId


class NextAction(Model):
    """Who must do what, by when."""

    party: Party
    ours: bool
    action: Literal["acknowledge", "reply", "supplement", "decide", "act", "review", "monitor"]
    by: Time | None
    overdue: bool


class Step(Model):
    """One message of either side."""

    at: Time
    message: MessageId
    direction: Literal["in", "out"]
    party: Party
    type: str
    urgency: Urgency
    state: str
    reason: str | None
    in_reply_to: MessageId | None
    case_seq: int | None
    settled_at: Time | None
    move: Move | None


class CaseWhole(Case):
    """A case with whose turn it is, the statuses open to us, and the timeline of both sides."""

    role: Literal["opener", "recipient"]
    pending: list[PendingMove]
    next_action: NextAction | None
    allowed: list[str]
    timeline: list[Step]
    missing: list[int] = Field(description="numbers of the partner's messages in this case that have not come")


class CodeListName(Model):
    """A code list."""

    list: str
    version: str
    closed: bool
    codes: int


class CodeLists(Page):
    """The code lists held."""

    items: list[CodeListName]


class Code(Model):
    """A code, its label, and the days it is valid on."""

    code: str
    label: str
    valid_from: str | None
    valid_to: str | None
    disabled: bool
    attributes: dict[str, Any]


class CodeList(Model):
    """A code list in one language."""

    list: str
    version: str
    closed: bool
    language: Literal["en", "id", "km"]
    codes: list[Code]


class Partner(Model):
    """A partner, its card in force, and the link to it."""

    party: Party
    name: str | None
    country: str | None
    state: Literal["active", "suspended"]
    endpoint: str | None
    fingerprint: str | None
    card_version: int | None
    card_expires: Time | None
    enrolled_at: Time
    contact_at: Time | None
    reachable: bool
    down_since: Time | None
    problem: str | None
    waiting: int


class Partners(Page):
    """The partners."""

    items: list[Partner]


class Difference(Model):
    """A number of our stream on which the two sides do not agree."""

    stream_seq: int
    message: MessageId
    fault: Literal["lost", "bytes", "answer", "strange", "unaccounted"]
    ours: str | None
    theirs: str | None


class Received(Model):
    """The partner's stream as we hold it."""

    count: int
    highest: int
    gaps: int


class Reconciliation(Model):
    """They hold `held` of the `sent` we sent; `differences` are those that differ."""

    partner: Party
    at: Time
    agrees: bool
    sent: int
    held: int
    rejected: int
    voided: int
    waiting: int
    differences: list[Difference]
    more: bool
    received: Received


class ActorName(Model):
    """Who, as the log names them."""

    sub: str
    role: str


class ObjectName(Model):
    """What it was done to."""

    kind: str
    id: str


class LogEntry(Model):
    """One entry of the audit log; `hash` is its leaf hash, `data` the bytes it is made of."""

    index: int
    at: Time
    type: str
    actor: ActorName
    object: ObjectName
    message: MessageId | None
    case: CaseRef | None
    event: Digest | None
    outcome: str | None
    purpose: str | None
    basis: str | None
    data: str
    hash: Digest


class LogEntries(Page):
    """Log entries, newest first."""

    items: list[LogEntry]


class Checkpoint(Model):
    """The newest signed checkpoint; `note` is the C2SP signed note."""

    origin: str
    size: int
    root: Digest
    signed_at: Time
    note: str


class Proof(Model):
    """An entry and its inclusion path (RFC 6962 section 2.1.1)."""

    index: int
    size: int
    data: str
    hash: Digest
    path: list[Digest]
    root: Digest
    checkpoint: str | None = Field(description="the signed note where one of this size is the newest")
