"""The checker of the fault experiments is tried itself: homes at rest hold, and each thing bent in them is named."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.checker import Violations, check
from tests.support.link import ID, KH, Two, run_virtual
from tests.support.steps import CANARY, exchange_with_fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Rest:
    """Two homes at rest after an exchange without any fault, and what those around them know."""

    def __init__(self, folder: Path) -> None:
        self.a, self.b = folder / ID, folder / KH
        self.promised: dict[str, set[str]] = {}
        self.shown: dict[str, list[str]] = {}
        self.traces: list[bytes] = []

    def look(self, home: Path, statement: str) -> list[Any]:
        """Ask a home."""
        with closing(sqlite3.connect(home / "data" / "gateway.db")) as db, db:
            return db.execute(statement).fetchall()

    def check(self, **changes: Any) -> None:
        """Run the checker."""
        known = {"promised": self.promised, "shown": self.shown, "traces": self.traces} | changes
        check(self.a, self.b, canaries=[CANARY.encode()], **known)


@pytest.fixture(scope="module")
def exchanged() -> Iterator[Rest]:
    """Give homes between which a case was opened and answered."""
    two = Two()
    run_virtual(exchange_with_fault(two, ID, "kill", 10**9))
    rest = Rest(two.a.home.parent)
    rest.promised = {ID: two.a.promised, KH: two.b.promised}
    rest.traces = [bytes(body) for body in two.network.seen]
    for party, home in ((ID, rest.a), (KH, rest.b)):
        rest.shown[party] = [row[0] for row in rest.look(home, "SELECT jti FROM inbox ORDER BY id")]
    yield rest
    two.discard()


@pytest.fixture
def rest(exchanged: Rest, tmp_path: Path) -> Rest:
    """Give copies of these homes, to be bent."""
    copy = Rest(tmp_path)
    for home in (exchanged.a, exchanged.b):
        shutil.copytree(home, tmp_path / home.name)
    copy.promised, copy.shown, copy.traces = exchanged.promised, exchanged.shown, exchanged.traces
    return copy


def test_homes_at_rest_hold(rest: Rest) -> None:
    """With a message each way, so that each part has something to look at."""
    assert all(rest.promised.values())
    assert all(rest.shown.values())
    rest.check()


BENT = {
    "(1) a receipt that is gone": (
        "a", "UPDATE envelopes SET receipt = NULL WHERE direction = 'out'", "without a receipt",
    ),
    "(1) a receipt of another message": ("a", "UPDATE outbox SET digest = zeroblob(32)", "its receipt says"),
    "(1) a receipt that says otherwise": ("a", "UPDATE outbox SET state = 'rejected'", "its receipt says"),
    "(1) a dead letter without alarm": ("a", "UPDATE outbox SET state = 'dead'", "dead without entry or alarm"),
    "(1) a cancellation nobody logged": ("a", "UPDATE outbox SET state = 'cancelled'", "cancelled without an entry"),
    "(1) a message that vanished": ("a", "DELETE FROM outbox", "was answered 202 and is gone"),
    "(2) a message held as other bytes": (
        "b", "UPDATE bodies SET event = CAST(event || ' ' AS BLOB)", "is not held as received",
    ),
    "(3) an entry edited": (
        "b", "UPDATE entries SET data = CAST(replace(data, 'system', 'sistem') AS BLOB) WHERE seq = 5", "kh.gdi: log 5",
    ),
    "(3) an entry gone": ("b", "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)", "shorter"),
    "(3) a hash that Go finds": ("a", "UPDATE entries SET leaf = zeroblob(32) WHERE seq = 3", "Go's verifier says"),
    "(3) an accepted leaf without its message": ("b", "DELETE FROM inbox", "accepted leaves, and no row"),
    "(3) a cosigned head of another log": (
        "b", "UPDATE witnessed SET note = (SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1)", "holds a head",
    ),
    "(4) a number left out": ("a", "UPDATE outbox SET stream_seq = stream_seq + 1", "not gapless"),
    "(4) a number of a case left out": ("a", "UPDATE outbox SET case_seq = case_seq + 1", "not gapless"),
    "(4) other bytes than those sent": ("a", "UPDATE bodies SET event = CAST(event || ' ' AS BLOB)", "the bytes of"),
    "(4) another answer there": ("b", "UPDATE inbox SET status = 'rejected'", "is accepted, at kh.gdi rejected"),
    "(6) a message that still waits": ("a", "UPDATE outbox SET state = 'queued'", "is still queued"),
    "(6) a number the partner was not told of": ("a", "UPDATE outbox SET void = 'due'", "not told"),
}  # fmt: skip


@pytest.mark.parametrize("name", BENT)
def test_what_is_bent_is_named(rest: Rest, name: str) -> None:
    """One change in one database, and the checker says so."""
    where, statement, said = BENT[name]
    rest.look(getattr(rest, where), statement)
    with pytest.raises(Violations) as found:
        rest.check()
    assert said in str(found.value)


def test_what_an_application_saw_twice_or_not_at_all_is_named(rest: Rest) -> None:
    """(2) Whatever the tables say: what counts is what was shown."""
    for shown in (rest.shown[KH] * 2, [], [*rest.shown[KH], *rest.shown[ID]]):
        with pytest.raises(Violations, match=r"is seen 2 times|an application saw"):
            rest.check(shown={**rest.shown, KH: shown})


def test_a_canary_on_the_wire_or_in_a_file_is_named(rest: Rest, tmp_path: Path) -> None:
    """(5) In memory or on disk."""
    (tmp_path / "gateway.log").write_text(f"could not store {CANARY}")
    for trace in (CANARY.encode(), tmp_path / "gateway.log"):
        with pytest.raises(Violations, match="plaintext in"):
            rest.check(traces=[*rest.traces, trace])


def test_a_promise_nobody_knows_of_is_named(rest: Rest) -> None:
    """(1) A 202 for a message that no table holds."""
    with pytest.raises(Violations, match="was answered 202 and is gone"):
        rest.check(promised={**rest.promised, ID: {*rest.promised[ID], "01990000-0000-7000-8000-000000000001"}})
