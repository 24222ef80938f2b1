"""A sheet of persons on the command line: its template, its faults, and how far the answers are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.cli.failure import FINDINGS_MOST, lines
from gateway.errors import Finding, SchemaViolation
from tests.support.pair import example

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.cli.terminal import Home

LINES = {
    "person.role": "SUBJECT", "person.names.0.nameType": "LEGAL", "person.names.0.fullName": "AGUS CONTOH",
    "person.names.0.script": "Latn", "person.sex": "M", "person.birth.value": "1999", "person.birth.precision": "YEAR",
    "person.nationalities.0.country": "KHM", "person.nationalities.0.status": "CLAIMED", "person.isMinor": "NO",
    "person.protectionScreened": "true", "interviewLanguage": "khm",
}  # fmt: skip


def sheet_of_persons(folder: Path, rows: Sequence[Mapping[str, str]] = ()) -> tuple[Path, Path]:
    """Write a request about two persons and the sheet with them, or with `rows`; return both files."""
    rows = rows or [LINES, LINES | {"person.names.0.fullName": "BUDI CONTOH"}]
    body = example("identity.verify.request/s2-group-of-thirty") | {"recipient": "kh.gdi"}
    body["data"].pop("items")
    body["data"]["declaredCount"] = 2
    body["data"]["meta"] |= {
        "legalBasis": ["ID-PERMENKUMHAM18-2022"], "retention": {"class": "RC-VI"},
        "transferBasis": {"code": "ART56_3_BINDING_INSTRUMENT", "instrumentRef": "TEST-INSTRUMENT"},
    }  # fmt: skip
    message, sheet = folder / "body.json", folder / "group.csv"
    message.write_text(json.dumps(body), "utf-8")
    sheet.write_text("\n".join([",".join(LINES), *(",".join(row.values()) for row in rows)]), "utf-8")
    return message, sheet


def test_a_sheet_is_filled_in_sent_and_followed(home: Home, tmp_path: Path) -> None:
    """The template has the columns; a fault is told by line and column; what was sent shows how far it is answered."""
    columns = home.run("schema", "template", "identity.verify.request").out.strip().replace('"', "").split(",")
    assert set(LINES) <= set(columns)
    message, sheet = sheet_of_persons(tmp_path, [LINES, *[LINES | {"person.sex": "Q"}] * 29])
    refused = home.run("submit", str(message), "--rows", str(sheet), "--dry-run", code=1)
    for line in range(3, 32):  # a file, no screen: every fault, not the first twenty
        assert f"line {line}, column person.sex" in refused.err
    sheet_of_persons(tmp_path)
    sent = home.json("submit", str(message), "--rows", str(sheet))
    progress = home.run("case", "progress", sent["case"])
    assert "answered 0 of 2" in progress.err
    assert [line.split("\t")[1:3] for line in progress.out.splitlines()] == [["1", "no"], ["2", "no"]]
    # Without `serve` the command that opens the home itself asks the same guard, and writes the same log.
    officer = home.json("user", "add", "sari", "--role", "officer")
    rows = ("message", "rows", sent["id"], "--purpose", "IDENTITY_VERIFICATION")
    assert "--token-file" in home.run(*rows, code=4).fault
    home.env["GATEWAY_TOKEN"] = officer["token"]
    assert home.run(*rows).out.count("BUDI CONTOH") == 1
    del home.env["GATEWAY_TOKEN"]
    [entry] = home.json("audit", "search", "--reads")
    assert (entry["actor"]["role"], entry["message"]) == ("officer", sent["id"])


def test_a_screen_gets_the_first_faults_and_the_way_to_the_rest() -> None:
    """Twenty of five hundred, how many more there are, and where they would all be."""
    error = SchemaViolation("wrong", errors=tuple(Finding(f"/data/items/{at}", "wrong") for at in range(500)))
    shown = lines(error, FINDINGS_MOST)
    assert len(shown) == 22
    assert "480 more" in shown[-1]
    assert "2> faults.txt" in shown[-1]
    assert len(lines(error)) == 501
