"""What policies need of exchanged messages, and what record.action leaves of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, delete, exists, func, insert, not_, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from gateway.casework.recordaction import MESSAGE
from gateway.casework.remembered import HEAD, NAME, Record
from gateway.ports.cases import Held
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled, fixed, json_list, limited

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.ports.cases import NewRecord
    from gateway.protocol.ids import PartyId

r, k, m, o, i = t.remembered.c, t.remembered_keys.c, t.record_marks.c, t.outbox.c, t.inbox.c

_NEW = ("sender", "jti", "partner", "case_ref", "at", "supersedes", "facts")
_ADD = compiled(insert(t.remembered).prefix_with("OR IGNORE").values(bound(_NEW)), *_NEW)
_ADD_KEY = compiled(insert(t.remembered_keys).prefix_with("OR IGNORE").values(bound(("key", "id"))), "key", "id")
_RECORD = (r.sender, r.jti, r.at, r.supersedes, r.facts)
_LIVE = r.live == fixed(1)
_OF_CASE = compiled(
    select(*_RECORD).where(r.case_ref == bindparam("ref"), r.partner == bindparam("peer"), _LIVE), "ref", "peer"
)
# By key, newest first: one who is spoken of in thousands of messages must not make the next one slow.
_OF_KEY = limited(
    select(*_RECORD)
    .join(t.remembered_keys, k.id == r.id)
    .where(k.key == bindparam("key"), r.partner == func.coalesce(bindparam("partner"), r.partner), _LIVE)
    .order_by(k.id.desc()),
    "key", "partner",
)  # fmt: skip
# Asked key by key, since one that thousands of messages have must not be counted through.
_asked = func.json_each(bindparam("keys")).table_valued("value").c.value
_HELD = compiled(
    select(_asked).where(
        exists(
            select(k.id)
            .join(t.remembered, k.id == r.id)
            .where(k.key == _asked, r.partner == func.coalesce(bindparam("partner"), r.partner), _LIVE)
        )
    ),
    "keys", "partner",
)  # fmt: skip
_KEYS_OF = compiled(
    select(k.key).distinct().join(t.remembered, k.id == r.id).where(
        r.case_ref == bindparam("ref"), r.partner == bindparam("peer"), _LIVE,
        k.key >= bindparam("first"), k.key < bindparam("end"),
    ),
    "ref", "peer", "first", "end",
)  # fmt: skip
_ID = compiled(select(r.id).where(r.sender == bindparam("sender"), r.jti == bindparam("key")), "sender", "key")
_DROP_KEYS = compiled(delete(t.remembered_keys).where(k.id == bindparam("record")), "record")
# Names as texts are looked through for them; the references stay, by which a person stays protected.
_DROP_NAMES = compiled(
    delete(t.remembered_keys).where(
        k.id == bindparam("record"), or_(k.key.like(fixed(NAME + "%")), k.key.like(fixed(HEAD + "%")))
    ),
    "record",
)
_DROP = compiled(delete(t.remembered).where(r.id == bindparam("record")), "record")

_SET_LIVE = compiled(
    update(t.remembered).where(r.sender == bindparam("who"), r.jti == bindparam("key")).values(live=bindparam("live")),
    "live", "who", "key",
)  # fmt: skip

_MARK = ("sender", "jti", "part", "mark", "reason", "by_jti", "at")
_new_mark = upsert(t.record_marks).values(bound(_MARK))
# What is erased, or blocked for erasure, stays so: a later restriction could else be lifted, and it with it.
_ADD_MARK = compiled(
    _new_mark.on_conflict_do_update(
        index_elements=["sender", "jti", "part"],
        set_={name: _new_mark.excluded[name] for name in ("mark", "reason", "by_jti", "at")},
        where=or_(
            m.mark == fixed("restricted"), and_(_new_mark.excluded.mark == fixed("erased"), m.mark == fixed("blocked"))
        ),
    ),
    *_MARK,
)
_LIFT = compiled(
    delete(t.record_marks).where(
        m.sender == bindparam("who"), m.jti == bindparam("key"), m.part == bindparam("what"),
        m.mark == bindparam("held"),
    ),
    "who", "key", "what", "held",
)  # fmt: skip
_gone = exists(
    select(m.jti).where(
        m.sender == bindparam("whose"), m.jti == bindparam("named"), m.part == fixed(MESSAGE), m.mark == fixed("erased")
    )
)
_OURS = compiled(
    select(o.body_id, o.digest).where(o.recipient == bindparam("peer"), o.jti == bindparam("key"), not_(_gone)),
    "peer", "key", "whose", "named",
)  # fmt: skip
_THEIRS = compiled(
    select(i.body_id, i.digest).where(
        i.sender == bindparam("peer"), i.jti == bindparam("key"), i.status == fixed("accepted"), not_(_gone)
    ),
    "peer", "key", "whose", "named",
)  # fmt: skip
# Bytes of the old length first: what is cut off afterwards holds nothing. The row stays, as its number must.
_OVERWRITE = compiled(
    update(t.bodies)
    .where(t.bodies.c.id == bindparam("body"))
    .values(event=func.zeroblob(func.length(t.bodies.c.event))),
    "body",
)
_EMPTY = compiled(
    update(t.bodies).where(t.bodies.c.id == bindparam("body")).values(event=func.zeroblob(fixed(0))), "body"
)


class MemoryRows:
    """`ports.Memory` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._run = connection.execute

    def add(self, record: NewRecord) -> None:
        """Keep what a message leaves behind; a second time changes nothing."""
        done = self._run(
            _ADD,
            (
                record.sender, record.jti, record.partner, record.case_ref, record.at, record.supersedes,
                record.facts,
            ),
        )  # fmt: skip
        if done.rowcount and record.keys:
            self._connection.executemany(_ADD_KEY, [(key, done.lastrowid) for key in record.keys])

    def of_case(self, partner: PartyId, ref: str) -> Sequence[Record]:
        """Return the records of a case with a partner."""
        return [Record(*row) for row in self._run(_OF_CASE, (ref, partner))]

    def of_key(self, key: str, partner: PartyId | None, limit: int) -> Sequence[Record]:
        """Return the newest records found by a key, in any case; exchanged with this partner, or (None) with any."""
        return [Record(*row) for row in self._run(_OF_KEY, (key, partner, limit))]

    def held(self, keys: Sequence[str], partner: PartyId | None) -> Sequence[str]:
        """Return which of these keys anything exchanged with this partner, or (None) with any, is found by."""
        return [row[0] for row in self._run(_HELD, (json_list(keys), partner))]

    def keys_of(self, partner: PartyId, ref: str, kind: str) -> Sequence[str]:
        """Return the keys of one kind that the messages of a case are found by, without the kind."""
        end = kind[:-1] + chr(ord(kind[-1]) + 1)
        return [row[0][len(kind) :] for row in self._run(_KEYS_OF, (ref, partner, kind, end))]

    def suspend(self, sender: str, jti: str) -> None:
        """Leave a message out while it is given up: it may still turn out to have been taken."""
        self._run(_SET_LIVE, (0, sender, jti))

    def resume(self, sender: str, jti: str) -> None:
        """Count a message that was given up again."""
        self._run(_SET_LIVE, (1, sender, jti))

    def drop(self, sender: str, jti: str) -> None:
        """Forget a message: it was not taken, or is erased."""
        row = self._run(_ID, (sender, jti)).fetchone()
        if row is not None:
            self._run(_DROP_KEYS, row)
            self._run(_DROP, row)

    def forget_names(self, sender: str, jti: str) -> None:
        """Forget the names a message told: a part of it is to be erased, so nobody reads it any more."""
        row = self._run(_ID, (sender, jti)).fetchone()
        if row is not None:
            self._run(_DROP_NAMES, row)


class RecordRows:
    """`ports.Records` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def mark(self, sender: str, jti: str, part: str, mark: str, *, reason: str, by_jti: str, at: int) -> None:
        """Note that a message, or a part of it, is erased, restricted or blocked; a stronger mark stays."""
        self._run(_ADD_MARK, (sender, jti, part, mark, reason, by_jti, at))

    def lift(self, sender: str, jti: str, part: str) -> None:
        """Take a restriction back; what is erased or blocked for erasure stays so."""
        self._run(_LIFT, (sender, jti, part, "restricted"))

    def held(self, sender: str, partner: PartyId, jti: str) -> Held | None:
        """Return a message of `sender` exchanged with a partner whose body is kept, None where none is."""
        statement = _THEIRS if sender == partner else _OURS
        row = self._run(statement, (partner, jti, sender, jti)).fetchone()
        return None if row is None or row[0] is None else Held(*row)

    def erase_body(self, held: Held) -> None:
        """Overwrite a body and leave nothing of it."""
        self._run(_OVERWRITE, (held.body,))
        self._run(_EMPTY, (held.body,))
