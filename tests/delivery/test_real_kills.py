"""Real processes, real TLS, real disk: twenty kills of each side at random moments under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.kills import experiment

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20


@pytest.mark.timeout(180)
async def test_twenty_kills_of_each_side_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Every 202 has its receipt, nothing is seen twice, both logs verify; each restart is ready in time."""
    found = await experiment(tmp_path, KILLS, seed=20)
    assert found["messages"] > KILLS
