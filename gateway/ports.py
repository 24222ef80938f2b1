"""What the use cases need from the outside: time, chance, keys, storage, the link to a partner.

Adapters implement these; services depend on nothing else of theirs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from gateway.casework.clocks import CaseClocks

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gateway.casework.counting import Amendment
    from gateway.casework.figures import Imported
    from gateway.casework.lifecycle import CaseState
    from gateway.casework.names import NameKey
    from gateway.casework.remembered import Record
    from gateway.errors import Finding
    from gateway.ledger.witness import Witnessed
    from gateway.protocol.attachment import AttachmentId
    from gateway.protocol.delivery import Waiting
    from gateway.protocol.ids import CaseRef, EnvelopeId, Kid, MessageId, PartyId
    from gateway.protocol.keys import OpenKey, SigningPair
    from gateway.protocol.receipt import Outcome

T = TypeVar("T")

NO_CLOCKS = CaseClocks()

Clock = Callable[[], int]
"""Milliseconds since 1970-01-01 UTC."""

Entropy = Callable[[int], bytes]
"""n unpredictable bytes, as os.urandom."""

FaultPoint = Callable[[str], None]
"""Called at each step by name, so that a test can fail or stop the process there; None when it is off."""

OutboxState = str
"""A value of `protocol.states.State`: the database keeps its text."""
Rows = Sequence[Mapping[str, Any]]


# --- what is stored -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, as the log names them: an opaque id and a role, never a name."""

    sub: str
    role: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message accepted for sending; bytes and numbers never change again."""

    jti: MessageId
    recipient: PartyId
    subject: str
    case_ref: CaseRef | None
    case_seq: int | None
    stream_seq: int
    urgency: str
    rank: int
    handling: str
    digest: bytes
    schema_version: str
    in_reply_to: str | None
    supersedes: str | None
    effect: str | None
    account: str
    created_at: int
    expires_at: int
    leaf: int
    event: bytes
    not_before: int | None = None
    """When it may go, where its attachments go first."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message under our lease, with the bytes to send."""

    jti: MessageId
    digest: bytes
    urgency: str
    attempts: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What stands of a message of ours."""

    jti: MessageId
    recipient: PartyId
    subject: str
    case_ref: CaseRef | None
    case_seq: int | None
    stream_seq: int
    urgency: str
    state: OutboxState
    held_for: str | None
    attempts: int
    digest: bytes
    expires_at: int
    reason: str | None
    void: str | None
    account: str
    effect: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a message: what came of it and when the next follows."""

    jti: MessageId
    at: int
    eid: EnvelopeId
    result: Literal["deferred", "refused", "unreachable", "unverified", "settled"]
    reason: str | None
    next_at: int | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A verified final answer for one of our messages."""

    state: Literal["accepted", "rejected"]
    at: int
    received_at: int
    partner_leaf: int | None
    reason: str | None
    errors: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class NewArrival:
    """One final answer to a partner's event."""

    sender: PartyId
    digest: bytes
    jti: str | None
    stream_seq: int | None
    case_ref: CaseRef | None
    case_seq: int | None
    status: Literal["accepted", "rejected"]
    subject: str | None
    urgency: str | None
    handling: str | None
    schema_version: str | None
    in_reply_to: str | None
    supersedes: str | None
    sent_at: int | None
    received_at: int
    leaf: int
    problem: str | None
    errors: tuple[Finding, ...]
    eid: EnvelopeId
    event: bytes | None


@dataclass(frozen=True, slots=True)
class Taken:
    """An id and numbers a sender has used; `status` voided where it gave them up."""

    digest: bytes | None
    jti: str | None
    stream_seq: int | None
    case_ref: str | None
    case_seq: int | None
    status: Literal["accepted", "rejected", "voided"]


@dataclass(frozen=True, slots=True)
class NewVoid:
    """A number a sender gave up."""

    stream_seq: int
    jti: str | None
    case_ref: str | None
    case_seq: int | None
    at: int
    leaf: int
    reason: str


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One number of a sender's stream, as we hold it."""

    stream_seq: int
    jti: str | None
    digest: bytes | None
    status: Literal["accepted", "rejected", "voided"]


