"""What a bundle holds, as values: nothing here is believed before `verify` has looked at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

FORMAT: Final = "bcx-evidence/1"


@dataclass(frozen=True, slots=True)
class Proved:
    """A log entry: its number, its leaf data, and its inclusion path (RFC 6962 §2.1.1) at the size of its log."""

    index: int
    data: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StampPart:
    """A checkpoint of the same log that an outside authority stamped, of `size` entries, and its token (RFC 3161).

    `path` (RFC 6962 §2.1.2) shows that it holds what the other checkpoint holds; `at_ms` is what the token says.
    """

    checkpoint: str
    size: int
    path: tuple[bytes, ...]
    at_ms: int
    token: bytes


@dataclass(frozen=True, slots=True)
class LogPart:
    """Entries of one party's log under one signed checkpoint, cosigned where a witness has seen it; by number."""

    party: str
    checkpoint: str
    size: int
    entries: tuple[Proved, ...]
    stamp: StampPart | None = None


@dataclass(frozen=True, slots=True)
class CardPart:
    """A party card as received, with the names its file goes by."""

    party: str
    version: int
    jws: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything about one message. `place` of `count` is where its event stood in its envelope.

    `event` None: redacted, only its `digest` is shown. `receipt` None: the recipient never answered. `manifest` None:
    it is in no envelope, `count` is 0 and the sender's log alone speaks of it.
    `schema` is in JCS, so that its SHA-256 is the event's `schemadigest`.
    """

    message: str
    sender: str
    recipient: str
    exporter: str
    event: bytes | None = field(repr=False)
    digest: bytes
    place: int
    count: int
    path: tuple[bytes, ...]
    manifest: bytes | None
    receipt: bytes | None
    cards: tuple[CardPart, ...]
    logs: tuple[LogPart, ...]
    schema: bytes | None = None

    def __post_init__(self) -> None:
        """Put cards and logs in their one order: page and guide follow it, and names of files sort otherwise."""
        object.__setattr__(self, "cards", tuple(sorted(self.cards, key=lambda card: (card.party, card.version))))
        object.__setattr__(self, "logs", tuple(sorted(self.logs, key=lambda log: log.party)))

    def log_of(self, party: str) -> LogPart | None:
        """Return the part of a party's log, or None."""
        return next((log for log in self.logs if log.party == party), None)
