"""A log that is not the one its partner cosigned: a restored backup, a rebuilt log, two that start at once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.doctor import examine
from gateway.errors import MalformedRequest, Paused, UnknownCode
from gateway.home import open_home
from gateway.ledger import note, proof
from gateway.ledger.tiles import split_hashes
from gateway.ledger.witness import format_request
from gateway.ports.common import Actor
from gateway.services.guard import DAMAGED
from gateway.serving import Health
from gateway.web.metrics import Metrics
from tests.support.checker import check
from tests.support.link import ID, KH, MemoryLink, Network, Process, example, run_virtual, two_homes
from tests.support.rebuild import rebuilt, rebuilt_head
from tests.witness.stage import Stage, alarms, copied, cosigned, play, restored, signed, states

if TYPE_CHECKING:
    from pathlib import Path

REFERRAL = "case.referral/s1-sumarni"
OPERATOR = Actor("local", "operator")


def test_a_restored_backup_finds_itself_behind_and_goes_read_only(tmp_path: Path) -> None:
    """Nothing is signed, taken or sent, at every start anew; the alarm is logged; the newest database mends it."""
    backup, newest = tmp_path / "backup", tmp_path / "newest"

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        await stage.a.stop()
        copied(stage.a.home, backup)
        await stage.a.start()
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        await stage.a.stop()
        copied(stage.a.home, newest)
        restored(stage.a.home, backup)
        before = signed(stage.a)
        await stage.a.start()
        gate = stage.a.gateway.witnessing.gate
        await stage.a.submit(example(REFERRAL))  # nobody knows yet: it queues, and doctor names it below
        await stage.until(lambda: gate.closed == "behind")
        with pytest.raises(Paused, match=r"this log does not reach.*restore the newest database"):
            await stage.a.submit(example(REFERRAL))
        await stage.b.submit(example("info.request/telephone-three-numbers"))
        await asyncio.sleep(900)
        assert signed(stage.a) == before
        assert stage.a.look("SELECT count(*) FROM envelopes WHERE direction = 'in'") == [(0,)]
        assert (states(stage.a)[-1], states(stage.b)[-1]) == ("queued", "queued")
        assert [outcome.split()[0] for outcome in alarms(stage.a)] == ["behind"]
        assert "this log does not reach" in (gate.reason or "")
        found = {line.check: line for line in examine(stage.a.home)}
        assert "kh.gdi cosigned" in found["audit log"].finding
        assert found["messages of this log alone"].finding == "1 accepted before it was known"
        with pytest.raises(MalformedRequest):
            await stage.a.gateway.witnessing.guard.vouch(OPERATOR, "other")
        assert (await _served(stage)) > 0
        await _still_behind(stage)
        await stage.a.stop()
        restored(stage.a.home, newest)
        await stage.a.start()
        await stage.until(lambda: stage.a.gateway.witnessing.gate.closed is None)
        stage.a.promised = {row[0] for row in stage.a.look("SELECT jti FROM outbox")}
        await stage.two.drained()
        await asyncio.sleep(70)

    stage = play(story)
    check(stage.a.home, stage.b.home, promised={ID: stage.a.promised, KH: stage.b.promised})


async def _still_behind(stage: Stage) -> None:
    """Start again with nobody to ask, then with the partner back: what it has shown once holds."""
    await stage.b.stop()
    await stage.restart(stage.a)
    gate = stage.a.gateway.witnessing.gate
    assert gate.closed == "behind"  # known from the last time, whoever can be asked now
    with pytest.raises(Paused):
        await stage.a.submit(example(REFERRAL))
    health = Health(stage.a.gateway, Metrics(), phase=None)
    assert dict(await health.ready())["log"] == gate.reason
    await stage.b.start()
    await asyncio.sleep(60)
    assert gate.closed == "behind"
    assert [outcome.split()[0] for outcome in alarms(stage.a)] == ["behind"]


async def _served(stage: Stage) -> int:
    """Return the size of the checkpoint a read-only gateway still serves, its card being served too."""
    async with MemoryLink(stage.b, ID) as link:
        assert (await link.get_card()).status == 200
    return note.read_tree_head(stage.a.gateway.witnessing.log.checkpoint()).size


def test_a_rebuilt_log_reads_its_own_old_checkpoint_at_the_partner_and_stops() -> None:
    """Our own software on a log somebody else rebuilt: it learns so from its partner and signs nothing."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        await stage.a.stop()
        await asyncio.sleep(3)
        rebuilt(stage.a.home)
        await stage.a.start()
        before = signed(stage.a)
        await stage.until(lambda: stage.a.gateway.witnessing.gate.closed == "behind")
        await asyncio.sleep(60)
        assert signed(stage.a) == before
        assert "contradicts" in (stage.a.gateway.witnessing.gate.reason or "")

    play(story)


