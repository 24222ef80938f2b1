"""Violations in words of our own, built from the schema alone.

The validator's messages quote the data, which is personal; so does a member name that no schema knows
(`{"SITI AMINAH": …}`). Here the schema says what was expected, and the data is only counted.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
_FORMATS: Final = {
    "date": "a calendar date YYYY-MM-DD that exists",
    "date-time": "a time of RFC 3339 with its offset",
    "uuid": "a UUID in its hyphenated form",
}
_LIMITS: Final = {
    "minLength": "must have at least {} character(s)",
    "maxLength": "must have at most {} character(s)",
    "minItems": "must have at least {} item(s)",
    "maxItems": "must have at most {} item(s)",
    "minProperties": "must have at least {} member(s)",
    "maxProperties": "must have at most {} member(s)",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minContains": "must hold at least {} item(s) of the kind asked for",
    "maxContains": "must hold at most {} item(s) of the kind asked for",
}
_PLAIN: Final = {
    "uniqueItems": "has the same item twice",
    "contains": "lacks an item of the kind asked for",
    "anyOf": "fits none of the forms allowed here",
    "oneOf": "must fit exactly one of the forms allowed here",
    "not": "has a form that is ruled out here",
    "false": "is not allowed here",
    "propertyNames": "has a member whose name is not allowed",
    "unevaluatedItems": "has more items than allowed here",
}
_MAX_HINTS: Final = 3
_MAX_NAME: Final = 40
_MAX_UNKNOWN: Final = 10


def reason(keyword: str, node: dict[str, Any]) -> str:
    """Say what `keyword` of the schema `node` asks for; a fallback names the keyword, never the data."""
    if keyword in _LIMITS:
        return _LIMITS[keyword].format(node.get(keyword))
    if keyword == "type":
        asked = node.get("type")
        names = asked if isinstance(asked, list) else [str(asked)]
        return "must be " + " or ".join(_TYPES.get(name, "of another type") for name in names)
    if keyword == "format":
        return "must be " + _FORMATS.get(node.get("format", ""), "in the format asked for")
    if keyword == "pattern":
        return f"must match the pattern {node.get('pattern')}"
    if keyword in {"enum", "const"}:
        return _const(node.get("const")) if keyword == "const" else _enum(node)
    return _PLAIN.get(keyword, f"breaks the rule `{keyword}`")


def _const(allowed: object) -> str:
    if isinstance(allowed, bool):
        return f"must be {str(allowed).lower()}"
    return f"must be {allowed}" if isinstance(allowed, str | int) else "is not the one value allowed here"


def unknown_members(unknown: Sequence[str], known: Collection[str]) -> str:
    """Count the members no schema knows; a misspelling is told by the schema's word, not by the data's."""
    near: set[str] = set()
    for name in unknown[:_MAX_UNKNOWN]:
        if len(name) <= _MAX_NAME:
            near.update(difflib.get_close_matches(name, known, n=1, cutoff=0.75))
    hint = "; a misspelt " + ", ".join(sorted(near)[:_MAX_HINTS]) + "?" if near else ""
    return f"has {len(unknown)} member(s) that this type does not define{hint}"


def _enum(node: dict[str, Any]) -> str:
    named = node.get("x-codelist")
    if isinstance(named, str):
        return f"is not a code of the list {named}"
    allowed = node.get("enum", [])
    shown = ", ".join(str(value) for value in allowed[:12] if isinstance(value, str | int))
    more = ", …" if len(allowed) > 12 else ""
    return f"is not one of {shown}{more}" if shown else "is not one of the values allowed here"
