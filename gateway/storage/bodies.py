"""The one place that reads bodies: bytes leave it only where row and log both have their digest.

`outbox` and `inbox` write bodies, `memory` overwrites them, `holdings` judges them all; whoever else needs one asks
here. Who edits a body, or the row that says whose it is, takes it out of use: nobody is shown what he wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, func, select

from gateway.errors import RecordChanged
from gateway.ledger import standing
from gateway.storage import tables as t
from gateway.storage.reads import Reads, Row
from gateway.storage.statements import blob, compiled, fixed, values_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

o, i, b, e = t.outbox.c, t.inbox.c, t.bodies.c, t.entries.c

_SIDES: dict[str, tuple[Any, Any, Any]] = {"out": (o, t.outbox, o.recipient), "in": (i, t.inbox, i.sender)}

CLAIMED = compiled(
    select(o.id, o.jti, o.digest, o.urgency, o.attempts, func.coalesce(blob(b.event), func.zeroblob(fixed(0))))
    .outerjoin(t.bodies, b.id == o.body_id)
    .where(o.id.in_(values_of("ids"))),
    "ids",
)
"""Messages about to be sent; `services.integrity` holds them against all that the log says of them."""
OURS = compiled(select(blob(b.event)).join(t.outbox, o.body_id == b.id).where(o.jti == bindparam("key")), "key")


def body_of(direction: str, *more: Any) -> Select[Any]:
    """Return the statement of messages of one direction: whose each is, `more`, then `event` and its `entry`."""
    c, table, partner = _SIDES[direction]
    # Of either direction the columns have one name: rows of a union are read by those of its first part.
    whose = (c.id, fixed(direction).label("direction"), partner.label("partner"), c.jti, c.digest)
    kept = table.outerjoin(t.bodies, c.body_id == b.id).outerjoin(t.entries, e.seq == c.leaf)
    return select(*whose, *more, blob(b.event).label("event"), e.data.label("entry")).select_from(kept)


def changed(direction: str, jti: str, digest: bytes, event: bytes | None, entry: bytes | None) -> str | None:
    """Return what of a body is not as logged, in a word, or None."""
    typ = standing.ACCEPTED if direction == "out" else standing.RECEIVED
    said = standing.read(entry) if entry is not None else None
    return standing.holds(event or b"", digest, said, typ, jti)


class BodyReads(Reads):
    """Bodies on read-only connections."""

    _tell: Callable[[str, bytes, str], Awaitable[None]] | None = None

    def on_changed(self, listener: Callable[[str, bytes, str], Awaitable[None]]) -> None:
        """Have `listener(jti, digest, what)` told of each body that is not as logged, before its reader is refused."""
        self._tell = listener

    async def _body(self, statement: Select[Any]) -> Row | None:
        """Return the row of a statement made by `body_of`, None where there is none. Raises RecordChanged."""
        row = await self._one(statement)
        if row is not None and (what := await self._judged(row)) is not None:
            detail = (
                f"message {row['jti']} is not stored as it was logged ({what}): it is not shown; "
                "`gateway audit verify` names what was changed"
            )
            raise RecordChanged(detail)
        return row

    async def _bodies(self, statement: Any) -> Sequence[Row]:
        """Return the rows of such statements; without those that were erased, and those that are not as logged."""
        rows = [row for row in await self._all(statement) if row["event"]]
        return [row for row in rows if await self._judged(row) is None]

    async def _judged(self, row: Row) -> str | None:
        what = changed(row["direction"], row["jti"], row["digest"], row["event"], row["entry"])
        if what is not None and self._tell is not None:
            await self._tell(row["jti"], row["digest"], what)
        return what
