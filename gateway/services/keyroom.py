"""Changes of our keys: made durable in the ring, told to the log, and to partners by a new card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from gateway.ports.common import SYSTEM
from gateway.protocol.reasons import REVOKE_REASONS
from gateway.services.coded import judge_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.common import Actor, Clock, Entropy
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.card import Card
    from gateway.protocol.ids import Kid
    from gateway.services.identity import Identity

Use = Literal["sig", "enc", "log", "witness"]
USES: tuple[Use, ...] = ("sig", "enc", "log", "witness")


class Record(Protocol):
    """What is told of one key."""

    @property
    def name(self) -> str:
        """What its files are called: `sig-1`."""
        ...

    @property
    def use(self) -> str:
        """What it is for."""
        ...

    @property
    def kids(self) -> tuple[Kid, ...]:
        """One kid, or both of a pair."""
        ...

    @property
    def status(self) -> str:
        """Is `next`, `active`, `retiring` or `revoked`."""
        ...

    @property
    def nbf_ms(self) -> int:
        """From when it counts."""
        ...


class Ring(Protocol):
    """What of the key ring this service moves."""

    def records(self) -> Sequence[Record]:
        """Return every key that is held."""
        ...

    def rotate(self, use: Use, now_ms: int, entropy: Entropy) -> Record:
        """Make a new key."""
        ...

    def revoke(self, kid: str, now_ms: int, entropy: Entropy) -> tuple[Kid, ...]:
        """Revoke a key."""
        ...

    def advance(self, now_ms: int) -> bool:
        """Activate keys whose time has come."""
        ...

    def plan(self, use: Use | Literal["tls"], now_ms: int) -> list[str]:
        """Say what `rotate` would do."""
        ...


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What was done: kids (or names of certificates), from when it counts, and our new card if one was due.

    `card` None with `card_due` true: the root keys are offline, so a new card must be signed there.
    """

    names: tuple[str, ...]
    status: str
    counts_from_ms: int
    card: Card | None
    card_due: bool


class KeyRoom:
    """`rotate` and `revoke` are how an operator changes keys; `advance` is what time does to them."""

    def __init__(
        self,
        store: Store,
        ring: Ring,
        identity: Identity,
        clock: Clock,
        entropy: Entropy,
        *,
        renew_tls: Callable[[int, bool], Sequence[str]],
    ) -> None:
        """Take `renew_tls(now_ms, force)`: it issues certificates anew and returns the names of those."""
        self._store = store
        self._ring = ring
        self._identity = identity
        self._clock = clock
        self._entropy = entropy
        self._renew_tls = renew_tls
        self._listeners: list[Callable[[], None]] = []

    def on_renewed(self, listener: Callable[[], None]) -> None:
        """Call `listener` after certificates changed: contexts must load them again."""
        self._listeners.append(listener)

    async def rotate(self, use: str, actor: Actor) -> KeyChange:
        """Make a new key of one use, or new certificates. Raises Clash while another waits."""
        now = self._clock()
        wanted = _use(use)
        if wanted == "tls":
            renewed = tuple(self._renew(force=True))
            await self._log("key.rotated", ("certificate", " ".join(renewed)), actor, "tls")
            return KeyChange(renewed, "active", now, None, card_due=False)
        record = self._ring.rotate(wanted, now, self._entropy)
        typ = "key.rotated" if record.status == "active" else "key.added"
        await self._log(typ, ("key", " ".join(record.kids)), actor, f"{use} {record.status}")
        card = await self._identity.publish()
        return KeyChange(record.kids, record.status, record.nbf_ms, card, card_due=card is None)

    def plan(self, use: str) -> list[str]:
        """Say what `rotate` would do now and what follows when, one step a line."""
        return self._ring.plan(_use(use), self._clock())

    async def revoke(self, kid: str, reason: str, actor: Actor) -> KeyChange:
        """Revoke a key now; `reason` is a code of REVOKE_REASONS.

        Raises UnknownCode for another, NotFound, or Clash when it is revoked already.
        """
        judge_code("reason", reason, REVOKE_REASONS)
        before = self._ring.records()
        kids = self._ring.revoke(kid, self._clock(), self._entropy)
        await self._log("key.revoked", ("key", " ".join(kids)), actor, reason)
        await self._log_moves(before, actor, but=kids)
        card = await self._identity.publish()
        return KeyChange(kids, "revoked", self._clock(), card, card_due=card is None)

    async def advance(self, renewed: Sequence[str] = (), *, sure: bool = True) -> None:
        """Do what is due: activate waiting keys, renew certificates that expire soon, publish the card.

        Each change is logged, as one of an operator's is; `renewed` are certificates made anew before the log was open.
        While the time is not `sure` no key is moved: one that is erased by a wrong clock is gone.
        """
        before = self._ring.records()
        if sure:
            self._ring.advance(self._clock())
        await self._log_moves(before, SYSTEM)
        renewed = [*renewed, *self._renew(force=False)]
        if renewed:
            await self._log("key.rotated", ("certificate", " ".join(renewed)), SYSTEM, "tls")
        await self._identity.publish()

    async def _log_moves(self, before: Sequence[Record], actor: Actor, *, but: Sequence[Kid] = ()) -> None:
        """Log each key that is new, has another status, or is gone; `but` is logged by the caller."""
        held, now = {record.name: record for record in before}, self._ring.records()
        moved = [(record, record.status) for record in now if held.get(record.name) != record]
        gone = [(record, "expired") for record in before if record.name not in {one.name for one in now}]
        for record, status in [*moved, *gone]:
            if record.kids != tuple(but):
                await self._log("key.rotated", ("key", " ".join(record.kids)), actor, f"{record.use} {status}")

    def _renew(self, *, force: bool) -> Sequence[str]:
        renewed = self._renew_tls(self._clock(), force)
        if renewed:
            for listener in self._listeners:
                listener()
        return renewed

    async def _log(self, typ: str, obj: tuple[str, str], actor: Actor, outcome: str) -> None:
        def work(tx: Transaction) -> None:
            tx.log.append(typ, actor=actor, obj=obj, at=self._clock(), outcome=outcome)

        await self._store.write(work)


def _use(text: str) -> Use | Literal["tls"]:
    for use in USES:
        if use == text:
            return use
    judge_code("use", text, ("tls", *USES))
    return "tls"
