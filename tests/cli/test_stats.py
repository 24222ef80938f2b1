"""`gateway stats` and `case list -q`: figures in, table, CSV and chart out, the message sent; a case by a name."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from tests.cli.terminal import Home, Pair

if TYPE_CHECKING:
    from pathlib import Path

FOUNDING = "schemas/examples/stats.periodic/founding-figures.csv"
PERIOD = ("--from", "2025-01", "--to", "2025-04")


def test_the_founding_figures_come_in_and_go_out(pair: Pair, tmp_path: Path) -> None:
    """Imported once, shown as table, JSON and CSV, drawn, sent and accepted; the partner sees them beside its own."""
    assert pair.a.json("stats", "import", FOUNDING)["rows"] == 4
    found = pair.a.json("stats", *PERIOD)
    assert [(f["indicator"], f["value"], f["qualifier"]) for f in found["figures"]] == [
        ("DEPARTURES_DEFERRED", 5000, "GT"), ("PASSPORTS_DEFERRED", 303, "EQ"), ("VILLAGES_ACTIVE", 185, "EQ"),
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(pair.a.run("stats", *PERIOD, "-o", "csv").out)))
    assert (rows[0]["value"], rows[0]["qualifier"], rows[0]["to"]) == ("5000", "GT", "2025-04-30")
    assert "Press statement" in rows[1]["source"]
    table = pair.a.run("stats", *PERIOD, "--language", "id", "-o", "table").out
    assert ">5000" in table
    assert "Penerbitan paspor ditunda" in table
    chart, page = tmp_path / "chart.svg", tmp_path / "page.html"
    for file in (chart, page):
        pair.a.run("stats", "chart", str(file), *PERIOD, "--language", "km")
    assert chart.read_text("utf-8").startswith("<svg ")
    assert '<html lang="km">' in page.read_text("utf-8")

    dry = pair.a.json("stats", "send", *PERIOD, "--recipient", "kh.gdi", "--dry-run")
    assert dry["data"]["period"]["grain"] == "OTHER"
    extra = tmp_path / "extra.json"
    extra.write_text(json.dumps({"campaigns": [{"name": "Safe work abroad"}]}))
    sent = pair.a.json("stats", "send", *PERIOD, "--recipient", "kh.gdi", "--final", "--with", str(extra), "--wait")
    assert sent["state"] == "accepted"
    again = pair.a.run("stats", "send", *PERIOD, "--recipient", "kh.gdi", "--final", code=6)
    assert sent["id"] in again.fault
    assert "5000" in pair.b.run("stats", *PERIOD, "-o", "table").out


def test_what_stats_cannot_do_says_what_to_do(served: Home, tmp_path: Path) -> None:
    """Usage, a wrong file by row and column, a wrong suffix, an unknown import."""
    assert "--from" in served.run("stats", "--from", "2025-01", code=2).fault
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("indicator,from,to,value,source\nNOPE,2025-01,2025-01,x,a\n")
    told = served.run("stats", "import", str(wrong), code=1).err
    assert "/2/value" in told
    assert "/2/indicator" in told
    assert ".svg" in served.run("stats", "chart", "chart.png", *PERIOD, code=2).fault
    assert "gateway stats imports" in served.run("stats", "withdraw", "99", "--yes", code=5).fault
    nothing = served.run("stats", "send", "--from", "2019-01", "--to", "2019-01", "--recipient", "kh.gdi", code=5)
    assert "gateway stats import" in nothing.fault


def test_an_import_is_withdrawn(served: Home, tmp_path: Path) -> None:
    """Listed before and after; it counts no more; a period it lies partly in says that it is left out."""
    file = tmp_path / "figures.csv"
    file.write_text("indicator,from,to,value,source\nEXIT_PERMITS,2021-01,2021-06,1440,Registry\n")
    number = served.json("stats", "import", str(file))["import"]
    assert "left out: EXIT_PERMITS" in served.run("stats", "--from", "2021-01", "--to", "2021-03").err
    assert served.json("stats", "withdraw", str(number), "--yes")["withdrawn"] is True
    assert served.json("stats", "--from", "2021-01", "--to", "2021-06")["figures"] == []
    assert number in [row["import"] for row in served.json("stats", "imports")]


def test_a_case_is_found_by_a_name(pair: Pair) -> None:
    """In the other script too; the log has the search and not the name."""
    ref = pair.a.json("submit", "--wait", "schemas/examples/case.referral/s1-sumarni.json")["case"]
    assert ref in [row["case"] for row in pair.a.json("case", "list", "-q", "sumarni")]
    assert ref in [row["case"] for row in pair.b.json("case", "list", "-q", "ស៊ូម៉ារនី")]
    [entry] = pair.a.json("audit", "search", "--type", "case.searched", "--limit", "1")
    assert "sumarni" not in json.dumps(entry).lower()
