from __future__ import annotations

from typing import Any

import pytest

from gateway.registry.lint import advise
from gateway.registry.sensitivity import STRICTEST, UNCLASSIFIED, personal_classes, sensitivity, unclassified
from gateway.registry.vocabulary import declares
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


def test_what_members_hold_is_told_by_class_to_any_depth() -> None:
    """Through references, rows and a definition that holds itself; a member nobody declared fails closed."""
    person: dict[str, Any] = {"properties": {"name": {"x-sensitivity": "VI*"}, "of": {"$ref": "#/$defs/person"}}}
    person["properties"]["of"]["x-sensitivity"] = "OP"
    document: dict[str, Any] = {
        "properties": {
            "plain": {"x-sensitivity": "OP", "if": {"properties": {"x": {}}}},
            "rows": {"x-sensitivity": "OP", "items": {"$ref": "#/$defs/person"}},
            "either": {"x-sensitivity": "VI/SU"},
            "unnamed": {"type": "string"},
            "below": {"x-sensitivity": "AG", "properties": {"misspelt": {"x-sensitivity": "vi"}}},
        },
        "$defs": {"person": person},
    }
    told = {name: personal_classes(document, [name]) for name in (*document["properties"], "other")}
    assert told == {
        "plain": set(), "rows": {"VI"}, "either": {"VI", "SU"}, "unnamed": {UNCLASSIFIED}, "below": {UNCLASSIFIED},
        "other": {UNCLASSIFIED},
    }  # fmt: skip
    assert personal_classes(document, document["properties"]) == {"VI", "SU", UNCLASSIFIED}


def test_a_member_is_declared_through_references() -> None:
    """Where a type has room for its transfer basis; a reference to itself ends."""
    meta = {"properties": {"transferBasis": {}}}
    document: dict[str, Any] = {
        "properties": {"meta": {"$ref": "#/$defs/Meta"}, "loop": {"$ref": "#/properties/loop"}, "no": True},
        "$defs": {"Meta": meta},
    }
    assert declares(document, "meta", "transferBasis")
    for path in (("meta", "purpose"), ("loop", "x"), ("no", "x"), ("gone",)):
        assert not declares(document, *path), path
    assert all(declares(shelf.schema(subject), "meta", "transferBasis") for subject in shelf.SUBJECTS)


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_each_shipped_field_says_how_sensitive_it_is(subject: str) -> None:
    """None of the agreed types leaves a field to the fallback."""
    assert list(unclassified(shelf.schema(subject))) == []