@dataclass(slots=True)
class Case:
    """A case as both sides see it, with our place in its numbering."""

    ref: CaseRef
    partner: PartyId
    opener: PartyId
    lifecycle: CaseState
    urgency: str
    handling: str
    opening_handling: str
    opened_at: int
    updated_at: int
    sent: int = 0
    clocks: CaseClocks = NO_CLOCKS

    @property
    def clock_from(self) -> int | None:
        """Return when the clock shown started: the one that runs out first, else the last."""
        return None if (timed := self.clocks.shown) is None else timed.from_ms

    @property
    def acknowledge_by(self) -> int | None:
        """Return when the acknowledgement is due."""
        return None if (timed := self.clocks.shown) is None else timed.clock.ack_due_ms

    @property
    def reply_by(self) -> int | None:
        """Return when the reply is due; None where none is awaited."""
        return None if (timed := self.clocks.shown) is None else timed.clock.reply_due_ms

    @property
    def acknowledged_at(self) -> int | None:
        """Return when it was acknowledged."""
        return None if (timed := self.clocks.shown) is None else timed.clock.acknowledged_at_ms

    @property
    def replied_at(self) -> int | None:
        """Return when it was answered for good."""
        return None if (timed := self.clocks.shown) is None else timed.clock.replied_at_ms

    @property
    def next_by(self) -> str | None:
        """Return whose turn it is, while a clock runs."""
        return timed.turn if (timed := self.clocks.shown) is not None and timed.running else None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """What is kept of one message for those that follow: facts as text, and the keys its persons are found by."""

    sender: str
    jti: str
    partner: str
    case_ref: str | None
    at: int
    supersedes: str | None
    facts: str
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody or something that may sign in: a person or a partner-agency system."""

    id: str
    name: str
    person: bool
    role: str
    created_at: int
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a creating POST was answered, kept for its repetition."""

    request: bytes
    status: int
    answer: bytes
    location: str | None


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A registered schema version."""

    id: int
    subject: str
    ordinal: int
    version: str
    digest: bytes
    document: bytes
    registered_at: int
    approved_at: int | None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message by its number and its body's; `body` is None where that was erased."""

    number: int
    body: int | None
    size: int


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A party card as received."""

    id: int
    party: PartyId
    version: int
    digest: bytes
    jws: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Partner:
    """An enrolled party and what we last knew of the link to it."""

    party: PartyId
    state: Literal["active", "suspended"]
    card: bytes
    enrolled_at: int
    contact_at: int | None
    down_since: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint as published: size, root, signed note."""

    size: int
    root: bytes
    note: str
    at: int


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint of ours with the cosignature lines of its witnesses."""

    size: int
    root: bytes
    note: str
    at: int
    lines: str


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A checkpoint of ours as an outside authority stamped it; `token` is its whole answer, `at` its time (ms)."""

    size: int
    note: str
    token: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Dispute:
    """Evidence: two checkpoints of one log, both under its signature, that do not agree.

    `reason` fork: they cannot both be true. bad-proof: what was shown to join them does not.
    """

    party: PartyId
    origin: str
    reason: Literal["fork", "bad-proof"]
    held: str
    shown: str
    proof: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Unproved:
    """An answered message of ours whose entry in the partner's log was not seen yet."""

    jti: MessageId
    digest: bytes
    state: OutboxState
    leaf: int


@dataclass(frozen=True, slots=True)
class Unread:
    """A message that statistics and search have not read yet; `event` is None where its body was erased."""

    direction: Literal["out", "in"]
    id: int
    jti: str
    subject: str
    case_ref: str | None
    supersedes: str | None
    at: int
    event: bytes | None


@dataclass(frozen=True, slots=True)
class Indexed:
    """What is kept of one message for statistics and search; `first` and `last` are the days it counts on."""

    jti: str
    direction: Literal["out", "in"]
    case_ref: str | None
    at: int
    counts: str
    first: str | None
    last: str | None
    final: bool
    supersedes: str | None
    amendment: Amendment | None
    names: tuple[NameKey, ...]

    @property
    def counted(self) -> bool:
        """Whether statistics need it."""
        return bool(self.first or self.final or self.supersedes or self.amendment)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that may be read. `party` is whose id it is; `details` are under the key-encryption key."""

    party: PartyId
    id: AttachmentId
    account: str | None
    attachment_type: str
    media_type: str
    byte_length: int
    sha256: bytes
    derived_from: str | None
    file: str
    details: bytes
    at: int
    leaf: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A ciphertext on its way to or from a partner."""

    direction: Literal["out", "in"]
    partner: PartyId
    id: AttachmentId
    file: str
    length: int
    sha256: bytes | None
    key: bytes | None
    state: Literal["due", "delivered", "open", "whole", "kept"]
    at: int


