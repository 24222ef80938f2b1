"""Bundles of a real exchange: what two gateways sent over mutual TLS, exported by each of them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.errors import NotFound, NotPermitted, RecordChanged
from gateway.evidence import files as f
from gateway.evidence.verify import verify_bundle
from gateway.ports.common import Actor
from gateway.ports.people import Account
from gateway.services.accounts import LOCAL_OPERATOR
from gateway.services.evidence import ATTEMPTS_MOST, READS_MOST
from gateway.services.lateness import Lateness
from gateway.services.reading import Reader
from tests.evidence.conftest import EXAMPLE, Exchange, cosigned, evidence_of, export
from tests.evidence.story import files_of
from tests.support.link import ID
from tests.support.pair import TEST_OPERATOR, Side, example

if TYPE_CHECKING:
    from gateway.evidence.verify import Verdict
    from gateway.ports.store import Transaction

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR_MS = 3_600_000
AUDITOR = Account("a-1", "auditor", person=True, role="auditor", created_at=0, disabled_at=None)


def judged(exchange: Exchange, raw: bytes) -> Verdict:
    """Verify under both true fingerprints."""
    return verify_bundle(raw, fingerprints=exchange.fingerprints)


async def test_both_sides_prove_the_same_message(exchange: Exchange) -> None:
    """Event, place, manifest are the same; each adds its own log, and the sender has the recipient's entry too."""
    for raw in (exchange.sender, exchange.recipient):
        assert judged(exchange, raw).faults == ()
        assert judged(exchange, raw).gaps == ()
    ours, theirs = files_of(exchange.sender), files_of(exchange.recipient)
    for path in (f.EVENT, f.PLACE, f.MANIFEST, f.SCHEMA):
        assert ours[path] == theirs[path]
    assert json.loads(ours[f.PLACE])["size"] > 1
    entry = json.loads(theirs["log/kh.gdi/entries.json"])["entries"][0]
    assert entry["data"] in ours["log/kh.gdi/entries.json"].decode()
    assert "log/id.imigrasi/entries.json" not in theirs


async def test_a_sender_whose_name_sorts_last_proves_as_well(exchange: Exchange) -> None:
    """Its own log is gathered first and filed second: what it exports and what is read are one order."""
    pair = exchange.pair
    [sent] = await pair.b.submit(example("info.request/telephone-three-numbers"))
    await pair.settle()
    for side in pair.sides:
        await cosigned(side)
    for side in pair.sides:
        verdict = judged(exchange, await export(side, sent.jti))
        assert (verdict.faults, verdict.gaps) == ((), ()), side.party
    assert verdict.parts is not None
    assert verdict.parts.sender == "kh.gdi"


async def test_a_second_export_is_the_same_bytes(exchange: Exchange) -> None:
    """Although signatures differ each time, each export adds to the log, and both logs have grown meanwhile."""
    pair = exchange.pair
    await pair.a.submit(example(EXAMPLE))
    await pair.settle()
    for side in pair.sides:
        await cosigned(side)
    assert await export(exchange.pair.a, exchange.jti) == exchange.sender
    assert await export(exchange.pair.b, exchange.jti) == exchange.recipient


async def test_the_recipients_entry_is_kept(exchange: Exchange) -> None:
    """Once fetched, the partner's entry needs no partner."""
    await exchange.pair.b.listen(False)
    try:
        assert await export(exchange.pair.a, exchange.jti) == exchange.sender
    finally:
        await exchange.pair.b.listen()


async def test_without_the_partner_the_bundle_says_what_is_lacking(exchange: Exchange) -> None:
    """Its entry was never fetched and it is away: no fault, a gap."""
    pair = exchange.pair
    [sent] = await pair.a.submit(example(EXAMPLE))
    await pair.settle()
    await pair.b.listen(False)
    try:
        verdict = judged(exchange, await export(pair.a, sent.jti))
    finally:
        await pair.b.listen()
    assert verdict.faults == ()
    assert "no-recipient-entry" in verdict.gaps
    assert "no-recipient-entry" not in judged(exchange, await export(pair.a, sent.jti)).gaps


async def test_a_redacted_bundle_verifies_and_shows_no_case_data(exchange: Exchange) -> None:
    """Digest and proofs are there, the event is not."""
    verdict = judged(exchange, exchange.redacted)
    assert verdict.faults == ()
    assert "redacted" in verdict.gaps
    event = json.loads(files_of(exchange.sender)[f.EVENT])
    assert f.EVENT not in files_of(exchange.redacted)
    assert event["subject"].encode() not in files_of(exchange.redacted)[f.PAGE]


