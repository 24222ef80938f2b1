"""Accounts: people and partner-agency systems, their tokens, and who may do what."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import Clash, Finding, MalformedRequest, NotFound, NotPermitted, Unauthenticated
from gateway.ports.common import Actor, Clock, Entropy
from gateway.ports.people import Account, Token
from gateway.primitives import b64u
from gateway.primitives.times import format_ms
from gateway.protocol.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.store import Store, Transaction

TOKEN_BYTES = 32
TOKEN_PREFIX = "bcx_"  # noqa: S105 - a prefix is no secret
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
OVERLAP_MOST_H = 720
"""Hours a replaced token may go on: whoever has not changed it in a month has forgotten it."""

CLIENT_ROLES = frozenset({"client", "auditor", "operator"})
PERSON_ROLES = frozenset({"officer", "supervisor", "auditor", "operator"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

LOCAL_OPERATOR = Account("local", "local", person=True, role="operator", created_at=0, disabled_at=None)
"""Whoever may write in the home: the command line on this machine."""

# What each role may do; none implies another. One place is asked by every route.
PERMITS: dict[str, frozenset[str]] = {
    "client": frozenset(
        {"message.submit", "message.read-own", "case.read-own", "case.search", "inbox.read", "reference.read"}
    ),
    "officer": frozenset(
        {"message.submit", "message.read", "event.read", "case.read", "case.search", "inbox.read", "reference.read",
         "statistics.read", "statistics.import"}
    ),
    "supervisor": frozenset(
        {"message.submit", "message.read", "event.read", "case.read", "case.search", "inbox.read", "reference.read",
         "statistics.read", "statistics.import", "evidence.export"}
    ),
    "auditor": frozenset({"message.read", "audit.read", "evidence.export", "reference.read", "statistics.read"}),
    "operator": frozenset(
        {"message.read", "queue.operate", "partner.operate", "schema.operate", "evidence.export", "reference.read",
         "key.operate", "account.operate", "system.operate"}
    ),
}  # fmt: skip

LOCAL_PERMITS = PERMITS["operator"] | {
    "message.submit", "case.read", "audit.read", "statistics.read", "statistics.import",
}  # fmt: skip
"""Whoever sits at the server: an operator, who queues what lies there, and sees where things stand. No case data."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An account, and until when its tokens count, ms: the newest, and the last of those it replaced."""

    account: Account
    token_until: int | None
    old_token_until: int | None


