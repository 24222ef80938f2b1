"""What a receipt says must stand in the partner's log, under a checkpoint we cosigned; what does not is alarmed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from gateway.home import open_home
from gateway.keyring.notes import log_signers
from gateway.ledger import entry, note
from gateway.ledger.witness import parse_request
from gateway.ports.common import Actor
from gateway.ports.partner import Reply
from gateway.primitives import b64u, merkle, strictjson
from gateway.protocol import jws
from gateway.protocol.entries import write_question
from gateway.protocol.ids import MessageId
from gateway.protocol.receipt import Outcome, read_receipt
from tests.support.hostile import Author
from tests.support.link import ID, KH, MemoryLink, example
from tests.witness.stage import Stage, alarms, play, signed, states

REFERRAL = "case.referral/s1-sumarni"
JOSE_JSON = "application/jose+json"


def proofs(stage: Stage) -> list[tuple[bool, str | None]]:
    """Return whether each message of a is proved, and why not."""
    return stage.a.look("SELECT proved_at IS NOT NULL, unproved FROM outbox ORDER BY id")


def asked(stage: Stage, since: int = 0) -> dict[str, int]:
    """Return how often a asked b each question about its log."""
    names = Counter(name for party, name in stage.two.network.calls[since:] if party == ID)
    return {name: names[name] for name in ("entries", "message", "tile")}


def bulletin() -> dict[str, Any]:
    """Return a message of no case: many of them weigh little."""
    return {**example("route.bulletin/s6-batam-johor-bavet"), "recipient": KH}


def author(stage: Stage) -> Author:
    """Return a pen that signs with b's keys."""
    return Author(stage.b.home, ID, stage.b.clock)


def test_every_answered_message_is_proved_soon_after() -> None:
    """Each entry is looked at; a cosigned checkpoint covers it; nothing is alarmed."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(*[example(REFERRAL) for _ in range(70)])
        await stage.until(lambda: proofs(stage) == [(True, None)] * 70, 30)
        late = "SELECT count(*) FROM outbox WHERE partner_leaf >= (SELECT max(size) FROM witnessed)"
        assert stage.a.look(late) == [(0,)]
        assert alarms(stage.a) == alarms(stage.b) == []
        assert stage.a.look("SELECT min(proved_at - settled_at) > 0 FROM outbox") == [(1,)]

    play(story)


def test_a_burst_is_proved_by_a_handful_of_questions_and_no_signature() -> None:
    """However many: one question a thousand, a tile for 256 leaves, nothing that the partner must sign."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        since = len(stage.two.network.calls)
        for _ in range(2):
            await stage.a.submit(*[bulletin() for _ in range(100)])
        await stage.until(lambda: proofs(stage) == [(True, None)] * 200, 60)
        counted = asked(stage, since)
        assert counted["message"] == 0
        assert counted["entries"] <= 3
        assert counted["tile"] <= 8
        await asyncio.sleep(120)
        assert asked(stage, since)["entries"] == counted["entries"]  # nothing is asked for twice

    play(story)


def _row(jti: str, leaf: int, data: bytes) -> dict[str, Any]:
    return {"jti": jti, "leaf": leaf, "entry": b64u.encode(data)}


def _answer(rows: Any) -> Reply:
    return Reply(200, "application/json", strictjson.dumps({"entries": rows}), None)


def _logged(stage: Stage) -> list[dict[str, Any]]:
    rows = stage.b.look("SELECT i.jti, i.leaf, e.data FROM inbox i JOIN entries e ON e.seq = i.leaf ORDER BY i.id")
    return [_row(*row) for row in rows]


def _entry_of(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**row, "entry": b64u.encode(_another(b64u.decode(row["entry"]), **changes))}


