"""What a stranger wrote steers no screen: found, written out, and otherwise left as it is."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.primitives.visible import LINES, deceives, escape, in_json, visible

HARMFUL = [
    *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u00ad", "\u061c", "\u200e", "\u200f", "\u2028", "\u2029",
    *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2060, 0x206A)), "\ufeff", "\U000e0041", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("character", HARMFUL, ids=ascii)
def test_each_of_these_is_found_and_written_out(character: str) -> None:
    """C0, C1, bidi, line separators, what has no width, tags and halves of a character."""
    text = f"Agency{character}[31m"
    assert deceives(text)
    shown = visible(text)
    assert shown.isprintable()
    assert shown.startswith("Agency\\")
    assert escape(text) == (text if character in LINES else shown)
    assert json.loads(in_json(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    "text",
    [
        "អន្តោប្រវេសន៍\u200bកម្ពុជា", "\u200bកម្ពុជា", "നന്\u200dമ", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "Direktorat Jenderal Imigrasi", "Ünïcödé", "สำนักงาน\u200bตรวจคนเข้าเมือง",
    ],
)  # fmt: skip
def test_honest_writing_is_left_alone(text: str) -> None:
    """Khmer and Thai break lines with a space without width, other scripts join with one."""
    assert not deceives(text)
    assert visible(text) == in_json(text) == text


def test_what_has_no_width_deceives_between_latin_letters() -> None:
    """Two names that look like one."""
    for hidden in "\u200b\u200c\u200d":
        assert visible(f"Imi{hidden}grasi") == f"Imi\\u{ord(hidden):04x}grasi"


@given(st.text())
def test_what_is_shown_holds_nothing_that_steers(text: str) -> None:
    """Whatever comes: no control, format or separator is left but the spaces that scripts need."""
    left = {c for c in visible(text) if unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"}}
    assert left == set()
    assert not deceives(visible(text))
