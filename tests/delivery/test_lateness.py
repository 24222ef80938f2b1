"""Negative evidence: an answer that does not come within the time of a message's urgency is noted once, in the log."""

from __future__ import annotations

import asyncio

from gateway.evidence import chain
from gateway.services.lateness import AT_ONCE
from tests.support.link import example
from tests.witness.stage import Stage, alarms, play, states

FLASH, PRIORITY = "case.referral/s1-sumarni", "case.referral/site-without-names"
LATE = {"FLASH": 30 * 60, "PRIORITY": 240 * 60}


def late(stage: Stage) -> list[str]:
    """Return the messages noted as late, in the order of the log."""
    statement = "SELECT jti FROM entries WHERE typ = 'audit.alarm' AND outcome = 'undelivered' ORDER BY seq"
    return [jti for (jti,) in stage.a.look(statement)]


def test_what_is_not_answered_in_its_urgencys_time_is_noted_once() -> None:
    """FLASH after half an hour, PRIORITY after four; across a restart; what is delivered later keeps the entry."""

    async def story(stage: Stage) -> None:
        await stage.a.submit(example(PRIORITY))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        stage.two.network.cut = True
        [slow] = await stage.a.submit(example(PRIORITY) | {"urgency": "PRIORITY"})
        [urgent] = await stage.a.submit(example(FLASH))
        await asyncio.sleep(LATE["FLASH"] - 120)
        assert late(stage) == []
        await asyncio.sleep(240)
        assert late(stage) == [urgent.jti]
        await stage.restart(stage.a)
        await asyncio.sleep(LATE["PRIORITY"] - LATE["FLASH"] - 240)
        assert late(stage) == [urgent.jti]
        await asyncio.sleep(360)
        assert late(stage) == [urgent.jti, slow.jti]
        stage.two.network.cut = False
        await stage.until(lambda: states(stage.a) == ["accepted"] * 3, 300)
        await asyncio.sleep(LATE["FLASH"] + 120)
        assert late(stage) == [urgent.jti, slow.jti]
        [message] = await stage.a.gateway.queries.under(urgent.jti)
        rows = await stage.a.gateway.queries.story(message, 100, 100)
        steps = [one.step for one in chain.steps([("id.imigrasi", row["seq"], row["data"]) for row in rows])]
        assert steps == ["submitted", "late", "delivered"]

    play(story)


def test_more_than_one_unit_of_work_are_noted_and_none_twice() -> None:
    """A backlog that is late all at once."""

    async def story(stage: Stage) -> None:
        stage.two.network.cut = True
        sent = await stage.a.submit(*[example(FLASH)] * (AT_ONCE + 7))
        await asyncio.sleep(LATE["FLASH"] + 120)
        assert sorted(late(stage)) == sorted(one.jti for one in sent)
        assert "undelivered" in alarms(stage.a)

    play(story)
