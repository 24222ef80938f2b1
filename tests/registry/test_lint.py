"""What may not be registered: one row per way to harm whoever compiles or validates."""

from __future__ import annotations

import json
import re
import time
from random import Random
from typing import Any

import pytest

from gateway import errors
from gateway.registry.lint import MAX_SCHEMA_BYTES, advise, lint
from gateway.registry.patterns import PatternRefused, check_pattern
from gateway.registry.subject import load_schema
from tests.registry.crowded import spread_patterns
from tests.support.pace import bound

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def ladder(steps: int, rung: Any) -> dict[str, Any]:
    """Return definitions that each use the next one as `rung` tells."""
    defs = {f"d{i}": rung({"$ref": f"#/$defs/d{i + 1}"}) for i in range(steps)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{steps}": {"type": "string"}}}


def loop(node: Any) -> dict[str, Any]:
    """Return a schema whose definition `a` is `node`."""
    return {"$ref": "#/$defs/a", "$defs": {"a": node, "b": {"properties": {"x": {"$ref": "#/$defs/a"}}}}}


A: dict[str, Any] = {"$ref": "#/$defs/a"}

REFUSED: list[tuple[Any, str, str]] = [
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "schema-dialect"),
    ({"$schema": 7}, "/$schema", "schema-dialect"),
    ({"$ref": "file:///etc/passwd"}, "/$ref", "schema-ref"),
    ({"$ref": "https://example.org/a.json"}, "/$ref", "schema-ref"),
    ({"items": {"$ref": "other.json#/a"}}, "/items/$ref", "schema-ref"),
    ({"$ref": "#anchor"}, "/$ref", "schema-ref"),
    ({"$ref": "#/$defs/a%20b", "$defs": {"a%20b": True}}, "/$ref", "schema-ref"),
    ({"$ref": 3}, "/$ref", "schema-ref"),
    ({"$ref": "#/$defs/none"}, "/$ref", "schema-ref"),
    ({"properties": {"a": {"$ref": "#/required"}}, "required": ["a"]}, "/properties/a/$ref", "schema-ref"),
    ({"properties": {"a": {"$id": "urn:x", "type": "string"}}}, "/properties/a/$id", "schema-keyword"),
    ({"definitions": {}}, "/definitions", "schema-keyword"),
    ({"dependencies": {}}, "/dependencies", "schema-keyword"),
    ({"$dynamicRef": "#a"}, "/$dynamicRef", "schema-keyword"),
    ({"$anchor": "a"}, "/$anchor", "schema-keyword"),
    ({"allOf": [{"minLenght": 3}]}, "/allOf/0/minLenght", "schema-keyword"),
    ({"properties": {"a/b": {"$vocabulary": {}}}}, "/properties/a~1b/$vocabulary", "schema-keyword"),
    ({"properties": {"a": 3}}, "/properties/a", "schema-form"),
    ({"type": "strng"}, "/type", "schema-form"),
    ({"minimum": "1"}, "/minimum", "schema-form"),
    ({"required": "a"}, "/required", "schema-form"),
    ({"properties": []}, "/properties", "schema-form"),
    ({"pattern": 7}, "/pattern", "schema-form"),
    ({"pattern": "\\d"}, "/pattern", "schema-pattern"),
    ({"patternProperties": {"^(a+)+$": True}}, "/patternProperties/^(a+)+$", "schema-pattern"),
    ({"x-codelist": "port"}, "/x-codelist", "schema-codelist"),
    ({"x-codelist": "port@1.0.0", "type": "integer"}, "/x-codelist", "schema-codelist"),
    ({"x-refusal": "bad luck"}, "/x-refusal", "schema-refusal"),
    ({"$ref": "#"}, "", "schema-loop"),
    (loop({"allOf": [{"anyOf": [A]}]}), "/$defs/a", "schema-loop"),
    (loop({"not": A}), "/$defs/a", "schema-loop"),
    (ladder(30, lambda r: {"allOf": [r, r]}), "", "schema-size"),
    (ladder(30, lambda r: {"properties": {"x": r}, "patternProperties": {"^x": r}}), "", "schema-size"),
    (loop({"allOf": [{"properties": {"x": A}}, {"properties": {"x": A}}]}), "/$defs/a", "schema-loop"),
    (loop({"properties": {"x": A}, "patternProperties": {"^x": A}}), "/$defs/a", "schema-loop"),
    (loop({"items": A, "contains": A}), "/$defs/a", "schema-loop"),
    (loop({"allOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/b"}]}), "/$defs/a", "schema-loop"),
    (loop({"anyOf": [{"properties": {"x": A}}, {"additionalProperties": A}]}), "/$defs/a", "schema-loop"),
    ({"items": {"anyOf": [{"const": i} for i in range(300)]}}, "/items", "schema-size"),
    ({"items": {"enum": [{"k": i} for i in range(300)]}}, "/items", "schema-size"),
    ({"additionalProperties": {"required": [f"k{i}" for i in range(300)]}}, "/additionalProperties", "schema-size"),
    ({"allOf": [{"contains": {"const": i}} for i in range(300)]}, "/allOf/0/contains", "schema-size"),
    ({"patternProperties": {f"^k{i}": True for i in range(300)}}, "/patternProperties/^k0", "schema-size"),
    ({"allOf": [{"items": {"allOf": [{"minLength": i} for i in range(20)]}}] * 20}, "/allOf/0/items", "schema-size"),
    ({"properties": {"a": {"allOf": [{"pattern": f"^a.*{i}$"} for i in range(300)]}}}, "/properties/a", "schema-size"),
    ({"allOf": [{"uniqueItems": True}] * 300}, "", "schema-size"),
    ({"items": {"required": 7, "enum": 7, "patternProperties": 7}}, "/items/patternProperties", "schema-form"),
]