# --- storage --------------------------------------------------------------------------------------


class Outbox(Protocol):
    """Messages we send."""

    def next_stream_seq(self, recipient: PartyId) -> int:
        """Allot the next gapless `streamseq` towards `recipient`."""
        ...

    def stream_sent(self, recipient: PartyId) -> int: ...
    def raise_stream_sent(self, recipient: PartyId, number: int) -> None: ...

    def add(self, messages: Sequence[NewMessage]) -> None:
        """Store messages as queued, bodies included."""
        ...

    def due(self, recipient: PartyId, *, rank: int, now_ms: int, limit: int) -> Sequence[Waiting]:
        """Return queued messages of one rank whose time has come, oldest first."""
        ...

    def open_in_cases(self, refs: Sequence[str]) -> Sequence[Waiting]:
        """Return every message of these cases that still has to move, by case and `caseseq`."""
        ...

    def lease(self, ids: Sequence[int], *, eid: str, fence: int, lease_until: int) -> Sequence[Claimed]:
        """Move queued messages to sending under our lease; return them with their bytes, in that order."""
        ...

    def renew(self, eid: str, *, fence: int, lease_until: int) -> None:
        """Prolong our lease on the messages of an envelope."""
        ...

    def requeue(self, rows: Sequence[tuple[MessageId, int, str]], *, fence: int) -> None:
        """Put messages back, (jti, not before, reason); only those still under our lease."""
        ...

    def reclaim(self, fence: int, now_ms: int) -> int:
        """Take back what an earlier process of ours was sending when it died; return how many."""
        ...

    def free_lane(self, recipient: PartyId, now_ms: int) -> None:
        """Take back everything under lease towards one partner."""
        ...

    def event(self, jti: MessageId) -> bytes:
        """Return the bytes of a message of ours."""
        ...

    def wake(self, recipient: PartyId, now_ms: int) -> int:
        """Make every queued message due now: the partner was heard of."""
        ...

    def next_due(self, recipient: PartyId, now_ms: int) -> int | None:
        """Return when the next queued message that is not due yet becomes due, or None."""
        ...

    def overdue(self, recipient: PartyId, now_ms: int, limit: int) -> Sequence[Sent]:
        """Return open messages past their `expirytime`."""
        ...

    def unanswered(self, urgency: str, after: int, before_ms: int, limit: int) -> tuple[int, Sequence[Sent]]:
        """Look at the next `limit` messages behind number `after`, up to the last accepted by `before_ms`.

        Return its number (`after` where there is none), and those of this urgency that still have to move.
        """
        ...

    def find(self, jtis: Sequence[str]) -> Mapping[str, Sent]:
        """Return what stands of these messages, by jti."""
        ...

    def settle(self, answers: Sequence[tuple[MessageId, Settled]], eid: str | None) -> None:
        """Record verified final answers; `eid` is the envelope whose receipt held them, or None."""
        ...

    def contradict(self, jti: MessageId) -> None:
        """Mark that a second verified answer differs from the first."""
        ...

    def move(
        self,
        jti: MessageId,
        state: OutboxState,
        *,
        at: int,
        reason: str | None = None,
        void: str | None = None,
        held_for: str | None = None,
    ) -> None:
        """Move a message as `protocol.states` allowed."""
        ...

    def set_due(self, jtis: Sequence[MessageId], at: int) -> None:
        """Say when queued messages may go."""
        ...

    def open_count(self) -> int:
        """Return how many messages still have to move."""
        ...

    def queued_since(self, since_ms: int) -> Sequence[MessageId]:
        """Return queued messages accepted since then."""
        ...

    def handling(self, partner: PartyId, jti: str, owner: str | None = None) -> str | None:
        """Return the handling codes of one message, of this account where one is given; None where there is none."""
        ...

    def mark_void_due(self, jtis: Sequence[MessageId]) -> None:
        """Note that the partner must be told these numbers stay unused."""
        ...

    def voids_due(self, recipient: PartyId, limit: int) -> Sequence[Sent]:
        """Return given-up messages the partner has not been told of."""
        ...

    def voids_told(self, jtis: Sequence[str], void_jti: str | None) -> None:
        """Mark given-up messages as told by the `bcx.void` named, or as needing none."""
        ...

    def retell_voids(self, void_jti: str) -> None:
        """Mark what a `bcx.void` gave up as not told: that message did not arrive."""
        ...

    def add_attempts(self, rows: Sequence[Attempt]) -> None:
        """Record attempts."""
        ...


