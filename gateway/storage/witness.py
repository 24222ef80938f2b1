"""Rows of the log's witnesses: what we cosigned for others, what others cosigned for us, and what contradicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, insert, select, tuple_, update

from gateway.ledger.witness import Witnessed
from gateway.ports.log import Cosigned, Dispute, Unproved
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled, fixed, json_list, limited, values_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.protocol.ids import MessageId, PartyId

w, s, c, d, o = t.witnessed.c, t.cosignatures.c, t.checkpoints.c, t.disputes.c, t.outbox.c

_WITNESSED = compiled(select(w.size, w.root, w.note, w.forked).where(w.origin == bindparam("key")), "key")
_ORIGINS = compiled(select(w.origin))
_FORKED_ORIGINS = compiled(select(w.origin).where(w.forked == fixed(1)))
_SET_WITNESSED = (
    "INSERT INTO witnessed (origin, party, size, root, note, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (origin) "
    "DO UPDATE SET party = excluded.party, size = excluded.size, root = excluded.root, note = excluded.note, "
    "at = excluded.at"
)
_FORKED = (
    "INSERT INTO witnessed (origin, party, size, root, note, at, forked) VALUES (?, ?, ?, ?, ?, ?, 1) "
    "ON CONFLICT (origin) DO UPDATE SET forked = 1"
)
_SET_COSIGNED = (
    "INSERT INTO cosignatures (size, witness, lines, at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (size, witness) DO UPDATE SET lines = excluded.lines, at = excluded.at"
)
_COSIGNED_SIZE = compiled(select(func.max(s.size)))
_COSIGNED_BY = compiled(select(func.max(s.size)).where(s.witness == bindparam("party")), "party")
_COSIGNED = compiled(
    select(c.size, c.root, c.note, c.at, s.lines)
    .join(t.cosignatures, s.size == c.size)
    .where(c.size == bindparam("size"))
    .order_by(s.witness),
    "size",
)
_FIRST_COSIGNED = limited(
    select(c.size).join(t.cosignatures, s.size == c.size).where(c.size > bindparam("leaf")).order_by(c.size), "leaf"
)
_ENTRY_AT = compiled(select(t.entries.c.at).where(t.entries.c.seq == bindparam("seq")), "seq")
_DISPUTE = ("party", "origin", "reason", "held", "shown", "proof", "at")
_ADD_DISPUTE = compiled(insert(t.disputes).prefix_with("OR IGNORE").values(bound(_DISPUTE)), *_DISPUTE)
_COUNT_DISPUTES = compiled(select(func.count()).where(d.origin == bindparam("origin")), "origin")
_DISPUTES = compiled(
    select(d.party, d.origin, d.reason, d.held, d.shown, d.proof, d.at)
    .where(d.party == bindparam("key"))
    .order_by(d.id),
    "key",
)
_UNPROVED = (o.id, o.jti, o.digest, o.state, o.partner_leaf)
_TO_PROVE = limited(
    select(*_UNPROVED)
    .where(
        o.recipient == bindparam("recipient"), o.partner_leaf < bindparam("size"),
        tuple_(o.partner_leaf, o.id) > tuple_(bindparam("leaf"), bindparam("behind")), t.UNPROVED,
    )
    .order_by(o.partner_leaf, o.id),
    "recipient", "size", "leaf", "behind",
)  # fmt: skip
_LATE = limited(
    select(*_UNPROVED)
    .where(
        o.recipient == bindparam("recipient"), o.partner_leaf >= bindparam("size"), t.UNPROVED,
        o.settled_at < bindparam("before"), o.unproved.is_(None),
    )
    .order_by(o.partner_leaf),
    "recipient", "size", "before",
)  # fmt: skip
_OPEN_SINCE = limited(
    select(o.settled_at)
    .where(o.recipient == bindparam("recipient"), o.partner_leaf < bindparam("size"), t.UNPROVED)
    .order_by(o.partner_leaf),
    "recipient", "size",
)  # fmt: skip
_PROVED = compiled(update(t.outbox).where(o.id.in_(values_of("ids"))).values(proved_at=bindparam("at")), "at", "ids")
_NOT_PROVED = compiled(
    update(t.outbox).where(o.jti == bindparam("key")).values(unproved=bindparam("why")), "why", "key"
)

MOST_DISPUTES = 64
"""Kept of one log: a partner that contradicts itself for ever must not fill our disk with it."""


class WitnessRows:
    """`ports.Witnesses` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._run = connection.execute

    # --- logs we witness ---

    def witnessed(self, origin: str) -> Witnessed | None:
        """Return the newest checkpoint we cosigned of a log, or None."""
        row = self._run(_WITNESSED, (origin,)).fetchone()
        return Witnessed(row[0], row[1], row[2], forked=bool(row[3])) if row else None

    def origins(self) -> Sequence[str]:
        """Return every log we ever witnessed."""
        return [origin for (origin,) in self._run(_ORIGINS)]

    def forked(self) -> Sequence[str]:
        """Return the logs that were caught with two histories."""
        return [origin for (origin,) in self._run(_FORKED_ORIGINS)]

    def set_witnessed(self, origin: str, party: PartyId, head: Witnessed, at: int) -> None:
        """Record what is about to be cosigned."""
        self._run(_SET_WITNESSED, (origin, party, head.size, head.root, head.note, at))

    def mark_forked(self, origin: str, party: PartyId, head: Witnessed, at: int) -> None:
        """Never believe a log again; `head` is kept where we had cosigned nothing of it."""
        self._run(_FORKED, (origin, party, head.size, head.root, head.note, at))

    # --- our log, witnessed by others ---

    def add_cosignature(self, size: int, witness: PartyId, lines: str, at: int) -> None:
        """Keep the verified cosignature lines of a partner over our checkpoint of `size`."""
        self._run(_SET_COSIGNED, (size, witness, lines, at))

    def cosigned_by(self, witness: PartyId) -> int | None:
        """Return the size of our largest checkpoint a partner cosigned, or None."""
        size: int | None = self._run(_COSIGNED_BY, (witness,)).fetchone()[0]
        return size

    def newest_cosigned(self) -> Cosigned | None:
        """Return our newest checkpoint with a cosignature, or None."""
        size = self._run(_COSIGNED_SIZE).fetchone()[0]
        return None if size is None else self.cosigned(size)

    def cosigned(self, size: int) -> Cosigned | None:
        """Return our checkpoint of `size` with its cosignature lines, or None where it has none."""
        rows = self._run(_COSIGNED, (size,)).fetchall()
        if not rows:
            return None
        _, root, text, at, _ = rows[0]
        return Cosigned(size, root, text, at, "".join(row[4] for row in rows))

    def first_cosigned(self, leaf: int) -> Cosigned | None:
        """Return our smallest cosigned checkpoint that covers a leaf, or None."""
        row = self._run(_FIRST_COSIGNED, (leaf, 1)).fetchone()
        return self.cosigned(row[0]) if row else None

    def entry_at(self, seq: int) -> int | None:
        """Return the time of a committed entry, or None where there is none."""
        row = self._run(_ENTRY_AT, (seq,)).fetchone()
        return row[0] if row else None

    # --- evidence ---

    def add_dispute(self, dispute: Dispute) -> bool:
        """Keep two checkpoints that contradict each other; False where they, or enough others, are held."""
        if self._run(_COUNT_DISPUTES, (dispute.origin,)).fetchone()[0] >= MOST_DISPUTES and dispute.reason != "fork":
            return False
        values = (
            dispute.party, dispute.origin, dispute.reason, dispute.held, dispute.shown, dispute.proof, dispute.at,
        )  # fmt: skip
        return bool(self._run(_ADD_DISPUTE, values).rowcount)

    def disputes(self, party: PartyId) -> Sequence[Dispute]:
        """Return what contradicts in a partner's log, oldest first."""
        return [Dispute(*row) for row in self._run(_DISPUTES, (party,))]

    # --- receipts and the partner's log ---

    def to_prove(self, recipient: PartyId, size: int, after: tuple[int, int], limit: int) -> Sequence[Unproved]:
        """Return answered messages whose entry lies below `size` of the partner's log and was not seen yet.

        In the order of its leaves; `after` is (leaf, id) of the last one looked at.
        """
        return [Unproved(*row) for row in self._run(_TO_PROVE, (recipient, size, *after, limit))]

    def late(self, recipient: PartyId, size: int, before: int, limit: int) -> Sequence[Unproved]:
        """Return those answered before a time whose entry lies beyond `size`."""
        return [Unproved(*row) for row in self._run(_LATE, (recipient, size, before, limit))]

    def open_since(self, recipient: PartyId, size: int) -> int | None:
        """Return when the first message with an entry below `size` that was not seen yet was answered, or None."""
        row = self._run(_OPEN_SINCE, (recipient, size, 1)).fetchone()
        return row[0] if row else None

    def set_proved(self, ids: Sequence[int], at: int) -> None:
        """Mark messages, by their row, whose entry was seen."""
        self._run(_PROVED, (at, json_list(ids)))

    def set_unproved(self, jti: MessageId, why: str) -> None:
        """Mark a message whose entry is not what the receipt says."""
        self._run(_NOT_PROVED, (why, jti))
