"""The long run of the simulator: `make faults ARGS=--seeds=400` is the default; `--seed` replays one."""

from __future__ import annotations

import pytest

from tests.delivery.test_simulator import SEEDS
from tests.support.simulation import play

GROUP = 50
STEPS = 60  # longer stories than the suite's


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a group of seeds, none of them the suite's."""
    one = metafunc.config.getoption("--seed")
    last = SEEDS + metafunc.config.getoption("--seeds")
    groups = [range(at, min(at + GROUP, last)) for at in range(SEEDS, last, GROUP)] if one is None else [[one]]
    metafunc.parametrize("seeds", groups, ids=[f"{group[0]}-{group[-1]}" for group in groups])


@pytest.mark.timeout(900)
def test_long_stories_end_well(seeds: range | list[int]) -> None:
    """As in the suite, for longer: each failure names its seed."""
    assert sum(play(seed, STEPS).accepted for seed in seeds)
