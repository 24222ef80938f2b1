"""`gateway demo` that does not reach its end: one of its gateways does not come back, or a person stops it."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from tests.demo.running import LIMIT_S, processes_under, running

if TYPE_CHECKING:
    from pathlib import Path


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
