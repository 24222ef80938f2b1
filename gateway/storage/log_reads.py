"""Questions about the audit log: its entries, its tiles, and the errors kept beside it."""

from __future__ import annotations

from operator import eq, ge, lt
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from gateway.storage import tables as t
from gateway.storage.reads import Reads, Row, filtered

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

o, i, e = t.outbox.c, t.inbox.c, t.entries.c


class LogReads(Reads):
    """What stands in the log, in its tiles, and beside it."""

    async def checkpoint_over(self, leaf: int) -> Row | None:
        """Return the smallest checkpoint we signed that covers an entry."""
        k = t.checkpoints.c
        return await self._one(select(k.size, k.note).where(k.size > leaf).order_by(k.size).limit(1))

    async def log_size(self) -> int:
        """Return the number of committed log entries."""
        row = await self._one(select(func.max(e.seq).label("last")))
        return row["last"] + 1 if row and row["last"] is not None else 0

    async def changes(self, types: Sequence[str], after: int, limit: int) -> Sequence[Row]:
        """Return log entries of these types behind entry `after`, in order, with what they are about.

        `account` is who submitted the message, absent where a partner sent it.
        """
        statement = (
            select(e.seq, e.at, e.typ, e.jti, e.case_ref, e.outcome, o.account,
                   func.coalesce(o.subject, i.subject).label("subject"))
            .outerjoin(t.outbox, (o.jti == e.jti) & (e.typ != "message.received"))
            .outerjoin(t.inbox, (i.jti == e.jti) & (i.leaf == e.seq))
            .where(e.seq > after, e.typ.in_(types))
        )  # fmt: skip
        return await self._all(statement.order_by(e.seq).limit(limit))

    async def tile(self, level: int, number: int) -> bytes | None:
        """Return the stored hashes of a tile; an unfilled one of level 0 is not stored."""
        k = t.tiles.c
        row = await self._one(select(k.hashes).where(k.level == level, k.number == number))
        return row["hashes"] if row else None

    async def tiles(self, keys: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """Return the stored hashes of these (level, number) tiles, in one question; unfilled ones of level 0 lack."""
        k = t.tiles.c
        wanted = or_(*(and_(k.level == level, k.number == number) for level, number in keys))
        rows = await self._all(select(k.level, k.number, k.hashes).where(wanted))
        return {(row["level"], row["number"]): row["hashes"] for row in rows}

    async def leaves(self, start: int, end: int) -> Sequence[bytes]:
        """Return the leaf hashes of the entries [start, end), as they were stored."""
        rows = await self._all(select(e.leaf).where(e.seq >= start, e.seq < end).order_by(e.seq))
        return [row["leaf"] for row in rows]

    async def leaf_data(self, start: int, end: int) -> Sequence[bytes]:
        """Return the leaf data of the entries [start, end)."""
        rows = await self._all(select(e.data).where(e.seq >= start, e.seq < end).order_by(e.seq))
        return [row["data"] for row in rows]

    async def entries(
        self,
        *,
        typ: str | None = None,
        actor: str | None = None,
        jti: str | None = None,
        case: str | None = None,
        obj: str | None = None,
        since: int | None = None,
        until: int | None = None,
        outcome: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> Sequence[Row]:
        """Return log entries, newest first."""
        conditions = (
            # Of the two the actor says more: concatenated, a column is not looked up in its index.
            (typ, e.typ if actor is None else e.typ + "", eq), (actor, e.actor, eq), (jti, e.jti, eq),
            (case, e.case_ref, eq), (since, e.at, ge), (until, e.at, lt), (outcome, e.outcome, eq),
            (before, e.seq, lt),
        )  # fmt: skip
        wanted = filtered(select(t.entries), conditions)
        # SQLite takes a partial index only where the query says that it asks for no more than is in it.
        if (typ is not None and typ not in t.MACHINES) or (actor is not None and not _writes_much(actor)):
            wanted = wanted.where(t.SEARCHED)
        if outcome is not None and outcome != "accepted":
            wanted = wanted.where(t.NOT_ACCEPTED)
        if obj is not None:
            wanted = wanted.where(e.obj == obj, or_(and_(t.OBJECT_APART, e.obj == obj), e.jti == obj))
        return await self._all(wanted.order_by(e.seq.desc()).limit(limit))

    async def entries_of(self, types: Sequence[str], *, limit: int, **asked: Any) -> Sequence[Row]:
        """Return log entries of several types, newest first; `asked` is what `entries` takes beside `typ`.

        Each type is looked up by itself: together they would be sorted, all of them, for every page.
        """
        found = [row for typ in types for row in await self.entries(typ=typ, limit=limit, **asked)]
        return sorted(found, key=lambda row: -row["seq"])[:limit]

    async def problems(self, trace_id: str, limit: int) -> Sequence[Row]:
        """Return the errors that callers got under an id, newest first."""
        p = t.problems.c
        return await self._all(select(t.problems).where(p.trace_id == trace_id).order_by(p.id.desc()).limit(limit))


def _writes_much(actor: str) -> bool:
    """Tell whether this may be who logs each message by itself: the gateway, or a partner, whose id has a dot."""
    return actor == "gateway" or "." in actor
