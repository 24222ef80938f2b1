"""One table per family of keywords: (reader, writer, whether the reader surely reads the writer, rule)."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from gateway.registry import compatibility
from gateway.registry.compatibility import Mode, can_read, check_mode
from gateway.registry.vocabulary import ASSERTIONS, LIST_KEYWORDS, MAP_KEYWORDS, SINGLE_KEYWORDS
from tests.registry import crowded

Row = tuple[Any, Any, str | None]

INT: dict[str, Any] = {"type": "integer"}
STR: dict[str, Any] = {"type": "string"}
NUM: dict[str, Any] = {"type": "number"}


def obj(closed: bool = False, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """Return an object schema."""
    node: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        node["required"] = required
    if closed:
        node["additionalProperties"] = False
    return node


def arr(**keywords: Any) -> dict[str, Any]:
    """Return a list schema."""
    return {"type": "array", **keywords}


VALUES: list[Row] = [
    (NUM, INT, None),
    (INT, NUM, "type"),
    (INT, {"type": "number", "multipleOf": 2}, None),
    ({"type": ["string", "null"]}, STR, None),
    (STR, {"type": ["string", "null"]}, "type"),
    (STR, True, "type"),
    (True, {"not": {}}, None),
    (False, STR, "false"),
    (False, False, None),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, None),
    ({"enum": ["a"]}, {"enum": ["a", "b"]}, "enum"),
    ({"enum": ["a", "b"]}, {"const": "b"}, None),
    ({"const": 1}, {"const": 1.0}, None),
    ({"const": 1}, {"const": True}, "const"),
    ({"enum": ["a"]}, STR, "enum"),
    ({"type": "string", "pattern": "^a"}, {"enum": ["a", "ab"]}, None),
    ({"type": "string", "pattern": "^a"}, {"enum": ["a", "b"]}, "pattern"),
    (STR, {"enum": ["a", 1], "type": "string"}, None),
    ({"enum": [True, False, None]}, {"type": ["boolean", "null"]}, None),
    ({"minimum": 3}, {"type": "integer", "minimum": 4}, None),
    ({"minimum": 4}, {"type": "integer", "minimum": 3}, "minimum"),
    ({"minimum": 4}, {"type": "integer", "exclusiveMinimum": 3}, None),
    ({"minimum": 4}, {"type": "number", "exclusiveMinimum": 3}, "minimum"),
    ({"exclusiveMinimum": 3}, {"type": "number", "minimum": 3}, "exclusiveMinimum"),
    ({"exclusiveMinimum": 3}, {"type": "number", "exclusiveMinimum": 3}, None),
    ({"maximum": 3}, {"type": "integer", "exclusiveMaximum": 4}, None),
    ({"maximum": 3}, {"type": "number", "exclusiveMaximum": 4}, "maximum"),
    ({"exclusiveMaximum": 3}, {"type": "number", "maximum": 3}, "exclusiveMaximum"),
    ({"maximum": 3}, INT, "maximum"),
    ({"minimum": 3}, STR, None),
    ({"multipleOf": 2}, {"type": "integer", "multipleOf": 4}, None),
    ({"multipleOf": 4}, {"type": "integer", "multipleOf": 2}, "multipleOf"),
    ({"multipleOf": 1}, INT, None),
    ({"multipleOf": 0.1}, {"type": "number", "multipleOf": 0.1}, None),
    ({"multipleOf": 0.1}, {"type": "number", "multipleOf": 0.2}, "multipleOf"),
    ({"minimum": 3}, {"type": "integer", "allOf": [{"minimum": 5}, {"minimum": 1}]}, None),
    ({"maximum": 3}, {"type": "integer", "allOf": [{"maximum": 1}, {"maximum": 5}]}, None),
    ({"not": {"maximum": 3}}, {"type": "integer", "minimum": 3}, "not"),
    ({"not": {"maximum": 3}}, {"type": "integer", "minimum": 4}, None),
]

TEXT: list[Row] = [
    ({"minLength": 1}, {"type": "string", "minLength": 2}, None),
    ({"minLength": 2}, {"type": "string", "minLength": 1}, "minLength"),
    ({"maxLength": 3}, {"type": "string", "maxLength": 2}, None),
    ({"maxLength": 2}, {"type": "string", "maxLength": 3}, "maxLength"),
    ({"maxLength": 2}, STR, "maxLength"),
    ({"maxLength": 2}, INT, None),
    ({"pattern": "^a$"}, {"type": "string", "pattern": "^a$"}, None),
    (STR, {"type": "string", "pattern": "^a$"}, None),
    ({"pattern": "^a$"}, STR, "pattern"),
    ({"pattern": "^[ab]$"}, {"type": "string", "pattern": "^a$"}, "pattern"),
    ({"format": "date"}, {"type": "string", "format": "date"}, None),
    ({"format": "date"}, STR, "format"),
    ({"format": "date"}, {"type": "string", "format": "uuid"}, "format"),
    ({"format": "email"}, STR, None),
]

OBJECTS: list[Row] = [
    (obj(a=INT, b=STR), obj(a=INT), "properties"),
    (obj(True, a=INT, b=STR), obj(True, a=INT), None),
    (obj(True, a=INT), obj(True, a=INT, b=STR), "additionalProperties"),
    (obj(True, a=INT), obj(a=INT), "additionalProperties"),
    (obj(a=INT), obj(a=INT, b=STR), None),
    (obj(a=NUM), obj(a=INT), None),
    (obj(a=INT), obj(a=NUM), "type"),
    (obj(required=["a"]), obj(required=["a", "b"]), None),
    (obj(required=["a", "b"]), obj(required=["a"]), "required"),
    ({"required": ["a"]}, STR, None),
    (obj(a=True), obj(), None),
    (obj(a=False), obj(True, b=INT), None),
    (obj(a=False), obj(a=INT), "false"),
    ({"additionalProperties": INT}, {"type": "object", "additionalProperties": INT}, None),
    ({"additionalProperties": INT}, {"type": "object", "additionalProperties": NUM}, "type"),
    ({"additionalProperties": INT}, obj(True, a=INT), None),
    ({"additionalProperties": INT}, obj(True, a=STR), "type"),
    ({"patternProperties": {"^k": INT}}, obj(True, k1=INT, a=STR), None),
    ({"patternProperties": {"^k": INT}}, obj(True, k1=STR), "type"),
    ({"patternProperties": {"^k": INT}}, obj(a=STR), "properties"),
    ({"patternProperties": {"^k": NUM}}, {"type": "object", "patternProperties": {"^k": INT}}, None),
    (
        {"patternProperties": {"^k": NUM}, "additionalProperties": False},
        {"type": "object", "patternProperties": {"^k": INT}, "additionalProperties": False},
        None,
    ),
    (
        {"patternProperties": {"^k": INT}, "additionalProperties": False},
        {"type": "object", "patternProperties": {"^l": INT}, "additionalProperties": False},
        "additionalProperties",
    ),
    ({"propertyNames": {"maxLength": 2}}, obj(True, a=INT), None),
    ({"propertyNames": {"maxLength": 2}}, obj(True, abc=INT), "propertyNames"),
    ({"propertyNames": {"maxLength": 2}}, obj(a=INT), "maxLength"),
    ({"propertyNames": {"maxLength": 2}}, {"type": "object", "propertyNames": {"maxLength": 1}}, None),
    (obj(True, a=True, b=True), {"type": "object", "propertyNames": {"enum": ["a", "b"]}}, None),
    (obj(True, a=True), {"type": "object", "propertyNames": {"enum": ["a", "b"]}}, "additionalProperties"),
    (
        {"patternProperties": {"^k": True}, "additionalProperties": False},
        {"type": "object", "propertyNames": {"pattern": "^k"}},
        None,
    ),
    ({"minProperties": 1}, obj(required=["a"]), None),
    ({"minProperties": 2}, obj(required=["a"]), "minProperties"),
    ({"maxProperties": 2}, obj(True, a=INT, b=INT), None),
    ({"maxProperties": 1}, obj(True, a=INT, b=INT), "maxProperties"),
    ({"maxProperties": 1}, obj(a=INT), "maxProperties"),
    ({"dependentRequired": {"a": ["b"]}}, obj(required=["b"]), None),
    ({"dependentRequired": {"a": ["b"]}}, obj(), "dependentRequired"),
    ({"dependentRequired": {"a": ["b"]}}, obj(True, c=INT), None),
    (
        {"dependentRequired": {"a": ["c"]}},
        {"type": "object", "dependentRequired": {"a": ["b"], "b": ["c"]}},
        None,
    ),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, obj(required=["b"]), None),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, obj(), "required"),
    (
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        {"type": "object", "dependentSchemas": {"a": {"required": ["b", "c"]}}},
        None,
    ),
]

LISTS: list[Row] = [
    ({"items": NUM}, arr(items=INT), None),
    ({"items": INT}, arr(items=NUM), "type"),
    ({"items": INT}, arr(), "type"),
    ({"items": INT}, arr(maxItems=0), None),
    ({"minItems": 1}, arr(minItems=2), None),
    ({"minItems": 2}, arr(minItems=1), "minItems"),
    ({"minItems": 1}, arr(contains=INT), None),
    ({"maxItems": 2}, arr(maxItems=1), None),
    ({"maxItems": 1}, arr(maxItems=2), "maxItems"),
    ({"maxItems": 2}, arr(prefixItems=[INT, INT], items=False), None),
    ({"uniqueItems": True}, arr(uniqueItems=True), None),
    ({"uniqueItems": True}, arr(), "uniqueItems"),
    ({"uniqueItems": True}, arr(maxItems=1), None),
    ({"uniqueItems": False}, arr(), None),
    ({"prefixItems": [INT]}, arr(items=INT), None),
    ({"prefixItems": [INT]}, arr(prefixItems=[STR]), "type"),
    ({"prefixItems": [INT], "items": STR}, arr(prefixItems=[INT, STR], items=False), None),
    ({"prefixItems": [INT], "items": STR}, arr(prefixItems=[INT, INT]), "type"),
    ({"prefixItems": [INT], "items": False}, arr(prefixItems=[INT]), "false"),
    ({"contains": NUM}, arr(contains=INT), None),
    ({"contains": INT}, arr(contains=NUM), "contains"),
    ({"contains": INT}, arr(items=INT, minItems=1), None),
    ({"contains": INT}, arr(items=INT), "contains"),
    ({"contains": INT, "minContains": 2}, arr(prefixItems=[INT, INT], minItems=2), None),
    ({"contains": INT, "minContains": 0}, arr(), None),
    ({"contains": INT, "minContains": 0, "maxContains": 1}, arr(maxItems=1), None),
    ({"contains": INT, "minContains": 0, "maxContains": 1}, arr(items=STR), None),
    ({"contains": INT, "minContains": 0, "maxContains": 1}, arr(items=INT), "maxContains"),
    (
        {"contains": INT, "minContains": 0, "maxContains": 2},
        arr(contains=NUM, minContains=0, maxContains=1),
        None,
    ),
    ({"unevaluatedItems": False}, arr(maxItems=0), None),
    ({"prefixItems": [INT], "unevaluatedItems": False}, arr(prefixItems=[INT], unevaluatedItems=False), None),
    ({"prefixItems": [INT], "unevaluatedItems": False}, arr(prefixItems=[INT]), "false"),
    ({"allOf": [{"prefixItems": [INT]}], "unevaluatedItems": STR}, arr(prefixItems=[INT], items=STR), None),
    ({"prefixItems": [INT]}, arr(prefixItems=[STR], unevaluatedItems=INT), "type"),
    ({"items": INT}, arr(contains=STR, unevaluatedItems=INT), "type"),
    ({"contains": INT, "minContains": 2}, arr(contains=INT), "contains"),
    ({"contains": INT, "minContains": 0, "maxContains": 1}, arr(prefixItems=[STR, INT, INT]), "maxContains"),
    ({"uniqueItems": True}, arr(maxItems=3), "uniqueItems"),
]

X: dict[str, Any] = {"properties": {"k": {"const": "x"}}, "required": ["k"]}
TAGGED_A = obj(True, ["t"], t={"const": "a"}, v=INT)
TAGGED_B = obj(True, ["t"], t={"const": "b"}, w=STR)
TAGGED_C = obj(True, ["t"], t={"const": "c"}, u=STR)

COMBINED: list[Row] = [
    ({"allOf": [NUM, {"minimum": 0}]}, {"type": "integer", "minimum": 1}, None),
    ({"allOf": [NUM, {"minimum": 2}]}, {"allOf": [INT, {"minimum": 1}]}, "minimum"),
    ({"anyOf": [STR, {"type": "null"}]}, {"type": ["string", "null"]}, None),
    ({"anyOf": [STR, INT]}, {"anyOf": [INT, STR]}, None),
    ({"anyOf": [STR, INT]}, {"anyOf": [INT, STR, {"type": "null"}]}, "anyOf"),
    ({"anyOf": [STR]}, INT, "type"),
    (STR, {"anyOf": [{"const": "a"}, {"const": "b"}]}, None),
    ({"oneOf": [TAGGED_A, TAGGED_B, TAGGED_C]}, {"oneOf": [TAGGED_A, TAGGED_B]}, None),
    ({"oneOf": [TAGGED_A, TAGGED_B]}, {"oneOf": [TAGGED_A, TAGGED_B, TAGGED_C]}, "oneOf"),
    ({"oneOf": [INT, {"type": "integer", "minimum": 3}]}, INT, "oneOf"),
    ({"oneOf": [NUM, INT]}, {"oneOf": [NUM, INT]}, None),
    ({"oneOf": [INT, STR]}, {"anyOf": [INT, STR]}, None),
    ({"not": STR}, INT, None),
    ({"not": STR}, {"type": ["integer", "string"]}, "not"),
    ({"not": {"required": ["a"]}}, {"type": "object", "not": {"required": ["a"]}}, None),
    ({"not": {"required": ["a", "b"]}}, {"type": "object", "not": {"required": ["a"]}}, None),
    ({"not": {"required": ["a"]}}, {"type": "object", "not": {"required": ["a", "b"]}}, "not"),
    ({"not": {"required": ["a"]}}, obj(True, b=INT), None),
    (
        {"if": X, "then": {"required": ["b"]}},
        {"type": "object", "if": X, "then": {"required": ["b", "c"]}},
        None,
    ),
    ({"if": X, "then": {"required": ["b"]}}, obj(), "required"),
    ({"if": X, "then": {"required": ["b"]}}, obj(k={"const": "y"}), None),
    ({"if": X, "else": {"required": ["b"]}}, obj(required=["k"], k={"const": "x"}), None),
    (
        {"if": X, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
        {"type": "object", "if": X, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
        None,
    ),
    (
        {"required": ["b"]},
        {"type": "object", "if": X, "then": {"required": ["b"]}, "else": {"required": ["b"]}},
        None,
    ),
    (
        {"allOf": [obj(a=INT)], "properties": {"b": True, "c": INT}, "unevaluatedProperties": False},
        {"type": "object", "allOf": [obj(a=INT)], "properties": {"b": True}, "unevaluatedProperties": False},
        None,
    ),
    (
        {"allOf": [obj(a=INT)], "unevaluatedProperties": False},
        {"type": "object", "allOf": [obj(a=INT)], "properties": {"b": True}, "unevaluatedProperties": False},
        "unevaluatedProperties",
    ),
    ({"allOf": [obj(a=INT)], "unevaluatedProperties": False}, obj(a=INT), "unevaluatedProperties"),
    ({"anyOf": [obj(a=INT), obj(b=INT)], "unevaluatedProperties": False}, obj(True, ["a"], a=INT), None),
    (
        {"if": X, "then": obj(b=INT), "unevaluatedProperties": False},
        obj(True, ["k"], k={"const": "x"}, b=INT),
        None,
    ),
    ({"if": X, "else": {"required": ["b"]}}, obj(), "required"),
    (
        {"anyOf": [obj(required=["a"], a=INT), obj(required=["b"], b=INT)], "unevaluatedProperties": False},
        obj(True, ["a"], a=INT, b=STR),
        "unevaluatedProperties",
    ),
    (
        {"unevaluatedProperties": {"minLength": 2}},
        {"type": "object", "unevaluatedProperties": False, "if": {"properties": {"a": STR}}},
        "minLength",
    ),
    (
        {"maxProperties": 0},
        {"type": "object", "unevaluatedProperties": False, "anyOf": [obj(a=STR), obj(b=STR)]},
        "maxProperties",
    ),
    (
        {"unevaluatedItems": {"minLength": 2}},
        arr(unevaluatedItems=False, **{"if": {"prefixItems": [STR]}}),
        "minLength",
    ),
]


def tree(value: Any, **more: Any) -> dict[str, Any]:
    """Return a recursive schema whose nodes hold `v` and children `c`."""
    node = obj(True, v=value, c=arr(items={"$ref": "#/$defs/t"}), **more)
    return {"$ref": "#/$defs/t", "$defs": {"t": node}}


REFERENCES: list[Row] = [
    (tree(NUM), tree(INT), None),
    (tree(INT), tree(NUM), "type"),
    (tree(INT, w=STR), tree(INT), None),
    (tree(INT), tree(INT, w=STR), "additionalProperties"),
    ({"$ref": "#/$defs/a", "$defs": {"a": NUM}}, INT, None),
    (NUM, {"$ref": "#/$defs/a", "$defs": {"a": INT}}, None),
    ({"$ref": "#/$defs/a", "$defs": {"a": STR}}, {"$ref": "#/$defs/a", "$defs": {"a": INT}}, "type"),
    (
        {"not": {"$ref": "#/$defs/a"}, "$defs": {"a": INT}},
        {"type": ["string", "integer"], "not": {"$ref": "#/$defs/a"}, "$defs": {"a": STR}},
        "not",
    ),
    (
        {"properties": {"n": {"$ref": "#"}}, "additionalProperties": False},
        {"type": "object", "properties": {"n": {"$ref": "#"}}, "additionalProperties": False},
        None,
    ),
    (
        {
            "anyOf": [
                {"$ref": "#/$defs/r1"},
                obj(x=obj(back={"$ref": "#/$defs/r2/properties/back"})),
            ],
            "$defs": {"r1": obj(x={"$ref": "#/$defs/r2"}), "r2": obj(back={"$ref": "#/$defs/r1"}, z=INT)},
        },
        {
            "$ref": "#/$defs/w1",
            "$defs": {
                "w1": obj(True, x={"$ref": "#/$defs/w2"}),
                "w2": obj(True, back={"$ref": "#/$defs/w1"}, z=STR),
            },
        },
        "anyOf",
    ),
]

ALL = [
    pytest.param(*row, id=f"{name}-{index}")
    for name, rows in (
        ("values", VALUES),
        ("text", TEXT),
        ("objects", OBJECTS),
        ("lists", LISTS),
        ("combined", COMBINED),
        ("references", REFERENCES),
    )
    for index, row in enumerate(rows)
]


@pytest.mark.parametrize(("reader", "writer", "rule"), ALL)
def test_reader_reads_writer_or_names_the_rule(reader: Any, writer: Any, rule: str | None) -> None:
    """A proved pair has no findings; a broken one names the expected rule, a pointer and words."""
    found = can_read(reader, writer)
    if rule is None:
        assert found == []
        return
    assert rule in {why.rule for why in found}
    assert all(why.words and (why.pointer == "" or why.pointer.startswith("/")) for why in found)


@pytest.mark.parametrize(("reader", "writer", "rule"), ALL)
def test_every_schema_reads_itself(reader: Any, writer: Any, rule: str | None) -> None:
    """Nothing is incompatible with its own copy, annotations and member order apart."""
    for schema in (reader, writer):
        again = copy.deepcopy(schema)
        if isinstance(again, dict):
            again = {"title": "another", **dict(reversed(list(again.items()))), "x-unit": "m"}
        assert can_read(again, schema) == []


def test_every_keyword_of_the_vocabulary_has_a_rule() -> None:
    """A keyword without a rule would be ignored, and ignoring a reader's keyword is unsound."""
    known = set(compatibility._RULES) | compatibility.READ_WITH_OTHERS
    assert ASSERTIONS | LIST_KEYWORDS | MAP_KEYWORDS | SINGLE_KEYWORDS | {"$ref", "x-codelist"} <= known


