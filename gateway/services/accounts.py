"""Accounts: people and partner-agency systems, their tokens, and who may do what."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import Clash, Finding, MalformedRequest, NotFound, NotPermitted, Unauthenticated
from gateway.ports.common import Actor, Clock, Entropy
from gateway.ports.people import Account
from gateway.primitives import b64u
from gateway.protocol.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.store import Store, Transaction

TOKEN_BYTES = 32
TOKEN_PREFIX = "bcx_"  # noqa: S105 - a prefix is no secret
DAY_MS = 86_400_000

CLIENT_ROLES = frozenset({"client", "auditor", "operator"})
PERSON_ROLES = frozenset({"officer", "supervisor", "auditor", "operator"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

LOCAL_OPERATOR = Account("local", "local", person=True, role="operator", created_at=0, disabled_at=None)
"""Whoever may write in the home: the command line on this machine."""

# What each role may do; none implies another. One place is asked by every route.
PERMITS: dict[str, frozenset[str]] = {
    "client": frozenset({"message.submit", "message.read-own", "case.read-own", "inbox.read", "reference.read"}),
    "officer": frozenset(
        {"message.submit", "message.read", "event.read", "case.read", "inbox.read", "reference.read",
         "statistics.read", "statistics.import"}
    ),
    "supervisor": frozenset(
        {"message.submit", "message.read", "event.read", "case.read", "inbox.read", "reference.read",
         "statistics.read", "statistics.import"}
    ),
    "auditor": frozenset({"message.read", "audit.read", "evidence.export", "reference.read", "statistics.read"}),
    "operator": frozenset(
        {"message.read", "queue.operate", "partner.operate", "schema.operate", "evidence.export", "reference.read"}
    ),
}  # fmt: skip


class Accounts:
    """Adds, finds and disables accounts; tokens are kept as hashes only."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, *, token_ttl_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._token_ttl_ms = token_ttl_ms
        self._known: dict[bytes, Account | None] = {}

    async def add(self, name: str, role: str, *, person: bool, actor: Actor) -> tuple[Account, str]:
        """Add an account; return it and its token, which is shown once and never again.

        Raises MalformedRequest, or Clash for a name that is taken.
        """
        roles = PERSON_ROLES if person else CLIENT_ROLES
        if role not in roles:
            detail = f"role is one of {', '.join(sorted(roles))}"
            raise MalformedRequest(detail, errors=(Finding("/role", detail),))
        if not _NAME.fullmatch(name):
            detail = "a name is 1 to 64 letters, digits and . _ @ -"
            raise MalformedRequest(detail, errors=(Finding("/name", detail),))
        token, hashed = self._token()
        now = self._clock()
        account = Account(uuid7(now, self._entropy), name, person, role, now, None)

        def work(tx: Transaction) -> None:
            if tx.accounts.by_name(name) is not None:
                detail = "this name is taken; names are never used twice"
                raise Clash(detail, errors=(Finding("/name", detail),))
            tx.accounts.add(account, hashed)
            tx.log.append("user.added", actor=actor, obj=("account", account.id), at=now, outcome=role,
                          event=sha256(hashed).digest())  # fmt: skip

        await self._store.write(work)
        return account, token

    async def disable(self, name: str, *, person: bool, actor: Actor) -> Account:
        """Refuse an account from now on. Raises NotFound."""

        def work(tx: Transaction) -> Account:
            account = self._find(tx, name, person=person)
            if account.disabled_at is None:
                tx.accounts.disable(account.id, self._clock())
                tx.log.append("user.changed", actor=actor, obj=("account", account.id), at=self._clock(),
                              outcome="disabled")  # fmt: skip
            return account

        account = await self._store.write(work)
        self._known.clear()
        return account

    async def reset(self, name: str, *, person: bool, actor: Actor) -> tuple[Account, str]:
        """Give an account a new token; the old one is refused from now on. Raises NotFound."""
        token, hashed = self._token()

        def work(tx: Transaction) -> Account:
            account = self._find(tx, name, person=person)
            tx.accounts.set_token(account.id, hashed)
            tx.log.append("user.changed", actor=actor, obj=("account", account.id), at=self._clock(),
                          outcome="token reset", event=sha256(hashed).digest())  # fmt: skip
            return account

        account = await self._store.write(work)
        self._known.clear()
        return account, token

    async def all(self, *, person: bool) -> Sequence[Account]:
        """Return people, or partner-agency systems."""
        return await self._store.write(lambda tx: tx.accounts.all(person=person))

    async def authenticate(self, token: str) -> Account:
        """Return whose token this is. Raises Unauthenticated, the same for every reason."""
        hashed = sha256(token.encode()).digest()
        account = self._known.get(hashed)
        if account is None:
            account = await self._store.write(lambda tx: tx.accounts.by_token(hashed))
            if account is not None:
                self._known[hashed] = account
        if (
            account is None
            or account.disabled_at is not None
            or self._clock() >= account.created_at + self._token_ttl_ms
        ):
            detail = "the bearer token is unknown, expired or revoked; `gateway client add` gives a new one"
            raise Unauthenticated(detail)
        return account

    def _token(self) -> tuple[str, bytes]:
        token = TOKEN_PREFIX + b64u.encode(self._entropy(TOKEN_BYTES))
        # A plain hash is enough: 256 random bits cannot be guessed, unlike a password.
        return token, sha256(token.encode()).digest()

    def _find(self, tx: Transaction, name: str, *, person: bool) -> Account:
        account = tx.accounts.by_name(name)
        if account is None or account.person != person:
            noun = "user" if person else "client"
            detail = f"no such {noun}; `gateway {noun} list` shows them"
            raise NotFound(detail)
        return account


def owner_of(account: Account) -> str | None:
    """Return the account whose own messages and cases are all it may know of; None where it may know of every one."""
    return None if permitted(account, "message.read") else account.id


def permitted(account: Account, act: str) -> bool:
    """Say whether an account may do this."""
    return account is LOCAL_OPERATOR or act in PERMITS.get(account.role, frozenset())


def require(account: Account, act: str) -> None:
    """Raise NotPermitted unless `account` may do this."""
    if not permitted(account, act):
        detail = f"the role {account.role} may not do this"
        raise NotPermitted(detail)


def actor_of(account: Account) -> Actor:
    """Return how the log names an account."""
    return Actor(account.id, account.role)
