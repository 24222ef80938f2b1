"""Core statements, compiled once to text.

Core builds every statement, so that tables and databases stay one; the hot path then runs the text with
tuples, because executing through Core costs a quarter of the throughput (measured 0.69-0.78).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Executable, LargeBinary, Select, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DIALECT = sqlite.dialect(paramstyle="qmark")


def compiled(statement: Executable, *names: str) -> str:
    """Return the SQL text of `statement`; its parameters are tuples in the order of `names`.

    Raises ValueError at import time where the text wants them in another order: a swapped pair of
    columns must not be found out in production.
    """
    result: Any = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
    wanted = tuple(result.positiontup or ())
    if wanted != names:
        detail = f"the statement takes {wanted}, not {names}"
        raise ValueError(detail)
    return str(result)


def limited(statement: Executable, *names: str) -> str:
    """Return the text of `compiled`, with a LIMIT as its last parameter."""
    return compiled(statement, *names) + " LIMIT ?"


def values_of(name: str) -> Select[Any]:
    """Return a subselect over a list given as one JSON parameter: IN lists of any length, one statement."""
    return select(func.json_each(bindparam(name)).table_valued("value").c.value)


def json_list(values: Iterable[Any]) -> str:
    """Return the parameter for `values_of`."""
    return orjson.dumps(list(values)).decode()


def fixed(value: str | int) -> Any:
    """Return a constant of ours as part of the statement's text: partial indexes need the literal words."""
    return literal_column(str(value) if isinstance(value, int) else f"'{value}'")


def blob(column: Any) -> Any:
    """Return a column as bytes, whatever an edit by hand left there: it has to be judged, not to be tripped over."""
    return cast(column, LargeBinary)


def bound(columns: Iterable[str]) -> Mapping[str, Any]:
    """Return a parameter for each column, named like it."""
    return {name: bindparam(name) for name in columns}
