"""What the tables hold, row by row, beside what the log says of it: what a verifier of both is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.ledger.standing import Said


@dataclass(frozen=True, slots=True)
class Columns:
    """What a row says of a message, and its event says too."""

    partner: str
    jti: str | None
    subject: str | None
    case_ref: str | None
    case_seq: int | None
    stream_seq: int | None
    urgency: str | None
    handling: str | None
    schema_version: str | None
    in_reply_to: str | None
    supersedes: str | None
    time: int | None
    """Of a message of ours its expiry, of a partner's when it was sent; ms."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One message of ours, the entries about it, and the receipts kept that may have answered it."""

    columns: Columns
    digest: bytes
    leaf: int
    state: str
    account: str
    created_at: int
    event: bytes | None
    said: Sequence[Said]
    receipts: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class HeldIn:
    """One answer of ours to a partner, its entry, and those about erasing the message."""

    columns: Columns
    digest: bytes | None
    leaf: int
    status: str
    received_at: int
    problem: str | None
    event: bytes | None
    said: Said | None
    erasures: Sequence[Said]


@dataclass(frozen=True, slots=True)
class HeldCase:
    """One case, the digest of its row, and the newest the log has; None where no entry has any."""

    ref: str
    partner: str
    digest: bytes
    leaf: int | None
    logged: bytes | None
    sent: int
    numbered: int
    """The highest `caseseq` among our messages in it."""


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """One account as its rows have it; `tokens` are the SHA-256 of what is kept of each, by time of issue."""

    id: str
    role: str
    disabled: bool
    tokens: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HeldCheckpoints:
    """How many checkpoints there are and the newest, beside what was noted when it was signed."""

    count: int
    newest: str | None
    signed: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Lost:
    """An entry whose row is gone; `kind` is message, answer or case."""

    kind: str
    said: Said


class Holdings(Protocol):
    """Reads a database page by page: no snapshot is held longer than a page."""

    def out(self, newest: int | None) -> Iterator[HeldOut]: ...
    def inward(self, newest: int | None) -> Iterator[HeldIn]: ...
    def lost(self, newest: int | None) -> Iterator[Lost]: ...
    def cases(self, newest: int | None) -> Iterator[HeldCase]: ...

    def people(self) -> tuple[Sequence[HeldAccount], Sequence[Said]]:
        """Return every account, and what the log says of accounts, in order."""
        ...

    def partners(self) -> tuple[Mapping[str, str], Sequence[Said]]:
        """Return the state of each partner, and what the log says of partners, in order."""
        ...

    def checkpoints(self) -> HeldCheckpoints: ...
