"""Rows of timestamps: our checkpoints as an outside authority stamped them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select

from gateway.ports.log import Timestamp
from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled, limited

if TYPE_CHECKING:
    import sqlite3

c = t.timestamps.c

_ROW = ("size", "note", "token", "at")
# The first token over a size stays: a bundle that shows it must not change.
_ADD = compiled(insert(t.timestamps).prefix_with("OR IGNORE").values(bound(_ROW)), *_ROW)
_NEWEST = limited(select(c.size, c.note, c.token, c.at).order_by(c.size.desc()))
_FIRST_FROM = limited(
    select(c.size, c.note, c.token, c.at).where(c.size >= bindparam("least")).order_by(c.size), "least"
)


class TimestampRows:
    """`ports.Timestamps` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def add(self, timestamp: Timestamp) -> None:
        """Keep a verified token; a second one over the same size changes nothing."""
        self._run(_ADD, (timestamp.size, timestamp.note, timestamp.token, timestamp.at))

    def newest(self) -> Timestamp | None:
        """Return the one over our largest checkpoint, or None."""
        row = self._run(_NEWEST, (1,)).fetchone()
        return Timestamp(*row) if row else None

    def first_from(self, size: int) -> Timestamp | None:
        """Return the one over our smallest checkpoint of at least `size` entries, or None."""
        row = self._run(_FIRST_FROM, (size, 1)).fetchone()
        return Timestamp(*row) if row else None
