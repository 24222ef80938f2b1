"""The shipped examples are valid as they stand, and two engines agree on them and on what is made wrong."""

from __future__ import annotations

import copy
import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.schemas import shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIES = {"id.imigrasi", "kh.gdi"}
MEMBERS = {"recipient", "type", "urgency", "handling", "data"}
CASES = {"s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"}

each_example = pytest.mark.parametrize("path", shelf.EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")


@each_example
def test_an_example_is_a_post_body_that_the_gateway_accepts(path: Path) -> None:
    """Members of the REST contract, a known party, codes in their lists, and data that fits the schema."""
    body = shelf.load(path)
    assert set(body) == MEMBERS
    assert body["type"] == path.parent.name
    assert body["recipient"] in PARTIES
    assert body["urgency"] in {c["code"] for c in shelf.codelist("urgency")["codes"]}
    assert set(body["handling"]) <= {c["code"] for c in shelf.codelist("handlingCode")["codes"]}
    assert body["handling"]
    assert shelf.findings(body["type"], body["data"]) == ()
    assert "attachments" not in body["data"]


@each_example
def test_an_example_meets_the_least_handling_and_retention_of_its_type(path: Path) -> None:
    """The sender's gateway would refuse weaker handling or another class."""
    body = shelf.load(path)
    document = shelf.schema(body["type"])
    assert set(document["x-min-handling"]) <= set(body["handling"]) | {"H0"}
    assert body["data"]["meta"]["retention"]["class"] in document["x-retention"]


@each_example
def test_an_example_holds_nothing_that_could_belong_to_anybody(path: Path) -> None:
    """TEST documents, invented register numbers and telephones, and what the gateway fills in is left out."""
    body = shelf.load(path)
    for pointer, node in shelf.nodes(body["data"]):
        if "documentType" in node and "number" in node:
            assert node["number"].startswith("TEST"), pointer
        if node.get("type") == "NIK":
            assert node["value"].startswith("99"), pointer
        if node.get("kind") == "PHONE" or node.get("type") == "PHONE":
            assert "000000" in node["value"], pointer
    assert "deleteBy" not in body["data"]["meta"]["retention"]
    assert "language" not in body["data"]["meta"]


@each_example
def test_an_example_has_no_date_that_a_year_turns_wrong(path: Path) -> None:
    """Events lie in the past, what is still to come far ahead; deadlines are counted from the message."""
    for pointer, node in shelf.nodes(shelf.load(path)["data"]):
        for name, value in node.items():
            if isinstance(value, str) and len(value) >= 10 and value[:2] == "20" and value[4] + value[7] == "--":
                day = date.fromisoformat(value[:10])
                assert day <= date(2026, 11, 24) or day > date(2027, 11, 24), f"{pointer}/{name}"


def test_every_type_and_every_sample_case_has_an_example() -> None:
    """All fourteen types and the eight stories."""
    assert {path.parent.name for path in shelf.EXAMPLES} == set(shelf.SUBJECTS)
    assert {path.stem.partition("-")[0] for path in shelf.EXAMPLES} >= CASES


def test_the_readme_says_of_every_example_which_case_it_opens_or_joins() -> None:
    """Each file is named in the table."""
    text = (shelf.SCHEMAS / "examples" / "README.md").read_text(encoding="utf-8")
    for path in shelf.EXAMPLES:
        assert path.stem in text, path.stem


def test_the_group_of_thirty_is_as_messy_as_it_was_told() -> None:
    """Precision, documents, a presumed child, twins of name and year, two nationalities."""
    rows = shelf.example("identity.verify.request/s2-group-of-thirty")["items"]
    precisions = [row["person"]["birth"]["precision"] for row in rows]
    assert [precisions.count(p) for p in ("DAY", "YEAR", "ESTIMATED", "UNKNOWN")] == [21, 4, 3, 2]
    held = [row.get("claimedDocument") for row in rows]
    assert sum(found is None for found in held) == 19
    assert sum(found is not None and "mrz" in found for found in held) == 5
    assert [row["itemId"] for row in rows if row["person"]["isMinor"] == "PRESUMED"] == ["7"]
    assert rows[7]["person"]["names"] == rows[8]["person"]["names"]
    assert [n["country"] for n in rows[10]["person"]["nationalities"]] == ["IDN", "MYS"]


def test_the_three_partial_answers_add_up_to_the_group() -> None:
    """Counts run over all answers so far; at the final one they are the thirty rows asked for."""
    parts = [shelf.example(f"identity.verify.response/s2-partial-{n}") for n in (1, 2, 3)]
    results = [row["result"] for part in parts for row in part["results"]]
    assert len(results) == 30
    assert [results.count(r) for r in ("CONFIRMED", "CONFIRMED_WITH_CORRECTION", "MULTIPLE_CANDIDATES")] == [
        22,
        3,
        2,
    ]
    assert [part["final"] for part in parts] == [False, False, True]
    assert sum(parts[-1]["counts"].values()) == 30


@each_example
def test_both_engines_agree_on_an_example_and_on_each_thing_made_wrong_in_it(path: Path) -> None:
    """The fast engine is not the only judge: on thousands of broken variants the reference agrees."""
    body = shelf.load(path)
    fast, reference = shelf.engine(body["type"]), shelf.second_opinion(body["type"])
    assert fast.is_valid(body["data"])
    assert reference.is_valid(body["data"])
    refused = 0
    for what, wrong in _variants(_small(body["data"])):
        verdict = fast.is_valid(wrong)
        assert verdict == reference.is_valid(wrong), what
        refused += not verdict
    assert refused > 10


def _small(data: dict[str, Any]) -> dict[str, Any]:
    """Keep three rows of each long list: the reference engine is slow, and rows are alike."""
    return {name: value[:3] if isinstance(value, list) else value for name, value in data.items()}


def _variants(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for trail in _trails(data):
        shape = "/".join("*" if isinstance(step, int) else step for step in trail)
        if shape in seen:
            continue
        seen.add(shape)
        for name, change in (
            ("dropped", _DROP),
            ("null", None),
            ("text", "x\u202e"),
            ("long", "A" * 4001),
            ("object", {"no": 1}),
        ):
            yield f"{shape} {name}", _changed(data, trail, change)
        value = _found(data, trail)
        if isinstance(value, list) and value:
            yield f"{shape} doubled", _changed(data, trail, value * 2)
            yield f"{shape} empty", _changed(data, trail, [])
        if isinstance(value, dict):
            yield f"{shape} extra", _changed(data, trail, value | {"nobody": True})


_DROP = object()


def _trails(value: Any, trail: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if trail:
        yield trail
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from _trails(child, (*trail, step))


def _found(value: Any, trail: tuple[str | int, ...]) -> Any:
    for step in trail:
        value = value[step]
    return value


def _changed(data: dict[str, Any], trail: tuple[str | int, ...], change: Any) -> Any:
    wrong = copy.deepcopy(data)
    holder = _found(wrong, trail[:-1])
    if change is _DROP:
        del holder[trail[-1]]
    else:
        holder[trail[-1]] = json.loads(json.dumps(change))
    return wrong
