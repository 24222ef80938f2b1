"""Random schemas, small changes to them, and instances that lean towards their edges; all from one seed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

NAMES = ("a", "b", "c", "k")
TEXTS = ("", "x", "xy", "ABC", "red", "blue", "2026-02-28", "2026-02-30", "k1")
PATTERNS = ("^[a-z]+$", "^[A-Z]{1,3}$", "^k")
SCALARS: tuple[Any, ...] = ("red", "blue", "x", 1, 2, 5, None, True)


def schema(rng: Random, depth: int = 3) -> Any:
    """Return a random schema of at most `depth` levels."""
    if depth <= 0 or rng.random() < 0.25:
        return _leaf(rng)
    pick = rng.random()
    if pick < 0.55:
        return _object(rng, depth)
    if pick < 0.75:
        return _array(rng, depth)
    return _combined(rng, depth)


def _leaf(rng: Random) -> Any:
    pick = rng.randrange(9)
    if pick == 0:
        return True
    if pick == 1:
        return {"enum": rng.sample(SCALARS, rng.randint(1, 4))}
    if pick == 2:
        return {"const": rng.choice(SCALARS)}
    if pick in (3, 4):
        node: dict[str, Any] = {"type": rng.choice(["integer", "number"])}
        _maybe(rng, node, "minimum", lambda: rng.randint(-3, 3))
        _maybe(rng, node, "maximum", lambda: rng.randint(3, 9))
        _maybe(rng, node, "exclusiveMinimum", lambda: rng.randint(-3, 3), 0.1)
        _maybe(rng, node, "multipleOf", lambda: rng.choice([1, 2, 3, 4, 6]), 0.2)
        return node
    if pick == 5:
        return {"type": rng.choice(["boolean", "null", ["string", "null"], ["integer", "string"]])}
    node = {"type": "string"}
    _maybe(rng, node, "minLength", lambda: rng.randint(0, 2))
    _maybe(rng, node, "maxLength", lambda: rng.randint(2, 6))
    _maybe(rng, node, "pattern", lambda: rng.choice(PATTERNS), 0.2)
    _maybe(rng, node, "format", lambda: "date", 0.1)
    return node


def _object(rng: Random, depth: int) -> dict[str, Any]:
    names = rng.sample(NAMES, rng.randint(1, 3))
    node: dict[str, Any] = {
        "type": "object",
        "properties": {name: schema(rng, depth - 1) for name in names},
    }
    _maybe(rng, node, "required", lambda: sorted(rng.sample(names, rng.randint(0, len(names)))))
    closing = rng.random()
    if closing < 0.5:
        node["additionalProperties"] = False
    elif closing < 0.6:
        node["additionalProperties"] = _leaf(rng)
    elif closing < 0.7:
        node["unevaluatedProperties"] = rng.choice([False, {"type": "string"}])
    _maybe(rng, node, "patternProperties", lambda: {rng.choice(PATTERNS): _leaf(rng)}, 0.15)
    _maybe(
        rng,
        node,
        "propertyNames",
        lambda: rng.choice([{"maxLength": 1}, {"pattern": "^k"}, {"enum": ["a", "b"]}]),
        0.08,
    )
    _maybe(rng, node, "minProperties", lambda: rng.randint(0, 2), 0.1)
    _maybe(rng, node, "maxProperties", lambda: rng.randint(2, 4), 0.1)
    _maybe(rng, node, "dependentRequired", lambda: {names[0]: [rng.choice(NAMES)]}, 0.12)
    _maybe(rng, node, "dependentSchemas", lambda: {names[0]: {"required": [rng.choice(NAMES)]}}, 0.08)
    return node


def _array(rng: Random, depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "array"}
    _maybe(rng, node, "items", lambda: schema(rng, depth - 1), 0.7)
    _maybe(rng, node, "prefixItems", lambda: [_leaf(rng) for _ in range(rng.randint(1, 2))], 0.3)
    if "items" not in node:
        _maybe(rng, node, "unevaluatedItems", lambda: rng.choice([False, {"type": "integer"}]), 0.3)
    _maybe(rng, node, "minItems", lambda: rng.randint(0, 2), 0.3)
    _maybe(rng, node, "maxItems", lambda: rng.randint(2, 4), 0.3)
    _maybe(rng, node, "uniqueItems", lambda: True, 0.2)
    if rng.random() < 0.2:
        node["contains"] = _leaf(rng)
        _maybe(rng, node, "minContains", lambda: rng.randint(0, 2), 0.3)
        _maybe(rng, node, "maxContains", lambda: rng.randint(2, 3), 0.3)
    return node


def _combined(rng: Random, depth: int) -> dict[str, Any]:
    pick = rng.randrange(6)
    if pick == 0:
        return {"anyOf": [schema(rng, depth - 1) for _ in range(2)]}
    if pick == 1:
        return {"oneOf": [{"type": "null"}, schema(rng, depth - 1)]}
    if pick == 2:
        return {"allOf": [schema(rng, depth - 1), _leaf(rng)]}
    if pick == 3:
        return {"type": "object", "allOf": [_object(rng, depth - 1)], "unevaluatedProperties": False}
    if pick == 4:
        return {"not": _leaf(rng)}
    tagged = {"properties": {"k": {"const": "x"}}, "required": ["k"]}
    node = {"type": "object", "if": tagged, "then": _object(rng, depth - 1)}
    _maybe(rng, node, "else", lambda: {"required": [rng.choice(NAMES)]}, 0.5)
    return node


def _maybe(rng: Random, node: dict[str, Any], key: str, make: Any, chance: float = 0.4) -> None:
    if rng.random() < chance:
        node[key] = make()


# --- related pairs ----------------------------------------------------------------------------------


def document(rng: Random) -> dict[str, Any]:
    """Return a whole schema, some with a shared or recursive definition."""
    root = schema(rng)
    while not isinstance(root, dict) or "properties" not in root:
        root = schema(rng)
    if rng.random() < 0.3:
        root["properties"]["c"] = {"$ref": "#/$defs/tree"}
        root["$defs"] = {
            "tree": {
                "type": "object",
                "properties": {"k": _leaf(rng), "b": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                "additionalProperties": rng.choice([False, True]),
            }
        }
    return root


def changed(rng: Random, document_: dict[str, Any]) -> dict[str, Any]:
    """Return the document with one to three changes, as a new version would have them."""
    result = copy.deepcopy(document_)
    for _ in range(rng.randint(1, 3)):
        _change(rng, rng.choice(_nodes(result)))
    return result


def _nodes(node: Any) -> list[dict[str, Any]]:
    found = []
    if isinstance(node, dict):
        if any(key in node for key in ("type", "enum", "const", "anyOf", "allOf", "oneOf", "not", "$ref")):
            found.append(node)
        for key, value in node.items():
            if key not in ("enum", "const", "required", "dependentRequired"):
                found += _nodes(value)
    elif isinstance(node, list):
        for value in node:
            found += _nodes(value)
    return found


def _change(rng: Random, node: dict[str, Any]) -> None:  # noqa: C901, PLR0912 - one branch a keyword
    for key in rng.sample(list(node), len(node)):
        value = node[key]
        if key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            node[key] = max(value + rng.choice([-1, -1, 1]), -5 if "inimum" in key else 0)
        elif key in ("maximum", "maxLength", "maxItems", "maxProperties"):
            node[key] = value + rng.choice([1, 1, -1])
        elif key == "enum":
            node[key] = value[:-1] or value if rng.random() < 0.4 else [*value, rng.choice(["new", 7])]
        elif key == "required":
            node[key] = value[1:] if value and rng.random() < 0.6 else sorted({*value, rng.choice(NAMES)})
        elif key == "properties":
            name = rng.choice(NAMES)
            if name in value and rng.random() < 0.3:
                del value[name]
            else:
                value[name] = _leaf(rng)
        elif key == "type" and value == "integer" and rng.random() < 0.6:
            node[key] = "number"
        elif key == "type" and value == "string" and rng.random() < 0.4:
            node[key] = ["string", "null"]
        elif key == "additionalProperties":
            node[key] = rng.choice([True, False])
        elif key == "anyOf":
            value.append(_leaf(rng))
        elif key == "multipleOf":
            node[key] = rng.choice([1, 2, 3])
        elif key in ("pattern", "uniqueItems", "contains", "format", "dependentRequired", "propertyNames"):
            del node[key]
            node.pop("minContains", None)
            node.pop("maxContains", None)
        else:
            continue
        return


# --- instances --------------------------------------------------------------------------------------


def instance(rng: Random, node: Any, root: Any, depth: int = 4) -> Any:  # noqa: PLR0911 - one branch a type
    """Return a value that often fits `node`, and often sits at the edge of it."""
    if not isinstance(node, dict) or depth <= 0 or rng.random() < 0.04:
        return _any(rng)
    if "$ref" in node:
        return instance(rng, root["$defs"]["tree"] if node["$ref"] != "#" else root, root, depth)
    if "const" in node:
        return node["const"]
    if node.get("enum"):
        return rng.choice(node["enum"])
    for key in ("anyOf", "oneOf"):
        if key in node:
            return instance(rng, rng.choice(node[key]), root, depth)
    if "allOf" in node:
        merged = dict(rng.choice([part for part in node["allOf"] if isinstance(part, dict)] or [{}]))
        merged.update({k: v for k, v in node.items() if k not in ("allOf", "properties")})
        merged["properties"] = {**merged.get("properties", {}), **node.get("properties", {})}
        return instance(rng, merged, root, depth)
    asked = node.get("type")
    asked = rng.choice(asked) if isinstance(asked, list) else asked
    if asked is None:
        asked = "object" if "properties" in node or "required" in node else None
    return _typed(rng, asked, node, root, depth)


def _typed(rng: Random, asked: str | None, node: dict[str, Any], root: Any, depth: int) -> Any:  # noqa: PLR0911 - one branch a type
    if asked in ("integer", "number"):
        edges = [node[k] for k in ("minimum", "maximum", "exclusiveMinimum") if k in node] or [0, 5, 6, 12]
        value = rng.choice(edges) + rng.randint(-1, 1)
        value *= node.get("multipleOf", 1) if rng.random() < 0.4 else 1
        return value + 0.5 if asked == "number" and rng.random() < 0.3 else value
    if asked == "string":
        if rng.random() < 0.5:
            return rng.choice(TEXTS)
        size = rng.choice([node.get("minLength", 0), node.get("maxLength", 3), node.get("maxLength", 6)])
        return rng.choice("aA") * size
    if asked == "object":
        return _an_object(rng, node, root, depth)
    if asked == "array":
        fixed = node.get("prefixItems", [])
        size = rng.choice([node.get("minItems", 0), node.get("maxItems", 2), len(fixed), rng.randint(0, 4)])
        rest = node.get("items", node.get("unevaluatedItems", node.get("contains", True)))
        return [instance(rng, fixed[i] if i < len(fixed) else rest, root, depth - 1) for i in range(size)]
    if asked == "boolean":
        return rng.random() < 0.5
    return None if asked == "null" else _any(rng)


def _an_object(rng: Random, node: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    wanted = dict(node.get("properties", {}))
    then = node.get("then")
    if isinstance(then, dict) and rng.random() < 0.7:
        wanted |= {"k": {"const": "x"}}
        wanted |= {k: v for k, v in then.get("properties", {}).items() if k not in wanted}
    must = set(node.get("required", ()))
    sparse = rng.choice([0.0, 0.5, 1.0])
    value = {
        name: instance(rng, sub, root, depth - 1)
        for name, sub in wanted.items()
        if name in must or rng.random() < sparse
    }
    for name in must - set(value):
        value[name] = _any(rng)
    if node.get("additionalProperties", True) is not False and rng.random() < 0.4:
        value[rng.choice([*NAMES, "k1", "ZZ"])] = instance(rng, node.get("additionalProperties", True), root, depth - 1)
    return value


def _any(rng: Random) -> Any:
    return copy.deepcopy(
        rng.choice([*SCALARS, *TEXTS, 0.5, 7, -1, [], {}, [1, 1], ["x"], {"a": 1}, {"k": "x"}, {"c": {}}])
    )
