"""Data under a schema: codes, pointers and words of every refusal, and no word of the data in any."""

from __future__ import annotations

import copy
import json
import time
from random import Random
from typing import Any

import jsonschema
import pytest

from gateway import errors
from gateway.registry.subject import load_schema
from gateway.registry.validation import Validator, compile_schema
from tests.registry import generators
from tests.support.pace import bound

LISTS = {"port@1.0.0": {"ID-BTH": 1, "KH-KTI": 2}}
NAME = {
    "type": "object",
    "properties": {
        "full": {"type": "string", "minLength": 2, "maxLength": 20},
        "script": {"enum": ["Latn", "Khmr"]},
    },
    "required": ["full"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "port": {"type": "string", "x-codelist": "port@1.0.0"},
        "ports": {"type": "array", "x-codelist": "port@1.0.0"},
        "maybePort": {"type": ["string", "null"], "x-codelist": "port@1.0.0"},
        "noted": {"type": "string", "x-codelist": "port@1.0.0", "x-refusal": "E-PORT"},
        "phone": {"$ref": "#/$defs/phone"},
        "name": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/name"}]},
        "either": {"anyOf": [{"enum": ["A"]}, {"enum": ["B"]}]},
        "shape": {
            "oneOf": [
                {"properties": {"t": {"const": "a"}, "v": {"type": "integer"}}, "required": ["t", "v"]},
                {"properties": {"t": {"const": "b"}, "w": {"type": "integer"}}, "required": ["t", "w"]},
            ]
        },
        "rows": {"type": "array", "maxItems": 3, "x-refusal": "E-SIZE", "items": {"$ref": "#/$defs/name"}},
        "byName": {"type": "object", "additionalProperties": {"type": "integer"}},
        "byPattern": {"type": "object", "patternProperties": {"^[A-Z ]+$": {"type": "integer"}}},
        "keys": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}},
        "born": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "ref": {"type": "string", "format": "uuid"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "minor": {"type": "boolean"},
        "guardian": NAME,
        "enum": False,
        "safe": {"const": True},
        "kind": {"const": "A"},
        "tags": {"type": "array", "uniqueItems": True, "contains": {"const": "x"}},
    },
    "additionalProperties": False,
    "dependentRequired": {"count": ["ref"]},
    "allOf": [
        {
            "if": {"properties": {"minor": {"const": True}}, "required": ["minor"]},
            "then": {
                "x-refusal": "E-MINOR",
                "required": ["guardian"],
                "properties": {"guardian": {"required": ["script"]}},
            },
        }
    ],
    "$defs": {
        "name": NAME,
        "phone": {"type": "string", "pattern": "^\\+[0-9]{8,15}$", "x-refusal": "E-PHONE"},
    },
}


def validator(schema: dict[str, Any] = SCHEMA, lists: Any = LISTS) -> Validator:
    """Return a validator of a registrable schema."""
    return Validator(load_schema(json.dumps(schema).encode(), subject="a.b", version="1.0.0"), lists)


UUID = "0190a0b0-0000-7000-8000-000000000000"

ACCEPTED: list[Any] = [
    {},
    {"port": "ID-BTH", "ports": ["KH-KTI"], "maybePort": None, "noted": "ID-BTH"},
    {"name": None},
    {"name": {"full": "សុខ", "script": "Khmr"}},
    {"shape": {"t": "b", "w": 1}},
    {"byName": {"SITI": 3}, "keys": {"ab": 1}},
    {"born": "2024-02-29", "at": "2026-01-01T00:00:00+07:00", "ref": UUID},
    {"minor": True, "guardian": {"full": "AB", "script": "Latn"}},
    {"minor": False},
]

