"""What every test run says and shares."""

from __future__ import annotations

import gc

import pytest

from tests.support import thirdparty

LONGEST_ID_BYTES = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seed` replays one story of the simulator; the others say how long the long runs are."""
    group = parser.getgroup("fault experiments")
    group.addoption("--seed", type=int, default=None, help="replay this seed of the simulator and no other")
    group.addoption("--seeds", type=int, default=400, help="seeds of the long simulator run")
    group.addoption("--kills", type=int, default=200, help="kills of each side in the long run of real processes")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that a machine decides by where tests vanished for want of files of others."""
    if thirdparty.absent() and thirdparty.must_be_here() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what did not run."""
    for line in thirdparty.notice():
        terminalreporter.write_line(line, red=True)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Write ids in ASCII: a lone surrogate in one would stop the workers' channel. A file is named by its size."""
    if isinstance(val, bytes) and len(val) > LONGEST_ID_BYTES:
        return f"{len(val)} bytes"
    return ascii(val) if isinstance(val, str) and not val.isascii() else None


# The files that take longest, in that order. Workers take whole files in the order of collection: begun last, one of
# these would be waited for with the other worker idle.
LONGEST = ("test_real_kills", "test_fault_points", "test_bad_input", "test_demo", "test_served", "test_alone",
           "test_simulator", "test_serve", "test_quick_start", "test_unwitnessed", "test_fuzz_event",
           "test_hostile")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file the order stays."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish() -> None:
    """Have the collector leave alone what a worker lives with, as `serve` does: thousands of tests and all modules."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def own_heap() -> None:
    """Have the collector leave alone what earlier tests left, as `serve` does with what it lives with.

    For tests that measure CPU: else a collection through the whole worker falls into what is measured.
    """
    gc.collect()
    gc.freeze()