@pytest.mark.parametrize(
    ("reader", "writer", "words"),
    [
        ({"pattern": "^[ab]$"}, {"type": "string", "pattern": "^a$"}, "two different patterns"),
        ({"not": {"maxLength": 2}}, {"type": "string", "minLength": 2}, "rules out"),
        ({"anyOf": [STR, {"minimum": 2}]}, {"type": ["string", "integer"]}, "no branch"),
    ],
)
def test_what_cannot_be_decided_is_incompatible_and_says_so(reader: Any, writer: Any, words: str) -> None:
    """An undecided finding is marked and worded as such, and points at the reader's keyword."""
    (why,) = can_read(reader, writer)
    assert not why.decided
    assert why.words.startswith("cannot be decided: ")
    assert words in why.words
    assert why.pointer == "/" + next(iter(reader))


def test_pointers_lead_into_the_readers_document() -> None:
    """The pointer names the reader's keyword, through references and escaped names."""
    reader = obj(**{"a/b~": {"$ref": "#/$defs/n"}}) | {"$defs": {"n": {"type": "object", "required": ["x"]}}}
    writer = obj(**{"a/b~": {"type": "object"}})
    assert [why.pointer for why in can_read(reader, writer)] == ["/$defs/n/required"]
    assert [why.pointer for why in can_read(obj(**{"a/b~": INT}), obj(**{"a/b~": NUM}))] == ["/properties/a~1b~0/type"]


