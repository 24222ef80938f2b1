"""Strict JSON: one reading of every document, or none (protocol.md §1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.primitives import strictjson
from tests.support import thirdparty

ROOT = Path(__file__).resolve().parents[2]
SUITE = thirdparty.JSON_SUITE.place
DUPLICATE_FILES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}

ACCEPTED = {
    "empty-object": (b"{}", {}),
    "members-keep-their-order": (b'{"b":1,"a":2}', {"b": 1, "a": 2}),
    "white-space-is-allowed": (b' { "a" : [ 1 , 2 ] }\n', {"a": [1, 2]}),
    "escapes-are-allowed": (b'"\\u0041\\n"', "A\n"),
    "pair-of-surrogates": (b'"\\ud83d\\ude00"', "\U0001f600"),
    "largest-integer": (b"[9007199254740991,-9007199254740991]", [2**53 - 1, -(2**53 - 1)]),
    "minus-zero-is-zero": (b"-0", 0),
    "literals": (b"[true,false,null]", [True, False, None]),
    "digits-and-dots-in-text": (
        b'{"a":"1.5,[1e16]","t":"02:00:05.000Z"}',
        {"a": "1.5,[1e16]", "t": "02:00:05.000Z"},
    ),
    "sixty-four-deep": (b"[" * 64 + b"]" * 64, None),
    "sixty-four-deep-with-space": (b" " + b"[" * 64 + b"]" * 64, None),
    "brackets-in-text-are-not-depth": (b'"' + b"[" * 100 + b'\\"' + b"{" * 100 + b'"', None),
    "many-brackets-side-by-side": (b"[" + b"[]," * 200 + b"[ ]]", None),
}

REFUSED = {
    "empty": (b"", "not JSON"),
    "byte-order-mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "duplicate-member": (b'{"a":1,"a":1}', "duplicate"),
    "duplicate-under-an-escape": (b'{"a":1,"\\u0061":2}', "duplicate"),
    "duplicate-far-inside": (b'[[{"x":{"a":1,"b":2,"a":3}}]]', "duplicate"),
    "nan": (b"[NaN]", "NaN"),
    "infinity": (b"[-Infinity]", "NaN"),
    "fraction": (b"[1.5]", "integer"),
    "fraction-that-is-whole": (b'{"a":1.0}', "integer"),
    "exponent": (b'{"a":1e16}', "integer"),
    "small-exponent": (b"[5e-324]", "integer"),
    "bare-fraction": (b"1.5", "integer"),
    "integer-too-big": (b"9007199254740992", "2^53"),
    "integer-too-small": (b"-9007199254740992", "2^53"),
    "integer-of-a-megabyte": (b"1" * 2**20, "2^53"),
    "lone-surrogate": (b'"\\ud800"', "surrogate"),
    "lone-surrogate-in-a-name": (b'{"\\udfff":1}', "surrogate"),
    "surrogate-in-utf-8": (b'"\xed\xa0\x80"', "UTF-8"),
    "not-utf-8": (b'"\xff"', "UTF-8"),
    "utf-16": ('{"a":1}'.encode("utf-16"), "UTF-8"),
    "too-many-values": (b"[" + b"[]," * 2**20 + b"[]]", "too many values"),
    "sixty-five-deep": (b"[" * 65 + b"]" * 65, "deep"),
    "sixty-five-deep-in-objects": (b'{"a":' * 65 + b"1" + b"}" * 65, "deep"),
    "sixty-five-deep-after-a-quote-in-text": (b'["\\"",' + b"[" * 64 + b"]" * 65, "deep"),
    "hundred-thousand-deep": (b"[" * 100_000, "deep"),
    "text-behind-it": (b"{}{}", "not JSON"),
    "comment": (b"{}/* */", "not JSON"),
    "raw-line-feed-in-text": (b'"\n"', "not JSON"),
    "leading-zero": (b"[01]", "not JSON"),
    "trailing-comma": (b"[1,]", "not JSON"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_strict_json_is_read(name: str) -> None:
    """Each document within the rule gives its one value."""
    raw, expected = ACCEPTED[name]
    found = strictjson.loads(raw)
    assert found == (json.loads(raw) if expected is None else expected)


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_with_a_plain_reason(name: str) -> None:
    """Each document outside the rule raises NotStrict naming the rule."""
    raw, reason = REFUSED[name]
    with pytest.raises(strictjson.NotStrict, match=reason.replace("^", r"\^")):
        strictjson.loads(raw)


def test_the_reason_never_quotes_the_document() -> None:
    """What a partner sent must not reach a log through an error text."""
    for name in ("duplicate-member", "fraction-that-is-whole", "sixty-five-deep-in-objects", "comment"):
        raw = REFUSED[name][0].replace(b"a", b"SECRET").replace(b"{}", b'{"SECRET":1}')
        with pytest.raises(strictjson.NotStrict) as fault:
            strictjson.loads(raw)
        assert "SECRET" not in str(fault.value)


def test_as_many_values_as_the_rule_allows_are_read() -> None:
    """The count is of commas and opening brackets, wherever they stand: one more is too many."""
    most = b"[" + b"1," * (strictjson.MAX_VALUES - 1) + b"1]"
    assert len(strictjson.loads(most)) == strictjson.MAX_VALUES
    with pytest.raises(strictjson.NotStrict, match="commas"):
        strictjson.loads(most.replace(b"1]", b"1,1]"))
    with pytest.raises(strictjson.NotStrict, match="commas"):
        strictjson.loads(b'"' + b"," * (strictjson.MAX_VALUES + 1) + b'"')


def test_a_smaller_depth_may_be_asked_for() -> None:
    """`max_depth` counts containers, the outermost being 1, on both ways of reading."""
    for raw in (b"[[]]", b"[ [] ]"):
        assert strictjson.loads(raw, max_depth=2) == [[]]
        with pytest.raises(strictjson.NotStrict):
            strictjson.loads(raw, max_depth=1)


def test_fractions_are_admitted_on_request_but_not_beyond_a_double() -> None:
    """`integers_only=False` is for documents that are not ours, such as a JSON test suite."""
    assert strictjson.loads(b"[1.5,1e2]", integers_only=False) == [1.5, 100.0]
    with pytest.raises(strictjson.NotStrict, match="double"):
        strictjson.loads(b"[1e999]", integers_only=False)


def test_dumps_is_compact_and_refuses_what_loads_refuses() -> None:
    """What we write, we read back; big integers and lone surrogates are not written."""
    assert strictjson.dumps({"a": [1, "\u1781"]}) == '{"a":[1,"\u1781"]}'.encode()
    for value in (2**53, "\ud800"):
        with pytest.raises(TypeError):
            strictjson.dumps(value)


def outcome(raw: bytes, *, slow: bool, integers_only: bool) -> str:
    """Return value or refusal as text, telling 1 from 1.0 and True."""
    try:
        if slow:
            return repr(strictjson._loads_slow(raw, max_depth=8, integers_only=integers_only))
        return repr(strictjson.loads(raw, max_depth=8, integers_only=integers_only))
    except strictjson.NotStrict:
        return "refused"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) - 2, 2**53 + 2)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "1.5", "1e16", '"', "\\", "[{", "\u2028", "\x7f", "\x00"])
)
NAMES = st.sampled_from(["a", "b", "\udc00", ""]) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw JSON text in one of several spellings, sometimes deep, doubled or bent."""
    value: Any = draw(VALUES)
    for _ in range(draw(st.integers(0, 9))):
        value = [value] if draw(st.booleans()) else {"a": value}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=separators)
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw(st.booleans()):
        raw = raw.replace(b'"b":', b'"a":')
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=2)):
        if place < len(raw):
            raw[place] = byte
    return bytes(raw)


