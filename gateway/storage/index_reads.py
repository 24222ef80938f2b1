"""Questions of statistics and search, on read-only connections as all of `gateway.storage.queries`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, case, func, literal, or_, select

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
        statement = self._tallied(o.state == "accepted").where(
            or_(y.direction == "in", o.jti.is_not(None)),
            or_(counted, y.supersedes.is_not(None), y.target.is_not(None)),
        )
        return await self._all(statement.order_by(y.at, y.jti))

    def _tallied(self, *outbound: Any) -> Select[Any]:
        return (
            select(t.tallies, func.coalesce(o.id, i.id).label("number"), o.urgency, o.received_at, o.effect)
            .outerjoin(t.outbox, and_(o.jti == y.jti, o.recipient == y.partner, y.direction == "out", *outbound))
            .outerjoin(t.inbox, and_(i.jti == y.jti, i.sender == y.partner, y.direction == "in"))
        )

    async def tally(self, direction: str, partner: str, jti: str) -> Row | None:
        """Return what one message adds, whether or not it was accepted."""
        whose = (y.direction == direction, y.partner == partner, y.jti == jti)
        return await self._one(self._tallied().where(*whose))

    async def final_answers(self, since: int) -> Sequence[Row]:
        """Return partner, case and time of each final answer received since then."""
        statement = select(y.partner, y.case_ref, y.at).where(
            y.final == 1, y.direction == "in", y.at >= since, y.case_ref.is_not(None)
        )
        return await self._all(statement)

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

    async def published(self, partner: str) -> Sequence[Row]:
        """Return the statistics we sent a partner, or are about to, in order."""
        statement = select(literal("out").label("direction"), o.id, o.jti).where(
            o.recipient == partner, o.subject == "stats.periodic", o.state.in_(_PUBLISHED)
        )
        return await self._all(statement.order_by(o.id))

    async def received(self) -> Sequence[Row]:
        """Return the statistics we received, in order."""
        statement = select(literal("in").label("direction"), i.id, i.sender.label("partner"), i.jti)
        statement = statement.where(i.subject == "stats.periodic", i.status == "accepted")
        return await self._all(statement.order_by(i.id))

    async def names(self, blocks: Sequence[str], limit: int) -> Sequence[Row]:
        """Return the newest search keys of these blocks, with their cases; none of a message nobody may read."""
        sender = case((n.direction == "out", self._me), else_=n.partner)
        hidden = select(k.jti).where(k.sender == sender, k.jti == n.jti, k.part.in_([MESSAGE, PART])).exists()
        statement = select(n.partner, n.case_ref, n.block, n.folded, n.latin, n.sound)
        return await self._all(statement.where(n.block.in_(blocks), ~hidden).order_by(n.id.desc()).limit(limit))