FALSE_ENTRIES: dict[str, Any] = {
    "none": lambda rows: _answer([]),
    "some": lambda rows: _answer(rows[1:]),
    "another message's": lambda rows: _answer(
        [{**a, "entry": b["entry"]} for a, b in zip(rows, rows[::-1], strict=True)]
    ),
    "another message's place and entry": lambda rows: _answer(
        [{**b, "jti": a["jti"]} for a, b in zip(rows, rows[::-1], strict=True)]
    ),
    "at another leaf": lambda rows: _answer([{**row, "leaf": row["leaf"] + 1} for row in rows]),
    "not in the log": lambda rows: _answer([_entry_of(row, salt=bytes(16)) for row in rows]),
    "twice": lambda rows: _answer([row for row in rows for _ in range(2)]),
    "more than asked for": lambda rows: _answer([*rows, _row(rows[0]["jti"][:-1] + "f", 1, b"{}")]),
    "in another order": lambda rows: _answer(rows[::-1]),
    "too large": lambda rows: _answer([{**row, "entry": b64u.encode(bytes(5000))} for row in rows]),
    "without leaf": lambda rows: _answer([{"jti": row["jti"], "entry": row["entry"]} for row in rows]),
    "leaf true": lambda rows: _answer([{**row, "leaf": True} for row in rows]),
    "not base64url": lambda rows: _answer([{**row, "entry": "=" + row["entry"]} for row in rows]),
    "no JSON": lambda rows: Reply(200, "application/json", b"{", None),
    "a doubled member": lambda rows: Reply(200, "application/json", b'{"entries":[],"entries":[]}', None),
    "no such route": lambda rows: Reply(404, "application/problem+json", b"{}", None),
    "no such method": lambda rows: Reply(405, "application/problem+json", b"{}", None),
}


@pytest.mark.parametrize("bend", FALSE_ENTRIES.values(), ids=FALSE_ENTRIES)
def test_what_an_unsigned_answer_leaves_open_is_asked_for_signed(bend: Any) -> None:
    """Entries that are lacking, doubled or false prove nothing and convict nobody: the signed answers do."""

    async def story(stage: Stage) -> None:
        async def lying(_question: bytes) -> Reply:
            reply: Reply = bend(_logged(stage))
            return reply

        await asyncio.sleep(5)
        stage.a_link.entries = lying
        since = len(stage.two.network.calls)
        await stage.a.submit(*[bulletin() for _ in range(3)])
        await stage.until(lambda: proofs(stage) == [(True, None)] * 3, 120)
        assert asked(stage, since)["message"] in {1, 2, 3}
        assert alarms(stage.a) == []

    play(story)


def test_an_entry_is_not_proved_by_a_tile_made_for_it() -> None:
    """Entry and tile agree with one another, and not with the checkpoint we cosigned: that proves nothing."""

    async def story(stage: Stage) -> None:
        async def forged(_question: bytes) -> Reply:
            return _answer([_entry_of(row, salt=bytes(16)) for row in _logged(stage)])

        async def made(path: str) -> Reply:
            reply = await MemoryLink(stage.a, stage.b.party).get_log(path)
            if not path.startswith("tile/0/000"):
                return reply
            [row] = _logged(stage)
            leaf = merkle.leaf_hash(_another(b64u.decode(row["entry"]), salt=bytes(16)))
            return replace(reply, body=reply.body[: 32 * row["leaf"]] + leaf + reply.body[32 * row["leaf"] + 32 :])

        await asyncio.sleep(5)
        stage.a_link.entries, stage.a_link.log = forged, made
        await stage.a.submit(bulletin())
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await asyncio.sleep(300)
        assert (proofs(stage), alarms(stage.a)) == ([(False, None)], [])
        stage.a_link.entries = stage.a_link.log = None
        await stage.until(lambda: proofs(stage) == [(True, None)], 120)

    play(story)


def test_entries_are_shown_in_every_state_and_only_to_whom_they_concern() -> None:
    """A gateway that has stopped still shows its log; what it sent itself is nobody's to ask for."""

    async def story(stage: Stage) -> None:
        [message] = await stage.a.submit(bulletin())
        [other] = await stage.b.submit(example("info.request/telephone-three-numbers"))
        await stage.two.drained()
        stage.b.gateway.witnessing.gate.close("behind", "tried")
        unknown = MessageId(message.jti[:-4] + "0000")
        async with MemoryLink(stage.a, stage.b.party) as link:
            assert (await link.get_message(message.jti)).status == 503
            reply = await link.post_entries(write_question([unknown, message.jti, other.jti, message.jti]))
        [first, again] = strictjson.loads(reply.body)["entries"]
        assert first == again == _logged(stage)[0]
        assert first["jti"] == message.jti

    play(story)


def test_proofs_that_lag_for_an_hour_are_alarmed() -> None:
    """A partner that answers, but so slowly that it never gets there, has as good as shown nothing."""

    async def story(stage: Stage) -> None:
        await stage.a.stop()
        stage.a.believes = True
        await stage.a.start()
        stage.a_link.entries = nothing
        await stage.a.submit(*[bulletin() for _ in range(40)])
        await stage.until(lambda: states(stage.a) == ["accepted"] * 40)
        stage.a.skew_ms = 3_700_000
        await stage.until(lambda: alarms(stage.a) != [], 120)
        await stage.until(lambda: proofs(stage) == [(True, None)] * 40, 120)
        assert alarms(stage.a) == ["proofs withheld"]

    play(story)


