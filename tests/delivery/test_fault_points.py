"""A process is killed, or fails, at its Nth step, for every N until a run meets none: nothing lost, nothing twice."""

from __future__ import annotations

import pytest

from tests.support.link import ID, KH, Two, run_virtual
from tests.support.steps import exchange_with_fault, sweep

SLICES = 4  # of the steps: each its own test, so that two workers share them
# Here a few of the steps fail; all of them do in tests/faults/test_failing_steps.py.
FAILING = 16
EVERY_STEP = {"begin", "unit", "commit", "committed", "witnessed"}
SENDER_STEPS = EVERY_STEP | {"sealed", "sending", "answered", "verified", "recorded"}
RECEIVER_STEPS = EVERY_STEP | {"opened", "validated", "signed"}


@pytest.mark.parametrize("start", range(1, SLICES + 1))
@pytest.mark.parametrize("victim", [ID, KH])
def test_a_kill_at_any_step_loses_and_repeats_nothing(victim: str, start: int) -> None:
    """Persist, sign, encrypt, connect, sent, answered, receipt stored; decrypted, validated, committed, signed."""
    met = sweep(victim, "kill", start, SLICES)
    assert met


@pytest.mark.parametrize("victim", [ID, KH])
def test_a_failure_at_some_steps_loses_and_repeats_nothing(victim: str) -> None:
    """As a full disk does it: the step raises, the process lives on and recovers alone."""
    met = sweep(victim, "fail", 1, FAILING)
    assert met


def test_the_steps_that_are_tried_are_all_there_are() -> None:
    """A step that lost its name would be tried by nobody."""
    two = Two()
    _, steps = run_virtual(exchange_with_fault(two, ID, "kill", 10**9))
    assert set(steps) >= SENDER_STEPS
    assert set(two.b.steps) >= RECEIVER_STEPS
    two.discard()
