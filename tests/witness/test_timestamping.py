"""Timestamps over the log in their turn; without one an alarm, then a stop; everything goes on once there is one."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from gateway.ledger.note import read_tree_head
from gateway.ledger.timestamp import open_token
from gateway.primitives.times import format_ms
from tests.cli.terminal import Home, run
from tests.support.link import example
from tests.support.tsa import OpensslAuthority
from tests.witness.stage import Stage, alarms, play, states

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from typing import Any

REFERRAL = "case.referral/s1-sumarni"
# Days as minutes: what is tried is the order of things, and virtual days cost real seconds.
EVERY_S, ALARM_S, STOP_S = 600, 900, 1800
SETTINGS = f"""
[audit]
timestamp_url = "http://127.0.0.1:9/tsa"
timestamp_every_s = {EVERY_S}
untimestamped_alarm_s = {ALARM_S}
untimestamped_stop_s = {STOP_S}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    """Make an authority; each story leaves it up."""
    return OpensslAuthority(tmp_path_factory.mktemp("tsa"))


def stamped(authority: OpensslAuthority, story: Callable[[Stage], Awaitable[Any]]) -> Stage:
    """Play with an authority set for one of the two; return what is left."""
    stage = Stage()
    stage.a.authority = authority
    (stage.a.home / "tsa.pem").write_bytes(authority.root.read_bytes())
    turn_on(stage)
    try:
        return play(story, stage)
    finally:
        authority.down = False


def turn_on(stage: Stage) -> None:
    """Set the authority's address."""
    path = stage.a.home / "gateway.toml"
    path.write_text(path.read_text() + SETTINGS)


def turn_off(stage: Stage) -> None:
    """Take it out again."""
    path = stage.a.home / "gateway.toml"
    path.write_text(path.read_text().replace(SETTINGS, ""))


def stamps(stage: Stage) -> list[tuple[int, str, bytes, int]]:
    """Return what is stored, by size."""
    return stage.a.look("SELECT size, note, token, at FROM timestamps ORDER BY size")


def test_the_log_is_stamped_at_once_and_then_in_its_turn(authority: OpensslAuthority, tmp_path: Path) -> None:
    """What is stamped is the cosigned checkpoint, as it is stored and exported; a quiet log is not stamped again."""

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(stamps(stage)) == 1)
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await asyncio.sleep(EVERY_S - 60)
        assert len(stamps(stage)) == 1
        timestamping = stage.a.gateway.timestamping
        assert timestamping is not None
        assert (EVERY_S - 60) * 1000 <= timestamping.age_ms() < EVERY_S * 1000
        await asyncio.sleep(120)
        [_, (size, note, token, at)] = stamps(stage)
        assert open_token(token, note.encode(), authority.certificates) == at
        assert read_tree_head(note).size == size
        assert "— kh.gdi/bcx/witness/1 " in note
        assert (timestamping.age_ms(), alarms(stage.a)) == (0, [])
        await asyncio.sleep(2 * EVERY_S)
        assert len(stamps(stage)) == 2

    _exported(stamped(authority, story), authority, tmp_path / "log")


def _exported(stage: Stage, authority: OpensslAuthority, folder: Path) -> None:
    """Export and verify: OpenSSL itself says yes to what is there, and the verifier tells their times."""
    vkey = Home(stage.a.home).json("audit", "export", str(folder))["vkey"]
    for size, _, _, _ in stamps(stage):
        held = folder / "timestamp" / str(size)
        assert authority.verifies(held / "token.tsr", held / "checkpoint")
    alone = run("audit", "verify", str(folder), "--vkey", vkey, "-o", "json")
    assert [one["at"] for one in alone.json["timestamps"]] == [None, None]
    assert "2 timestamps are not judged" in alone.err
    judged = run("audit", "verify", str(folder), "--vkey", vkey, "--tsa", str(authority.root), "-o", "json")
    assert [(one["size"], one["at"]) for one in judged.json["timestamps"]] == [
        (size, format_ms(at)) for size, _, _, at in stamps(stage)
    ]
    assert judged.err == ""
    (folder / "timestamp" / str(stamps(stage)[0][0]) / "token.tsr").unlink()
    assert "checkpoint or token is missing" in run("audit", "verify", str(folder), "--vkey", vkey, code=3).out


def test_without_an_authority_it_is_alarmed_stopped_and_freed(authority: OpensslAuthority) -> None:
    """Alarmed once, stopped later, also after a restart; local submissions queue all the while."""

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(stamps(stage)) == 1)
        authority.down = True
        gate = stage.a.gateway.witnessing.gate
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await asyncio.sleep(ALARM_S - 60)
        assert (alarms(stage.a), gate.closed) == ([], None)
        await asyncio.sleep(120)
        assert (alarms(stage.a), gate.closed) == (["untimestamped"], None)
        await asyncio.sleep(STOP_S - ALARM_S - 120)
        assert gate.closed is None
        await asyncio.sleep(120)
        assert (alarms(stage.a), gate.closed) == (["untimestamped"], "untimestamped")
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(120)
        assert states(stage.a)[-1] == "queued"
        await stage.restart(stage.a)
        await asyncio.sleep(120)
        gate = stage.a.gateway.witnessing.gate
        assert (alarms(stage.a), gate.closed) == (["untimestamped"], "untimestamped")

        authority.down = False
        await stage.until(lambda: gate.closed is None, 1200)
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2, 120)
        assert len(stamps(stage)) == 2

    stamped(authority, story)


def test_an_authority_that_is_down_is_asked_less_and_less(authority: OpensslAuthority) -> None:
    """After one minute, two, four, up to a quarter of an hour."""

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(stamps(stage)) == 1)
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(EVERY_S - 120)
        before = authority.asked
        asked: list[float] = []
        answer = OpensslAuthority.answer

        class Counting(OpensslAuthority):
            def answer(self, query: bytes) -> bytes:
                asked.append(asyncio.get_running_loop().time())
                return answer(self, query)[:-1]

        authority.__class__ = Counting
        try:
            await asyncio.sleep(3600)
        finally:
            authority.__class__ = OpensslAuthority
        gaps = [round((b - a) / 60) for a, b in itertools.pairwise(asked)]
        assert authority.asked > before
        assert gaps[:4] == [1, 2, 4, 8]
        assert set(gaps[4:]) == {15}

    stamped(authority, story)


def test_what_came_while_it_was_off_is_not_late(authority: OpensslAuthority) -> None:
    """Turned off for longer than the limit and on again: no alarm and no stop for what nobody wanted stamped."""

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(stamps(stage)) == 1)
        turn_off(stage)
        await stage.restart(stage.a)
        assert stage.a.gateway.timestamping is None
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(2 * STOP_S)
        turn_on(stage)
        authority.down = True
        await stage.restart(stage.a)
        await asyncio.sleep(ALARM_S - 60)
        assert (alarms(stage.a), stage.a.gateway.witnessing.gate.closed) == ([], None)

    stamped(authority, story)