class Inbox(Protocol):
    """What partners sent and the final answers we gave."""

    def outcomes(self, sender: PartyId, digests: Sequence[bytes]) -> Mapping[bytes, Outcome]:
        """Return the final answers already given to these events, by digest."""
        ...

    def taken(
        self,
        sender: PartyId,
        *,
        jtis: Sequence[str],
        stream_seqs: Sequence[int],
        cases: Sequence[tuple[str, int]],
    ) -> Sequence[Taken]:
        """Return who holds these ids and numbers; `cases` are (case reference, case number)."""
        ...

    def add(self, arrivals: Sequence[NewArrival]) -> None:
        """Store final answers, and the bodies of accepted messages."""
        ...

    def add_voids(self, sender: PartyId, voids: Sequence[NewVoid]) -> None:
        """Store numbers the sender gave up; those taken already stay as they are."""
        ...

    def raise_stream_high(self, sender: PartyId) -> int:
        """Advance and return the highest M with 1…M all answered or voided."""
        ...

    def by_jti(self, sender: PartyId, jti: str) -> Outcome | None:
        """Return the final answer given to one message, or None."""
        ...

    def handling(self, partner: PartyId, jti: str) -> str | None:
        """Return the handling codes of one message, or None where there is none."""
        ...

    def stream(self, sender: PartyId, start: int, limit: int) -> Sequence[StreamItem]:
        """Return what we hold of the sender's stream from `start` on, by number."""
        ...


class Cases(Protocol):
    """Cases shared with a partner."""

    def find(self, ref: str) -> Case | None: ...
    def save(self, case: Case) -> None: ...
    def allot_number(self, year: int) -> int: ...
    def open_to(self, ref: str, account: str) -> bool: ...
    def skip_numbers(self, references: int, messages: int) -> None: ...


class Memory(Protocol):
    """What policies need of the messages exchanged; each record goes with its message's body."""

    def add(self, record: NewRecord) -> None: ...
    def of_case(self, ref: str) -> Sequence[Record]: ...
    def of_key(self, key: str, partner: PartyId | None, limit: int) -> Sequence[Record]: ...
    def held(self, keys: Sequence[str], partner: PartyId | None) -> Sequence[str]: ...
    def keys_of(self, ref: str, kind: str) -> Sequence[str]: ...
    def suspend(self, sender: str, jti: str) -> None: ...
    def resume(self, sender: str, jti: str) -> None: ...
    def drop(self, sender: str, jti: str) -> None: ...


class Records(Protocol):
    """What record.action does to messages kept here."""

    def mark(self, sender: str, jti: str, part: str, mark: str, *, reason: str, by_jti: str, at: int) -> None: ...
    def lift(self, sender: str, jti: str, part: str) -> None: ...
    def erase_body(self, sender: str, jti: str, *, ours: bool) -> None: ...


class Log(Protocol):
    """The audit log: appended to in the transaction that changes state."""

    def append(
        self,
        typ: str,
        *,
        actor: Actor,
        obj: tuple[str, str],
        at: int,
        jti: str | None = None,
        event: bytes | None = None,
        case: str | None = None,
        outcome: str | None = None,
        purpose: str | None = None,
        basis: str | None = None,
    ) -> int: ...
    def head(self) -> tuple[int, bytes]: ...
    def last_checkpoint(self) -> SignedCheckpoint | None: ...
    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None: ...
    def data(self, seq: int) -> bytes: ...
    def proof(self, seq: int, size: int) -> tuple[bytes, ...]: ...
    def read_hashes(self, level: int, number: int) -> Sequence[bytes]: ...