def test_a_message_settled_before_a_restart_is_proved_after_it() -> None:
    """What waits to be proved is in the database, not in the process."""

    async def story(stage: Stage) -> None:
        async def silent(question: bytes) -> Reply:
            return Reply(503, "", question, None)

        stage.a_link.entries = silent
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await asyncio.sleep(10)
        assert proofs(stage) == [(False, None)]
        stage.a_link.entries = None
        await stage.restart(stage.a)
        await stage.until(lambda: proofs(stage) == [(True, None)], 120)

    play(story)


def _another(data: bytes, **changes: Any) -> bytes:
    found = replace(entry.parse(data), **changes)
    return entry.build(
        seq=found.seq, at_ms=found.at_ms, typ=found.typ, actor_sub=found.actor_sub, actor_role=found.actor_role,
        obj_kind=found.obj_kind, obj_id=found.obj_id, salt=found.salt, jti=found.jti, event=found.event,
        case=found.case, outcome=found.outcome,
    )  # fmt: skip


async def nothing(_question: bytes) -> Reply:
    """Show no entry at all."""
    return Reply(200, "application/json", b'{"entries":[]}', None)


LIES: dict[str, Any] = {
    "never seen": (lambda o: Outcome(event=None, status="unknown", received_at_ms=None, jti=o.jti), "unknown"),
    "another event": (lambda o: replace(o, event=bytes(32)), "differs"),
    "another leaf": (lambda o: replace(o, leaf=o.leaf - 1), "differs"),
    "no entry": (lambda o: replace(o, entry=None, proof=None), "differs"),
    "an entry that is not in the log": (lambda o: replace(o, entry=_another(o.entry, salt=bytes(16))), "differs"),
    "an entry with another outcome": (lambda o: replace(o, entry=_another(o.entry, outcome="rejected x")), "differs"),
    "no entry at all": (lambda o: replace(o, entry=b"{}"), "differs"),
}


@pytest.mark.parametrize(("bend", "why"), LIES.values(), ids=LIES)
def test_a_receipt_that_its_log_does_not_bear_out_is_alarmed_and_stands(bend: Any, why: str) -> None:
    """The signed answer that says otherwise is kept; the message's state is what its receipt said."""

    async def story(stage: Stage) -> None:
        async def lying(jti: MessageId) -> Reply:
            true = await MemoryLink(stage.a, stage.b.party).get_message(jti)
            payload = strictjson.loads(jws.peek_payload(true.body))
            pen = author(stage)
            raw = pen.sign(None, [bend(_read(stage, true.body))], checkpoint=payload["checkpoint"])
            return Reply(200, JOSE_JSON, raw, None)

        stage.a_link.entries = nothing
        stage.a_link.message = lying
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: alarms(stage.a) != [], 120)
        assert alarms(stage.a) == [f"unproved {why}"]
        await asyncio.sleep(300)
        assert (alarms(stage.a), states(stage.a), proofs(stage)) == ([f"unproved {why}"], ["accepted"], [(False, why)])
        assert stage.a.look("SELECT count(*) FROM envelopes WHERE eid LIKE '%.unproved' AND receipt NOT NULL") == [(1,)]

    play(story)


def _read(stage: Stage, raw: bytes) -> Outcome:
    directory = stage.a.gateway.directory
    return read_receipt(
        raw, iss=stage.b.party, aud=ID, eid=None, manifest_sha256=None, digests=None,
        key_for=lambda kid, alg: directory.verify_key(stage.b.party, kid, alg),
    ).outcomes[0]  # fmt: skip


def _latest(stage: Stage) -> str:
    text: str = stage.b.gateway.checkpoints.latest.note
    return text


def _receipt(stage: Stage, *, leaf: int, checkpoint: str) -> Any:
    async def answer(jwe: bytes) -> Reply:
        pen = author(stage)
        envelope = pen.open(jwe)
        outcomes = [pen.outcome(digest, leaf=leaf) for digest in envelope.digests]
        return Reply(200, JOSE_JSON, pen.sign(envelope, outcomes, checkpoint=checkpoint), None)

    return answer


