"""Tables for spreadsheets: read back as written, and nothing in them runs."""

from __future__ import annotations

import csv
import io

from gateway.primitives.table import csv_text


def test_a_table_is_read_back_as_it_was_written() -> None:
    """Commas, quotes, line ends, Khmer and nothing at all."""
    rows = [("a", "b"), ("x,y", 'say "no"'), ("one\ntwo", None), (7, "អន្តោប្រវេសន៍")]
    assert list(csv.reader(io.StringIO(csv_text(rows)))) == [
        ["a", "b"], ["x,y", 'say "no"'], ["one\ntwo", ""], ["7", "អន្តោប្រវេសន៍"],
    ]  # fmt: skip


def test_no_cell_is_a_formula() -> None:
    """What a stranger wrote must not run on an auditor's machine; a negative number stays one."""
    cells = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"]
    [shown] = csv.reader(io.StringIO(csv_text([cells])))
    assert shown == ["'" + cell for cell in cells]
    assert csv_text([(-1,)]) == "-1\r\n"
