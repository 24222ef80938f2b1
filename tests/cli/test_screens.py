"""What a stranger wrote, as every command shows it: no character of it acts on the terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

from tests.cli.terminal import GATEWAY, ROOT, Home, environment

if TYPE_CHECKING:
    from pathlib import Path

FORGED = "Agency\x1b[2J\u202e\nverified  yes"
FORMS = ("", "table", "json", "csv")
SHOWN = r"Agency\x1b[2J\u202e verified  yes"


def screen(*args: str, home: Home) -> bytes:
    """Run a command on a terminal; return what reached it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*GATEWAY, "--home", str(home.path), *args], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL,
        env=environment({**home.env, "NO_COLOR": "1", "TERM": "xterm"}), cwd=ROOT,
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        process.wait(40)
    os.close(ours)
    return seen


def test_no_form_of_output_carries_it(home: Home) -> None:
    """In lines, in tables, as JSON that means the same, as CSV, and on a terminal."""
    home.run("client", "add", "border-system")
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database, database:
        # As somebody with SQL, or a gateway of before, may have left it.
        database.execute("UPDATE accounts SET name = ? WHERE name = 'border-system'", (FORGED,))
    outputs = {form: home.run("client", "list", *(["-o", form] if form else [])).out for form in FORMS}

    for form, out in (*outputs.items(), ("screen", screen("client", "list", home=home).decode())):
        assert "\x1b[2J" not in out
        assert "\u202e" not in out
        # In a cell of CSV a line end is data, on a narrow screen a long cell is folded; else it would forge a line.
        assert form in {"csv", "screen"} or not any(line.startswith("verified") for line in out.splitlines())
    assert SHOWN in outputs[""]
    assert FORGED in {row["name"] for row in json.loads(outputs["json"])}
    assert any(SHOWN.split(maxsplit=1)[0] in cell for row in csv.reader(io.StringIO(outputs["csv"])) for cell in row)


def test_a_file_of_a_stranger_is_quoted_harmless(home: Home, tmp_path: Path) -> None:
    """An error names the file it was given, on one line and without what steers a screen."""
    name = tmp_path / "card\x1b[2J\u202e"
    seen = home.run("partner", "add", str(name), code=2)
    assert r"card\x1b[2J\u202e" in seen.fault
    assert b"\x1b[2J" not in screen("partner", "add", str(name), home=home)
