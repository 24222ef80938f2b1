"""Quiet loss: a number that later messages passed by and that does not come within an hour is an alarm, once."""

from __future__ import annotations

import asyncio

from gateway.protocol.states import Step
from gateway.services.accounts import LOCAL_OPERATOR
from tests.support.link import example
from tests.witness.stage import Stage, alarms, play, states

REFERRAL = "case.referral/s1-sumarni"
HOUR_S = 3600


async def pass_by(stage: Stage) -> str:
    """Have a message of a's held while a later one is accepted; return the held one."""
    stage.two.network.cut = True
    [held] = await stage.a.submit(example(REFERRAL))
    await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 0"))
    await stage.until(lambda: states(stage.a)[-1] == "queued")
    await stage.a.gateway.operator.perform(Step.HOLD, held.jti, LOCAL_OPERATOR)
    await stage.a.submit(example(REFERRAL))
    stage.two.network.cut = False
    await stage.until(lambda: states(stage.a)[-1] == "accepted", 300)
    return held.jti


def test_a_number_missing_for_an_hour_is_an_alarm_once() -> None:
    """Not before, not again, also not after a restart; the next one missing is an alarm of its own."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        first = await pass_by(stage)
        await asyncio.sleep(HOUR_S - 60)
        assert alarms(stage.b) == []
        await asyncio.sleep(180)
        assert alarms(stage.b) == ["gap 1"]
        await stage.restart(stage.b)
        await asyncio.sleep(HOUR_S)
        assert alarms(stage.b) == ["gap 1"]

        await stage.a.gateway.operator.perform(Step.RELEASE, first, LOCAL_OPERATOR)
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2, 300)
        await pass_by(stage)
        await asyncio.sleep(HOUR_S + 120)
        assert alarms(stage.b) == ["gap 1", "gap 3"]

    play(story)


def test_what_comes_late_or_is_voided_is_no_gap() -> None:
    """Within the hour one number comes and another is given up by its sender, who says so."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        late, given_up = await pass_by(stage), await pass_by(stage)
        await asyncio.sleep(HOUR_S / 2)
        await stage.a.gateway.operator.perform(Step.RELEASE, late, LOCAL_OPERATOR)
        await stage.a.gateway.operator.perform(Step.CANCEL, given_up, LOCAL_OPERATOR, "sent-otherwise")
        await asyncio.sleep(2 * HOUR_S)
        assert alarms(stage.b) == []
        rows = stage.a.look("SELECT state FROM outbox WHERE subject != 'void' ORDER BY id")
        assert [state for (state,) in rows] == ["accepted", "accepted", "cancelled", "accepted"]

    play(story)


def test_a_job_that_met_what_nobody_foresaw_goes_on() -> None:
    """A row that cannot be read stops the look at it, and not every later one."""

    async def story(stage: Stage) -> None:
        store = stage.b.gateway.store
        await store.write(lambda tx: tx.state.put("gap id.imigrasi", "nothing that is a number"))
        await asyncio.sleep(5)
        await pass_by(stage)
        await asyncio.sleep(HOUR_S + 120)
        assert alarms(stage.b) == []
        await store.write(lambda tx: tx.state.put("gap id.imigrasi", "0"))
        await asyncio.sleep(180)
        assert alarms(stage.b) == ["gap 1"]

    play(story)
