"""Partners with their cards, and the schemas agreed with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.protocol.ids import PartyId


class SchemaJudge(Protocol):
    """Answers questions of `registry.judging` in bounded time and memory."""

    async def ask(
        self, question: Mapping[str, Any], codelists: Mapping[str, Collection[str]], caller: str
    ) -> dict[str, Any]:
        """Return the answer; callers take turns.

        Raises SchemaRefused where it takes too much, StorageUnavailable where that is not the schema's fault,
        TooManyRequests.
        """
        ...


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
