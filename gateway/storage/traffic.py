"""Stored messages of one type, read by the gateway itself to try a schema on them; see `services.rehearsal`.

What it gives never leaves the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from gateway.ports.messages import StoredMessage
from gateway.storage import tables as t
from gateway.storage.bodies import BodyReads, body_of

if TYPE_CHECKING:
    from collections.abc import Sequence

o, i, b = t.outbox.c, t.inbox.c, t.bodies.c


class StoredTraffic(BodyReads):
    """`ports.Traffic` on the read-only connections."""

    async def page(
        self, direction: Literal["out", "in"], subject: str, *, since: int, after: int, limit: int
    ) -> Sequence[StoredMessage]:
        """Return messages of a type accepted since then, behind number `after`, without their bodies."""
        c, table, at = (o, t.outbox, o.created_at) if direction == "out" else (i, t.inbox, i.received_at)
        statement = (
            select(c.id, func.length(b.event).label("size"))
            .select_from(table.outerjoin(t.bodies, c.body_id == b.id))
            .where(c.id > after, c.subject == subject, at >= since)
        )
        if direction == "in":
            statement = statement.where(i.status == "accepted")
        rows = await self._all(statement.order_by(c.id).limit(limit))
        return [StoredMessage(row["id"], row["size"] or 0) for row in rows]

    async def events(self, direction: Literal["out", "in"], numbers: Sequence[int]) -> Sequence[bytes | None]:
        """Return the bytes of these messages; None for each that is not what was logged, nothing for an erased one."""
        c = o if direction == "out" else i
        rows = await self._all(body_of(direction).where(c.id.in_(numbers)))
        return [row["event"] if await self._judged(row) is None else None for row in rows if row["event"]]