async def test_who_may_not_read_events_gets_no_event(exchange: Exchange) -> None:
    """An auditor proves without reading; asking for the whole is refused."""
    service = evidence_of(exchange.pair.a)
    assert f.EVENT not in files_of(await service.export(exchange.jti, AUDITOR))
    with pytest.raises(NotPermitted):
        await service.export(exchange.jti, AUDITOR, redacted=False)


async def test_each_export_is_in_the_log(exchange: Exchange) -> None:
    """Who took which bundle, whole or not; and no bundle holds these entries."""
    await export(exchange.pair.b, exchange.jti, redacted=True)
    rows = await exchange.pair.b.gateway.queries.entries(typ="evidence.exported", jti=exchange.jti, limit=10)
    assert {row["outcome"] for row in rows} >= {"whole", "redacted"}


async def test_an_opened_message_shows_who_opened_it(exchange: Exchange) -> None:
    """The entry of the reading is in the next bundle, by role and opaque id."""
    pair = exchange.pair
    [sent] = await pair.a.submit(example(EXAMPLE))
    await pair.settle()
    officer = Account("o-7", "officer", person=True, role="officer", created_at=0, disabled_at=None)
    reader = _reader(pair.b)
    await reader.event(await reader.message(sent.jti, None), officer, None)
    raw = await export(pair.b, sent.jti)
    assert judged(exchange, raw).faults == ()
    steps = [one.step for one in await evidence_of(pair.b).chain(sent.jti, None)]
    assert steps == ["received", "opened", "exported"]
    assert b"Opened by an officer" in files_of(raw)[f.PAGE]


def _reader(side: Side) -> Reader:
    g = side.gateway
    return Reader(g.store, g.queries, g.rules.codelists, g.clock)


async def test_the_chain_names_each_step_and_its_entry(exchange: Exchange) -> None:
    """From submission over sending to the answer, in the order of the log, proved by index."""
    pair = exchange.pair
    steps = await evidence_of(pair.a).chain(exchange.jti, None)
    told = [one.step for one in steps]
    assert told[0] == "submitted"
    assert {"sent", "delivered", "exported"} <= set(told)
    for one in steps:
        [row] = await pair.a.gateway.queries.entries(before=one.index + 1, limit=1)
        assert row["seq"] == one.index
        assert row["at"] == one.at_ms


async def test_a_message_that_took_two_attempts_is_proved_by_the_second(exchange: Exchange) -> None:
    """The chain has both; the bundle has the envelope that was answered, and its entry alone."""
    pair = exchange.pair
    await pair.b.listen(False)
    [sent] = await pair.a.submit(example(EXAMPLE))
    await pair.a.tried()
    await pair.b.listen()
    await pair.settle()
    verdict = judged(exchange, await export(pair.a, sent.jti))
    assert verdict.faults == ()
    told = [one.step for one in await evidence_of(pair.a).chain(sent.jti, None)]
    assert told[0] == "submitted"
    assert told.count("sent") >= 2
    assert verdict.parts is not None
    assert len(verdict.parts.logs[0].entries) == 3


async def test_readings_without_end_hide_nothing(exchange: Exchange) -> None:
    """A system that polls reads a message thousands of times: what happened to it stays in chain and bundle."""
    pair = exchange.pair
    [sent] = await pair.a.submit(example(EXAMPLE))
    await pair.settle()

    [row] = await pair.b.gateway.queries.under(sent.jti)
    obj, now = ("message", sent.jti), pair.b.gateway.clock()

    def read(tx: Transaction) -> None:
        for _ in range(READS_MOST + ATTEMPTS_MOST + 1000):
            tx.log.append("message.read", actor=TEST_OPERATOR, obj=obj, at=now, jti=sent.jti, event=row["digest"])
        tx.log.append("message.erased", actor=Actor(ID, "partner"), obj=obj, at=now, jti=sent.jti)

    await pair.b.gateway.store.write(read)
    await cosigned(pair.b)
    verdict = judged(exchange, await export(pair.b, sent.jti))
    assert verdict.faults == ()
    assert verdict.parts is not None
    assert len(verdict.parts.logs[0].entries) == READS_MOST + 2
    steps = [one.step for one in await evidence_of(pair.b).chain(sent.jti, None)]
    assert (steps[0], steps[-2:], steps.count("opened")) == ("received", ["erased", "exported"], READS_MOST)


