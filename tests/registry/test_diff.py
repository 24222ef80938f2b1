"""What people read before they approve a version: the changes and the verdict both ways."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.registry.diff import diff

OLD: dict[str, Any] = {
    "$id": "urn:bcx:schema:a.b:1.0.0",
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 5}, "b/c": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}


def new(**changes: Any) -> dict[str, Any]:
    """Return the next version with some keywords replaced."""
    return {**OLD, "$id": "urn:bcx:schema:a.b:1.1.0", **changes}


PROPERTIES = OLD["properties"]

ROWS: list[tuple[dict[str, Any], list[str], str]] = [
    (new(), [], "compatible both ways"),
    (new(title="T"), ['+ /title: "T"'], "compatible both ways"),
    (
        new(properties={**PROPERTIES, "d": {"type": "integer"}}),
        ['+ /properties/d: {"type":"integer"}'],
        "backward compatible",
    ),
    (
        new(properties={"a": PROPERTIES["a"]}),
        ['- /properties/b~1c: {"enum":["x","y"]}'],
        "forward compatible",
    ),
    (
        new(properties={**PROPERTIES, "a": {"type": "string", "maxLength": 9}}),
        ["~ /properties/a/maxLength: 5 -> 9"],
        "backward compatible",
    ),
    (
        new(properties={**PROPERTIES, "b/c": {"enum": ["y", "z"]}}),
        ['+ /properties/b~1c/enum: "z"', '- /properties/b~1c/enum: "x"'],
        "incompatible both ways",
    ),
    (
        new(properties={**PROPERTIES, "b/c": {"enum": ["y", "x"]}}, required=["a"]),
        [],
        "compatible both ways",
    ),
    (new(required=["a", "b/c"]), ['+ /required: "b/c"'], "forward compatible"),
    (new(allOf=[{"minProperties": 1}]), ['+ /allOf: [{"minProperties":1}]'], "compatible both ways"),
]


@pytest.mark.parametrize(("candidate", "changes", "verdict"), ROWS)
def test_changes_and_verdict(candidate: dict[str, Any], changes: list[str], verdict: str) -> None:
    """Each change is one line with its pointer; sets ignore order; the name of the version is no change."""
    found = diff(OLD, candidate)
    assert [str(change) for change in found.changes] == changes
    assert found.verdict.startswith(verdict)


def test_the_text_names_changes_verdict_and_reasons() -> None:
    """The lines for a terminal end with why each direction fails."""
    lines = list(diff(OLD, new(required=["a", "b/c"])).lines())
    assert lines == [
        '+ /required: "b/c"',
        "forward compatible: the old version reads what the new one writes, not the other way round",
        "  new reads old: /required (required): the writer may leave out `b/c`",
    ]
    assert list(diff(OLD, OLD).lines()) == ["no changes", "compatible both ways"]


def test_long_values_are_cut_and_lists_compared_by_place() -> None:
    """A whole subschema is not poured into one line; `anyOf` branches are told by index."""
    long = {"type": "string", "description": "x" * 200}
    (change,) = diff({"anyOf": [True]}, {"anyOf": [True, long]}).changes
    assert change.pointer == "/anyOf/1"
    assert change.new is not None
    assert change.new.endswith("…")
    assert len(change.new) == 80


def test_code_lists_decide_the_verdict_where_they_are_held() -> None:
    """A longer version of a list reads the shorter one, once both are known."""
    old = {"type": "string", "x-codelist": "p@1.0.0"}
    later = {"type": "string", "x-codelist": "p@1.1.0"}
    held = {"p@1.0.0": ["A"], "p@1.1.0": ["A", "B"]}
    assert diff(old, later, codelists=held).verdict.startswith("backward compatible")
    assert diff(old, later).verdict == "incompatible both ways"
