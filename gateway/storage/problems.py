"""Rows of the errors that callers got."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert

from gateway.storage import tables as t
from gateway.storage.statements import bound, compiled

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.ports.people import Problem

_PROBLEM = ("trace_id", "at", "listener", "actor", "role", "method", "route", "status", "code")
_ADD = compiled(insert(t.problems).values(bound(_PROBLEM)), *_PROBLEM)
_DROP = compiled(delete(t.problems).where(t.problems.c.at < bindparam("before")), "before")


class ProblemRows:
    """`ports.Problems` over the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, problems: Sequence[Problem]) -> None:
        """Store what was told to callers."""
        self._connection.executemany(_ADD, [
            (p.trace_id, p.at, p.listener, p.actor.sub, p.actor.role, p.method, p.route, p.status, p.code)
            for p in problems
        ])  # fmt: skip

    def drop_before(self, at: int) -> None:
        """Forget what nobody will ask about any more."""
        self._connection.execute(_DROP, (at,))
