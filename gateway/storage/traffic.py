"""Stored messages of one type, read by the gateway itself to try a schema on them; see `services.rehearsal`.

The second reader of bodies beside `Queries.event`: what it gives never leaves the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import func, select

from gateway.ports.messages import StoredMessage
from gateway.storage import tables as t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

o, i, b = t.outbox.c, t.inbox.c, t.bodies.c


class StoredTraffic:
    """`ports.Traffic` on the read-only connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(
        self, direction: Literal["out", "in"], subject: str, *, since: int, after: int, limit: int
    ) -> Sequence[StoredMessage]:
        """Return messages of a type accepted since then, behind number `after`, without their bodies."""
        c, table, at = (o, t.outbox, o.created_at) if direction == "out" else (i, t.inbox, i.received_at)
        statement = (
            select(c.id, b.id.label("body"), func.length(b.event).label("size"))
            .select_from(table.outerjoin(t.bodies, c.body_id == b.id))
            .where(c.id > after, c.subject == subject, at >= since)
        )
        if direction == "in":
            statement = statement.where(i.status == "accepted")
        rows = await self._all(statement.order_by(c.id).limit(limit))
        return [StoredMessage(row.id, row.body, row.size or 0) for row in rows]

    async def events(self, bodies: Sequence[int]) -> Sequence[bytes]:
        """Return the bytes of these bodies; what was erased in between is left out."""
        return [row.event for row in await self._all(select(b.event).where(b.id.in_(bodies))) if row.event]

    async def _all(self, statement: Any) -> Sequence[Any]:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).all()
