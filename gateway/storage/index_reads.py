"""Questions of statistics and search, on read-only connections as all of `gateway.storage.queries`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select

from gateway.casework.recordaction import MESSAGE, PART
from gateway.storage import tables as t
from gateway.storage.index import EDITION, HELD, imported_of
from gateway.storage.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from gateway.casework.figures import Imported

    Row = Mapping[str, Any]

o, i, y, n, m = t.outbox.c, t.inbox.c, t.tallies.c, t.names.c, t.imports.c
k = t.record_marks.c

# A refused or abandoned message was published to nobody.
_PUBLISHED = ("queued", "sending", "held", "accepted")


class IndexReads(Queries):
    """What was read out of messages, and what was brought in or published of figures."""

    async def tallies(self, first: str, last: str) -> Sequence[Row]:
        """Return what exchanged messages add on the days from `first` to `last`, and what changes other messages.

        Of ours, only those the partner accepted; with what starts the reply clock.
        """
        counted = and_(y.last >= first, y.first <= last)
        statement = (
            select(t.tallies, o.urgency, o.received_at, o.effect)
            .outerjoin(t.outbox, and_(o.jti == y.jti, y.direction == "out", o.state == "accepted"))
            .where(
                or_(y.direction == "in", o.jti.is_not(None)),
                or_(counted, y.supersedes.is_not(None), y.target.is_not(None)),
            )
        )
        return await self._all(statement.order_by(y.at, y.jti))

    async def tally(self, jti: str) -> Row | None:
        """Return what one message adds, whether or not it was accepted."""
        return await self._one(select(t.tallies).where(y.jti == jti))

    async def final_answers(self, since: int) -> Sequence[tuple[str, int]]:
        """Return case and time of each final answer received since then."""
        statement = select(y.case_ref, y.at).where(
            y.final == 1, y.direction == "in", y.at >= since, y.case_ref.is_not(None)
        )
        return [(row["case_ref"], row["at"]) for row in await self._all(statement)]

    async def imported(self, first: date, last: date) -> Sequence[Imported]:
        """Return the figures with a day between these, of imports not withdrawn, in the order they came."""
        statement = HELD.where(t.figures.c.last >= first.isoformat(), t.figures.c.first <= last.isoformat())
        rows = await self._all(statement)
        # Ten thousand of them take as long as many requests.
        return await asyncio.to_thread(lambda: [imported_of(row) for row in rows])

    async def imports_edition(self) -> tuple[int | None, int]:
        """Return what changes with every import and every one withdrawn."""
        [row] = await self._all(EDITION)
        number, withdrawn = row.values()
        return number, withdrawn

    async def imports(self) -> Sequence[Row]:
        """Return the files of figures, newest first."""
        return await self._all(select(m.number, m.at, m.account, m.withdrawn_at).order_by(m.number.desc()))

    async def published(self, partner: str) -> Sequence[str]:
        """Return the statistics we sent a partner, or are about to, in order."""
        statement = select(o.jti).where(o.recipient == partner, o.subject == "stats.periodic", o.state.in_(_PUBLISHED))
        return [row["jti"] for row in await self._all(statement.order_by(o.id))]

    async def received(self) -> Sequence[Row]:
        """Return id and sender of the statistics we received, in order."""
        statement = select(i.jti, i.sender).where(i.subject == "stats.periodic", i.status == "accepted")
        return await self._all(statement.order_by(i.id))

    async def names(self, blocks: Sequence[str], limit: int) -> Sequence[Row]:
        """Return the newest search keys of these blocks, with their cases; none of a message nobody may read."""
        readable = n.jti.not_in(select(k.jti).where(k.part.in_([MESSAGE, PART])))
        statement = select(n.case_ref, n.block, n.folded, n.latin, n.sound).where(n.block.in_(blocks), readable)
        return await self._all(statement.order_by(n.id.desc()).limit(limit))
