"""Cases, and what is known in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.casework.clocks import CaseClocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.casework.lifecycle import CaseState
    from gateway.casework.remembered import Record
    from gateway.protocol.ids import CaseRef, PartyId

NO_CLOCKS = CaseClocks()


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
class Held:
    """A message whose body is kept: whose row it is, and the leaf hash of its event."""

    body: int
    digest: bytes


class Cases(Protocol):
    """Cases, each shared with one partner: two partners may use one reference."""

    def find(self, partner: PartyId, ref: str) -> Case | None: ...

    def save(self, case: Case) -> bytes:
        """Store a case; return the digest of its row, which an entry of this transaction must name (`Basis`)."""
        ...

    def digest(self, case: Case) -> bytes: ...
    def used(self, ref: str) -> bool: ...
    def last_number(self, year: int) -> int: ...
    def set_last_number(self, year: int, number: int) -> None: ...
    def open_to(self, partner: PartyId, ref: str, account: str) -> bool: ...
    def skip_numbers(self, references: int, messages: int) -> None: ...


class Memory(Protocol):
    """What policies need of the messages exchanged; each record goes with its message's body."""

    def add(self, record: NewRecord) -> None: ...
    def of_case(self, partner: PartyId, ref: str) -> Sequence[Record]: ...
    def of_key(self, key: str, partner: PartyId | None, limit: int) -> Sequence[Record]: ...
    def held(self, keys: Sequence[str], partner: PartyId | None) -> Sequence[str]: ...
    def keys_of(self, partner: PartyId, ref: str, kind: str) -> Sequence[str]: ...
    def suspend(self, sender: str, jti: str) -> None: ...
    def resume(self, sender: str, jti: str) -> None: ...
    def drop(self, sender: str, jti: str) -> None: ...
    def forget_names(self, sender: str, jti: str) -> None: ...


class Records(Protocol):
    """What record.action does to messages kept here."""

    def mark(self, sender: str, jti: str, part: str, mark: str, *, reason: str, by_jti: str, at: int) -> None: ...
    def lift(self, sender: str, jti: str, part: str) -> None: ...
    def held(self, sender: str, partner: PartyId, jti: str) -> Held | None: ...
    def erase_body(self, held: Held) -> None: ...
