"""A policy is given what a partner wrote: whatever the shape, the review answers with findings and never falls over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Finding
from tests.casework.casefile import example_names, judge, message

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10**18)
    | st.text(max_size=12)
    | st.sampled_from(["2026-02-30", "P-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places_in(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of everything in a document."""
    children = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(place for key, child in children for place in places_in(child, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(example_names()), st.data())
def test_any_shape_gets_findings(name: str, data: Any) -> None:
    """One to three places of an example replaced by anything: a tuple of findings with codes and pointers."""
    facts = message(name)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in places_in(facts.data) if place]))
        holder: Any = facts.data
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = data.draw(JSON)
    for finding in judge(facts):
        assert isinstance(finding, Finding)
        assert finding.code is not None
        assert finding.code.startswith("E-")
        assert finding.pointer == "" or finding.pointer.startswith("/")


@pytest.mark.parametrize("document", [None, 0, "P-1", [], {"mrz": None}])
def test_a_document_that_is_no_object_stops_no_review(document: Any) -> None:
    """Found by the search above."""
    facts = message("victim.assistance.referral/s5-child-khmer-script")
    facts.data["person"]["documents"][0] = document
    assert isinstance(judge(facts), tuple)
