"""Short stories of two gateways: a network that loses, repeats and corrupts, power cuts, wrong clocks, full disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.simulation import play

if TYPE_CHECKING:
    import pytest

SEEDS = 50


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a seed; `--seed` names another one."""
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed")
        metafunc.parametrize("seed", range(SEEDS) if one is None else [one])


def test_what_was_promised_holds_once_all_is_well_again(seed: int) -> None:
    """Safety while it is bad, liveness once it is healed, and then the checker."""
    told = play(seed)
    assert told.accepted, told.events