CODED_1: dict[str, Any] = {"type": "string", "x-codelist": "port@1.0.0"}
CODED_2: dict[str, Any] = {"type": "string", "x-codelist": "port@1.1.0"}
LISTS_HELD = {"port@1.0.0": {"A": 1, "B": 2}, "port@1.1.0": {"A": 1, "B": 2, "C": 3}}


@pytest.mark.parametrize(
    ("reader", "writer", "held", "readable"),
    [
        (CODED_1, CODED_1, None, True),
        (CODED_2, CODED_1, None, False),
        (CODED_2, CODED_1, LISTS_HELD, True),
        (CODED_1, CODED_2, LISTS_HELD, False),
        ({"enum": ["A", "B"]}, CODED_1, LISTS_HELD, True),
        ({"enum": ["A", "B"]}, CODED_1, None, False),
        (CODED_1, {"enum": ["A"]}, LISTS_HELD, True),
        (CODED_1, {"enum": ["A"]}, None, False),
        (CODED_1, {"enum": ["Z"]}, LISTS_HELD, False),
        (arr(**{"x-codelist": "port@1.1.0"}), arr(**{"x-codelist": "port@1.0.0"}), LISTS_HELD, True),
        (arr(**{"x-codelist": "port@1.0.0"}), arr(**{"x-codelist": "port@1.1.0"}), LISTS_HELD, False),
        (CODED_1, STR, LISTS_HELD, False),
        (STR, CODED_1, None, True),
    ],
)
def test_code_lists_are_compared_by_version_or_by_codes(
    reader: Any, writer: Any, held: dict[str, Any] | None, readable: bool
) -> None:
    """Versions of a list are compared only where both are held; otherwise only the same one will do."""
    assert (can_read(reader, writer, codelists=held) == []) is readable


