"""`gateway bench` with very little load: every row is there, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 180  # of a busy machine; alone it takes about forty: proofs of what comes one by one are gathered


def measured(target: Path, *words: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Run `gateway bench` with these words; return its rows by name, and what it printed."""
    command = (sys.executable, "-c", "from gateway.cli.main import run; run()", "bench", *words, "--json", str(target))
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return {row["name"].strip(): row for row in json.loads(target.read_text("utf-8"))["rows"]}, done.stdout


def test_a_small_run_prints_every_row_and_loses_nothing(tmp_path: Path) -> None:
    """Each figure has its unit; throughput and latency have a floor of the same run; the counts of both sides agree."""
    rows, printed = measured(tmp_path / "figures.json", "--messages", "200")
    assert rows["lost"]["figure"] == 0
    assert "receipts 200, received 200, log entries 200" in rows["lost"]["note"]
    for name in ("full envelopes, posts of 100", "single posts, 64 in flight", "drain of 200"):
        assert rows[name]["unit"] == "msg/s"
        assert 0 < rows[name]["ratio"] < 1
    for name in ("202 to a single post, alone: p50", "accepted with receipt, alone: p50"):
        assert rows[name]["floor"] > 0
    assert 0 <= rows["proofs behind at the end of full envelopes"]["figure"] < 60
    assert rows["share of proofs in it"]["unit"] == "%"
    for name in rows:
        assert name in printed


def test_a_small_log_prints_its_rows(tmp_path: Path) -> None:
    """Start, proof, each search and verification, as for millions of entries."""
    rows, _ = measured(tmp_path / "figures.json", "--what", "log", "--leaves", "1000")
    for name in ("start with 1,000 entries", "audit verify of 1,000 entries"):
        assert rows[name]["unit"] == "s"
    assert rows["proof of an entry at any size, over HTTPS: p50"]["unit"] == "ms"
    found = {name: row["note"] for name, row in rows.items() if name.startswith("search by")}
    assert len(found) > 8
    for name, note in found.items():
        assert note.startswith("0 ") is ("not there" in name or "did nothing" in name), (name, note)
