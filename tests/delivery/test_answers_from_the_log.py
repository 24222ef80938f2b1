"""A repeat gets what the log says was answered: a row deleted or edited by SQL takes nothing twice and tells no lie."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.delivery.test_receiver import altered, jti_of, said

if TYPE_CHECKING:
    from tests.delivery.conftest import Desk


def edit(desk: Desk, statement: str, *values: Any) -> None:
    """Do what somebody with a shell on the machine can do."""
    with closing(sqlite3.connect(desk.gateway.store.path, timeout=10)) as db, db:
        db.execute(statement, values)


def look(desk: Desk, statement: str) -> list[Any]:
    """Ask the database."""
    with closing(sqlite3.connect(desk.gateway.store.path)) as db:
        return db.execute(statement).fetchall()


async def test_a_repeat_whose_row_was_deleted_is_not_taken_again(desk: Desk) -> None:
    """Status, time and leaf as logged, one alarm for any number of repeats, and no other entry."""
    event = desk.author.event()
    first = await desk.outcome(event)
    size = await desk.size()
    edit(desk, "DELETE FROM inbox")
    desk.now += 60_000

    again = [await desk.outcome(event) for _ in range(3)]

    assert {(said(one), one.received_at_ms, one.leaf) for one in again} == {
        ("accepted", first.received_at_ms, first.leaf)
    }
    assert await desk.size() == size + 1
    assert look(desk, "SELECT typ, jti, outcome FROM entries ORDER BY seq DESC LIMIT 1") == [
        ("audit.alarm", jti_of(event), "changed gone")
    ]
    assert look(desk, "SELECT count(*) FROM inbox") == [(0,)]


async def test_did_you_accept_it_is_answered_from_the_log_too(desk: Desk) -> None:
    """`unknown` would have its sender give a message up that we have."""
    event = desk.author.event()
    first = await desk.outcome(event)
    edit(desk, "DELETE FROM inbox")
    raw = await desk.gateway.receiver.answer_again(desk.author.party, jti_of(event))
    [outcome] = desk.author.read(raw, None).outcomes
    assert (said(outcome), outcome.leaf) == ("accepted", first.leaf)


async def test_an_id_stays_taken_when_its_row_is_deleted(desk: Desk) -> None:
    """Other bytes under it are a conflict still."""
    event = desk.author.event()
    await desk.outcome(event)
    edit(desk, "DELETE FROM inbox")
    other = altered(desk.author.event(), id=jti_of(event))
    assert said(await desk.outcome(other)) == "rejected conflict"


async def test_a_refusal_stays_a_refusal(desk: Desk) -> None:
    """Deleted or set to accepted: the answer is the one that was logged."""
    event = desk.author.event(expiry_ms=desk.now - 1, time_ms=desk.now - 10_000)
    first = await desk.outcome(event)
    assert first.status == "rejected"
    edit(desk, "UPDATE inbox SET status = 'accepted', problem = NULL")
    edited = await desk.outcome(event)
    edit(desk, "DELETE FROM inbox")
    deleted = await desk.outcome(event)
    assert (said(edited), edited.leaf) == (said(deleted), deleted.leaf) == (said(first), first.leaf)
    assert look(desk, "SELECT outcome FROM entries WHERE typ = 'audit.alarm' ORDER BY seq") == [
        ("changed answer",), ("changed gone",),
    ]  # fmt: skip


async def test_a_row_that_no_entry_bears_out_is_no_answer(desk: Desk) -> None:
    """Nothing is signed for it: its sender is put off, and we are told."""
    event = desk.author.event()
    await desk.outcome(event)
    edit(desk, "UPDATE inbox SET leaf = 0")
    assert said(await desk.outcome(event)) == "deferred local-fault"
    assert look(desk, "SELECT outcome FROM entries WHERE typ = 'audit.alarm'") == [("changed answer",)]