V1 = obj(True, ["a"], a=INT)
V2 = obj(True, ["a"], a=INT, b=STR)
V3 = obj(True, a=NUM, b=STR)


@pytest.mark.parametrize(
    ("mode", "candidate", "versions", "directions"),
    [
        (Mode.NONE, V1, [V3], set()),
        (Mode.BACKWARD, V2, [V1], set()),
        (Mode.BACKWARD, V1, [V2], {("2", "backward")}),
        (Mode.BACKWARD, V1, [V2, V1], set()),
        (Mode.BACKWARD_TRANSITIVE, V1, [V2, V1], {("1", "backward")}),
        (Mode.FORWARD, V2, [V1], {("1", "forward")}),
        (Mode.FORWARD, V1, [V2], set()),
        (Mode.FORWARD_TRANSITIVE, V2, [V1, V2], {("1", "forward")}),
        (Mode.FULL, V2, [V2], set()),
        (Mode.FULL, V2, [V1], {("1", "forward")}),
        (Mode.FULL_TRANSITIVE, V3, [V1, V3], {("1", "forward")}),
        (Mode.FULL_TRANSITIVE, V1, [], set()),
    ],
)
def test_modes_ask_the_versions_and_directions_they_name(
    mode: Mode, candidate: Any, versions: list[Any], directions: set[tuple[str, str]]
) -> None:
    """Each mode breaks on exactly the earlier versions and directions it stands for."""
    named = [(str(index), document) for index, document in enumerate(versions, start=1)]
    if len(versions) == 1 and directions:
        directions = {("1", way) for _, way in directions}
    assert {(b.version, b.direction) for b in check_mode(mode, candidate, named)} == directions


