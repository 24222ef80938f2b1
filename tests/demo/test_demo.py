"""`gateway demo` as its user runs it: a command, two gateways it starts, a table, an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-c", "from gateway.cli.main import run; run()")
LIMIT_S = 60  # this machine may be busy; the table itself says how long it took


@contextlib.contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command with its temporary files under `folder`; end it in order whatever the test does."""
    environ = {**os.environ, "TMPDIR": str(folder), "GATEWAY_HOME": "/nowhere", "GATEWAY__OPS__LOG_LEVEL": "nonsense"}
    process = subprocess.Popen(
        [*COMMAND, *words], env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=LIMIT_S)


def processes_under(folder: Path) -> list[str]:
    """Return the command lines that name a folder: gateways whose home lies in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if any(word.startswith(os.fsencode(folder)) for word in words):
                    found.append(b" ".join(words).decode())
    return found


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


def test_a_partner_that_cannot_come_back_is_a_row_that_does_not_hold(tmp_path: Path) -> None:
    """An agreement damaged while the demo runs stops the killed gateway's restart: exit 1, and the row says why."""
    home = tmp_path / "kept"
    with running(tmp_path, "-o", "json", "demo", "--exit", "--home", str(home)) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "stranger" in line:  # both gateways have read their agreements by now
                (home / "kh.gdi" / "agreement.toml").write_text("not an agreement")
                break
        out, _ = demo.communicate(timeout=LIMIT_S)
    rows = {row["what"]: row for row in json.loads(out)["rows"]}
    broken = next(row for what, row in rows.items() if "kill -9" in what)
    assert demo.returncode == 1
    assert not broken["held"]
    assert "agreement.toml" in broken["seen"]
    assert next(row for what, row in rows.items() if "Bavet" in what)["held"]
    assert (home / "id.imigrasi" / "gateway.toml").is_file()
    assert processes_under(home) == []


def test_ctrl_c_stops_what_was_started(tmp_path: Path) -> None:
    """Interrupted in the middle, the demo ends with 130; its gateways and files are gone."""
    with running(tmp_path, "demo") as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "stranger" in line:
                assert len(processes_under(tmp_path)) >= 2
                demo.send_signal(signal.SIGINT)
                break
        demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 130
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