def test_an_entry_that_is_there_and_says_something_else_is_alarmed() -> None:
    """The receipt names an entry of the log, truly in it, that is about something else."""

    async def story(stage: Stage) -> None:
        async def lying(jti: MessageId) -> Reply:
            pen = author(stage)
            [(digest,)] = stage.a.look("SELECT digest FROM outbox")
            [(data,)] = stage.b.look("SELECT data FROM entries WHERE seq = 3")
            outcome = pen.outcome(digest, leaf=3, jti=jti, entry=data, proof=())
            return Reply(200, JOSE_JSON, pen.sign(None, [outcome], checkpoint=_latest(stage)), None)

        await asyncio.sleep(5)
        stage.a_link.message = lying
        stage.a_link.envelope = _receipt(stage, leaf=3, checkpoint=_latest(stage))
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: alarms(stage.a) != [], 120)
        assert (alarms(stage.a), states(stage.a)) == (["unproved differs"], ["accepted"])

    play(story)


def test_an_entry_that_never_appears_is_alarmed_after_an_hour() -> None:
    """The receipt names an entry beyond every checkpoint the partner ever has cosigned."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.a_link.envelope = _receipt(stage, leaf=10**6, checkpoint=_latest(stage))
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await asyncio.sleep(3500)
        assert alarms(stage.a) == []
        await asyncio.sleep(300)
        assert (alarms(stage.a), states(stage.a), proofs(stage)) == (["unproved late"], ["accepted"], [(False, "late")])
        await asyncio.sleep(7200)
        assert alarms(stage.a) == ["unproved late"]

    play(story)


def test_a_log_that_shows_nothing_that_can_be_checked_is_alarmed() -> None:
    """Tiles of zeros convict nobody and prove nothing; they must not pass quietly either."""

    async def story(stage: Stage) -> None:
        async def zeros(path: str) -> Reply:
            return Reply(200, "application/octet-stream", bytes(32 * int(path.partition(".p/")[2] or 256)), None)

        stage.a_link.log = zeros
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await asyncio.sleep(5)
        older = stage.b.look("SELECT note FROM checkpoints ORDER BY size LIMIT 1")[0][0]
        stage.a.gateway.witnessing.prover.note_head(stage.b.party, older)
        await asyncio.sleep(3700)
        assert (alarms(stage.a), proofs(stage)) == (["proofs withheld"], [(False, None)])
        assert stage.a.look("SELECT count(*) FROM disputes") == [(0,)]
        stage.a_link.log = None
        await stage.until(lambda: proofs(stage) == [(True, None)], 120)

    play(story)


def _other_history(stage: Stage, size: int) -> str:
    settings, keys = open_home(stage.b.home, environ={})
    root = merkle.root([merkle.leaf_hash(b"%d" % at) for at in range(size)])
    return note.sign_checkpoint(size, root, log_signers(keys, settings.log_origin)[0])


@pytest.mark.parametrize("ahead", [0, 10])
def test_a_receipt_from_another_history_convicts_its_log(ahead: int) -> None:
    """A head that no witness ever saw, in one receipt: found out from the tiles once the true log has passed it."""
    shown: list[str] = []

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        before = _latest(stage)
        stage.a_link.envelope = _receipt(stage, leaf=0, checkpoint=before)
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        shown.append(_other_history(stage, signed(stage.b) + 5 + ahead))
        stage.a_link.envelope = _receipt(stage, leaf=0, checkpoint=shown[0])
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2)
        assert stage.a.look("SELECT state FROM partners") == [("active",)]
        for _ in range(8):
            await stage.b.submit(example("info.request/telephone-three-numbers"))
            await asyncio.sleep(2)
        await stage.until(lambda: stage.a.look("SELECT state FROM partners") == [("suspended",)], 120)
        before = len(stage.two.network.calls)
        await stage.a.gateway.enroller.set_state(stage.b.party, "active", Actor("local", "operator"))
        stage.a_link.envelope = None
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(120)
        assert (ID, "envelope") in stage.two.network.calls[before:]
        assert states(stage.a)[-1] == "queued"  # taken back without another log: its receipts are not believed
        [(held, other, proof)] = stage.a.look("SELECT held, shown, proof FROM disputes")
        assert shown[0] in {held, other}
        assert [outcome.split()[0] for outcome in alarms(stage.a)].count("fork") == 1
        # A stranger sees it from the row alone: the proof leads to the larger root, from another smaller one.
        small, large = note.read_tree_head(held), note.read_tree_head(other)
        actual, *path = parse_request(proof).proof
        assert merkle.verify_consistency(small.size, large.size, actual, large.root, path)
        assert actual != small.root

    play(story)
