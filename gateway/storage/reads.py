"""Read-only connections, and what every question to them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncEngine

Row = Mapping[str, Any]
Condition = tuple[object, Any, Callable[[Any, Any], Any]]


def filtered(statement: Select[Any], conditions: Sequence[Condition]) -> Select[Any]:
    """Add each condition (value, column, comparison) whose value is given."""
    for given, column, compare in conditions:
        if given is not None:
            statement = statement.where(compare(column, given))
    return statement


class Reads:
    """Read-only connections, and what every question needs."""

    def __init__(self, engine: AsyncEngine, me: str) -> None:
        self._engine = engine
        self._me = me

    async def _all(self, statement: Any) -> Sequence[Row]:
        async with self._engine.connect() as connection:
            rows: Any = (await connection.execute(statement)).mappings().all()
        found: Sequence[Row] = rows
        return found

    async def _one(self, statement: Any) -> Row | None:
        async with self._engine.connect() as connection:
            row: Any = (await connection.execute(statement)).mappings().first()
        found: Row | None = row
        return found
