"""Schemas by place: a root document, and a subschema of it that remembers where it stands.

Places are interned per root, so that a goal ("this writer under that reader") can be recognised when a
recursive schema comes back to it. Annotations are dropped on the way in: they cannot break a reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jsonschema_rs
import orjson

from gateway.registry.validation import compile_schema, deny, prepare
from gateway.registry.vocabulary import (
    ASSERTIONS,
    LIST_KEYWORDS,
    MAP_KEYWORDS,
    SINGLE_KEYWORDS,
    escape,
    resolve,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


Schema = dict[str, Any] | bool
_URN: Final = "urn:bcx:compatibility"
_KEPT: Final = ASSERTIONS | {"$ref", "x-codelist"}


class Root:
    """A linted schema document with its code lists written out; `original` is what people are shown."""

    def __init__(self, document: Schema, codelists: Mapping[str, Collection[str]] | None = None) -> None:
        self.original = document
        self.document = _bare(prepare(document, codelists))
        self.codelists = frozenset(codelists or ())
        self._places: dict[str, Place] = {}
        self._registry: jsonschema_rs.Registry | None = None

    def place(self, pointer: str = "") -> Place:
        """Return the place at an RFC 6901 pointer; LookupError where there is none."""
        place = self._places.get(pointer)
        if place is None:
            place = Place(self, pointer, resolve(self.document, "#" + pointer))
            self._places[pointer] = place
        return place

    def compile(self, pointer: str) -> jsonschema_rs.Draft202012Validator:
        """Return the engine for the subschema at `pointer`, its references resolved in this root."""
        if self._registry is None:
            self._registry = jsonschema_rs.Registry([(_URN, self.document)], retriever=deny)
        return compile_schema({"$ref": f"{_URN}#{quote(pointer, safe='/~')}"}, registry=self._registry)

    def shown(self, pointer: str) -> str:
        """Return the longest part of `pointer` that exists in the document people know."""
        while pointer:
            try:
                resolve(self.original, "#" + pointer)
            except (LookupError, TypeError, ValueError):
                pointer = pointer.rpartition("/")[0]
            else:
                break
        return pointer


class Place:
    """One subschema of a root; identity is its place, so equal text elsewhere is another place."""

    __slots__ = ("_canonical", "_engine", "_exact", "pointer", "root", "schema")

    def __init__(self, root: Root, pointer: str, schema: Any) -> None:
        self.root = root
        self.pointer = pointer
        self.schema: Schema = schema
        self._canonical: bytes | None = None
        self._engine: jsonschema_rs.Draft202012Validator | None = None
        self._exact: bool | None = None

    def __repr__(self) -> str:
        return f"Place({self.pointer!r})"

    @property
    def node(self) -> dict[str, Any]:
        """Return the keywords; none for the boolean schemas."""
        return self.schema if isinstance(self.schema, dict) else {}

    def child(self, *tokens: str | int) -> Place:
        """Return the subschema below, as `child("properties", name)`."""
        return self.root.place(self.pointer + "".join("/" + escape(str(token)) for token in tokens))

    def children(self, keyword: str) -> list[Place]:
        """Return the subschemas of a list keyword, as `allOf`."""
        return [self.child(keyword, index) for index in range(len(self.node.get(keyword, ())))]

    def target(self) -> Place:
        """Return where `$ref` leads."""
        return self.root.place(self.node["$ref"].removeprefix("#"))

    def holds(self, value: Any) -> bool:
        """Say whether `value` is valid here; a code list that is not known here is not looked at."""
        if isinstance(self.schema, bool):
            return self.schema
        if self._engine is None:
            self._engine = self.root.compile(self.pointer)
        return self._engine.is_valid(value)

    @property
    def exact(self) -> bool:
        """Say whether `holds` is the whole truth: no unknown code list can be reached from here."""
        if self._exact is None:
            self._exact = not any(
                isinstance(node, dict) and node.get("x-codelist", "") not in self.root.codelists | {""}
                for schema in self._reachable()
                for _, node in walk(schema)
            )
        return self._exact

    def canonical(self) -> bytes:
        """Return the schema as bytes with sorted members: equal bytes are equal keywords."""
        if self._canonical is None:
            self._canonical = orjson.dumps(self.schema, option=orjson.OPT_SORT_KEYS)
        return self._canonical

    def references(self) -> set[str]:
        """Return the references that stand in this subschema."""
        return {n["$ref"] for _, n in walk(self.schema) if isinstance(n, dict) and "$ref" in n}

    def _reachable(self) -> Iterable[Any]:
        seen: set[str] = set()
        todo: list[Place] = [self]
        while todo:
            place = todo.pop()
            yield place.schema
            for reference in place.references() - seen:
                seen.add(reference)
                todo.append(self.root.place(reference.removeprefix("#")))


def same(a: Place, b: Place) -> bool:
    """Say whether two places hold equal schemas, through all their references."""
    if a is b:
        return True
    if a.canonical() != b.canonical():
        return False
    return a.root is b.root or same_references(a.references(), a.root, b.root)


def same_references(references: set[str], one: Root, other: Root) -> bool:
    """Say whether references mean equal schemas in both roots."""
    seen = set(references)
    todo = list(references)
    while todo:
        pointer = todo.pop().removeprefix("#")
        try:
            a, b = one.place(pointer), other.place(pointer)
        except LookupError:
            return False
        if a.canonical() != b.canonical():
            return False
        fresh = a.references() - seen
        seen |= fresh
        todo.extend(fresh)
    return True


def _bare(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    bare: dict[str, Any] = {}
    for key, value in node.items():
        if key in MAP_KEYWORDS and isinstance(value, dict):
            bare[key] = {name: _bare(sub) for name, sub in value.items()}
        elif key in LIST_KEYWORDS and isinstance(value, list):
            bare[key] = [_bare(sub) for sub in value]
        elif key in SINGLE_KEYWORDS:
            bare[key] = _bare(value)
        elif key in _KEPT:
            bare[key] = sorted(value) if key == "required" else value
    return bare
