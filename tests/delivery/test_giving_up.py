"""What is given up: the case it would have moved goes on, and no state of a partner keeps a message past its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.ports.common import Actor
from gateway.ports.partner import Reply
from gateway.primitives.times import format_ms
from gateway.protocol.states import Step
from gateway.services.accounts import LOCAL_OPERATOR
from tests.support.link import ID, KH, example
from tests.witness.stage import Stage, alarms, play, states

if TYPE_CHECKING:
    from gateway.ports.cases import Case
    from tests.support.link import Process

REFERRAL, UPDATE = "case.referral/s1-sumarni", "case.update/s1-accepted"
OPERATOR = Actor("local", "operator")


async def held(process: Process, ref: str) -> Case:
    """Return a case as one side holds it."""
    case = await process.gateway.store.write(lambda tx: tx.cases.find(KH if process.party == ID else ID, ref))
    assert case is not None
    return case


@pytest.mark.parametrize("tried", [False, True])
def test_a_status_change_that_was_cancelled_stops_nobody(tried: bool) -> None:
    """The opener withdraws, thinks better of it and cancels: the recipient's next move is taken all the same."""

    async def story(stage: Stage) -> None:
        [opened] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        stage.two.network.cut = True
        bodies = [example(UPDATE) | {"recipient": "kh.gdi", "case": opened.case} for _ in range(2)]
        bodies[0]["data"]["toStatus"] = "RECEIVED"
        bodies[1]["data"] |= {"toStatus": "WITHDRAWN", "reason": "It was opened twice."}
        # A message behind one that failed is not tried itself.
        for body in bodies[tried:]:
            [sent] = await stage.a.submit(body)
            await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 1 AND case_seq = 2"), 600)
        await stage.a.gateway.operator.perform(Step.CANCEL, sent.jti, LOCAL_OPERATOR)
        # Whether the partner took what was tried is not known before it is asked.
        assert bool((await held(stage.a, opened.case)).lifecycle.pending) is tried
        stage.two.network.cut = False
        await stage.until(
            lambda: stage.a.look("SELECT 1 FROM outbox WHERE subject = 'void' AND state = 'accepted'"), 600
        )
        await stage.b.submit(example(UPDATE) | {"case": opened.case})
        await stage.until(lambda: states(stage.b) == ["accepted"])
        for side in (stage.a, stage.b):
            case = await held(side, opened.case)
            assert (case.lifecycle.status, case.lifecycle.pending) == ("ACCEPTED", ())

    play(story).checked()


def test_a_message_to_a_suspended_partner_expires_too() -> None:
    """Across a restart: its time is over whether we exchange with the partner or not."""

    async def story(stage: Stage) -> None:
        stage.two.network.cut = True
        soon = [format_ms(stage.a.network.clock() + s * 1000) for s in (120, 600)]
        await stage.a.submit(*(example(REFERRAL) | {"expires_at": time} for time in soon))
        await stage.a.gateway.enroller.set_state(KH, "suspended", OPERATOR)
        await stage.until(lambda: states(stage.a) == ["dead", "queued"], 300)
        await stage.restart(stage.a)
        await stage.until(lambda: states(stage.a) == ["dead", "dead"], 900)
        assert alarms(stage.a).count("dead expired") == 2

    play(story)


def test_a_person_who_tries_again_waits_for_no_back_off() -> None:
    """The partner asked for an hour; an operator who knows better has the message there at once."""

    async def story(stage: Stage) -> None:
        async def busy(_jwe: bytes) -> Reply:
            return Reply(503, "application/problem+json", b"{}", 3600)

        # Any verified contact would end the back-off by itself.
        stage.a_link.witnessed = stage.b_link.witnessed = False
        await asyncio.sleep(5)
        stage.a_link.envelope = busy
        [sent] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts = 1"))
        stage.a_link.envelope = None
        await asyncio.sleep(30)
        assert states(stage.a) == ["queued"]
        await stage.a.gateway.operator.perform(Step.RETRY, sent.jti, LOCAL_OPERATOR)
        await stage.until(lambda: states(stage.a) == ["accepted"], 2)

    play(story)


def test_what_died_by_a_wrong_clock_is_tried_again() -> None:
    """Three weeks ahead for a moment: the dead letters go once a person has all of a day tried again."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.two.network.cut = True
        [sent] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 0"))
        stage.a.skew_ms = 21 * 86_400_000
        await stage.until(lambda: states(stage.a) == ["dead"], 300)
        stage.a.skew_ms = 0
        stage.two.network.cut = False
        since = stage.a.network.clock() - 86_400_000
        assert await stage.a.gateway.operator.retry_since(since, LOCAL_OPERATOR) == 1
        await stage.until(lambda: states(stage.a) == ["accepted"])
        steps = [typ for jti, typ in stage.a.look("SELECT jti, typ FROM entries ORDER BY seq") if jti == sent.jti]
        assert steps[steps.index("message.dead") :][:3] == ["message.dead", "audit.alarm", "message.released"]

    play(story).checked()
