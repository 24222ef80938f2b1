"""The faults of large data are those of the whole, made a few at a time."""

from __future__ import annotations

import copy
import json
import time
from random import Random
from typing import Any

import pytest

from gateway.registry.portions import Portions
from gateway.registry.subject import load_schema
from gateway.registry.validation import Validator, compile_schema, deny
from gateway.resources import schemas_path
from tests.registry import generators
from tests.support.pace import bound

MIB = 1024 * 1024
LIMIT_S = 0.1
REFERRAL = "case.referral"

pytestmark = pytest.mark.usefixtures("own_heap")


def shipped(subject: str) -> tuple[dict[str, Any], Any]:
    """Return a shipped schema, and the data of its first example."""
    document = json.loads((schemas_path() / subject / "1.0.0.json").read_text("utf-8"))
    first = min((schemas_path() / "examples" / subject).glob("*.json"))
    return document, json.loads(first.read_text("utf-8"))["data"]


SUBJECTS = sorted(path.name for path in (schemas_path() / "examples").iterdir() if path.is_dir())


def spoilt(rng: Random, value: Any) -> Any:
    """Return a copy with some values replaced, left out or doubled."""
    if isinstance(value, dict):
        kept = {name: spoilt(rng, item) for name, item in value.items() if rng.random() > 0.05}
        return kept | ({"unknown": 1} if rng.random() < 0.05 else {})
    if isinstance(value, list):
        return [spoilt(rng, item) for item in value * rng.choice([1, 1, 1, 2])]
    return rng.choice([0, "", None, [], {}]) if rng.random() < 0.1 else value


def compare(document: dict[str, Any], data: Any) -> bool:
    """Hold the faults in portions against those of the engine, each with its place in schema and data."""
    document = {key: value for key, value in document.items() if key not in ("$id", "$schema")}
    engine = compile_schema(document)
    parts = Portions(document, engine, compile_schema, deny, most_values=-1)
    found = sorted((str(f.evaluation), str(f.instance), f.error.kind.name) for f in parts.faults(data))
    whole = sorted(
        (str(tuple(error.evaluation_path)), str(error.instance_path), error.kind.name)
        for error in engine.iter_errors(data)
        if not _beyond(document, error.instance_path)
    )
    assert found == whole, json.dumps(data)
    return bool(found)


def _beyond(document: dict[str, Any], path: list[Any]) -> bool:
    """Say whether a fault stands in a row that the list of the root may not have: the list's own fault is enough."""
    node = document["properties"].get(path[0], True) if len(path) > 1 and isinstance(path[1], int) else True
    while isinstance(node, dict) and "$ref" in node:
        node = document["$defs"][node["$ref"].rpartition("/")[2]]
    return isinstance(node, dict) and path[1] >= node.get("maxItems", path[1] + 1) and isinstance(node["items"], dict)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_portions_have_the_faults_of_the_whole(subject: str) -> None:
    """Of every shipped type, spoilt at random: no fault more, none less, none elsewhere."""
    rng = Random(subject)
    document, data = shipped(subject)
    assert sum(compare(document, spoilt(rng, data)) for _ in range(6)) > 3


def test_portions_of_any_schema_have_the_faults_of_the_whole() -> None:
    """Random schemas, recursive ones and such with conditions over their lists too."""
    rng = Random(7)
    faulty = 0
    for turn in range(600):
        document = generators.document(rng)
        data = generators.instance(rng, document, document)
        items = generators.schema(rng, 2)
        document["properties"]["list"] = {"type": "array", "items": items, "uniqueItems": True}
        if turn % 3 == 0:
            document["$defs"] = {**document.get("$defs", {}), "many": document["properties"]["list"]}
            document["properties"]["list"] = {"$ref": "#/$defs/many", "maxItems": 2}
        if turn % 5 == 0:
            document["then"] = {"properties": {"list": {"items": {"type": "string"}}}}
            document["if"] = True
        if turn % 7 == 0:
            document["properties"]["k"] = {"$ref": "#"}
        if isinstance(data, dict):
            data["list"] = [generators.instance(rng, items, document) for _ in range(3)]
            data["k"] = {"list": copy.deepcopy(data["list"])} if turn % 7 == 0 else data.get("k", 1)
        faulty += compare(document, data)
    assert faulty > 200


def flood(data: dict[str, Any], where: str) -> dict[str, Any]:
    """Return two megabytes that are nothing but faults."""
    flooded = copy.deepcopy(data)
    empty: list[Any] = [{}] * (MIB * 2 // 3)
    if where == "a list of the root":
        flooded["persons"] = empty
    elif where == "a list far inside":
        flooded["persons"][0]["names"] = empty
    elif where == "where no list belongs":
        flooded["meta"] = [0] * MIB
    elif where == "every list at once":
        flooded |= dict.fromkeys(("persons", "subjects", "route", "manifest", "attachments"), empty[: MIB // 4])
    else:
        flooded |= {f"m{number}": 1 for number in range(MIB * 2 // 11)}
    return flooded


@pytest.mark.parametrize(
    "where",
    ["a list of the root", "a list far inside", "where no list belongs", "every list at once", "unknown members"],
)
def test_a_message_of_nothing_but_faults_is_told_some_of_them_at_once(where: str) -> None:
    """Two megabytes: in a tenth of a second, whatever is asked for, and never none."""
    document, data = shipped(REFERRAL)
    validator = Validator(load_schema(json.dumps(document).encode()))
    assert validator.findings({})
    flooded = flood(data, where)
    started = time.process_time()
    assert not validator.is_valid(flooded)
    found = validator.findings(flooded, 20)
    assert time.process_time() - started < bound(LIMIT_S)
    assert 1 <= len(found) <= 20


def test_a_list_that_is_far_too_long_is_told_so_and_nothing_that_is_not_true() -> None:
    """Cut for the engine, it is not said to be too short, nor to lack what stands behind the cut."""
    schema = {
        "type": "object", "required": ["z"],
        "properties": {
            "a": {"type": "array", "maxItems": 3, "x-refusal": "E-SIZE"},
            "b": {"type": "array", "minItems": 30_000, "contains": {"const": "end"}, "items": {"type": "string"}},
        },
    }  # fmt: skip
    validator = Validator(load_schema(json.dumps(schema).encode(), subject="note.test", version="1.0.0"))
    letters = ["x"] * 40_000
    data = {"a": letters, "b": [*letters, "end"], **{f"m{number}": 1 for number in range(20_000)}, "z": 1}
    assert [(f.pointer, f.code) for f in validator.findings(data)] == [("/a", "E-SIZE")]
    late = {"b": [*letters, 7, "end"], "z": 1}
    assert [f.pointer for f in validator.findings(late)] == ["/b/40000"]


def test_a_schema_at_the_limit_of_the_registry_bounds_the_values_it_is_held_against() -> None:
    """As many checks of each value as a schema may ask for, and half a million values: no check is begun."""
    schema = {"properties": {"a": {"items": {"anyOf": [{"const": number} for number in range(240)]}}}}
    validator = Validator(load_schema(json.dumps(schema).encode(), subject="note.test", version="1.0.0"))
    assert validator.is_valid({"a": [239] * 10_000})
    started = time.process_time()
    assert not validator.is_valid({"a": [239] * 500_000})
    [found] = validator.findings({"a": [239] * 500_000})
    assert (found.pointer, found.code) == ("", "E-SIZE")
    assert time.process_time() - started < bound(LIMIT_S)