async def test_other_bytes_under_the_same_id_are_another_matter(exchange: Exchange) -> None:
    """A conflict was logged under this id: its entry is about other bytes and proves nothing of these."""
    pair = exchange.pair
    [sent] = await pair.a.submit(example(EXAMPLE))
    await pair.settle()

    def conflict(tx: Transaction) -> None:
        tx.log.append(
            "message.received", actor=TEST_OPERATOR, obj=("message", sent.jti), at=pair.b.gateway.clock(), jti=sent.jti,
            event=bytes(32), outcome="rejected conflict",
        )  # fmt: skip

    await pair.b.gateway.store.write(conflict)
    verdict = judged(exchange, await export(pair.b, sent.jti))
    assert verdict.faults == ()
    assert verdict.parts is not None
    assert len(verdict.parts.logs[0].entries) == 1


async def test_a_message_that_nobody_answers_has_its_senders_evidence(exchange: Exchange) -> None:
    """It was tried, so a manifest is signed; no receipt. What is not there is not found."""
    pair = exchange.pair
    await pair.b.listen(False)
    try:
        [waiting] = await pair.a.submit(example(EXAMPLE))
        await pair.a.tried()
        verdict = judged(exchange, await export(pair.a, waiting.jti))
        assert verdict.faults == ()
        assert verdict.gaps[:1] == ("no-receipt",)
    finally:
        await pair.b.listen()
    with pytest.raises(NotFound):
        await evidence_of(pair.a).export("01935b2c-0000-7000-8000-000000000001", LOCAL_OPERATOR)
    await pair.settle()


async def test_a_message_in_no_envelope_has_negative_evidence(exchange: Exchange) -> None:
    """While nothing leaves, it has the log: taken, late, cosigned. Once it is answered, the bundle is a whole one."""
    gateway, (name, why) = exchange.pair.a.gateway, ("untimestamped", "nothing leaves in this test")
    gateway.witnessing.gate.close(name, why)
    try:
        [waiting] = await exchange.pair.a.submit(example(EXAMPLE) | {"urgency": "FLASH"})
        await Lateness(gateway.store, lambda: gateway.clock() + HOUR_MS).look()
        await gateway.checkpoints.sign()
        await cosigned(exchange.pair.a)
        raw = await export(exchange.pair.a, waiting.jti)
        verdict = judged(exchange, raw)
        assert verdict.faults == ()
        assert verdict.gaps == ("no-envelope", "no-receipt", "no-recipient-entry")
        assert "message.accepted" in verdict.proves[1]
        assert "audit.alarm undelivered" in verdict.proves[1]
        assert await export(exchange.pair.a, waiting.jti) == raw
        redacted = judged(exchange, await export(exchange.pair.a, waiting.jti, redacted=True))
        assert (redacted.faults, redacted.gaps[:2]) == ((), ("redacted", "no-envelope"))
    finally:
        gateway.witnessing.gate.open(name)
    await exchange.pair.settle()
    answered = judged(exchange, await export(exchange.pair.a, waiting.jti))
    assert (answered.faults, answered.gaps[:1]) != ((), ("no-envelope",))
    assert any("audit.alarm undelivered" in text and "message.settled" in text for text in answered.proves)


@pytest.mark.parametrize(
    ("statement", "redacted"),
    [
        ("UPDATE bodies SET event = event || ' ' WHERE id = (SELECT body_id FROM outbox WHERE jti = ?)", False),
        ("UPDATE outbox SET digest = zeroblob(32) WHERE jti = ?", True),
        (("UPDATE envelopes SET receipt = (SELECT receipt FROM envelopes WHERE eid <> (SELECT eid FROM outbox "
         "WHERE jti = ?1) AND receipt IS NOT NULL) WHERE eid = (SELECT eid FROM outbox WHERE jti = ?1)"), True),
    ],
    ids=("bytes", "digest", "receipt"),
)  # fmt: skip
async def test_nothing_is_proved_by_what_was_edited(exchange: Exchange, statement: str, redacted: bool) -> None:
    """A record, its digest or its receipt changed by SQL makes no bundle: the log knows what they were."""
    pair = exchange.pair
    [sent] = await pair.a.submit(example(EXAMPLE))
    await pair.settle()
    with closing(sqlite3.connect(pair.a.gateway.store.path, timeout=10)) as db, db:
        db.execute(statement, (sent.jti,))
    with pytest.raises(RecordChanged):
        await export(pair.a, sent.jti, redacted=redacted)