TAKEN: list[Any] = [
    {},
    {
        "$schema": DIALECT,
        "title": "t",
        "description": "d",
        "examples": [1],
        "x-anything": {"$ref": "not a schema"},
    },
    {"const": {"$ref": "file:///etc/passwd"}, "enum": [{"$ref": "x"}], "default": {"definitions": 1}},
    {"properties": {"$ref": {"type": "string"}, "definitions": True, "pattern": {"pattern": "^[0-9]$"}}},
    loop({"properties": {"left": A, "right": A, "list": {"type": "array", "items": A}}}),
    loop({"properties": {"x": A}, "additionalProperties": A}),
    loop({"prefixItems": [A, A], "items": A}),
    loop({"anyOf": [{"type": "string"}, {"properties": {"and": {"items": A}, "or": {"items": A}}}]}),
    {"type": "string", "format": "email"},
    {"multipleOf": 0.01},
    ladder(10, lambda r: {"properties": {"x": r, "y": r}}),
    {"oneOf": [{"properties": {"k": {"const": i}}} for i in range(300)]},
    {"items": {"enum": [f"code {i}" for i in range(5000)]}},
    {"items": {"properties": {f"p{i}": {"type": "string"} for i in range(1000)}}},
]


def load(document: Any) -> Any:
    """Load a document as if it were posted."""
    return load_schema(json.dumps(document).encode(), subject="a.b", version="1.0.0")


@pytest.mark.parametrize(("document", "pointer", "code"), REFUSED)
def test_harmful_schemas_are_refused_at_their_pointer(document: Any, pointer: str, code: str) -> None:
    """Each is refused within a tenth of a second, with one pointer and one rule."""
    start = time.process_time()
    with pytest.raises(errors.MalformedRequest) as caught:
        load(document)
    assert time.process_time() - start < bound(0.1)
    assert (pointer, code) in [(f.pointer, f.code) for f in caught.value.errors]


@pytest.mark.parametrize("reference", ["other/properties/a", "file:///properties/a", "http://h/properties/a"])
def test_a_reference_outside_is_told_apart_from_one_that_misses(reference: str) -> None:
    """Even where the words after the first slash would hit something inside, it is refused as leading out."""
    with pytest.raises(errors.MalformedRequest) as caught:
        load({"properties": {"a": True, "b": {"$ref": reference}}})
    assert [f.reason for f in caught.value.errors] == ["refers outside the schema; only #/… is allowed"]


