"""Rows as CSV: out and in again the same, and every fault named by line and column."""

from __future__ import annotations

import csv
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from gateway.casework import tabular
from gateway.errors import FINDINGS_MOST, Finding, capped
from tests.casework.casefile import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = json.loads((SCHEMAS / "identity.verify.request/1.0.0.json").read_bytes())
GROUP = json.loads((SCHEMAS / "examples/identity.verify.request/s2-group-of-thirty.json").read_bytes())["data"]["items"]
HEAD = "itemId,person.sex,person.names.0.fullName,person.names.1.fullName"


def read(text: str) -> tabular.Table:
    """Read CSV that can be read."""
    found = tabular.read(REQUEST, "items", text, lambda: "P-new")
    assert isinstance(found, tabular.Table), found
    return found


def test_a_group_goes_out_and_comes_back_the_same() -> None:
    """Thirty persons, types, lists and both nationalities of one included."""
    assert read(tabular.write(REQUEST, "items", GROUP)).rows == GROUP


@pytest.mark.parametrize(("subject", "key"), tabular.ROWS.items())
def test_each_template_can_be_read_and_has_what_its_rows_must_have(subject: str, key: str) -> None:
    """The first line of a template is a CSV without rows; the row's own required members are among its columns."""
    schema = json.loads((SCHEMAS / subject / "1.0.0.json").read_bytes())
    text = tabular.template(schema, key)
    found = tabular.read(schema, key, text, lambda: "P-new")
    assert isinstance(found, tabular.Table)
    assert found.rows == []
    assert {"itemId"} <= {name.partition(".")[0] for name in next(csv.reader([text.strip()]))}


def test_the_values_of_a_row_are_typed_by_the_schema() -> None:
    """Numbers, truth values and lists; what is none of its type stays a text, for the schema to refuse."""
    table = read(
        "person.birth.ageStated,person.birth.assessedRange,person.protectionScreened,person.riskFlags\r\n"
        "16,15|19,yes,MINOR|RETALIATION\r\nsixteen,15|x,perhaps,\r\n"
    )
    first, second = (row["person"] for row in table.rows)
    assert first["birth"] == {"ageStated": 16, "assessedRange": [15, 19]}
    assert (first["protectionScreened"], first["riskFlags"]) == (True, ["MINOR", "RETALIATION"])
    assert second["birth"] == {"ageStated": "sixteen", "assessedRange": [15, "x"]}
    assert second["protectionScreened"] == "perhaps"


def test_what_officers_leave_out_is_filled_in() -> None:
    """Rows are numbered, new persons get a reference, empty lines and a byte order mark are nothing; `;` will do."""
    table = read("\ufeffperson.sex;notes\n F ;\n\n;;\nM;a note\n")
    assert [(row["itemId"], row["person"]) for row in table.rows] == [
        ("1", {"sex": "F", "personRef": "P-new"}), ("2", {"sex": "M", "personRef": "P-new"}),
    ]  # fmt: skip
    assert table.lines == (2, 5)


@pytest.mark.parametrize(
    ("pointer", "said"),
    [
        ("/data/items/1/person/sex", "line 3, column person.sex: x"),
        ("/data/items/1/person/names/0/fullName", "line 3, column person.names.1.fullName: x"),
        ("/data/items/1/person/names", "line 3, column person.names.1.fullName: x"),
        ("/data/items/1/notes", "line 3: x"),
        ("/data/items/7/notes", "x"),
        ("/data/items", "x"),
        ("/handling", "x"),
    ],
)
def test_a_fault_is_found_in_the_sheet(pointer: str, said: str) -> None:
    """By line and column, though an empty slot closed up; a fault of the whole is left as it is."""
    table = read(f"{HEAD}\nA,F,AGUS CONTOH,\nB,M,,\u179f\u17bb\u1781\n")
    assert table.located(Finding(pointer, "x", "E-DATE")) == Finding(pointer, said, "E-DATE")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no line with the names of the columns"),
        ("itemId,SUMARNI\n1,x\n", "line 1: column 2 is none of this type; see its template"),
        ("itemId,itemId\n", "line 1: column 2 stands twice"),
        ("itemId\n1,2\n", "line 2: more cells than columns"),
        ('itemId\n"1\n', "line 2: not CSV (RFC 4180)"),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(text: str, reason: str) -> None:
    """Named by line; a heading that is none is not repeated, it may be somebody's name."""
    assert tabular.read(REQUEST, "items", text, str) == (Finding("/rows", reason, "E-SCHEMA"),)


def test_too_much_is_refused_by_size() -> None:
    """Lines and bytes beyond any manifest: E-SIZE, before rows are built."""
    for text in ("itemId\n" + "x\n" * 10_001, "itemId\n" + "x" * (8 * 1024 * 1024)):
        [found] = tabular.read(REQUEST, "items", text, str)  # type: ignore[misc]
        assert isinstance(found, Finding)
        assert found.code == "E-SIZE"


@pytest.mark.parametrize("note", ["=cmd|' /C calc'!A0", "+62", "-1", "@SUM(A1)"])
def test_no_spreadsheet_runs_what_a_partner_wrote(note: str) -> None:
    """A cell that would be a formula is marked as text, and read back as it was."""
    rows: list[dict[str, Any]] = [{"itemId": "1", "notes": note}]
    text = tabular.write(REQUEST, "items", rows)
    assert "'" + note in text
    assert read(text).rows == rows


@pytest.mark.parametrize(
    ("what", "text", "code"),
    [
        ("a line of separators", ";" * 8_000_000, "E-SIZE"),
        ("a row of them over many lines", "itemId\n" + '"\n",' * 500_000, "E-SIZE"),
        ("a line of them behind a good one", "itemId;notes\n1;" + ";" * 4_000_000, "E-SIZE"),
        ("many columns nobody knows", ",".join(f"c{n}" for n in range(900)), "E-SCHEMA"),
        ("more rows than a message has", "itemId\n" + "1\n" * 2_000_000, "E-SIZE"),
    ],
)
def test_a_sheet_is_refused_before_it_costs_anything(what: str, text: str, code: str) -> None:
    """Eight megabytes of separators were eight million findings: 5 GiB and a minute."""
    tracemalloc.start()
    try:
        found = tabular.read(REQUEST, "items", text, lambda: "P-new")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(found, tuple), what
    assert {finding.code for finding in found} == {code}
    assert len(found) <= FINDINGS_MOST + 1
    assert peak < 8 * len(text) + 2_000_000, "copies of the text, and little beside"


def test_findings_are_capped_and_said_to_be() -> None:
    """The rest is not made: whoever mends those asks again."""
    made = []

    def endless() -> Iterator[Finding]:
        while True:
            made.append(1)
            yield Finding("/x", "is wrong", "E-SCHEMA")

    found = capped(endless(), 5)
    assert (len(found), len(made)) == (6, 6)
    assert found[-1].reason == "there are more than 5 faults: these are the first"