REFUSED: list[tuple[Any, list[tuple[str, str, str]]]] = [
    ([], [("", "E-SCHEMA", "an object")]),
    ({"port": "XX"}, [("/port", "E-CODE", "port@1.0.0")]),
    ({"port": 3}, [("/port", "E-SCHEMA", "text")]),
    ({"ports": ["ID-BTH", "XX"]}, [("/ports/1", "E-CODE", "port@1.0.0")]),
    ({"maybePort": "XX"}, [("/maybePort", "E-CODE", "port@1.0.0")]),
    ({"noted": "XX"}, [("/noted", "E-PORT", "port@1.0.0")]),
    ({"phone": "0812"}, [("/phone", "E-PHONE", "pattern")]),
    ({"name": {"full": "x"}}, [("/name/full", "E-SCHEMA", "at least 2")]),
    (
        {"name": {"script": "Cyrl"}},
        [("/name", "E-SCHEMA", "lacks"), ("/name/script", "E-CODE", "Latn, Khmr")],
    ),
    ({"name": 7}, [("/name", "E-SCHEMA", "none of the forms")]),
    ({"either": "C"}, [("/either", "E-CODE", "none of the forms")]),
    ({"shape": {"t": "a", "v": "x"}}, [("/shape/v", "E-SCHEMA", "whole number")]),
    ({"shape": {"t": "z"}}, [("/shape", "E-SCHEMA", "exactly one")]),
    ({"rows": [{"full": "AB"}] * 4}, [("/rows", "E-SIZE", "at most 3")]),
    ({"rows": [{"full": "AB"}, {"full": 1}]}, [("/rows/1/full", "E-SCHEMA", "text")]),
    (
        {"byName": {"SITI AMINAH": "x"}},
        [("/byName", "E-SCHEMA", "one of its members must be a whole number")],
    ),
    ({"byPattern": {"SITI AMINAH": "x"}}, [("/byPattern", "E-SCHEMA", "one of its members must be")]),
    ({"keys": {"SITI": 1}}, [("/keys", "E-SCHEMA", "name is not allowed")]),
    ({"born": "2026-02-30"}, [("/born", "E-SCHEMA", "calendar date")]),
    ({"at": "2026-01-01T00:00:00"}, [("/at", "E-SCHEMA", "RFC 3339")]),
    ({"ref": "x"}, [("/ref", "E-SCHEMA", "UUID")]),
    ({"count": 10, "ref": UUID}, [("/count", "E-SCHEMA", "at most 9")]),
    ({"count": 1.5, "ref": UUID}, [("/count", "E-SCHEMA", "whole number")]),
    ({"count": 1}, [("", "E-SCHEMA", "lacks the member `ref`")]),
    ({"minor": True}, [("", "E-MINOR", "lacks the member `guardian`")]),
    ({"minor": True, "guardian": {"full": "AB"}}, [("/guardian", "E-MINOR", "lacks the member `script`")]),
    ({"safe": False}, [("/safe", "E-SCHEMA", "must be true")]),
    ({"kind": "B"}, [("/kind", "E-CODE", "must be A")]),
    ({"enum": 1}, [("/enum", "E-SCHEMA", "not allowed here")]),
    ({"SITI AMINAH": 1, "x": 2}, [("", "E-SCHEMA", "2 member(s)")]),
    ({"prot": 1}, [("", "E-SCHEMA", "a misspelt port?")]),
    (
        {"tags": ["y", "y"]},
        [("/tags", "E-SCHEMA", "same item twice"), ("/tags", "E-SCHEMA", "lacks an item")],
    ),
]


@pytest.mark.parametrize("data", ACCEPTED)
def test_valid_data_has_no_findings(data: Any) -> None:
    """What is valid passes both ways of asking."""
    assert validator().is_valid(data)
    assert validator().findings(data) == ()


@pytest.mark.parametrize(("data", "expected"), REFUSED)
def test_refusals_have_pointer_code_and_words(data: Any, expected: list[tuple[str, str, str]]) -> None:
    """Each violation is told once, with the code of its subschema, in order of pointers."""
    found = validator().findings(data)
    assert not validator().is_valid(data)
    assert [(f.pointer, f.code) for f in found] == [(pointer, code) for pointer, code, _ in expected]
    for finding, (_, _, words) in zip(found, expected, strict=True):
        assert words in finding.reason


def test_findings_never_hold_a_word_of_the_data() -> None:
    """Values and member names only the data knows stay out of pointers and reasons."""
    secret = "SITIAMINAH"
    holes: list[Any] = [
        secret,
        {secret: secret},
        [secret],
        {"full": secret * 3, secret: 1},
        {"t": secret, "v": secret},
    ]
    for name in SCHEMA["properties"]:
        for hole in holes:
            for finding in validator().findings({name: hole, secret: hole}):
                assert secret not in finding.pointer + finding.reason