class Witnesses(Protocol):
    """Logs we witness, our log as others witnessed it, and what contradicts."""

    def witnessed(self, origin: str) -> Witnessed | None: ...
    def origins(self) -> Sequence[str]: ...
    def forked(self) -> Sequence[str]: ...
    def set_witnessed(self, origin: str, party: PartyId, head: Witnessed, at: int) -> None: ...
    def mark_forked(self, origin: str, party: PartyId, head: Witnessed, at: int) -> None: ...
    def add_cosignature(self, size: int, witness: PartyId, lines: str, at: int) -> None: ...
    def cosigned_by(self, witness: PartyId) -> int | None: ...
    def newest_cosigned(self) -> Cosigned | None: ...
    def cosigned(self, size: int) -> Cosigned | None: ...
    def first_cosigned(self, leaf: int) -> Cosigned | None: ...
    def entry_at(self, seq: int) -> int | None: ...
    def add_dispute(self, dispute: Dispute) -> bool: ...
    def disputes(self, party: PartyId) -> Sequence[Dispute]: ...
    def to_prove(self, recipient: PartyId, size: int, limit: int) -> Sequence[Unproved]: ...
    def late(self, recipient: PartyId, size: int, before: int, limit: int) -> Sequence[Unproved]: ...
    def oldest_unproved(self, recipient: PartyId) -> int | None: ...
    def set_proved(self, jtis: Sequence[MessageId], at: int) -> None: ...
    def set_unproved(self, jti: MessageId, why: str) -> None: ...


class Timestamps(Protocol):
    """Our checkpoints as an outside authority stamped them."""

    def add(self, timestamp: Timestamp) -> None: ...
    def newest(self) -> Timestamp | None: ...
    def first_from(self, size: int) -> Timestamp | None: ...


class Parties(Protocol):
    """Cards and partners."""

    def add_card(self, card: StoredCard) -> int: ...
    def newest_card(self, party: PartyId) -> StoredCard | None: ...
    def card_versions(self, party: PartyId, version: int) -> Sequence[StoredCard]: ...
    def dispute(self, card_id: int) -> None: ...
    def partners(self) -> Sequence[Partner]: ...
    def enrol(self, party: PartyId, card_id: int, at: int) -> None: ...
    def set_card(self, party: PartyId, card_id: int) -> None: ...
    def set_state(self, party: PartyId, state: Literal["active", "suspended"]) -> None: ...
    def set_contact(self, party: PartyId, at: int) -> None: ...
    def set_down(self, party: PartyId, since: int, problem: str) -> None: ...
    def checkpoint_seen(self, party: PartyId) -> str | None: ...
    def set_checkpoint_seen(self, party: PartyId, note: str, size: int) -> None: ...


class Registrations(Protocol):
    """Registered schemas."""

    def all(self) -> Sequence[StoredSchema]: ...
    def add(self, schema: StoredSchema) -> int: ...
    def approve(self, subject: str, version: str, at: int) -> None: ...
    def modes(self) -> Mapping[str, str]: ...
    def set_mode(self, subject: str, mode: str | None, at: int) -> None: ...


class Accounts(Protocol):
    """People and partner-agency systems."""

    def add(self, account: Account, token_hash: bytes) -> None: ...
    def by_token(self, token_hash: bytes) -> Account | None: ...
    def by_name(self, name: str) -> Account | None: ...
    def all(self, *, person: bool) -> Sequence[Account]: ...
    def disable(self, account_id: str, at: int) -> None: ...
    def set_token(self, account_id: str, token_hash: bytes) -> None: ...


