"""Messages on their way out and in, as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.errors import Finding
    from gateway.protocol.delivery import Waiting
    from gateway.protocol.entries import LoggedEntry
    from gateway.protocol.ids import CaseRef, EnvelopeId, MessageId, PartyId
    from gateway.protocol.receipt import Outcome

RECEIPT = ".receipt"
"""Ends the name under which the answer about one message of ours is kept; an envelope's id has no dot."""

OutboxState = str
"""A value of `protocol.states.State`: the database keeps its text."""


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
    """One message about to be sent, as it is stored; `event` is empty where its body is gone."""

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
    leaf: int


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


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message by its number, and the bytes of its body: 0 where that was erased."""

    number: int
    size: int


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

    def open_in_cases(self, recipient: PartyId, refs: Sequence[str]) -> Sequence[Waiting]:
        """Return every message of these cases with a partner that still has to move, by case and `caseseq`."""
        ...

    def claimed(self, ids: Sequence[int]) -> Sequence[Claimed]:
        """Return messages with their bytes, in that order."""
        ...

    def lease(self, ids: Sequence[int], *, eid: str, fence: int, lease_until: int) -> None:
        """Move queued messages to sending under our lease."""
        ...

    def restore(self, jti: MessageId, state: OutboxState) -> None:
        """Give a message back the state that the log says it is in, and nothing else."""
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

    def free_lane(self, recipient: PartyId, now_ms: int, *, fence: int) -> None:
        """Take back what is under our lease towards one partner."""
        ...

    def take_back(self, recipient: PartyId, now_ms: int, *, longest_ms: int) -> int:
        """Queue again what is under a lease, whoever's, that ended; return how many. `longest_ms`: of a lease."""
        ...

    def event(self, jti: MessageId) -> bytes:
        """Return the bytes of a message of ours, empty where they are gone."""
        ...

    def wake(self, recipient: PartyId, now_ms: int) -> int:
        """Make every queued message due now: the partner was heard of."""
        ...

    def next_due(self, recipient: PartyId, now_ms: int) -> int | None:
        """Return when the next queued message that is not due yet becomes due, or None."""
        ...

    def died_early(self, recipient: PartyId, now_ms: int, limit: int) -> Sequence[Sent]: ...
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

    def retriable(self, since_ms: int, now_ms: int) -> Sequence[MessageId]:
        """Return the messages accepted since then that wait, dead letters that may still go included."""
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

    def elsewhere(self, sender: PartyId, jtis: Sequence[str]) -> set[str]:
        """Return which of these ids are another message's: one we sent, or one another partner did."""
        ...

    def used(self, jti: str) -> bool:
        """Say whether any partner sent or gave up a message of this id."""
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

    def passed_at(self, sender: PartyId, number: int) -> int | None:
        """Return when the first message behind a number was answered, in ms; None where there is none."""
        ...

    def by_jti(self, sender: PartyId, jti: str) -> Outcome | None:
        """Return the final answer given to one message, or None."""
        ...

    def entries(self, sender: PartyId, jtis: Sequence[MessageId]) -> Mapping[MessageId, LoggedEntry]:
        """Return the committed log entries of the final answers given to these messages, by message."""
        ...

    def urgency(self, partner: PartyId, jti: str) -> str | None:
        """Return the urgency of one message, or None where there is none."""
        ...

    def handling(self, partner: PartyId, jti: str) -> str | None:
        """Return the handling codes of one message, or None where there is none."""
        ...

    def stream(self, sender: PartyId, start: int, limit: int) -> Sequence[StreamItem]:
        """Return what we hold of the sender's stream from `start` on, by number."""
        ...


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
    def used(self, eid: str) -> bool: ...
    def set_receipt(self, eid: str, receipt: bytes) -> None: ...


class Traffic(Protocol):
    """Stored messages with their bodies, for the gateway's own eyes."""

    async def page(
        self, direction: Literal["out", "in"], subject: str, *, since: int, after: int, limit: int
    ) -> Sequence[StoredMessage]: ...
    async def events(self, direction: Literal["out", "in"], numbers: Sequence[int]) -> Sequence[bytes | None]:
        """Return the bytes of these messages; None for each that is not what was logged, nothing for an erased one."""
        ...
