"""The database as services see it: one transaction, everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.cases import Cases, Memory, Records
    from gateway.ports.figures import Figures, Index
    from gateway.ports.files import Attachments
    from gateway.ports.log import Log, Timestamps, Witnesses
    from gateway.ports.messages import Envelopes, Inbox, Outbox
    from gateway.ports.parties import Parties, Registrations
    from gateway.ports.people import Accounts, Answers, Problems

T = TypeVar("T")


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


class Store(Protocol):
    """Durable storage: units of work in, results out once they are on disk."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction. Raises what it raised, or StorageUnavailable."""
        ...
