"""What is given up: the case it would have moved goes on, and no state of a partner keeps a message past its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ClockInDoubt
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

DAY_MS = 86_400_000
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
            waits = "SELECT 1 FROM outbox WHERE attempts > 1 AND case_seq = 2 AND state = 'queued'"
            await stage.until(lambda: stage.a.look(waits), 600)  # noqa: B023 - looked at before the next round
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


def entries(process: Process, jti: str) -> list[str]:
    """Return the types of a message's log entries, in order."""
    return [typ for found, typ in process.look("SELECT jti, typ FROM entries ORDER BY seq") if found == jti]


def test_eight_seconds_of_a_wrong_clock_end_nothing() -> None:
    """Three weeks ahead and back: four messages wait on, what comes meanwhile has the right time, one alarm tells."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.two.network.cut = True
        sent = await stage.a.submit(*(example(REFERRAL) | {"urgency": u} for u in ("FLASH", "URGENT", "URGENT")))
        await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 0"))
        stage.a.skew_ms = 20 * DAY_MS
        sent += await stage.a.submit(example(REFERRAL))
        await asyncio.sleep(70)
        assert set(states(stage.a)) <= {"queued", "sending"}
        stage.a.skew_ms = 0
        await asyncio.sleep(70)
        stage.two.network.cut = False
        await stage.until(lambda: states(stage.a) == ["accepted"] * 4, 600)
        assert [what for what in alarms(stage.a) if "clock" in what] == ["clock jump +1728000 s"]

    play(story).checked()


@pytest.mark.parametrize("right", [False, True])
def test_a_start_by_a_doubtful_clock_ends_nothing_before_somebody_confirms_it(right: bool) -> None:
    """Three weeks after the last process: where the partner says so too it expires, else it goes once that is known."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.two.network.cut = True
        [sent] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 0"))
        await stage.a.stop()
        if right:
            for process in (stage.a, stage.b):
                process.slept_ms = 20 * DAY_MS
        else:
            stage.a.skew_ms = 20 * DAY_MS
        await stage.a.start()
        await asyncio.sleep(70)
        assert states(stage.a) == ["queued"]
        assert "clock start +17280" in " ".join(alarms(stage.a))
        stage.two.network.cut = False
        if right:
            await stage.until(lambda: states(stage.a)[0] == "dead", 300)
            await stage.until(lambda: states(stage.a)[1:] == ["accepted"], 300)
        else:
            await asyncio.sleep(300)
            assert states(stage.a) == ["queued"]
            stage.a.skew_ms = 0
            await stage.until(lambda: states(stage.a) == ["accepted"], 900)
        assert ("message.dead" in entries(stage.a, sent.jti)) is right

    play(story).checked()


def test_an_operator_confirms_a_clock_where_no_partner_can() -> None:
    """With the partner away for good, what is over comes to its end by a person's word, on record."""

    async def story(stage: Stage) -> None:
        stage.two.network.cut = True
        await stage.a.submit(example(REFERRAL))
        await stage.a.stop()
        stage.a.slept_ms = 20 * DAY_MS
        await stage.a.start()
        await asyncio.sleep(70)
        assert states(stage.a) == ["queued"]
        await stage.a.gateway.clock.confirm(OPERATOR)
        await stage.until(lambda: states(stage.a) == ["dead"], 70)
        [(obj, outcome)] = stage.a.look(
            "SELECT obj, outcome FROM entries WHERE typ = 'config.changed' AND actor = 'local'"
        )
        assert (obj, outcome[:12]) == ("confirmed", "start +17280")
        await stage.restart(stage.a)
        assert stage.a.gateway.clock.sure()

    play(story)


def test_what_died_by_a_wrong_clock_comes_back_by_itself() -> None:
    """A gateway that believed its clock gave it up, and the partner was not told: it goes on, on record."""

    async def story(stage: Stage) -> None:
        stage.a.believes = True
        await stage.restart(stage.a)
        await asyncio.sleep(5)
        stage.two.network.cut = True
        [sent] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 0"))
        stage.a.skew_ms = 21 * DAY_MS
        await stage.until(lambda: states(stage.a) == ["dead"], 300)
        await stage.a.stop()
        stage.a.skew_ms, stage.a.believes = 0, False
        await stage.a.start()
        stage.two.network.cut = False
        await stage.until(lambda: states(stage.a) == ["accepted"], 600)
        steps = entries(stage.a, sent.jti)
        assert steps[steps.index("message.dead") :][:3] == ["message.dead", "audit.alarm", "message.released"]

    play(story).checked()


def test_a_partner_whose_clock_differs_keeps_its_messages_alive() -> None:
    """Ours goes right by our own clocks; the last thing the partner signed says another day: one of us is wrong."""

    async def story(stage: Stage) -> None:
        soon = format_ms(stage.a.network.clock() + 300_000)
        stage.b.skew_ms = DAY_MS
        await stage.b.stop()
        await stage.b.start()
        await asyncio.sleep(5)
        stage.a.gateway.contacts.told_time(KH, stage.b.clock())
        stage.two.network.cut = True
        await stage.a.submit(example(REFERRAL) | {"expires_at": soon})
        await asyncio.sleep(600)
        assert states(stage.a) == ["queued"]
        assert alarms(stage.a).count("clock differs") == 1

    play(story)


