"""A gateway fails at its Nth step, as a full disk does it, for every N: nothing lost, nothing twice."""

from __future__ import annotations

import pytest

from tests.support.link import ID, KH
from tests.support.steps import sweep

SLICES = 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize("start", range(1, SLICES + 1))
@pytest.mark.parametrize("victim", [ID, KH])
def test_a_failure_at_any_step_loses_and_repeats_nothing(victim: str, start: int) -> None:
    """The step raises, the process lives on and recovers alone."""
    met = sweep(victim, "fail", start, SLICES)
    assert met
