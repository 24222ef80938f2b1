"""A process is killed, or fails, at its Nth step, for every N until a run meets none: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest

from gateway.errors import StorageUnavailable
from tests.support.checker import check
from tests.support.link import ID, KH, Killed, Process, Two, example, run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

SLICES = 4  # of the steps: each its own test, so that two workers share them
EVERY_STEP = {"begin", "unit", "commit", "committed", "witnessed"}
SENDER_STEPS = EVERY_STEP | {"sealed", "sending", "answered", "verified", "recorded"}
RECEIVER_STEPS = EVERY_STEP | {"validated"}


async def _tried(process: Process, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await process.until_dead(work)
    except (Killed, StorageUnavailable):
        return None


async def _exchange(two: Two) -> None:
    """Do what the steps are counted in: a case goes over, an update comes back, a message is cancelled and voided."""
    for _ in range(3):  # a caller whose 202 did not come asks again
        await two.revive()
        if two.a.promised:
            break
        await _tried(two.a, two.a.submit(example("case.referral/s1-sumarni")))
    await two.drained()
    case = two.b.look("SELECT ref FROM cases")[0][0]
    await _tried(two.b, two.b.submit({**example("case.update/s1-accepted"), "case": case}))
    await two.drained()


async def _run(two: Two, victim: str, kind: Literal["kill", "fail"], at: int) -> tuple[str | None, list[str]]:
    """Exchange with one fault; return the step it met, or None where the run was over before it."""
    await two.start()
    process = two.a if victim == ID else two.b
    process.arm(**{f"{kind}_at": at})
    await _exchange(two)
    steps = process.steps
    met = steps[at - 1] if len(steps) >= at or (kind == "kill" and process.kill_at is None) else None
    process.disarm()
    await two.drained()
    await asyncio.sleep(2)
    await two.stop()
    return met, steps


def _sweep(victim: str, kind: Literal["kill", "fail"], start: int) -> set[str]:
    met: set[str] = set()
    at = start
    while True:
        two = Two()
        step, _ = run_virtual(_run(two, victim, kind, at))
        check(two.a.home, two.b.home, promised={ID: two.a.promised, KH: two.b.promised})
        two.discard()
        if step is None:
            return met
        met.add(step)
        at += SLICES


@pytest.mark.parametrize("start", range(1, SLICES + 1))
@pytest.mark.parametrize("victim", [ID, KH])
def test_a_kill_at_any_step_loses_and_repeats_nothing(victim: str, start: int) -> None:
    """Persist, sign, encrypt, connect, sent, answered, receipt stored; decrypted, validated, committed, signed."""
    met = _sweep(victim, "kill", start)
    assert met


@pytest.mark.parametrize("start", range(1, SLICES + 1))
@pytest.mark.parametrize("victim", [ID, KH])
def test_a_failure_at_any_step_loses_and_repeats_nothing(victim: str, start: int) -> None:
    """As a full disk does it: the step raises, the process lives on and recovers alone."""
    met = _sweep(victim, "fail", start)
    assert met


def test_the_steps_that_are_tried_are_all_there_are() -> None:
    """A step that lost its name would be tried by nobody."""
    two = Two()
    _, steps = run_virtual(_run(two, ID, "kill", 10**9))
    assert set(steps) >= SENDER_STEPS
    assert set(two.b.steps) >= RECEIVER_STEPS
    two.discard()
