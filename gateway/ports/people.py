"""Who calls us, and what they were answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.common import Actor


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
class Token:
    """A bearer token that may be shown: whose, when it was issued, and where it ends before its age says so, ms."""

    account: str
    issued_at: int
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a creating POST was answered, kept for its repetition."""

    request: bytes
    status: int
    answer: bytes
    location: str | None


class Accounts(Protocol):
    """People and partner-agency systems."""

    def add(self, account: Account) -> None: ...
    def by_token(self, token_hash: bytes) -> tuple[Account, Token] | None: ...
    def by_name(self, name: str) -> Account | None: ...
    def all(self, *, person: bool) -> Sequence[Account]: ...
    def disable(self, account_id: str, at: int) -> None: ...
    def enable(self, account_id: str) -> None: ...
    def tokens(self) -> Sequence[Token]: ...
    def add_token(self, token_hash: bytes, token: Token) -> None: ...
    def end_tokens(self, account_id: str, at: int) -> None: ...
    def drop_tokens(self, account_id: str) -> None: ...


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
