"""A lease says who is sending: one that is renewed holds, one that ends sets its messages free, with no start."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import TransportError
from gateway.ports.common import SYSTEM
from gateway.ports.messages import NewMessage
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.ids import MessageId, uuid7
from gateway.protocol.receipt import Outcome
from tests.support.link import ID, KH, MemoryLink, example
from tests.witness.stage import Stage, play, states

if TYPE_CHECKING:
    from gateway.ports.partner import Reply
    from gateway.ports.store import Transaction

REFERRAL = "case.referral/s1-sumarni"
ANOTHER = 99
"""The epoch of another holder: later than ours, so that no start of ours takes its messages back."""


def attempts(stage: Stage) -> list[int]:
    """Return how often each message of a was tried."""
    return [row[0] for row in stage.a.look("SELECT attempts FROM outbox ORDER BY id")]


async def _held_by_another(stage: Stage) -> MessageId:
    """Have a message of a be under the lease of somebody who sends it now."""
    gate = stage.a.gateway.witnessing.gate
    gate.close("untimestamped", "tried")  # nothing leaves by our own lane meanwhile
    [message] = await stage.a.submit(example(REFERRAL))
    until = stage.a.clock() + 30_000
    await stage.a.gateway.store.write(lambda tx: tx.outbox.lease([1], eid="another", fence=ANOTHER, lease_until=until))
    gate.open("untimestamped")
    return message.jti


async def _renew(stage: Stage) -> None:
    until = stage.a.clock() + 30_000
    await stage.a.gateway.store.write(lambda tx: tx.outbox.renew("another", fence=ANOTHER, lease_until=until))


def test_a_holder_that_renews_keeps_its_messages_and_one_that_stops_loses_them() -> None:
    """Minutes if it must be; then within 30 s and a look, though nobody started."""

    async def story(stage: Stage) -> None:
        await _held_by_another(stage)
        for _ in range(30):
            await _renew(stage)
            await asyncio.sleep(10)
        assert states(stage.a) == ["sending"]
        began = asyncio.get_running_loop().time()
        await stage.until(lambda: states(stage.a) == ["accepted"], 60)
        assert 15 < asyncio.get_running_loop().time() - began < 42
        assert stage.b.look("SELECT count(*) FROM inbox") == [(1,)]

    play(story)


def test_the_late_answer_of_a_lost_holder_is_a_fact_and_its_word_to_wait_is_not() -> None:
    """By its fence it puts nothing back; what it was told of the message stands."""

    async def story(stage: Stage) -> None:
        jti = await _held_by_another(stage)
        stage.a.gateway.witnessing.gate.close("untimestamped", "tried")
        await stage.until(lambda: states(stage.a) == ["queued"], 60)
        [(digest,)] = stage.a.look("SELECT digest FROM outbox")

        async def late(status: Any) -> None:
            outcome = Outcome(event=digest, status=status, received_at_ms=stage.a.clock(), jti=jti, leaf=3)
            await stage.a.gateway.settler.record(KH, [(jti, outcome)], eid=None, receipt=None, fence=ANOTHER)

        before = stage.a.look("SELECT next_at, attempts FROM outbox")
        await late("deferred")
        assert (states(stage.a), stage.a.look("SELECT next_at, attempts FROM outbox")) == (["queued"], before)
        await late("accepted")
        assert states(stage.a) == ["accepted"]
        stage.a.gateway.witnessing.gate.open("untimestamped")

    play(story)


def test_a_lease_of_a_clock_that_was_put_back_does_not_last_for_years() -> None:
    """No lease is longer than the longest: what ends later was planned by the wrong clock."""

    async def story(stage: Stage) -> None:
        await _held_by_another(stage)
        until = stage.a.clock() + 10 * 365 * 86_400_000
        await stage.a.gateway.store.write(lambda tx: tx.outbox.renew("another", fence=ANOTHER, lease_until=until))
        await stage.until(lambda: states(stage.a) == ["accepted"], 60)

    play(story)


def test_a_send_that_takes_long_is_renewed_and_sent_once() -> None:
    """Five minutes on the way: nobody takes over what its holder renews."""

    async def story(stage: Stage) -> None:
        sent: list[bytes] = []

        async def slow(jwe: bytes) -> Reply:
            sent.append(jwe)
            await asyncio.sleep(300)
            return await MemoryLink(stage.a, KH).post_envelope(jwe)

        stage.a_link.envelope = slow
        await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"], 400)
        assert (len(sent), attempts(stage)) == (1, [1])

    play(story)


@pytest.mark.parametrize(("setting", "most"), [(16 * 2**20, 7), (11 * 2**20, 5)])
def test_an_envelope_holds_the_bytes_that_are_set(setting: int, most: int) -> None:
    """`delivery.envelope_bytes_max` less the room of the manifest, a MiB."""

    async def story(stage: Stage) -> None:
        await stage.a.stop()
        file = stage.a.home / "gateway.toml"
        text = file.read_text("utf-8")
        file.write_text(f"{text}\n[delivery]\nenvelope_bytes_max = {setting}\n", "utf-8")

        async def down(_jwe: bytes) -> Reply:
            raise TransportError("no connection")

        stage.a_link.envelope = down
        await stage.a.start()
        await stage.until(lambda: stage.a.gateway.witnessing.gate.closed is None)
        now = stage.a.clock()

        def message(tx: Transaction, seq: int) -> NewMessage:
            jti = MessageId(uuid7(now, os.urandom))
            head = f'{{"id":"{jti}","source":"urn:bcx:party:{ID}","recipient":"{KH}","data":{{"x":"'.encode()
            event = head + b"x" * (2 * 2**20 - len(head) - 3) + b'"}}'
            digest = leaf_hash(event)
            leaf = tx.log.append("message.accepted", actor=SYSTEM, obj=("message", jti), at=now, jti=jti, event=digest)
            return NewMessage(
                jti=jti, recipient=KH, subject="x.y", case_ref=None, case_seq=None,
                stream_seq=seq, urgency="INFO", rank=2, handling="H1", digest=digest, schema_version="1.0.0",
                in_reply_to=None, supersedes=None, effect=None, account="x", created_at=now, expires_at=now + 10**6,
                leaf=leaf, event=event,
            )  # fmt: skip

        await stage.a.gateway.store.write(lambda tx: tx.outbox.add([message(tx, seq) for seq in range(1, 9)]))
        stage.a.gateway.dispatcher.wake(KH)
        await stage.until(lambda: stage.a.look("SELECT count(*) FROM envelopes") != [(0,)])
        assert stage.a.look("SELECT length(digests) / 32 FROM envelopes ORDER BY at LIMIT 1") == [(most,)]
        await stage.a.gateway.store.write(lambda tx: tx.outbox._run("DELETE FROM outbox"))

    play(story)
