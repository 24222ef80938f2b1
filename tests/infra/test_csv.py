"""Tables for spreadsheets: read back as written, and nothing in them runs."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.primitives.table import csv_text, inert, plain_cell


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
    assert shown == ["'=1+1", "'+1", "'-1", "'@x", "'\t'=1", "'\r'=1"]
    assert csv_text([(-1,)]) == "-1\r\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "cell",
    [
        "Agency;=cmd|' /C calc'!A0", "a,=1", "a|+1", "a\t-1", "a\n@x", "a; =1", 'a;"=1', "a\uff1b\uff1d1", "\uff0b1",
        "\uff0d1", "\uff20x", "a;;=1", "a;'=1", ";=1", " =1",
    ],
)  # fmt: skip
def test_no_cell_holds_a_formula_behind_any_separator(cell: str, separator: str) -> None:
    """Where the list separator is another, a spreadsheet cuts inside the quotes: what it finds there is text too."""
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        text = csv_text([("first", cell, "last")])
        for line in csv.reader(io.StringIO(text), delimiter=separator, quoting=quoting):
            for found in line:
                assert not found.lstrip(' "\u00a0').startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")), text


@given(st.text(alphabet="=+-@',;|\t\n\r \uff1d\uff1b\"a1", max_size=12))
def test_what_goes_out_comes_in_again(text: str) -> None:
    """Marked and taken back: the same, whatever apostrophes stood there before."""
    assert plain_cell(inert(text)) == text


def test_all_text_is_quoted_and_numbers_are_numbers() -> None:
    """So no separator, whichever it is, ends a text."""
    assert csv_text([("a", 7, None, True, 1.5)]) == '"a",7,"","True",1.5\r\n'


def test_what_steers_a_terminal_is_written_out() -> None:
    """A table may be shown before it is opened."""
    assert csv_text([("a\x1b[31m\u202e\nb",)]) == '"a\\x1b[31m\\u202e\nb"\r\n'


def test_a_digest_is_found_as_it_is() -> None:
    """One in sixty-four begins with a minus, and calls nothing: an auditor searches for it byte by byte."""
    digest = "-" + "aZ9_-7" * 7
    assert csv_text([(digest,)]) == f'"{digest}"\r\n'
    for near in (digest[:-1], digest + "x", digest[:-1] + "(", "+" + digest[1:]):
        assert csv_text([(near,)]) == f'"\'{near}"\r\n'