@settings(deadline=None, max_examples=600)
@given(documents() | st.binary(max_size=40), st.booleans())
@example(b"[1e16]", True)
@example(b'{"a":5e-324}', True)
@example(b"18446744073709551616", True)
@example(b"[-0]", True)
@example(b"[[[[[[[[[]]]]]]]]]", True)
def test_the_fast_way_and_the_rule_never_differ(raw: bytes, integers_only: bool) -> None:
    """Any bytes: same value or both refuse. A difference would be two readings of one message."""
    assert outcome(raw, slow=False, integers_only=integers_only) == outcome(raw, slow=True, integers_only=integers_only)


@settings(deadline=None, max_examples=200)
@given(VALUES.filter(lambda value: "nan" not in repr(value) and "inf" not in repr(value)))
def test_what_the_fast_way_reads_is_what_was_written(value: Any) -> None:
    """Writer and reader agree on every value that both admit (floats apart: the wire has none)."""
    try:
        raw = strictjson.dumps(value)
        found = strictjson.loads(raw)
    except (TypeError, strictjson.NotStrict):
        return
    assert found == value
    assert orjson.dumps(found) == raw


if SUITE.is_dir():

    @pytest.mark.parametrize("path", sorted(SUITE.glob("*.json")), ids=lambda path: path.stem)
    def test_json_test_suite(path: Path) -> None:
        """n_ refused; y_ read, save the two with duplicate members; i_ one or the other, no crash."""
        try:
            strictjson.loads(path.read_bytes(), integers_only=False)
            read = True
        except strictjson.NotStrict:
            read = False
        if not path.name.startswith("i_"):
            assert read == (path.name.startswith("y_") and path.name not in DUPLICATE_FILES)

    def test_json_test_suite_is_whole() -> None:
        """The folder holds 95 y, 188 n and 35 i: an emptied folder must not pass."""
        counts = [len(list(SUITE.glob(f"{letter}_*.json"))) for letter in "yni"]
        assert counts == [95, 188, 35]
