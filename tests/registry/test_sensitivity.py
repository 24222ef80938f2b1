from __future__ import annotations

from typing import Any

import pytest

from gateway.registry.lint import advise
from gateway.registry.sensitivity import STRICTEST, sensitivity, unclassified
from tests.schemas import shelf


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ({"x-sensitivity": "OP"}, "OP"),
        ({"x-sensitivity": "VI/SU"}, "VI/SU"),
        ({"x-sensitivity": "SU*"}, "SU*"),
        ({"x-sensitivity": "AG"}, "AG"),
        ({}, STRICTEST),
        ({"x-sensitivity": ""}, STRICTEST),
        ({"x-sensitivity": "op"}, STRICTEST),
        ({"x-sensitivity": "PUBLIC"}, STRICTEST),
        ({"x-sensitivity": ["AG"]}, STRICTEST),
        ({"$ref": "#/$defs/a"}, STRICTEST),
        (True, STRICTEST),
    ],
)
def test_what_names_no_class_we_know_is_the_strictest(field: Any, wanted: str) -> None:
    """Fails closed: forgetting the keyword, or misspelling it, never opens a field."""
    assert sensitivity(field) == wanted


def test_advice_names_each_field_without_a_class() -> None:
    """At every depth, definitions included; those that have one are left alone, and so are rules about them."""
    inner: dict[str, Any] = {"properties": {"c": {"x-sensitivity": "OP"}, "d": {}}}
    document: dict[str, Any] = {
        "properties": {"a": {"x-sensitivity": "VI"}, "b": inner},
        "$defs": {"e": {"properties": {"f": True}}},
    }
    document["allOf"] = [{"if": {"properties": {"a": {"const": "x"}}}}]
    inner["properties"]["c"] = {"$ref": "#/$defs/e", "x-sensitivity": "OP", "properties": {"f": {"const": 1}}}
    wanted = {"/properties/b", "/properties/b/properties/d", "/$defs/e/properties/f"}
    assert set(unclassified(document)) == wanted
    assert {f.pointer for f in advise(document) if f.code == "advice-sensitivity"} == wanted


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_each_shipped_field_says_how_sensitive_it_is(subject: str) -> None:
    """None of the agreed types leaves a field to the fallback."""
    assert list(unclassified(shelf.schema(subject))) == []