@pytest.mark.parametrize("grown", [False, True])
def test_whoever_submits_a_rebuilt_log_is_refused_convicted_and_suspended(grown: bool) -> None:
    """Same size: bare 409. Grown: 422, and the partner's own tiles convict it. Both notes are kept each time."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        held = stage.b.look("SELECT size, note FROM witnessed")[0]
        async with MemoryLink(stage.a, KH) as link:
            await stage.a.stop()
            restarted_size = signed(stage.a)
            assert restarted_size > held[0]
            rebuilt(stage.a.home)
            stage.a.alive = True  # whoever holds the home still reaches the partner with its keys
            root, shown, path = rebuilt_head(stage.a.home, held[0] if not grown else restarted_size, held[0])
            if grown:
                stage.a.alive = False
                await stage.a.start()
                stage.a_link.witnessed = False
            reply = await link.add_checkpoint(format_request(held[0], path, shown))
            assert reply.status == (422 if grown else 409)
            assert (reply.body, reply.media_type) == (b"", "")
            await stage.until(lambda: stage.b.look("SELECT state FROM partners") == [("suspended",)])
            again = await link.add_checkpoint(format_request(held[0], path, shown))
            assert again.status == 403
        fork = stage.b.look("SELECT held, shown, proof FROM disputes WHERE reason = 'fork'")
        assert [(row[0], row[1]) for row in fork] == [(held[1], shown)]
        assert [outcome.split()[0] for outcome in alarms(stage.b)] == (["bad-proof"] if grown else []) + ["fork"]
        assert root not in held[1].encode()
        if not grown:
            stage.a.alive = False
            await stage.a.start()

    play(story)


def test_two_that_start_at_once_free_each_other() -> None:
    """Both wait for the other's word and both give it: seconds, not minutes, also after kill -9 of both."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        for process in stage.two.both:
            await process.bury()
        now = asyncio.get_running_loop().time
        began = now()
        await asyncio.gather(*(process.start() for process in stage.two.both))
        gates = [process.gateway.witnessing.gate for process in stage.two.both]
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: [gate.closed for gate in gates] == [None, None], 10)
        assert now() - began < 3
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2, 10)

    play(story)


def test_whoever_is_back_says_so_and_is_not_left_to_the_other_side_s_back_off() -> None:
    """Hours away, the partner knocks once a minute; the one that returns pings as soon as it may exchange."""

    async def story(stage: Stage) -> None:
        await stage.a.bury()
        await stage.b.submit(example("info.request/telephone-three-numbers"))
        await asyncio.sleep(7200)
        waits: list[float] = []
        for _ in range(5):  # any one of them could meet the minute by chance
            await asyncio.sleep(31)
            await stage.a.start()
            began = asyncio.get_running_loop().time()
            await stage.until(lambda: set(states(stage.b)) == {"accepted"}, 90)
            waits.append(asyncio.get_running_loop().time() - began)
            await stage.a.bury()
            await stage.b.submit(example("info.request/telephone-three-numbers"))
            await asyncio.sleep(7200)
        await stage.a.start()
        assert max(waits) < 3

    play(story)


