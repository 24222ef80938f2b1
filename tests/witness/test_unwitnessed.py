"""A partner that never cosigns: an alarm after an hour, a stop after a day, and everything goes on once it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.home import open_home
from gateway.ledger import note
from gateway.ledger.witness import parse_request
from gateway.ports.partner import Reply
from tests.support.link import ID, KH, MemoryLink, example
from tests.witness.stage import Stage, alarms, cosigned, play, signed, states

if TYPE_CHECKING:
    from collections.abc import Callable

REFERRAL = "case.referral/s1-sumarni"
HOUR_S, DAY_S = 3600, 86_400


def test_an_unwitnessed_log_is_alarmed_stopped_and_freed() -> None:
    """In each state submissions queue, checkpoints are signed, and partner, card and log are served."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.a_link.witnessed = False
        gate, cosigning = stage.a.gateway.witnessing.gate, stage.a.gateway.witnessing.cosigning
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(HOUR_S - 60)
        assert alarms(stage.a) == []
        await asyncio.sleep(120)
        assert (alarms(stage.a), gate.closed) == (["unwitnessed"], None)
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2)

        await asyncio.sleep(DAY_S - 120 - (asyncio.get_running_loop().time() - began))
        assert gate.closed is None
        await asyncio.sleep(240)
        assert gate.closed == "unwitnessed"
        assert alarms(stage.a) == ["unwitnessed"]
        assert DAY_S * 1000 <= cosigning.unwitnessed_ms() < (DAY_S + 300) * 1000

        await stage.a.submit(example(REFERRAL))
        await stage.b.submit(example("info.request/telephone-three-numbers"))
        held = cosigned(stage.b)
        await asyncio.sleep(120)
        assert (states(stage.a)[-1], states(stage.b)[-1]) == ("queued", "queued")
        assert stage.a.look("SELECT count(*) FROM envelopes WHERE direction = 'in'") == [(0,)]
        assert signed(stage.a) > cosigned(stage.a)
        assert cosigned(stage.b) == signed(stage.b) > held
        async with MemoryLink(stage.b, ID) as link:
            assert (await link.get_card()).status == 200
            assert (await link.get_log("tile/0/000.p/1")).status == 200

        stage.a_link.witnessed = True
        await stage.until(lambda: gate.closed is None, 120)
        await stage.until(lambda: states(stage.a) == ["accepted"] * 3, 120)
        await stage.until(lambda: states(stage.b)[-1] == "accepted", 120)
        assert cosigning.unwitnessed_ms() < 5000
        await stage.two.drained()

    play(story).checked()


def _line(stage: Stage, body: str, *, name: str = f"{KH}/bcx/witness/1", seed: bytes | None = None) -> bytes:
    own = open_home(stage.b.home, environ={})[1].witness_key()
    key = own if seed is None else Ed25519PrivateKey.from_private_bytes(seed)
    public = note.NoteKey(name, note.COSIGNATURE, key.public_key().public_bytes_raw())
    return note.cosign(body, note.NoteSigner(public, key.sign), stage.b.clock() // 1000).encode()


def _body(request: bytes) -> str:
    text = parse_request(request).note
    return text[: text.rindex("\n\n") + 1]


GARBAGE: dict[str, Callable[[Stage, bytes], bytes]] = {
    "nothing": lambda _stage, _request: b"",
    "no text": lambda _stage, _request: b"\xff\xfe\x00",
    "no signature line": lambda _stage, _request: b"thank you\n",
    "a line cut short": lambda stage, request: _line(stage, _body(request))[:-9] + b"\n",
    "another body": lambda stage, request: _line(stage, _body(request).replace("\n", "\n1", 1)),
    "another key": lambda stage, request: _line(stage, _body(request), seed=bytes(32)),
    "another name": lambda stage, request: _line(stage, _body(request), name=f"{KH}/bcx/witness/2"),
    "our own signature": lambda _stage, request: parse_request(request).note.rpartition("\n\n")[2].encode(),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_witness_that_cosigns_garbage_has_cosigned_nothing(name: str) -> None:
    """Nothing of it is kept or published, and the log grows old as under one that never answers."""

    async def story(stage: Stage) -> None:
        witnessing = stage.a.gateway.witnessing
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a) > 0)
        held = cosigned(stage.a)
        stage.a_link.cosignature = lambda request: Reply(200, "text/plain", GARBAGE[name](stage, request), None)
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(60)
        assert len(stage.a_link.seen) > 3
        assert (cosigned(stage.a), note.read_tree_head(witnessing.log.checkpoint()).size) == (held, held)
        assert witnessing.cosigning.unwitnessed_ms() >= 59_000
        stage.a_link.cosignature = None
        await stage.until(lambda: cosigned(stage.a) == signed(stage.a))
        assert witnessing.cosigning.unwitnessed_ms() < 5000
        await stage.two.drained()

    play(story).checked()


def test_the_alarm_is_raised_once_however_often_it_is_started_anew() -> None:
    """An alarm for each start would make the log of a troubled day unreadable."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.a_link.witnessed = False
        await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(HOUR_S + 60)
        for _ in range(2):
            await stage.restart(stage.a)
            await asyncio.sleep(600)
        assert [outcome for outcome in alarms(stage.a) if outcome == "unwitnessed"] == ["unwitnessed"]

    play(story)


def test_an_idle_log_is_never_unwitnessed() -> None:
    """Where every entry is under a cosigned checkpoint, no time that passes makes it old."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        await asyncio.sleep(DAY_S + HOUR_S)
        cosigning = stage.a.gateway.witnessing.cosigning
        assert (alarms(stage.a), cosigning.unwitnessed_ms(), stage.a.gateway.witnessing.gate.closed) == ([], 0, None)

    play(story)
