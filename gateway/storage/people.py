"""Accounts, and the stored answers to their creating POSTs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select, update

from gateway.ports.people import Account, StoredAnswer
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

a, s = t.accounts.c, t.answers.c

_ACCOUNT = (a.id, a.name, a.person, a.role, a.created_at, a.disabled_at)
_NEW = ("id", "name", "person", "role", "token_hash", "created_at")
_ADD = compiled(insert(t.accounts).values(bound(_NEW)), *_NEW)
_BY_TOKEN = compiled(select(*_ACCOUNT).where(a.token_hash == bindparam("token")), "token")
_BY_NAME = compiled(select(*_ACCOUNT).where(a.name == bindparam("key")), "key")
_ALL = compiled(select(*_ACCOUNT).where(a.person == bindparam("person")).order_by(a.name), "person")
_DISABLE = compiled(update(t.accounts).where(a.id == bindparam("key")).values(disabled_at=bindparam("at")), "at", "key")
_SET_TOKEN = compiled(
    update(t.accounts).where(a.id == bindparam("key")).values(token_hash=bindparam("token")), "token", "key"
)
_ANSWER = ("account", "route", "key", "request", "status", "answer", "location", "at")
_ADD_ANSWER = compiled(insert(t.answers).values(bound(_ANSWER)), *_ANSWER)
_FIND_ANSWER = compiled(
    select(s.request, s.status, s.answer, s.location).where(
        s.account == bindparam("account"), s.route == bindparam("route"), s.key == bindparam("key")
    ),
    "account", "route", "key",
)  # fmt: skip
_DROP_ANSWERS = compiled(delete(t.answers).where(s.at < bindparam("before")), "before")


class AccountRows:
    """`ports.Accounts` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def add(self, account: Account, token_hash: bytes) -> None:
        """Store a new account; its token only as a hash."""
        self._run(_ADD, (account.id, account.name, account.person, account.role, token_hash, account.created_at))

    def by_token(self, token_hash: bytes) -> Account | None:
        """Return the account a token belongs to, disabled ones too."""
        return _account(self._run(_BY_TOKEN, (token_hash,)).fetchone())

    def by_name(self, name: str) -> Account | None:
        """Return the account of that name."""
        return _account(self._run(_BY_NAME, (name,)).fetchone())

    def all(self, *, person: bool) -> Sequence[Account]:
        """Return people, or partner-agency systems, by name."""
        rows = (_account(row) for row in self._run(_ALL, (person,)))
        return [account for account in rows if account is not None]

    def disable(self, account_id: str, at: int) -> None:
        """Refuse the account from now on."""
        self._run(_DISABLE, (at, account_id))

    def set_token(self, account_id: str, token_hash: bytes) -> None:
        """Replace the token; the old one is refused from now on."""
        self._run(_SET_TOKEN, (token_hash, account_id))


class AnswerRows:
    """`ports.Answers` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def find(self, account: str, route: str, key: str) -> StoredAnswer | None:
        """Return what this key was answered, or None."""
        row = self._run(_FIND_ANSWER, (account, route, key)).fetchone()
        return StoredAnswer(*row) if row else None

    def add(self, account: str, route: str, key: str, answer: StoredAnswer, at: int) -> None:
        """Store an answer beside what it answers."""
        self._run(
            _ADD_ANSWER,
            (account, route, key, answer.request, answer.status, answer.answer, answer.location, at),
        )

    def drop_before(self, at: int) -> None:
        """Forget answers older than the longest retry of any client."""
        self._run(_DROP_ANSWERS, (at,))


def _account(row: tuple[str, str, int, str, int, int | None] | None) -> Account | None:
    if row is None:
        return None
    key, name, person, role, created_at, disabled_at = row
    return Account(key, name, bool(person), role, created_at, disabled_at)