def test_nothing_is_voided_that_the_partner_took() -> None:
    """Not even what was never counted as sent: a database that was put back does not know what left."""

    async def story(stage: Stage) -> None:
        [sent] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        await stage.a.gateway.store.write(_forgets)
        await stage.a.gateway.operator.perform(Step.CANCEL, sent.jti, LOCAL_OPERATOR)
        await stage.until(lambda: states(stage.a) == ["accepted"], 300)

    play(story)


def _forgets(tx: Any) -> None:
    tx.outbox._run("UPDATE outbox SET state = 'held', attempts = 0, settled_at = NULL")


@pytest.mark.parametrize("end", ["cancelled", "expired"])
def test_an_opening_that_ends_unsent_closes_its_case_at_home(end: str) -> None:
    """Nobody over there ever heard of it: WITHDRAWN here, and SUBMITTED again where a person has it tried again."""

    async def story(stage: Stage) -> None:
        stage.two.network.cut = True
        body = example(REFERRAL)
        if end == "expired":
            body["expires_at"] = format_ms(stage.a.network.clock() + 120_000)
        [sent] = await stage.a.submit(body)
        operator = stage.a.gateway.operator
        if end == "cancelled":
            await operator.perform(Step.CANCEL, sent.jti, LOCAL_OPERATOR)
        else:
            await stage.until(lambda: states(stage.a) == ["dead"], 300)
        case = await held(stage.a, sent.case)
        assert (case.lifecycle.status, case.lifecycle.pending) == ("WITHDRAWN", ())
        stage.two.network.cut = False
        await stage.until(lambda: states(stage.a)[1:] == ["accepted"], 900)
        assert (await held(stage.a, sent.case)).lifecycle.status == "WITHDRAWN"

    play(story).checked()


@pytest.mark.parametrize("taken", [False, True])
def test_an_opening_that_was_given_up_and_goes_on_opens_its_case_again(taken: bool) -> None:
    """Tried again by a person, or taken by the partner all the same: its answer is a fact."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.two.network.cut, stage.two.network.answers_lost = not taken, taken
        [sent] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: stage.a.look("SELECT 1 FROM outbox WHERE attempts > 0 AND state = 'queued'"), 300)
        operator = stage.a.gateway.operator
        await operator.perform(Step.HOLD, sent.jti, LOCAL_OPERATOR)
        await stage.a.gateway.store.write(
            lambda tx: stage.a.gateway.give_up.drop(
                tx, tx.outbox.find([sent.jti])[sent.jti], Step.GIVE_UP, "x", OPERATOR
            )
        )
        assert (await held(stage.a, sent.case)).lifecycle.status == "WITHDRAWN"
        if not taken:
            await operator.perform(Step.RETRY, sent.jti, LOCAL_OPERATOR)
            assert (await held(stage.a, sent.case)).lifecycle.status == "SUBMITTED"
        stage.two.network.cut = stage.two.network.answers_lost = False
        await stage.until(lambda: states(stage.a) == ["accepted"], 900)
        assert (await held(stage.a, sent.case)).lifecycle.status == "RECEIVED"

    play(story).checked()


def test_a_message_stamped_days_ahead_is_alarmed_with_its_cure() -> None:
    """Its bytes cannot change and its case waits behind it: cancelled and submitted again, the case goes on."""

    async def story(stage: Stage) -> None:
        [opened] = await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"])
        stage.two.network.cut = True
        await stage.a.stop()
        stage.a.skew_ms = 2 * DAY_MS
        await stage.a.start()
        update = example(UPDATE) | {"recipient": "kh.gdi", "case": opened.case}
        update["data"]["toStatus"] = "RECEIVED"
        [ahead] = await stage.a.submit(update)
        stage.a.skew_ms = 0
        [behind] = await stage.a.submit(update)
        stage.two.network.cut = False
        await stage.until(lambda: any("stamped" in what for what in alarms(stage.a)), 300)
        await asyncio.sleep(120)
        assert states(stage.a) == ["accepted", "queued", "queued"]
        assert [what for what in alarms(stage.a) if "stamped" in what] == ["stamped 172799 s ahead"]
        await stage.a.gateway.operator.perform(Step.CANCEL, ahead.jti, LOCAL_OPERATOR)
        await stage.a.submit(update)
        await stage.until(lambda: states(stage.a)[2:4] == ["accepted"] * 2, 60)
        assert behind.case == opened.case

    play(story).checked()


def test_a_clock_known_to_be_wrong_stamps_nothing() -> None:
    """Behind the last time this home has seen, or ahead of what the partner signed: 503 with the reason."""

    async def story(stage: Stage) -> None:
        for process in stage.two.both:
            process.slept_ms = 10 * DAY_MS
        await stage.until(lambda: stage.a.gateway.clock.sure() and stage.b.gateway.clock.sure(), 120)
        for skew in (-2 * DAY_MS, 2 * DAY_MS):
            await stage.a.stop()
            stage.a.skew_ms = skew
            stage.two.network.cut = skew < 0
            await stage.a.start()
            await asyncio.sleep(5)
            with pytest.raises(ClockInDoubt, match="gateway clock confirm"):
                await stage.a.submit(example(REFERRAL))
            stage.a.skew_ms = 0
            await stage.a.submit(example(REFERRAL))
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2, 900)

    play(story)
