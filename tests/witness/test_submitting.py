"""Each checkpoint is cosigned by the partner within two seconds, and what it cosigned is what is published."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest

from gateway.ledger import note
from gateway.ports.common import Actor
from gateway.primitives import merkle
from tests.cli.terminal import Home
from tests.support.link import Killed, example
from tests.witness.stage import Stage, alarms, cosigned, play, signed

REFERRAL = "case.referral/s1-sumarni"


def test_a_checkpoint_is_cosigned_within_two_seconds_of_its_signature() -> None:
    """Both logs, each by the other; what is published carries the witness's line over the newest checkpoint."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(5)
        for process in stage.two.both:
            assert cosigned(process) == signed(process) > 0
            waits = process.look("SELECT max(s.at - c.at) FROM checkpoints c JOIN cosignatures s ON s.size = c.size")
            assert waits[0][0] <= 2000
        published = stage.a.gateway.witnessing.log.checkpoint()
        card_a, card_b = stage.a.gateway.directory.mine, stage.b.gateway.directory.mine
        found = note.open_checkpoint(
            published, [note.NoteKey.parse(card_a.log_vkey)], [note.NoteKey.parse(card_b.witness_vkey)]
        )
        assert (found.size, len(found.cosignatures), found.unknown) == (signed(stage.a), 1, ())
        assert stage.a.gateway.witnessing.cosigning.unwitnessed_ms() == 0

    play(story)


def test_under_load_one_submission_a_second_covers_every_checkpoint_within_two() -> None:
    """A checkpoint every 256 entries would cost a request each; the newest of each second stands for all before it."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.a_link.seen.clear()
        before = signed(stage.a)
        for _ in range(8):
            await stage.a.submit(*[example(REFERRAL) for _ in range(90)])
            await asyncio.sleep(0.2)
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a))
        times = [at for at, _, _ in stage.a_link.seen]
        fresh = stage.a.look(f"SELECT count(*) FROM checkpoints WHERE size > {before}")[0][0]  # noqa: S608 - a number
        assert fresh > len(times) > 2
        assert min(later - earlier for earlier, later in pairwise(times)) >= 990
        waits = (
            "SELECT max((SELECT min(s.at) FROM cosignatures s WHERE s.size >= c.size) - c.at) FROM checkpoints c "
            "WHERE c.at >= (SELECT max(at) FROM checkpoints) - 4000"
        )
        assert stage.a.look(waits)[0][0] <= 2000

    play(story).checked()


def test_cosigning_lets_neither_log_grow() -> None:
    """Two logs that logged each other's checkpoints would feed each other for ever."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(5)
        before = [signed(process) for process in stage.two.both], len(stage.two.network.calls)
        await asyncio.sleep(3600)
        assert [signed(process) for process in stage.two.both] == before[0]
        assert len(stage.two.network.calls) - before[1] < 10

    play(story)