def test_doubling_definitions_do_not_hang_the_proof() -> None:
    """Definitions that name the next one twice are proved once each, not 2^60 times."""

    def ladder(leaf: Any) -> dict[str, Any]:
        defs = {f"d{i}": obj(l={"$ref": f"#/$defs/d{i + 1}"}, r={"$ref": f"#/$defs/d{i + 1}"}) for i in range(60)}
        return {"$ref": "#/$defs/d0", "$defs": {**defs, "d60": leaf}}

    assert can_read(ladder(NUM), ladder(INT)) == []
    assert {why.rule for why in can_read(ladder(INT), ladder(NUM))} == {"type"}


def test_a_schema_that_returns_to_itself_at_the_same_place_is_undecided() -> None:
    """An assumption is only taken one level down the data; at the same place it would prove anything."""
    reader = {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}},
    }
    assert any(not why.decided for why in can_read(reader, STR))


def test_a_tangle_is_given_up_in_bounded_time_and_undecided() -> None:
    """Schemas made to multiply cases cost a few seconds at most, and count as incompatible."""
    start = time.perf_counter()
    found = can_read(crowded.tangle(3, 5), crowded.tangle(3, 6))
    assert time.perf_counter() - start < 15
    assert "size" in {why.rule for why in found if not why.decided}
