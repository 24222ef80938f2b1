"""The audit log, its checkpoints, and who vouches for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.ledger.standing import Said
    from gateway.ledger.witness import Witnessed
    from gateway.ports.common import Actor
    from gateway.ports.messages import OutboxState
    from gateway.protocol.ids import MessageId, PartyId


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
    """An answered message of ours whose entry in the partner's log was not seen yet; `id` is our row."""

    id: int
    jti: MessageId
    digest: bytes
    state: OutboxState
    leaf: int


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
    def entry(self, seq: int) -> Said | None: ...

    def about(self, jtis: Collection[str]) -> Mapping[str, Sequence[Said]]:
        """Return the entries that decide what stands of these messages, and their alarms, by message, in order."""
        ...

    def received(self, sender: str, jtis: Collection[str]) -> Sequence[Said]:
        """Return the entries of answers we gave a sender to these messages."""
        ...


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
    def to_prove(self, recipient: PartyId, size: int, after: tuple[int, int], limit: int) -> Sequence[Unproved]: ...
    def late(self, recipient: PartyId, size: int, before: int, limit: int) -> Sequence[Unproved]: ...
    def open_since(self, recipient: PartyId, size: int) -> int | None: ...
    def set_proved(self, ids: Sequence[int], at: int) -> None: ...
    def set_unproved(self, jti: MessageId, why: str) -> None: ...


class Timestamps(Protocol):
    """Our checkpoints as an outside authority stamped them."""

    def add(self, timestamp: Timestamp) -> None: ...
    def newest(self) -> Timestamp | None: ...
    def first_from(self, size: int) -> Timestamp | None: ...


class TimestampAuthority(Protocol):
    """Somebody outside who says when bytes existed (RFC 3161)."""

    async def stamp(self, data: bytes) -> tuple[bytes, int]:
        """Return the token over `data`, verified, and its time (ms). Raises TransportError or PartnerError."""
        ...
