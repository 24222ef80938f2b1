"""Holds what is stored against what was logged before it leaves: an edit behind our back sends and shows nothing.

Who reaches the database can change any row; the log's entries only by breaking the signed tree. So nothing leaves
whose bytes, recipient or state are not what the entries say: it is alarmed once, by name, and stays here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orjson

from gateway.errors import StorageUnavailable
from gateway.ledger import standing
from gateway.ledger.entry import DIGEST_BYTES
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.primitives.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.ledger.standing import Said, Standing
    from gateway.ports.common import Clock
    from gateway.ports.messages import Claimed
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId

log = get_logger()

CHANGED: Final = "changed"
"""First word of the alarm, and of the reason a message is held for; what was changed follows."""
DATA: Final = b',"data":'


def seal_faults(tx: Transaction, messages: Sequence[Claimed], me: PartyId, recipient: PartyId, now: int) -> list[str]:
    """Keep back, and alarm, those that are not what the log says; return their ids.

    What the log says is answered, given up or held gets that state again. What has other bytes, or another recipient
    than it was accepted for, is held for an operator: a copy from a backup, or cancelling it, is the cure.
    """
    about = tx.log.about({message.jti for message in messages})
    kept: list[str] = []
    for message in messages:
        entries = about.get(message.jti, ())
        stands = standing.standing(entries, me)
        what = _unfit(message, stands, me, recipient)
        if what is None:
            continue
        kept.append(message.jti)
        digest = stands.digest if stands is not None else None
        alarm(tx, message.jti, what, now, digest=digest, entries=entries)
        if what == "state" and stands is not None:
            tx.outbox.restore(message.jti, stands.state)
            continue
        reason = f"{CHANGED} {what}"
        tx.outbox.move(message.jti, "held", at=now, reason=reason, held_for="operator")
        tx.log.append(
            "message.held", actor=SYSTEM, obj=("message", message.jti), at=now, jti=message.jti, event=digest,
            case=stands.case if stands is not None else None, outcome=reason,
        )  # fmt: skip
    return kept


def _unfit(message: Claimed, stands: Standing | None, me: PartyId, recipient: PartyId) -> str | None:
    """Return what of a queued message is not as logged, in a word, or None."""
    if stands is None:
        return "unlogged"
    if message.digest != stands.digest:
        return "digest"
    if leaf_hash(message.event) != stands.digest:
        return "bytes"
    if stands.state != "queued":
        return "state"
    return None if _addressed(message, me, recipient) else "recipient"


def _addressed(message: Claimed, me: PartyId, recipient: PartyId) -> bool:
    """Say whether the event itself, now known to be the logged one, is this message to this partner."""
    head, cut, _ = message.event.partition(DATA)
    if not cut:
        return False
    said = orjson.loads(head + b"}")
    return bool(
        said["id"] == message.jti and said["recipient"] == recipient and said["source"].rpartition(":")[2] == me
    )


def alarm(
    tx: Transaction,
    jti: str,
    what: str,
    now: int,
    *,
    digest: bytes | None = None,
    entries: Iterable[Said] | None = None,
) -> None:
    """Write one alarm for what was changed of a message; a second of the same kind changes nothing."""
    outcome = f"{CHANGED} {what}"
    known = tx.log.about({jti}).get(jti, ()) if entries is None else entries
    if any(one.typ == standing.ALARM and one.outcome == outcome for one in known):
        return
    tx.log.append("audit.alarm", actor=SYSTEM, obj=("message", jti), at=now, jti=jti, event=digest, outcome=outcome)
    log.error("a stored message is not what the log says", message=jti, reason=outcome)


class ChangedAlarms:
    """`changed` is told by every reader of bodies whose transaction is not the writer's."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._told: set[tuple[str, str]] = set()

    async def changed(self, jti: str, digest: bytes, what: str) -> None:
        """Write the alarm, once. Where storage is full the reader is refused all the same, and the next one tells."""
        if (jti, what) in self._told:
            return
        with suppress(StorageUnavailable):
            await self._store.write(lambda tx: alarm(tx, jti, what, self._clock(), digest=_as_digest(digest)))
            self._told.add((jti, what))


def _as_digest(found: object) -> bytes | None:
    """Return what a row calls a digest if it is one: it may have been edited too."""
    return found if isinstance(found, bytes) and len(found) == DIGEST_BYTES else None