def test_findings_stop_at_the_limit_and_sort_rows_as_numbers() -> None:
    """A thousand faulty rows give as many findings as asked for; row 2 comes before row 10."""
    schema = {"type": "array", "items": {"type": "integer"}}
    held = validator(schema)
    assert len(held.findings(["x"] * 1000, limit=7)) == 7
    assert len(held.findings(["x"] * 1000)) == 100
    assert [f.pointer for f in held.findings(["x"] * 12)] == [f"/{index}" for index in range(12)]


def test_a_manifest_of_500_rows_gives_all_its_faults_within_a_quarter_second() -> None:
    """Three faults a row, 1,500 in all; the bound is the bulk promise of the catalogue."""
    schema = {"type": "array", "items": NAME}
    rows = [{"full": "x", "script": "Cyrl", "more": 1} for _ in range(500)]
    held = validator(schema)
    start = time.process_time()
    found = held.findings(rows, limit=10_000)
    assert len(found) == 1500
    assert time.process_time() - start < bound(0.25)


def test_a_poison_instance_is_refused_at_once() -> None:
    """10,000 levels under a recursive schema, an integer beyond 64 bits and a lone surrogate: no crash."""
    held = validator({"type": "object", "properties": {"a": {"$ref": "#"}}, "x-case": "none"})
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"a": deep}
    start = time.process_time()
    for poison in (deep, {"n": 2**70}, {"s": "\ud800"}):
        assert not held.is_valid(poison)
        assert [f.code for f in held.findings(poison)] == ["E-SCHEMA"]
    assert time.process_time() - start < bound(0.1)


def test_a_code_list_that_is_not_held_fails_closed() -> None:
    """A schema whose list is unknown cannot be used; without any lists they are not checked at all."""
    with pytest.raises(errors.UnknownSchemaRequested, match=r"port@1\.0\.0"):
        validator(lists={})
    assert validator(lists=None).is_valid({"port": "anything"})


def test_an_empty_code_list_allows_nothing() -> None:
    """No codes means no code is right."""
    held = validator(lists={"port@1.0.0": ()})
    assert not held.is_valid({"port": "ID-BTH"})
    assert held.is_valid({})


@pytest.mark.parametrize("reference", ["file:///etc/hostname", "http://127.0.0.1:9/x", "urn:x"])
def test_the_engine_fetches_nothing(reference: str) -> None:
    """Even a schema that lint never saw cannot make the engine read a file or call a host."""
    with pytest.raises(ValueError, match="refer"):
        compile_schema({"$ref": reference})


def test_patterns_cost_linear_time() -> None:
    """The textbook bomb over 100,000 characters is answered at once; what needs backtracking does not compile."""
    engine = compile_schema({"pattern": "^(a+)+$"})
    start = time.process_time()
    assert not engine.is_valid("a" * 100_000 + "!")
    assert time.process_time() - start < bound(0.1)
    with pytest.raises(ValueError, match="regex"):
        compile_schema({"pattern": "(?=a)a"})


def test_a_second_validator_agrees() -> None:
    """An independent implementation gives the same verdict on generated schemas and instances."""
    rng = Random(7)
    disagreed = verdicts = 0
    for _ in range(80):
        document = generators.document(rng)
        plain = _without_formats(document)
        ours, theirs = validator(document, None), jsonschema.Draft202012Validator(plain)
        for _ in range(25):
            value = generators.instance(rng, document, document)
            if ours.is_valid(value) != theirs.is_valid(value):
                disagreed += not _only_format(document, value)
            verdicts += ours.is_valid(value)
            assert bool(ours.findings(value)) != ours.is_valid(value)
    assert disagreed == 0
    assert 400 < verdicts < 1900


def _without_formats(node: Any) -> Any:
    return json.loads(json.dumps(node).replace('"format": "date"', '"x-f": 1'))


def _only_format(document: dict[str, Any], value: Any) -> bool:
    plain = validator(_without_formats(copy.deepcopy(document)), None)
    return plain.is_valid(value)