class Answers(Protocol):
    """Stored answers to creating POSTs."""

    def find(self, account: str, route: str, key: str) -> StoredAnswer | None: ...
    def add(self, account: str, route: str, key: str, answer: StoredAnswer, at: int) -> None: ...
    def drop_before(self, at: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """An error a caller got (RFC 9457): who, where, which; found by the `trace_id` in it."""

    trace_id: str
    at: int
    listener: str
    actor: Actor
    method: str
    route: str
    status: int
    code: str


class Problems(Protocol):
    """Errors that callers got."""

    def add(self, problems: Sequence[Problem]) -> None: ...
    def drop_before(self, at: int) -> None: ...


class Envelopes(Protocol):
    """Signed manifests and receipts, kept as evidence."""

    def add(
        self,
        *,
        eid: str,
        partner: PartyId,
        direction: Literal["out", "in"],
        at: int,
        manifest: bytes,
        digests: Sequence[bytes],
        leaf: int | None,
    ) -> str: ...
    def set_receipt(self, eid: str, receipt: bytes) -> None: ...


class Index(Protocol):
    """What was read out of messages for statistics and search."""

    def unread(self, direction: Literal["out", "in"], after: int, limit: int, most_bytes: int) -> Sequence[Unread]:
        """Return messages behind row `after`, in order: at most `limit`, of `most_bytes` unless one alone has more."""
        ...

    def add(self, rows: Sequence[Indexed]) -> None:
        """Store rows; one that is there already stays."""
        ...

    def forget_names(self, jtis: Sequence[str]) -> None:
        """Delete the search keys of messages whose bodies are gone."""
        ...


class Figures(Protocol):
    """Figures brought in from an authority's own statistics."""

    def add_import(self, figures: Sequence[Imported], *, at: int, account: str, digest: bytes) -> int:
        """Store the figures of one file; return the number of the import."""
        ...

    def held(self) -> Sequence[Imported]:
        """Return the figures of every import that was not withdrawn, in the order they came."""
        ...

    def withdraw(self, number: int, at: int) -> bool:
        """Leave an import out from now on; False where there is none that counts."""
        ...


class Attachments(Protocol):
    """Files beside messages, and their ciphertexts between gateways."""

    def add(self, attachment: Attachment) -> None: ...
    def find(self, party: PartyId, name: str) -> Attachment | None: ...
    def named(self, name: str) -> Sequence[Attachment]: ...
    def transfer(self, direction: Literal["out", "in"], partner: PartyId, name: str) -> Transfer | None: ...
    def put_transfer(self, transfer: Transfer) -> None: ...
    def set_transfer(
        self, direction: Literal["out", "in"], partner: PartyId, name: str, state: str, at: int
    ) -> None: ...
    def drop_transfer(self, direction: Literal["out", "in"], partner: PartyId, name: str) -> None: ...
    def keep(self, partner: PartyId, name: str, sha256: bytes, at: int) -> None: ...
    def enclose(self, jti: MessageId, party: PartyId, names: Sequence[AttachmentId]) -> None: ...
    def undelivered(self, partner: PartyId, names: Sequence[AttachmentId]) -> int: ...
    def due(self, partner: PartyId, limit: int) -> Sequence[Transfer]: ...
    def waiting_for(self, partner: PartyId, name: str) -> Sequence[MessageId]: ...
    def complete(self, partner: PartyId, name: str) -> Sequence[MessageId]: ...
    def redo(self, jti: MessageId, partner: PartyId) -> int: ...
    def unreferenced_bytes(self, partner: PartyId) -> tuple[int, int]: ...
    def stale_transfers(self, party: PartyId, before: int, limit: int) -> Sequence[Transfer]: ...
    def stale_attachments(self, party: PartyId, before: int, limit: int) -> Sequence[Attachment]: ...
    def remove(self, party: PartyId, name: str) -> None: ...
    def restricted(self, party: PartyId, name: str) -> bool: ...
    def erase(self, party: PartyId, name: str) -> None: ...
    def erase_enclosed(self, party: PartyId, jti: str) -> None: ...
    def encloses(self, party: PartyId, jti: str, name: str) -> bool: ...
    def discarded(self, limit: int) -> Sequence[str]: ...
    def gone(self, files: Sequence[str]) -> None: ...
    def files(self) -> set[str]: ...


class State(Protocol):
    """Small facts about the process."""

    def get(self, name: str) -> str | None: ...
    def put(self, name: str, value: str) -> None: ...


class Transaction(Protocol):
    """One unit of work; everything done through it commits together or not at all."""

    @property
    def outbox(self) -> Outbox: ...
    @property
    def inbox(self) -> Inbox: ...
    @property
    def cases(self) -> Cases: ...
    @property
    def memory(self) -> Memory: ...
    @property
    def records(self) -> Records: ...
    @property
    def log(self) -> Log: ...
    @property
    def parties(self) -> Parties: ...
    @property
    def registrations(self) -> Registrations: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def problems(self) -> Problems: ...
    @property
    def envelopes(self) -> Envelopes: ...
    @property
    def index(self) -> Index: ...
    @property
    def figures(self) -> Figures: ...
    @property
    def state(self) -> State: ...
    @property
    def witness(self) -> Witnesses: ...
    @property
    def attachments(self) -> Attachments: ...
    @property
    def timestamps(self) -> Timestamps: ...


class Traffic(Protocol):
    """Stored messages with their bodies, for the gateway's own eyes."""

    async def page(
        self, direction: Literal["out", "in"], subject: str, *, since: int, after: int, limit: int
    ) -> Sequence[StoredMessage]: ...
    async def events(self, bodies: Sequence[int]) -> Sequence[bytes]: ...


class Store(Protocol):
    """Durable storage: units of work in, results out once they are on disk."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction. Raises what it raised, or StorageUnavailable."""
        ...


class KeyRing(Protocol):
    """Our private keys: files today, PKCS#11 tomorrow."""

    def signer(self, now_ms: int) -> SigningPair: ...
    def open_key(self, kid: Kid) -> OpenKey | None: ...
    def root_signer(self) -> SigningPair | None: ...
    def log_key(self) -> Ed25519PrivateKey: ...
    def public_keys(self) -> list[dict[str, Any]]: ...
    def wrap(self, secret: bytes, about: bytes) -> bytes: ...
    def unwrap(self, wrapped: bytes, about: bytes) -> bytes: ...


class Sink(Protocol):
    """A file of ours being written."""

    def write(self, piece: bytes) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class Source(Protocol):
    """A file of ours being read."""

    def read(self, size: int) -> bytes: ...
    def close(self) -> None: ...


class Files(Protocol):
    """Sealed files by opaque name. Blocks: callers run it in a thread. Each call may raise StorageUnavailable."""

    def create(self, name: str) -> Sink: ...
    def resume(self, name: str, offset: int) -> Sink: ...
    def open(self, name: str, offset: int = 0) -> Source: ...
    def size(self, name: str) -> int | None: ...
    def remove(self, name: str) -> None: ...
    def names(self) -> list[str]: ...


class Images(Protocol):
    """Makes an image anew: its pixels, and nothing else that the file held."""

    def clean(self, media_type: str, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the new file. Raises ValueError, in words of ours, where it is no image that can be read."""
        ...


class Scanner(Protocol):
    """A virus scanner."""

    async def scan(self, pieces: AsyncIterator[bytes]) -> bool:
        """Say whether the file is clean. Raises StorageUnavailable where the scanner does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer from a partner, unjudged."""

    status: int
    media_type: str
    body: bytes
    retry_after_s: int | None


@dataclass(frozen=True, slots=True)
class UploadReply:
    """An answer about an upload: how far it has come, where the answer says."""

    status: int
    offset: int | None
    length: int | None
    retry_after_s: int | None


class PartnerLink(Protocol):
    """The mutual-TLS link to one partner. Each call raises TransportError when no whole answer came."""

    async def post_envelope(self, jwe: bytes) -> Reply: ...
    async def get_message(self, jti: MessageId) -> Reply: ...
    async def get_stream(self, start: int, limit: int) -> Reply: ...
    async def get_card(self) -> Reply: ...
    async def ping(self, body: bytes) -> Reply: ...
    async def add_checkpoint(self, body: bytes) -> Reply: ...
    async def get_witnessed(self, log_id: str) -> Reply: ...
    async def get_log(self, path: str) -> Reply: ...
    async def get_upload(self, name: AttachmentId) -> UploadReply: ...
    async def send_upload(
        self, name: AttachmentId, *, length: int, offset: int | None, pieces: AsyncIterator[bytes]
    ) -> UploadReply:
        """PUT a ciphertext, or PATCH the rest of it from `offset`."""
        ...


class TimestampAuthority(Protocol):
    """Somebody outside who says when bytes existed (RFC 3161)."""

    async def stamp(self, data: bytes) -> tuple[bytes, int]:
        """Return the token over `data`, verified, and its time (ms). Raises TransportError or PartnerError."""
        ...
