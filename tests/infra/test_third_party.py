"""A run without the test files of others says so at its end, and is no success where a machine decides by it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.thirdparty import FOLDER, JSON_SUITE, MERKLE, ROOT, SOURCES


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_did_not_run_is_told_last(ci: str, code: int, workers: str) -> None:
    """How many tests of which collections; a failure with CI set, under workers too."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", "tests/infra/test_csv.py",
         "-k", "number"],
        cwd=ROOT, env={**os.environ, "BCX_VECTORS": "/nonexistent", "CI": ci}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    told = next(at for at, line in enumerate(lines) if line.startswith("NOT RUN: 516 tests"))
    assert len(lines) - told <= 8
    assert done.returncode == code, done.stdout


def test_the_numbers_told_are_those_of_the_tests() -> None:
    """One test a file of the suites and one that counts them; where they are absent, nothing to hold them against."""
    assert {source.tests for source in SOURCES} >= {1, 319, 196}
    if FOLDER.is_dir():
        assert len(list(JSON_SUITE.place.glob("*.json"))) + 1 == JSON_SUITE.tests
        assert len(list(MERKLE.place.rglob("*.json"))) == MERKLE.tests