class Accounts:
    """Adds, finds and disables accounts; tokens are kept as hashes only.

    Laws:
    1. A token ends `token_ttl_ms` after its own issue, or earlier: with its account, or when it was replaced.
    2. Only whoever shows the right token learns that it has expired; every other refusal is alike.
    """

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, *, token_ttl_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._token_ttl_ms = token_ttl_ms
        self._known: dict[bytes, tuple[Account, Token]] = {}

    async def add(self, name: str, role: str, *, person: bool, actor: Actor) -> tuple[Account, str]:
        """Add an account; return it and its token, which is shown once and never again.

        Raises MalformedRequest, or Clash while another account has the name; that of a disabled one is free.
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
            held = tx.accounts.by_name(name)
            if held is not None and held.disabled_at is None:
                noun = _noun(person=held.person)
                detail = f"this name is taken; `gateway {noun} reset NAME` gives its {noun} a new token"
                raise Clash(detail, errors=(Finding("/name", detail),))
            tx.accounts.add(account)
            tx.accounts.add_token(hashed, Token(account.id, now, None))
            tx.log.append("user.added", actor=actor, obj=("account", account.id), at=now, outcome=role,
                          event=sha256(hashed).digest())  # fmt: skip

        await self._store.write(work)
        return account, token

    async def disable(self, name: str, *, person: bool, actor: Actor) -> Account:
        """Refuse an account from now on, and its tokens for good. Raises NotFound."""

        def work(tx: Transaction) -> Account:
            account = self._find(tx, name, person=person)
            if account.disabled_at is None:
                tx.accounts.disable(account.id, self._clock())
                tx.accounts.drop_tokens(account.id)
                tx.log.append("user.changed", actor=actor, obj=("account", account.id), at=self._clock(),
                              outcome="disabled")  # fmt: skip
            return account

        account = await self._store.write(work)
        self._known.clear()
        return account

    async def reset(self, name: str, *, person: bool, actor: Actor, overlap_h: int = 0) -> tuple[Account, str]:
        """Give an account a new token; the one before is refused at once, or after `overlap_h` hours.

        A disabled account counts again, with the new token alone. Raises NotFound, MalformedRequest.
        """
        if not 0 <= overlap_h <= OVERLAP_MOST_H:
            detail = f"overlap is 0 to {OVERLAP_MOST_H} hours"
            raise MalformedRequest(detail, errors=(Finding("/overlap", detail),))
        token, hashed = self._token()

        def work(tx: Transaction) -> Account:
            now = self._clock()
            account = self._find(tx, name, person=person)
            obj = ("account", account.id)
            if account.disabled_at is not None:
                tx.accounts.enable(account.id)
                tx.log.append("user.changed", actor=actor, obj=obj, at=now, outcome="enabled")
            if overlap_h:
                tx.accounts.end_tokens(account.id, now + overlap_h * HOUR_MS)
            else:
                tx.accounts.drop_tokens(account.id)
            tx.accounts.add_token(hashed, Token(account.id, now, None))
            kept = f", old one ends in {overlap_h} h" if overlap_h else ""
            tx.log.append("user.changed", actor=actor, obj=obj, at=now, outcome=f"token reset{kept}",
                          event=sha256(hashed).digest())  # fmt: skip
            return replace(account, disabled_at=None)

        account = await self._store.write(work)
        self._known.clear()
        return account, token

    async def standings(self, *, person: bool) -> Sequence[Standing]:
        """Return people, or partner-agency systems, with the ends of their tokens."""

        def work(tx: Transaction) -> tuple[Sequence[Account], Sequence[Token]]:
            return tx.accounts.all(person=person), tx.accounts.tokens()

        accounts, tokens = await self._store.write(work)
        ends: dict[str, list[int]] = {account.id: [] for account in accounts}
        for token in tokens:
            ends.setdefault(token.account, []).append(self._end(token))
        now = self._clock()
        return [
            Standing(
                account, next(iter(ends[account.id][-1:]), None),
                max((end for end in ends[account.id][:-1] if end > now), default=None),
            )
            for account in accounts
        ]  # fmt: skip

    async def authenticate(self, token: str) -> Account:
        """Return whose token this is. Raises Unauthenticated, alike for every reason but the token's own age."""
        # What is no text of Unicode is no token either, and no fault.
        hashed = sha256(token.encode(errors="surrogateescape")).digest()
        found = self._known.get(hashed)
        if found is None:
            found = await self._store.write(lambda tx: tx.accounts.by_token(hashed))
            if found is not None:
                self._known[hashed] = found
        if found is None or found[0].disabled_at is not None:
            detail = "the bearer token is unknown or revoked; `gateway client add` gives a new one"
            raise Unauthenticated(detail)
        account, held = found
        end = self._end(held)
        if self._clock() >= end:
            noun = _noun(person=account.person)
            detail = f"the bearer token expired at {format_ms(end)}; `gateway {noun} reset NAME` gives a new one"
            raise Unauthenticated(detail)
        return account

    def _end(self, token: Token) -> int:
        end = token.issued_at + self._token_ttl_ms
        return end if token.ends_at is None else min(end, token.ends_at)

    def _token(self) -> tuple[str, bytes]:
        token = TOKEN_PREFIX + b64u.encode(self._entropy(TOKEN_BYTES))
        # A plain hash is enough: 256 random bits cannot be guessed, unlike a password.
        return token, sha256(token.encode()).digest()

    def _find(self, tx: Transaction, name: str, *, person: bool) -> Account:
        account = tx.accounts.by_name(name)
        if account is None or account.person != person:
            noun = _noun(person=person)
            detail = f"no such {noun}; `gateway {noun} list` shows them"
            raise NotFound(detail)
        return account


def _noun(*, person: bool) -> str:
    return "user" if person else "client"


def owner_of(account: Account) -> str | None:
    """Return the account whose own messages and cases are all it may know of; None where it may know of every one."""
    return None if permitted(account, "message.read") else account.id


def permitted(account: Account, act: str) -> bool:
    """Say whether an account may do this."""
    return act in (LOCAL_PERMITS if account is LOCAL_OPERATOR else PERMITS.get(account.role, frozenset()))


def require(account: Account, *acts: str) -> None:
    """Raise NotPermitted, naming the roles that may, unless `account` may do one of these."""
    if any(permitted(account, act) for act in acts):
        return
    roles = [role for role, may in PERMITS.items() if may & set(acts)]
    detail = f"the role {account.role} may not do this; {', '.join(roles)} may"
    if account is LOCAL_OPERATOR:
        detail += (
            "; give the token of one by GATEWAY_TOKEN or --token-file FILE (`gateway user add NAME --role ROLE` "
            "makes an account)"
        )
    raise NotPermitted(detail)


def actor_of(account: Account) -> Actor:
    """Return how the log names an account."""
    return Actor(account.id, account.role)