def test_nothing_is_signed_or_sent_before_the_partner_has_answered() -> None:
    """Submissions queue; an operator's word, on record, is the way out where the partner cannot be asked."""
    home, _, now = two_homes()

    async def story() -> None:
        network = Network(now)
        process = Process(home, ID, network, random.Random(1))
        peer = Process(home.parent / "nobody", KH, network, random.Random(2))
        assert not peer.alive
        await process.start()
        [message] = await process.submit(example(REFERRAL))
        await asyncio.sleep(120)
        gate = process.gateway.witnessing.gate
        assert (gate.closed, gate.may_sign, signed(process), states(process)) == ("start", False, 0, ["queued"])
        assert {name for _, name in network.calls} == {"witnessed"}
        with pytest.raises(UnknownCode):
            await process.gateway.witnessing.guard.vouch(OPERATOR, "Sumarni told me")
        await process.gateway.witnessing.guard.vouch(OPERATOR, "compared")
        assert (gate.closed, signed(process) > 0) == (None, True)
        logged = process.look("SELECT data FROM entries WHERE typ = 'config.changed' AND obj = 'vouched'")
        assert b'"outcome":"compared"' in logged[0][0]
        assert message.jti
        await process.stop()

    run_virtual(story())


def test_a_witness_that_lost_its_memory_is_alarmed_and_believed() -> None:
    """404 while we hold its cosignature: it lost its database; we go on, and it witnesses from the start."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        size = cosigned(stage.a)
        assert size
        await stage.b.gateway.store.write(lambda tx: tx.witness._run("DELETE FROM witnessed"))
        await stage.restart(stage.a)
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a) > size)
        assert stage.a.gateway.witnessing.gate.closed is None
        assert alarms(stage.a) == [f"witness forgot {size}"]
        assert stage.a_link.statuses[-2:] == [409, 200]

    play(story)


def test_a_log_that_does_not_lead_to_its_own_checkpoint_is_read_only_without_asking() -> None:
    """A root in the last checkpoint that the stored tiles do not give: nothing is signed on top of it."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(3)
        await stage.a.stop()
        await stage.b.stop()
        with closing(sqlite3.connect(stage.a.home / "data" / "gateway.db")) as db:
            db.execute("UPDATE entries SET leaf = zeroblob(32) WHERE seq = 3")
            db.commit()
        before = signed(stage.a)
        await stage.a.start()
        await asyncio.sleep(10)
        assert stage.a.gateway.witnessing.gate.closed == "behind"
        assert signed(stage.a) == before
        assert alarms(stage.a) == ["damaged"]
        with pytest.raises(Paused, match="restore a backup"):
            await stage.a.submit(example(REFERRAL))
        [found] = [line for line in examine(stage.a.home) if line.check == "audit log"]
        assert (found.state, found.finding) == ("fail", DAMAGED)
        await stage.b.start()

    play(story)


def test_an_answer_that_our_own_key_did_not_sign_is_no_answer() -> None:
    """A partner could invent a cosigned checkpoint and make us read-only; without our signature it says nothing."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(3)
        guard = stage.a.gateway.witnessing.guard
        settings, keys = open_home(stage.b.home, environ={})
        forged = note.NoteSigner(
            note.NoteKey(f"{ID}/bcx/log/1", note.ED25519, keys.log_key().public_key().public_bytes_raw()),
            keys.log_key().sign,
        )

        class Forger(MemoryLink):
            async def get_witnessed(self, log_id: str) -> Any:
                reply = await super().get_witnessed(log_id)
                return replace(reply, body=note.sign_checkpoint(10**6, bytes(32), forged).encode())

        assert not await guard.ask(KH, Forger(stage.a, KH))
        assert stage.a.gateway.witnessing.gate.closed is None
        assert settings.me == KH

    play(story)


def test_tiles_of_a_rebuilt_log_are_whole() -> None:
    """The helper above makes a log that verifies by itself: what refuses it is the partner's memory alone."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(3)

    stage = play(story)
    rebuilt(stage.a.home)
    with closing(sqlite3.connect(stage.a.home / "data" / "gateway.db")) as db:
        leaves = [row[0] for row in db.execute("SELECT leaf FROM entries ORDER BY seq")]
        tiles = {(row[0], row[1]): split_hashes(row[2]) for row in db.execute("SELECT * FROM tiles")}
        size, root = db.execute("SELECT size, root FROM checkpoints ORDER BY size DESC").fetchone()
    assert proof.root(lambda level, number: tiles.get((level, number), leaves), size) == root
