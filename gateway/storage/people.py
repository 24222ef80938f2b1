"""Accounts, and the stored answers to their creating POSTs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, or_, select, update

from gateway.ports.people import Account, StoredAnswer, Token
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

a, k, s = t.accounts.c, t.tokens.c, t.answers.c

_ACCOUNT = (a.id, a.name, a.person, a.role, a.created_at, a.disabled_at)
_NEW = ("id", "name", "person", "role", "created_at")
_ADD = compiled(insert(t.accounts).values(bound(_NEW)), *_NEW)
_TOKEN = (k.account, k.issued_at, k.ends_at)
_BY_TOKEN = compiled(
    select(*_ACCOUNT, *_TOKEN).join(t.tokens, k.account == a.id).where(k.hash == bindparam("token")), "token"
)
# Of several that had the name, the one that has it: at most one is not disabled.
_BY_NAME = (
    compiled(
        select(*_ACCOUNT)
        .where(a.name == bindparam("key"))
        .order_by(a.disabled_at.is_not(None), a.disabled_at.desc(), a.id.desc()),
        "key",
    )
    + " LIMIT 1"
)
_ALL = compiled(select(*_ACCOUNT).where(a.person == bindparam("person")).order_by(a.name, a.created_at), "person")
_DISABLE = compiled(update(t.accounts).where(a.id == bindparam("key")).values(disabled_at=bindparam("at")), "at", "key")
_TOKENS = compiled(select(*_TOKEN).order_by(k.issued_at))
_NEW_TOKEN = ("hash", "account", "issued_at")
_ADD_TOKEN = compiled(insert(t.tokens).values(bound(_NEW_TOKEN)), *_NEW_TOKEN)
_END_TOKENS = compiled(
    update(t.tokens)
    .where(k.account == bindparam("key"), or_(k.ends_at.is_(None), k.ends_at > bindparam("until")))
    .values(ends_at=bindparam("at")),
    "at", "key", "until",
)  # fmt: skip
_DROP_TOKENS = compiled(delete(t.tokens).where(k.account == bindparam("key")), "key")
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

    def add(self, account: Account) -> None:
        """Store a new account."""
        self._run(_ADD, (account.id, account.name, account.person, account.role, account.created_at))

    def by_token(self, token_hash: bytes) -> tuple[Account, Token] | None:
        """Return a token with the account it belongs to, disabled ones too."""
        row = self._run(_BY_TOKEN, (token_hash,)).fetchone()
        return None if row is None else (_account(row[:6]), Token(*row[6:]))

    def by_name(self, name: str) -> Account | None:
        """Return the account of that name; where several had it, the one in force, else the one disabled last."""
        row = self._run(_BY_NAME, (name,)).fetchone()
        return None if row is None else _account(row)

    def all(self, *, person: bool) -> Sequence[Account]:
        """Return people, or partner-agency systems, by name."""
        return [_account(row) for row in self._run(_ALL, (person,))]

    def disable(self, account_id: str, at: int) -> None:
        """Refuse the account from now on."""
        self._run(_DISABLE, (at, account_id))

    def enable(self, account_id: str) -> None:
        """Take a disabled account back. Its name must be free."""
        self._run(_DISABLE, (None, account_id))

    def tokens(self) -> Sequence[Token]:
        """Return every token that may be shown, in the order of issue."""
        return [Token(*row) for row in self._run(_TOKENS)]

    def add_token(self, token_hash: bytes, token: Token) -> None:
        """Store a token, only as a hash."""
        self._run(_ADD_TOKEN, (token_hash, token.account, token.issued_at))

    def end_tokens(self, account_id: str, at: int) -> None:
        """Let the tokens of an account end at a time; none lasts longer by that."""
        self._run(_END_TOKENS, (at, account_id, at))

    def drop_tokens(self, account_id: str) -> None:
        """Forget the tokens of an account: they are refused from now on."""
        self._run(_DROP_TOKENS, (account_id,))


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


def _account(row: tuple[str, str, int, str, int, int | None]) -> Account:
    key, name, person, role, created_at, disabled_at = row
    return Account(key, name, bool(person), role, created_at, disabled_at)
