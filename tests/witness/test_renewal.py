"""The newest database is lost for good: the log of the backup goes on as the next one, and the exchange with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.config import load_settings
from gateway.errors import Paused
from gateway.home import open_home
from gateway.ledger import note
from gateway.ledger.verify import verify_rows
from gateway.ports.common import Actor
from gateway.storage.log import stored_log
from tests.support.link import example
from tests.witness.stage import Stage, alarms, copied, cosigned, play, restored, signed, states

if TYPE_CHECKING:
    from pathlib import Path

REFERRAL = "case.referral/s1-sumarni"
QUESTION = "info.request/telephone-three-numbers"
NEXT = "id.imigrasi/bcx/log/2"
OPERATOR = Actor("local", "operator")


def renumbered(home: Path) -> None:
    """Do what the operator's page says: one number higher in the settings."""
    with (home / "gateway.toml").open("a") as settings:
        settings.write("\n[audit]\nlog_number = 2\n")
    assert load_settings(home, environ={}).log_origin == NEXT


async def _lose_the_newest(stage: Stage, backup: Path) -> int:
    """Exchange, back up, exchange more, publish a card the backup does not know; then only the backup is left.

    Return the version of that card.
    """
    a, b = stage.a, stage.b
    await a.submit(example(REFERRAL))
    await stage.two.drained()
    await stage.until(lambda: cosigned(a) == signed(a))
    await a.stop()
    copied(a.home, backup)
    await a.start()
    await a.submit(*[example(REFERRAL) for _ in range(5)])
    await b.submit(example(QUESTION))
    await stage.two.drained()
    await asyncio.sleep(3)
    await a.gateway.keyroom.rotate("log", OPERATOR)
    await asyncio.sleep(61)  # a card is fetched once a minute at most
    assert await b.gateway.contacts.fetch_card(a.party)
    await a.stop()
    restored(a.home, backup)
    return b.look("SELECT max(version) FROM cards WHERE party = 'id.imigrasi'")[0][0]


def test_a_lost_log_goes_on_as_the_next_one(tmp_path: Path) -> None:
    """Nothing is numbered before the partner was asked; then both sides exchange, and each log is cosigned."""

    async def story(stage: Stage) -> None:
        a, b = stage.a, stage.b
        card = await _lose_the_newest(stage, tmp_path / "backup")
        renumbered(a.home)
        stage.two.network.cut = True
        await a.start()
        gate = a.gateway.witnessing.gate
        with pytest.raises(Paused):
            await a.submit(example(REFERRAL))
        assert gate.closed == "start"
        stage.two.network.cut = False
        await stage.until(lambda: gate.closed is None)
        assert a.look("SELECT sent FROM stream_heads") == [(6,)]

        [first] = await a.submit(example(REFERRAL))
        await b.submit(example(QUESTION))
        await stage.two.drained()
        assert states(a)[-1] == states(b)[-1] == "accepted"
        assert a.look(f"SELECT stream_seq FROM outbox WHERE jti = '{first.jti}'") == [(7,)]  # noqa: S608 - our own id
        await stage.until(lambda: a.look("SELECT proved_at FROM outbox ORDER BY id DESC LIMIT 1")[0][0])
        await stage.until(lambda: cosigned(a) == signed(a))
        assert note.read_tree_head(a.gateway.witnessing.log.checkpoint()).origin == NEXT
        assert alarms(a) == []
        assert b.look("SELECT state FROM partners") == [("active",)]
        assert b.look("SELECT max(version) FROM cards WHERE party = 'id.imigrasi'")[0][0] > card
        # What the lost log held of the partner's messages is named there, truthfully.
        assert {outcome.split()[0] for outcome in alarms(b)} <= {"unproved"}
        await stage.restart(a)
        await stage.until(lambda: a.gateway.witnessing.gate.closed is None)
        await a.submit(example(REFERRAL))
        await stage.two.drained()
        assert states(a)[-1] == "accepted"

    stage = play(story)
    settings, keys = open_home(stage.a.home, environ={})
    with stored_log(stage.a.home / "data" / "gateway.db") as log:
        notes = list(log.checkpoints())
        log_keys = [
            note.NoteKey(origin, note.ED25519, key.public_key().public_bytes_raw())
            for origin in settings.log_origins
            for key in keys.log_keys()
        ]
        report = verify_rows(notes[-1], log.rows(), log.read_hashes, log_keys=log_keys, history=notes[:-1])
    assert report.faults == ()
    assert report.origin == NEXT


def test_a_suspended_partner_holds_nobody_up_and_is_asked_when_taken_back(tmp_path: Path) -> None:
    """Gone for long, suspended: the gate opens. Taken back, after a restart too: asked first, then numbered above."""

    async def story(stage: Stage) -> None:
        a, b = stage.a, stage.b
        await _lose_the_newest(stage, tmp_path / "backup")
        renumbered(a.home)
        stage.two.network.cut = True
        await a.start()
        assert a.gateway.witnessing.renewal.pending == {b.party}
        await a.gateway.enroller.set_state(b.party, "suspended", OPERATOR)
        assert a.gateway.witnessing.gate.closed is None
        await stage.restart(a)
        assert a.gateway.witnessing.gate.closed is None
        await a.gateway.enroller.set_state(b.party, "active", OPERATOR)
        with pytest.raises(Paused, match="gateway partner suspend"):
            await a.submit(example(REFERRAL))
        stage.two.network.cut = False
        await stage.until(lambda: a.gateway.witnessing.gate.closed is None)
        await a.submit(example(REFERRAL))
        await stage.two.drained()
        assert a.look("SELECT stream_seq, state FROM outbox") == [(1, "accepted"), (7, "accepted")]

    play(story)


def test_a_partner_suspended_when_the_log_was_lost_is_asked_too(tmp_path: Path) -> None:
    """It was suspended at the first start under the new name: nothing was known to ask it then."""

    async def story(stage: Stage) -> None:
        a, b = stage.a, stage.b
        await _lose_the_newest(stage, tmp_path / "backup")
        await a.start()
        await a.gateway.enroller.set_state(b.party, "suspended", OPERATOR)
        await a.stop()
        renumbered(a.home)
        await a.start()
        assert a.gateway.witnessing.renewal.pending == set()
        await a.gateway.enroller.set_state(b.party, "active", OPERATOR)
        await stage.until(lambda: a.gateway.witnessing.gate.closed is None)
        await a.submit(example(REFERRAL))
        await stage.two.drained()
        assert a.look("SELECT stream_seq, state FROM outbox") == [(1, "accepted"), (7, "accepted")]

    play(story)
