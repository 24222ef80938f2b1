"""No search of a log of millions reads all of it: the plan of each goes by an index."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from gateway.storage import cases, inbox, memory, outbox
from gateway.storage.queries import Queries
from gateway.storage.schema import upgrade

if TYPE_CHECKING:
    from pathlib import Path

JTI = "01990000-0000-7000-8000-0000000000ff"
SEARCHES: dict[str, dict[str, Any]] = {
    "message": {"jti": JTI},
    "case": {"case": "XC-ID-2026-000123-8"},
    "officer": {"actor": "acc_1"},
    "type": {"typ": "key.revoked"},
    "object": {"obj": "0" * 32},
    "message as object": {"obj": JTI},
    "outcome": {"outcome": "rejected schema-invalid"},
    "time": {"since": 1, "until": 2},
    "reads of an officer": {"typ": "message.read", "actor": "acc_1", "since": 1, "until": 2},
    "the next page": {"typ": "message.read", "before": 7},
}


class Plans(Queries):
    """Asks how a question would be answered."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def _all(self, statement: Any) -> Any:
        from sqlalchemy.dialects import sqlite

        text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
        connection = sqlite3.connect(self._path)
        try:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
        finally:
            connection.close()


@pytest.mark.parametrize("name", SEARCHES)
async def test_a_search_goes_by_an_index(tmp_path: Path, name: str) -> None:
    """What the database says of its own plan: it searches, and scans nothing."""
    upgrade(tmp_path / "gateway.db")
    plan = await Plans(tmp_path / "gateway.db").entries(**SEARCHES[name], limit=50)
    assert any("SEARCH entries" in step for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan


# Asked for each envelope, in its transaction: what each must go by, whatever the queue and the archive hold.
ON_THE_PATH = {
    "what waits in a case": (outbox._OPEN_IN_CASES, "outbox_case_open (case_ref=?)"),
    "an id of another's, received": (inbox._ELSEWHERE, "inbox_jti (jti=?)"),
    "an id of another's, sent": (inbox._ELSEWHERE, "sqlite_autoindex_outbox_1 (jti=?)"),
    "a case": (cases._FIND, "(ref=? AND partner=?)"),
    "a reference in use": (cases._USED, "(ref=?)"),
    "what is remembered in a case": (memory._OF_CASE, "remembered_case (case_ref=?)"),
}


@pytest.mark.parametrize("name", ON_THE_PATH)
def test_what_is_asked_of_each_envelope_goes_by_an_index(tmp_path: Path, name: str) -> None:
    """One partner's whole queue, or all it ever sent, is read for no message."""
    upgrade(tmp_path / "gateway.db")
    statement, index = ON_THE_PATH[name]
    connection = sqlite3.connect(tmp_path / "gateway.db")
    try:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", ["[]"] * statement.count("?")).fetchall()
    finally:
        connection.close()
    plan = [row[3] for row in rows]
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") and "VIRTUAL" not in step for step in plan), plan
