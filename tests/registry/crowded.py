"""Small schemas crowded with combinators, and a universe of small values in which a break can hardly hide."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

_SCALARS: list[Any] = [None, True, False, -1, 0, 1, 2, 3, 4, 6, 0.5, 2.5, "", "a", "ab", "abc", "A", "k1"]
_LISTS: list[Any] = [list(row) for size in (0, 1, 2) for row in itertools.product([0, 1, "a", None], repeat=size)]
_LONGER: list[Any] = [[0, 1, 2], [1, 1, 1], ["a", 1, 1], [[1]], [{}], ["a", "b", "c", "d"]]
_SINGLE: list[Any] = [{k: v} for k in ("a", "b", "c", "k1") for v in (0, 1, "a", "xy", None, {}, [1])]
_DOUBLE: list[Any] = [{"a": x, "b": y} for x in (0, 1, "a", "x") for y in (0, "a", None)]
_NESTED: list[Any] = [
    {},
    {"a": 1, "b": 1, "k1": 1},
    {"a": {"a": 1}},
    {"a": {"a": {"a": 0}}},
    {"b": {"b": "a"}},
    {"a": "x", "k1": "a"},
    {"b": "x", "k1": 0},
    {"b": {"a": "x"}},
]
UNIVERSE: list[Any] = _SCALARS + _LISTS + _LONGER + _SINGLE + _DOUBLE + _NESTED

_TYPES = ("integer", "number", "string", "null", "object", "array", "boolean", ["string", "null"])
_LISTED = (0, 1, "a", "x", None, 2, {}, [1])
_NAMES = ("a", "b", "k1")
_BELOW = frozenset(
    {"items", "contains", "not", "if", "then", "else", "additionalProperties"}
    | {"unevaluatedProperties", "unevaluatedItems"}
)


def pair(rng: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two whole schemas: one and a change of it, or two of their own."""
    one: dict[str, Any] = {**_object(rng, schema(rng, 3)), "$defs": {"x": schema(rng, 1)}}
    pick = rng.random()
    if pick < 0.7:
        other = {"$defs": one["$defs"], **_object(rng, _changed(rng, one))}
    elif pick < 0.85:
        other = {**one, "$defs": {"x": _changed(rng, one["$defs"]["x"])}}
    else:
        other = {**_object(rng, schema(rng, 2)), "$defs": {"x": schema(rng, 1)}}
    return (one, other) if rng.random() < 0.5 else (other, one)


def _object(rng: Random, node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {"type": rng.choice(["object", "string"])}


def schema(rng: Random, depth: int) -> Any:
    """Return a schema of up to three random keywords on each of `depth` levels."""
    if depth <= 0 or rng.random() < 0.15:
        return _leaf(rng)
    node: dict[str, Any] = {}
    for _ in range(rng.randint(1, 3)):
        node.update(_keyword(rng, depth - 1))
    if rng.random() < 0.3:
        node["type"] = rng.choice(["object", "array", "integer", ["object", "string"]])
    return node


def _leaf(rng: Random) -> Any:
    return rng.choice(
        [
            rng.random() < 0.7,
            {"type": rng.choice(_TYPES)},
            {"enum": rng.sample(_LISTED, rng.randint(1, 4))},
            {"const": rng.choice(_LISTED)},
            {rng.choice(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]): rng.randint(-1, 3)},
            {"multipleOf": rng.choice([1, 2, 3])},
            {rng.choice(["minLength", "maxLength"]): rng.randint(0, 2)},
            {"pattern": rng.choice(["^[a-z]+$", "^k"])},
            {"required": [rng.choice("ab")]},
        ]
    )


def _keyword(rng: Random, depth: int) -> dict[str, Any]:
    def sub() -> Any:
        return schema(rng, depth)

    def members() -> dict[str, Any]:
        return {name: sub() for name in rng.sample(_NAMES, rng.randint(1, 2))}

    makers: list[Any] = [
        lambda: {rng.choice(["anyOf", "oneOf", "allOf"]): [sub(), sub()]},
        lambda: {"not": sub()},
        lambda: {"if": sub(), rng.choice(["then", "else"]): sub()},
        lambda: {"properties": members()},
        lambda: {"properties": members(), "required": [rng.choice("ab")]},
        lambda: {"patternProperties": {rng.choice(["^k", "^[a-z]$"]): sub()}},
        lambda: {"additionalProperties": rng.choice([False, sub()])},
        lambda: {"unevaluatedProperties": rng.choice([False, sub()])},
        lambda: {"propertyNames": rng.choice([{"pattern": "^k"}, {"enum": ["a", "b"]}, {"maxLength": 1}])},
        lambda: {"dependentRequired": {rng.choice("ab"): [rng.choice("ab")]}},
        lambda: {"dependentSchemas": {rng.choice("ab"): sub()}},
        lambda: {rng.choice(["minProperties", "maxProperties"]): rng.randint(0, 2)},
        lambda: {"items": sub()},
        lambda: {"prefixItems": [sub() for _ in range(rng.randint(1, 2))]},
        lambda: {"contains": sub(), rng.choice(["minContains", "maxContains"]): rng.randint(0, 2)},
        lambda: {rng.choice(["minItems", "maxItems"]): rng.randint(0, 2), "uniqueItems": rng.random() < 0.5},
        lambda: {"unevaluatedItems": rng.choice([False, sub()])},
        lambda: {"$ref": rng.choice(["#", "#/$defs/x"])},
    ]
    made: dict[str, Any] = rng.choice(makers)()
    return made


def _changed(rng: Random, node: Any) -> Any:
    """Return the schema with one subschema or number replaced, added or taken out."""
    if not isinstance(node, dict) or not node or rng.random() < 0.15:
        return schema(rng, 1)
    node = dict(node)
    key = rng.choice(list(node))
    value = node[key]
    pick = rng.random()
    if pick < 0.3 and len(node) > 1:
        del node[key]
    elif pick < 0.45:
        node.update(_keyword(rng, 0))
    elif key in ("properties", "patternProperties", "dependentSchemas"):
        name = rng.choice(list(value))
        node[key] = {**value, name: _changed(rng, value[name])}
    elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        index = rng.randrange(len(value))
        node[key] = [*value[:index], _changed(rng, value[index]), *value[index + 1 :]]
    elif key in _BELOW:
        node[key] = _changed(rng, value)
    elif type(value) is int and key != "const":
        node[key] = max(1 if key == "multipleOf" else 0, value + rng.choice([-1, 1]))
    return node


def tangle(level: int, limit: int) -> dict[str, Any]:
    """Return nested choices that each constrain the members of the next level anew: dear to compare."""
    if level == 0:
        return {"type": "string", "maxLength": limit}
    below = tangle(level - 1, limit)
    choices = [
        {"anyOf": [{"properties": {f"p{c % 2}": {**below, "minProperties": b}}} for b in range(3)]} for c in range(4)
    ]
    return {"type": "object", "properties": {"p0": below, "p1": below}, "allOf": choices}


def spread_patterns(count: int) -> dict[str, Any]:
    """Return a schema of so many patterns, each at a place of its own: no value meets two, an engine builds all."""
    places = {f"p{n}": {"patternProperties": {f"^{n}[a-z]{{1,99}}$": {}}} for n in range(count)}
    return {"type": "object", "properties": places}
