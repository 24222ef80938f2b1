"""What is edited behind the gateway's back neither leaves it nor is shown, and is alarmed by name, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.protocol.states import Step
from gateway.services.accounts import LOCAL_OPERATOR
from tests.support.pair import TEST_OPERATOR, Pair, Side, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL = "case.referral/s1-sumarni"
SECRET = "Zyxwvq written by somebody with a shell"


def edit(side: Side, statement: str, *values: Any) -> None:
    """Do what somebody with a shell on the machine can do."""
    with closing(sqlite3.connect(side.gateway.store.path, timeout=10)) as db, db:
        db.execute(statement, values)


def look(side: Side, statement: str, *values: Any) -> list[Any]:
    """Ask the database."""
    with closing(sqlite3.connect(side.gateway.store.path)) as db:
        return db.execute(statement, values).fetchall()


def rewritten(event: bytes) -> bytes:
    """Return an event that says something else."""
    found = event.replace(b'"data":{', b'"data":{"x":"%b",' % SECRET.encode())
    assert found != event
    return found


def body_of(side: Side, jti: str, table: str = "outbox") -> tuple[int, bytes]:
    """Return number and bytes of a stored body."""
    found: tuple[int, bytes] = look(
        side, f"SELECT b.id, b.event FROM bodies b JOIN {table} m ON m.body_id = b.id WHERE m.jti = ?", jti  # noqa: S608 - a word of ours
    )[0]  # fmt: skip
    return found


def alarms(side: Side, jti: str) -> list[str]:
    """Return the outcomes of the alarms that name a message."""
    return [row[0] for row in look(side, "SELECT outcome FROM entries WHERE typ = 'audit.alarm' AND jti = ?", jti)]


def stands(side: Side, jti: str) -> tuple[str, str | None]:
    """Return state and reason of a message of ours."""
    found: tuple[str, str | None] = look(side, "SELECT state, reason FROM outbox WHERE jti = ?", jti)[0]
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def away(pair: Pair) -> AsyncIterator[Pair]:
    """Have nothing leave until `goes_on`: what is accepted waits in the queue, where it can be edited."""
    await pair.settle()
    pair.a.gateway.witnessing.gate.close("untimestamped", "a test edits what waits")
    yield pair
    goes_on(pair)
    await pair.settle()


def goes_on(pair: Pair) -> None:
    """Let what waits leave."""
    pair.a.gateway.witnessing.gate.open("untimestamped")


async def test_what_was_edited_while_it_waited_is_not_sent_and_its_neighbours_are(away: Pair) -> None:
    """Bytes; bytes and digest; a body that is gone; a cancelled one set to queued; each once, and one left alone."""
    a = away.a
    ids = [one.jti for one in await a.submit(*[example(REFERRAL) for _ in range(6)])]
    altered, both, gone, cancelled, redirected, whole = ids
    await a.gateway.operator.perform(Step.HOLD, cancelled, LOCAL_OPERATOR)
    await a.gateway.operator.perform(Step.CANCEL, cancelled, LOCAL_OPERATOR, "other")
    number, event = body_of(a, altered)
    edit(a, "UPDATE bodies SET event = ? WHERE id = ?", rewritten(event), number)
    other = body_of(a, both)
    edit(a, "UPDATE bodies SET event = ? WHERE id = ?", rewritten(other[1]), other[0])
    edit(a, "UPDATE outbox SET digest = zeroblob(32) WHERE jti = ?", both)
    edit(a, "DELETE FROM bodies WHERE id = ?", body_of(a, gone)[0])
    edit(a, "UPDATE outbox SET state = 'queued', next_at = 0, void = NULL WHERE jti = ?", cancelled)
    # Another message's row and body under this id: the entries of this id say otherwise.
    edit(a, "UPDATE outbox SET body_id = ? WHERE jti = ?", body_of(a, whole)[0], redirected)

    goes_on(away)
    await a.sent()

    assert stands(a, whole) == ("accepted", None)
    assert stands(a, altered) == ("held", "changed bytes")
    assert stands(a, both) == ("held", "changed digest")
    assert stands(a, gone) == ("held", "changed bytes")
    assert stands(a, redirected) == ("held", "changed bytes")
    assert stands(a, cancelled)[0] == "cancelled"
    assert [alarms(a, jti) for jti in ids] == [
        ["changed bytes"], ["changed digest"], ["changed bytes"], ["changed state"], ["changed bytes"], [],
    ]  # fmt: skip
    arrived = {row[0] for row in look(away.b, "SELECT jti FROM inbox")}
    assert arrived & set(ids) == {whole}
    assert not look(away.b, "SELECT id FROM bodies WHERE instr(event, 'Zyxwvq')")

    # Released without a cure it is kept back again, with no second alarm; with the bytes of a backup it goes.
    await a.gateway.operator.perform(Step.RELEASE, altered, LOCAL_OPERATOR)
    await a.sent()
    assert (stands(a, altered)[0], alarms(a, altered)) == ("held", ["changed bytes"])
    edit(a, "UPDATE bodies SET event = ? WHERE id = ?", event, number)
    await a.gateway.operator.perform(Step.RELEASE, altered, LOCAL_OPERATOR)
    for jti in (both, gone, redirected):
        await a.gateway.operator.perform(Step.CANCEL, jti, LOCAL_OPERATOR, "other")
    await a.settle()
    assert stands(a, altered) == ("accepted", None)


async def test_a_message_is_sealed_for_nobody_but_whom_it_was_accepted_for(away: Pair) -> None:
    """Rows, digests and ids exchanged between two messages: what an id was accepted as is in the log."""
    a = away.a
    first, second = [one.jti for one in await a.submit(example(REFERRAL), example(REFERRAL))]
    edit(a, "UPDATE outbox SET jti = 'aside' WHERE jti = ?", first)
    edit(a, "UPDATE outbox SET jti = ? WHERE jti = ?", first, second)
    edit(a, "UPDATE outbox SET jti = ? WHERE jti = 'aside'", second)

    goes_on(away)
    await a.sent()

    assert {stands(a, jti) for jti in (first, second)} == {("held", "changed digest")}
    for jti in (first, second):
        await a.gateway.operator.perform(Step.CANCEL, jti, LOCAL_OPERATOR, "other")


async def test_what_was_edited_after_it_came_is_not_shown(api: Api, pair: Pair) -> None:
    """A problem without the record, one alarm for any number of tries; the inbox goes on with what came after it."""
    [before] = await pair.b.submit(example("subject.alert/s6-two-nationalities"))
    [marked] = await pair.b.submit(example("subject.alert/s6-two-nationalities"))
    [after] = await pair.b.submit(example("subject.alert/s6-two-nationalities"))
    await pair.settle()
    number, event = body_of(pair.a, marked.jti, "inbox")
    edit(
        pair.a,
        "UPDATE bodies SET event = ? WHERE id = ?",
        rewritten(event),
        number,
    )

    answers = [await api.get(f"/messages/{marked.jti}/event", role) for role in ("officer", "officer", "officer")]
    inbox = [
        i for i in (await api.get("/inbox?limit=200")).json["items"] if i["id"] in {before.jti, marked.jti, after.jti}
    ]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(500, "record-changed")}
    assert marked.jti in answers[0].json["detail"]
    assert not any(SECRET.encode() in answer.body for answer in answers)
    assert [(item["event"] is None, item["problem"]) for item in inbox] == [
        (False, None), (True, "record-changed"), (False, None),
    ]  # fmt: skip
    assert alarms(pair.a, marked.jti) == ["changed bytes"]
    reads = await api.entries(type="message.read", message=marked.jti)
    assert reads == []
    assert (await api.get(f"/messages/{marked.jti}")).json["state"] == "received"

    edit(pair.a, "UPDATE bodies SET event = ? WHERE id = ?", event, number)
    assert (await api.get(f"/messages/{marked.jti}/event", "officer")).status == 200


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE {} SET digest = zeroblob(32) WHERE jti = ?", "digest"),
        ("UPDATE {} SET leaf = 1 WHERE jti = ?", "unlogged"),
    ],
    ids=("another digest", "another entry"),
)
@pytest.mark.parametrize("table", ["inbox", "outbox"])
async def test_a_row_cannot_vouch_for_a_body(api: Api, pair: Pair, table: str, statement: str, what: str) -> None:
    """The log's digest decides, of what we sent and of what came."""
    side = pair.a if table == "outbox" else pair.b
    [sent] = await side.submit(example(REFERRAL if table == "outbox" else "subject.alert/s6-two-nationalities"))
    await pair.settle()
    edit(pair.a, statement.format(table), sent.jti)
    answer = await api.get(f"/messages/{sent.jti}/event", "officer")
    assert (answer.status, answer.json["code"]) == (500, "record-changed")
    assert alarms(pair.a, sent.jti) == [f"changed {what}"]


async def test_names_and_figures_are_not_read_out_of_it(api: Api, pair: Pair) -> None:
    """Search and statistics leave it out; a schema tried on stored traffic counts it apart."""
    [sent] = await pair.a.submit(example(REFERRAL))
    await pair.settle()
    number, event = body_of(pair.a, sent.jti)
    edit(pair.a, "UPDATE bodies SET event = ? WHERE id = ?", rewritten(event), number)
    await pair.a.gateway.indexer.catch_up()
    assert look(pair.a, "SELECT count(*) FROM names WHERE jti = ?", sent.jti) == [(0,)]
    assert alarms(pair.a, sent.jti) == ["changed bytes"]
    gateway = pair.a.gateway
    schema = gateway.rules.catalogue.version("case.referral", gateway.rules.catalogue.approved()["case.referral"][-1])
    tried = await gateway.rehearsal.run(schema, TEST_OPERATOR)
    assert tried.changed >= 1