@pytest.mark.parametrize("document", TAKEN)
def test_honest_schemas_are_taken(document: Any) -> None:
    """What looks like a keyword inside data and names is none; recursion down the data is fine."""
    assert load(document).document == document


@pytest.mark.usefixtures("own_heap")
def test_a_poison_schema_is_refused_within_a_tenth_of_a_second() -> None:
    """30 MB, 10,000 levels, and as many subschemas as fit the size."""
    many = json.dumps({"properties": {f"p{i}": True for i in range(40_000)}}).encode()
    bombs = [
        b'{"x-a":"' + b"a" * 30_000_000 + b'"}',
        b'{"items":' * 10_000 + b"true" + b"}" * 10_000,
        b'{"x-a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        many,
    ]
    assert len(many) < MAX_SCHEMA_BYTES
    for bomb in bombs:
        start = time.process_time()
        with pytest.raises(errors.RequestError):
            load_schema(bomb, subject="a.b", version="1.0.0")
        assert time.process_time() - start < bound(0.1)


def test_findings_are_capped() -> None:
    """A thousand faults are not a thousand lines."""
    assert 100 <= len(lint({"properties": {f"p{i}": {"bad": 1} for i in range(1000)}})) < 110


def test_advice_names_unbounded_text_and_unchecked_formats() -> None:
    """Advice refuses nothing; bounded, coded or closed fields get none."""
    document = {
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "c": {"type": "string", "format": "email", "maxLength": 9},
            "d": {"type": "string", "format": "date"},
            "e": {"type": "string", "x-codelist": "port@1.0.0"},
            "f": {"type": ["array", "null"], "maxItems": 3, "items": True},
        }
    }
    found = [(finding.pointer, finding.code) for finding in advise(document)]
    assert [row for row in found if row[1] != "advice-sensitivity"] == [
        ("/properties/a", "advice-bound"),
        ("/properties/b", "advice-bound"),
        ("/properties/c/format", "advice-format"),
    ]
    assert lint(document) == ()


GOOD_PATTERNS = [
    "^[a-z]+(?:\\.[a-z]+){1,2}$",
    "^[A-Z]+(?:[ '-][A-Z]+)*$",
    "^([0-9]{2}){3}$",
    "^[A-Z0-9<]{44}$",
    "^XC-(ID|KH)-[0-9]{4}-[0-9]{6}-[0-9A-Z]$",
    "^-?(?:0|[1-9][0-9]{0,8})(?:\\.[0-9]{1,6})?$",
    "^(?:[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?)$",
    "[\u1780-\u17ff]+",
    "^[\\u1780-\\u17FF]+$",
    "^[^\u0000-\u001f]{1,200}$",
    "^.*a.*$",
    "^[A-Z]+-[A-Z]+-[A-Z]+-[A-Z]+-[A-Z]+$",
    "^[a-z\\-]{1,3}|x$",
    "^[+-]?\\$\\{\\}$",
    "",
]

BAD_PATTERNS = [
    ("\\d+", "engines read differently"),
    ("[\\w]", "engines read differently"),
    ("a\\sb", "engines read differently"),
    ("\\D", "engines read differently"),
    ("\\bword", "boundaries"),
    ("(a)\\1", "back-references"),
    ("\\p{L}", "properties"),
    ("\\q", "outside the common core"),
    ("\\u12", "outside the common core"),
    ("\\", "outside the common core"),
    ("^(?=x)", "look-around"),
    ("(?<n>a)", "look-around"),
    ("(?i)a", "flags"),
    ("^(a+)+$", "two ways"),
    ("(a|a)*", "two ways"),
    ("(a|aa)+", "two ways"),
    ("(?:[A-Z]{1,40} ?){1,5}", "two ways"),
    ("(,? ?[a-z]+)*", "two ways"),
    ("(a|b|ab){2}", "two ways"),
    ("(a*)*", "can be empty"),
    ("(a?){50}", "can be empty"),
    ("(|a)+", "can be empty"),
    ("a*a*a*a*a*", "too many long repeats"),
    ("((a{0,100}){0,100}){0,100}", "10000 times"),
    ("a{0,99}b|a{0,99}b|a{0,99}b|a{0,99}b", "too many long repeats"),
    ("x{1,99999}", "10000 times"),
    ("a**", "directly after a repeat"),
    ("a+?", "directly after a repeat"),
    ("*a", "escaped"),
    ("a{,3}", "no count"),
    ("a{3", "no count"),
    ("a{3,1}", "backwards"),
    ("[z-a]", "backwards"),
    ("[a", "does not end"),
    ("[]", "empty set"),
    ("[a&&b]", "set operations"),
    ("(a", "without its"),
    ("a)", "without its"),
    ("(" * 20 + "a" + ")" * 20, "deeper"),
    ("a" * 600, "longer"),
    ("(" + "|".join(f"a{i}" for i in range(100)) + ")*", "proved safe"),
]


