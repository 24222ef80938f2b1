"""The shipped schema files, code lists and examples, read once for the tests beside this file."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema
import jsonschema_rs

from gateway.registry.subject import load_schema
from gateway.registry.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.errors import Finding

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
FIELDS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "fields.toml").read_text(encoding="utf-8"))
SUBJECTS = tuple(name for name in FIELDS if name != "components")
EXAMPLES = tuple(sorted((SCHEMAS / "examples").glob("*/*.json")))
CODELISTS = tuple(sorted((SCHEMAS / "codelists").glob("*.json")))


def load(path: Path) -> Any:
    """Return the JSON of one file."""
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def schema(subject: str) -> dict[str, Any]:
    """Return the shipped schema of a message type; not to be changed."""
    loaded: dict[str, Any] = load(SCHEMAS / subject / "1.0.0.json")
    return loaded


@cache
def codelist(name: str) -> dict[str, Any]:
    """Return one code list file; not to be changed."""
    loaded: dict[str, Any] = load(SCHEMAS / "codelists" / f"{name}.json")
    return loaded


def _deny(_uri: str) -> NoReturn:
    raise ValueError


@cache
def engine(subject: str) -> jsonschema_rs.Draft202012Validator:
    """Return the compiled schema in the engine the gateway uses."""
    return jsonschema_rs.Draft202012Validator(schema(subject), retriever=_deny)


@cache
def second_opinion(subject: str) -> jsonschema.Draft202012Validator:
    """Return the schema in the reference implementation."""
    return jsonschema.Draft202012Validator(schema(subject))


@cache
def _validator(subject: str) -> Validator:
    members = {
        f"{found['list']}@{found['version']}": frozenset(c["code"] for c in found["codes"] if not c.get("disabled"))
        for found in map(load, CODELISTS)
    }
    text = (SCHEMAS / subject / "1.0.0.json").read_bytes()
    return Validator(load_schema(text, subject=subject, version="1.0.0"), members)


def findings(subject: str, data: Any) -> tuple[Finding, ...]:
    """Return what the gateway finds wrong, code lists included."""
    return _validator(subject).findings(data)


def example(name: str) -> Any:
    """Return a fresh copy of the `data` of one example, named `<subject>/<file without .json>`."""
    return load(SCHEMAS / "examples" / f"{name}.json")["data"]


def properties(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (pointer, schema) of each field that is defined, not those that a condition narrows."""
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        pointer, node = todo.pop()
        if not isinstance(node, dict):
            continue
        narrows = "additionalProperties" not in node
        for name, field in node.get("properties", {}).items():
            where = f"{pointer}/properties/{name}"
            if not narrows:
                yield where, field
                todo.append((where, field))
        todo.extend((f"{pointer}/$defs/{name}", found) for name, found in node.get("$defs", {}).items())
        if "items" in node:
            todo.append((f"{pointer}/items", node["items"]))


def nodes(document: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (pointer, node) of each object in the document."""
    if isinstance(document, dict):
        yield pointer, document
        for name, value in document.items():
            yield from nodes(value, f"{pointer}/{name}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from nodes(value, f"{pointer}/{index}")


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return a field with what it refers to merged below it."""
    while "$ref" in node:
        target = document["$defs"][node["$ref"].removeprefix("#/$defs/")]
        node = target | {name: value for name, value in node.items() if name != "$ref"}
    return node


def at(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the field at a path of `fields.toml`; KeyError where there is none."""
    node = document
    for step in path.split("."):
        node = resolved(document, node)["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            node = resolved(document, node)["items"]
    return node