def test_a_partner_that_was_away_gets_the_newest_checkpoint_and_no_other() -> None:
    """One request brings a witness up to date, however many checkpoints were signed while it was away."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.a_link.witnessed = False
        held = cosigned(stage.a)
        for _ in range(5):
            await stage.a.submit(example(REFERRAL))
            await asyncio.sleep(3)
        assert cosigned(stage.a) == held < signed(stage.a)
        assert stage.a.gateway.witnessing.cosigning.unwitnessed_ms() >= 12_000
        stage.a_link.seen.clear()
        stage.a_link.witnessed = True
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a))
        assert stage.a_link.statuses == [200]

    play(story)


def test_a_witness_killed_before_it_answered_is_asked_again_from_where_it_stands() -> None:
    """Stored, then killed: the next add-checkpoint gets 409 with that size, and the one after it succeeds."""

    async def story(stage: Stage) -> None:
        step, armed = stage.b._step, [True]

        def dying(name: str) -> None:
            if name == "witnessed" and armed and signed(stage.a) > 40:
                armed.clear()
                stage.b.die()
                raise Killed(name)
            step(name)

        stage.b._step = dying  # type: ignore[method-assign]
        await stage.restart(stage.b)
        await stage.a.submit(*[example(REFERRAL) for _ in range(20)])
        await stage.until(lambda: not armed)
        held = cosigned(stage.a)
        await stage.two.revive()
        assert stage.b.look("SELECT max(size) FROM witnessed")[0][0] > held
        stage.a_link.seen.clear()
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a) > held)
        assert stage.a_link.statuses[:2] == [409, 200]
        await stage.two.drained()
        assert alarms(stage.a) == alarms(stage.b) == []

    play(story).checked()


def test_a_partner_with_an_older_card_still_verifies_after_the_log_key_changed() -> None:
    """Retiring keys sign too: the witness that has not seen the new card goes on, and old proofs stay good."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(REFERRAL))
        await stage.two.drained()
        await asyncio.sleep(3)
        old = stage.b.gateway.directory.partner(stage.a.party).log_key
        await stage.a.gateway.keyroom.rotate("log", Actor("local", "operator"))
        before = cosigned(stage.a)
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a) > before)
        assert stage.b.gateway.directory.partner(stage.a.party).log_key == old
        new = note.NoteKey.parse(stage.a.gateway.directory.mine.log_vkey)
        text = stage.a.gateway.witnessing.log.checkpoint()
        found = note.open_checkpoint(text, [new, old])
        assert set(found.logs) == {new, old}
        assert new != old
        leaves = [row[0] for row in stage.a.look("SELECT leaf FROM entries ORDER BY seq")][: found.size]
        assert merkle.verify_inclusion(
            leaves[3], 3, found.size, merkle.inclusion_path(leaves, 3), note.open_checkpoint(text, [old]).root
        )

    play(story)


@pytest.mark.parametrize("skew_ms", [300_000, -3_600_000], ids=["in the future", "before the log began"])
def test_a_cosignature_of_an_impossible_time_is_not_taken(skew_ms: int) -> None:
    """Nothing more is covered while a witness's clock is that wrong; once it is right it goes on."""

    async def story(stage: Stage) -> None:
        await stage.b.stop()
        stage.b.believes = True
        await stage.b.start()
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(5)
        before = cosigned(stage.a)
        assert before > 0
        stage.b.skew_ms = skew_ms
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(30)
        assert cosigned(stage.a) == before
        stage.b.skew_ms = 0
        await stage.until(lambda: cosigned(stage.a) > before)

    play(story)


def test_a_home_verifies_under_its_new_log_key_and_earlier_checkpoints_under_those_of_its_cards() -> None:
    """None is called changed for a key that was; without cards one sentence says what is not judged."""
    keys: list[str] = []

    async def story(stage: Stage) -> None:
        for _ in range(3):
            await stage.a.submit(example(REFERRAL))
            await asyncio.sleep(3)
        await stage.a.gateway.keyroom.rotate("log", Actor("local", "operator"))
        before = cosigned(stage.a)
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a) > before)
        mine, theirs = stage.a.gateway.directory.mine, stage.b.gateway.directory.mine
        keys.extend(("--vkey", mine.log_vkey, "--vkey", theirs.witness_vkey))

    home = Home(play(story).a.home)
    shown = home.run("audit", "verify", *keys, "-o", "json")
    assert (shown.json["verified"], shown.json["faults"]) == (True, [])
    assert [one["witness"] for one in shown.json["cosigned_by"]] == ["kh.gdi/bcx/witness/1"]
    assert "not judged" not in shown.err
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database, database:
        database.execute("UPDATE cards SET jws = x'7b7d' WHERE party = 'id.imigrasi'")
    (home.path / "keys").rename(home.path / "away")
    shown = home.run("audit", "verify", *keys, "-o", "json")
    assert shown.json["faults"] == []
    assert " earlier checkpoints are not judged: " in shown.err


def test_a_checkpoint_under_a_key_only_the_new_card_names_is_cosigned_after_a_look_at_that_card() -> None:
    """The old key was revoked: the witness refuses, fetches the card, and judges once more, all in one answer."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(120)
        keyroom = stage.a.gateway.keyroom
        [old] = [record for record in stage.a.gateway.keys.records() if record.use == "log"]
        await keyroom.revoke(old.kids[0], "key-compromise", Actor("local", "operator"))
        before = cosigned(stage.a)
        stage.a_link.seen.clear()
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a) > before, 10)
        assert set(stage.a_link.statuses) == {200}

    play(story)