@pytest.mark.parametrize("pattern", GOOD_PATTERNS)
def test_patterns_of_the_common_core_are_taken(pattern: str) -> None:
    """What catalogue fields need stays allowed, and both engines compile it."""
    check_pattern(pattern)
    re.compile(pattern)
    load({"pattern": pattern})


@pytest.mark.parametrize(("pattern", "words"), BAD_PATTERNS)
def test_patterns_that_hurt_some_engine_are_refused(pattern: str, words: str) -> None:
    """Each says why, within a tenth of a second."""
    start = time.process_time()
    with pytest.raises(PatternRefused, match=re.escape(words)):
        check_pattern(pattern)
    assert time.process_time() - start < bound(0.1)


def _random_pattern(rng: Random, depth: int) -> str:
    pick = rng.random()
    if depth == 0 or pick < 0.3:
        return rng.choice(["a", "b", "[ab]", ".", "-"])
    if pick < 0.5:
        return _random_pattern(rng, depth - 1) + _random_pattern(rng, depth - 1)
    if pick < 0.65:
        return f"({_random_pattern(rng, depth - 1)}|{_random_pattern(rng, depth - 1)})"
    return f"(?:{_random_pattern(rng, depth - 1)})" + rng.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}", "{0,30}"])


def test_what_is_taken_is_quick_in_an_engine_that_backtracks() -> None:
    """Random patterns that pass are run by Python's backtracking engine on text that nearly matches."""
    rng = Random(11)
    taken = 0
    for _ in range(600):
        pattern = f"^{_random_pattern(rng, 4)}$"
        try:
            check_pattern(pattern)
        except PatternRefused:
            continue
        taken += 1
        compiled = re.compile(pattern)
        start = time.process_time()
        for text in ("a" * 26, "ab" * 13, "a-" * 13, "b" * 26, "aab" * 9):
            compiled.match(text + "!")
        assert time.process_time() - start < bound(0.1), pattern
    assert taken > 200


@pytest.mark.parametrize(
    ("what", "document", "words"),
    [
        ("many pattern properties", spread_patterns(15_000),
         "its patterns have over 40000 steps, counts written out"),
        ("many patterns that are short", {"patternProperties": {f"^a{n}$": True for n in range(15_000)}},
         "has more than 1000 patterns"),
        ("few of many steps", {"patternProperties": {f"^a{n}.{{1,99}}$": True for n in range(200)}},
         "its patterns have over 40000 steps, counts written out"),
        ("many values that are objects", {"enum": [{"a": n} for n in range(40_000)]},
         "has more than 30000 objects and lists"),
    ],
)  # fmt: skip
def test_what_an_engine_would_build_is_counted_first(what: str, document: dict[str, Any], words: str) -> None:
    """15,000 pattern properties took 28 s and 4 GiB to compile."""
    began = time.process_time()
    assert [(f.reason, f.code) for f in lint(document)] == [(words, "schema-size")], what
    assert time.process_time() - began < bound(2)


def test_one_pattern_many_times_is_one_pattern() -> None:
    """An engine builds it once."""
    assert lint({"properties": {f"a{n}": {"pattern": "^[a-z]{1,99}$"} for n in range(2000)}}) == ()
