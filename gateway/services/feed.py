"""Changes of state as they happen, read from the log: durable, ordered, resumable by the number of an entry."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.ledger.standing import RECEIVED, STATES
from gateway.protocol.event import VOID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

PAGE = 500


class _Reads(Protocol):
    """The questions asked here."""

    async def changes(self, types: Sequence[str], after: int, limit: int) -> Sequence[Row]: ...
    async def log_size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state of one message, at entry `seq` of the log."""

    seq: int
    at: int
    typ: str
    jti: str
    case: str | None
    subject: str
    state: str
    reason: str | None


class Feed:
    """`after` gives what happened behind an entry, `grown` waits until there may be more."""

    def __init__(self, reads: _Reads) -> None:
        self._reads = reads
        self._waiting: set[asyncio.Event] = set()

    def grew(self, _count: int) -> None:
        """Wake whoever waits: entries were committed."""
        for event in self._waiting:
            event.set()

    async def end(self) -> int:
        """Return the number of the last entry: where a follower who asks for nothing earlier begins."""
        return await self._reads.log_size() - 1

    async def after(self, seq: int, owner: str | None) -> tuple[Sequence[Change], int]:
        """Return the changes behind entry `seq`, one page, and the entry to go on from.

        `owner` binds it to the messages of one client; what partners sent is for every follower.
        """
        rows = await self._reads.changes(tuple(STATES), seq, PAGE)
        changes = [_change(row) for row in rows if _seen_by(row, owner)]
        return changes, rows[-1]["seq"] if rows else seq

    @contextlib.contextmanager
    def following(self) -> Any:
        """Yield an event that is set whenever the log has grown."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)


def _seen_by(row: Row, owner: str | None) -> bool:
    if row["jti"] is None or row["subject"] in {None, VOID}:
        return False
    if row["typ"] == RECEIVED:
        return bool(row["outcome"] == "accepted")
    return owner is None or bool(owner == row["account"])


def _change(row: Row) -> Change:
    status, _, reason = (row["outcome"] or "").partition(" ")
    state = STATES[row["typ"]]
    if state is None:
        state = status
    elif row["typ"] != RECEIVED:
        reason = row["outcome"] or ""
    return Change(row["seq"], row["at"], row["typ"], row["jti"], row["case_ref"], row["subject"], state, reason or None)
