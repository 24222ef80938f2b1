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


def test_a_digest_is_found_as_it_is() -> None:
    """One in sixty-four begins with a minus, and calls nothing: an auditor searches for it byte by byte."""
    digest = "-" + "aZ9_-7" * 7
    assert csv_text([(digest,)]) == f"{digest}\r\n"
    for near in (digest[:-1], digest + "x", digest[:-1] + "(", "+" + digest[1:]):
        assert csv_text([(near,)]) == f"'{near}\r\n"
