"""More bodies of the API: cases, code lists, partners and the audit log."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from gateway.web.api.models import CaseRef, Digest, MessageId, Model, Page, Party, Time, Urgency


class Clock(Model):
    """The service clocks of a case; both start with the signed receipt."""

    started_at: Time | None
    turn: Party | None
    acknowledge_by: Time | None
    acknowledged_at: Time | None
    reply_by: Time | None
    replied_at: Time | None
    overdue: bool


class MessageClock(Clock):
    """The clocks of one message of a case; `turn` is absent once nothing is awaited."""

    message: MessageId


class Asked(Model):
    """How far a request is answered: `answered` of `asked` rows; `complete` once its last response came."""

    message: MessageId
    ours: bool
    asked: int
    answered: int
    complete: bool
    summary: str = Field(examples=["answered 27 of 30"])


class AskedRow(Model):
    """One person or question; `answer` is the message that answered it for good."""

    item: str
    answered: bool
    answer: MessageId | None


class AskedRows(Asked):
    """A request with its rows."""

    rows: list[AskedRow]


class Progress(Model):
    """The requests of a case, in the order they were sent; not what was answered."""

    requests: list[AskedRows]


class Opinion(Model):
    """One body's latest assessment of one person."""

    body: str
    status: str


class PersonState(Model):
    """One person of a case; `status` is Contested where bodies differ, and nobody's opinion where there is none."""

    person: str
    status: str | None
    milestone: str | None
    opinions: list[Opinion]


class Persons(Model):
    """The persons of a case, by reference."""

    persons: list[PersonState]


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


class AlertOfCase(Model):
    """Where an alert stands: WITHDRAWN at once where any body holds its subject to be a victim."""

    message: MessageId
    status: Literal["ACTIVE", "HIT", "RESOLVED", "EXPIRED", "WITHDRAWN"]
    valid_until: Time


class CaseWhole(Case):
    """A case with whose turn it is, the statuses open to us, and the timeline of both sides."""

    role: Literal["opener", "recipient"]
    clocks: list[MessageClock]
    progress: list[Asked]
    alerts: list[AlertOfCase]
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


Codes = list[Code]


class CodeList(Model):
    """A code list in one language."""

    list: str
    version: str
    closed: bool
    language: Literal["en", "id", "km"]
    codes: Codes


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


class ChainStep(Model):
    """What entry `index` of a party's log says of a message; `message` is the answer's where it is `answered`."""

    at: Time
    step: str
    log: Party
    index: int
    role: str
    actor: str
    outcome: str | None
    message: MessageId | None


class Chain(Model):
    """What happened to a message, oldest first."""

    message: MessageId
    steps: list[ChainStep]


class ToldProblem(Model):
    """An error a caller got; it stands beside the log, so that it has no index."""

    index: None
    at: Time
    type: Literal["problem"]
    actor: ActorName
    object: ObjectName
    message: None
    case: None
    event: None
    outcome: str = Field(description="status and code")
    purpose: str = Field(description="method and route")
    basis: None
    data: None
    hash: None


class LogEntries(Page):
    """Log entries, newest first; `problems` are errors answered under the id that `object` names."""

    items: list[LogEntry]
    problems: list[ToldProblem]


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
