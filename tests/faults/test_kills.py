"""The long run of kills: `make faults ARGS=--kills=200` is the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.kills import experiment

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 25


@pytest.mark.timeout(1800)
async def test_kills_of_each_side_at_random_moments_lose_and_repeat_nothing(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In rounds, each with fresh homes, a seed of its own and the checker at its end."""
    left, messages = request.config.getoption("--kills"), 0
    while left > 0:
        found = await experiment(tmp_path / str(left), min(AT_ONCE, left), seed=left)
        messages += found["messages"]
        left -= AT_ONCE
    assert messages
