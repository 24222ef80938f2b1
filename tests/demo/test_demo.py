"""`gateway demo` as its user runs it: a command, two gateways it starts, a table, an exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.demo.running import LIMIT_S, processes_under, running

if TYPE_CHECKING:
    from pathlib import Path


def test_every_step_holds_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """The demo ends with 0, says that every row held, and removes its processes and files.

    Settings of the shell that runs it belong to other gateways and have no effect.
    """
    with running(tmp_path, "-o", "json", "demo", "--exit") as demo:
        out, err = demo.communicate(timeout=LIMIT_S)
    shown = json.loads(out)
    assert [row["seen"] for row in shown["rows"] if not row["held"]] == []
    assert demo.returncode == 0
    said = "\n".join(row["what"] for row in shown["rows"])
    for word in (
        "cards",
        "stranger",
        "Bavet",
        "Idempotency-Key",
        "kill -9",
        "new envelope",
        "forged",
        "offline",
        "cosigned",
    ):
        assert word in said
    assert len(err.splitlines()) > len(shown["rows"])
    assert list(tmp_path.iterdir()) == []
    assert processes_under(tmp_path) == []


def test_an_earlier_demo_is_not_overwritten(tmp_path: Path) -> None:
    """A folder that holds a home already is refused with the fix, and not touched."""
    (tmp_path / "kh.gdi").mkdir()
    with running(tmp_path, "demo", "--exit", "--home", str(tmp_path)) as demo:
        _, err = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 6
    assert "name another folder" in err
    assert [path.name for path in tmp_path.iterdir()] == ["kh.gdi"]
