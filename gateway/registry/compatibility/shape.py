"""What a writer may send at one place of the data: a conjunction of subschemas, read as facts.

A `Shape` takes everything that applies to the same value (through `$ref`, `allOf`, decided conditions and
dependent schemas) and answers with bounds. Each answer is an over-approximation: it may allow more than
the writer does, never less. So a reader proved against a shape is proved against the writer.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final

from gateway.registry.compatibility.evaluated import maybe_items, maybe_members
from gateway.registry.compatibility.places import Place, Root, same
from gateway.registry.validation import compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ATOMS: Final = frozenset({"null", "boolean", "object", "array", "string", "integer", "fraction"})
NUMBERS: Final = frozenset({"integer", "fraction"})
_MAX_VALUES: Final = 2000
_MAX_OPTIONS: Final = 16

Number = int | float
Bound = tuple[Number, bool]  # value, and whether the value itself is excluded


TYPED: Final = {
    atom: Root({"type": atom}).place() for atom in ("null", "boolean", "object", "array", "string", "integer")
}
TYPED["fraction"] = Root({"type": "number", "not": {"type": "integer"}}).place()
NOTHING: Final = Root(document=False).place()


@lru_cache(maxsize=4096)
def requiring(name: str) -> Place:
    """Return the fact that the value is an object holding the member `name`."""
    return Root({"type": "object", "required": [name]}).place()


@lru_cache(maxsize=4096)
def matches(pattern: str, name: str) -> bool:
    """Say whether a member name matches, by the engine that validates."""
    return compile_schema({"pattern": pattern}).is_valid(name)


def atom_of(value: Any) -> str:
    """Return the type of a JSON value, numbers told apart as the engine does: 1.0 is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if float(value).is_integer() else "fraction"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def atoms_of(asked: str | list[str]) -> frozenset[str]:
    """Return the atoms of a `type` keyword."""
    atoms: set[str] = set()
    for name in asked if isinstance(asked, list) else [asked]:
        atoms |= NUMBERS if name == "number" else {name}
    return frozenset(atoms)


class Shape:
    """The conjunction of `places`, minus what matches one of `denied`."""

    def __init__(self, places: Iterable[Place], denied: Iterable[Place] = ()) -> None:
        self.places = frozenset(places)
        self.denied = set(denied)
        self.nodes: list[Place] = []
        self.choices: list[Choice] = []
        self.void = False
        self._gather()
        self.key = (self.places, frozenset(self.denied))

    def also(self, *places: Place, denied: Iterable[Place] = ()) -> Shape:
        """Return this shape with more known about it."""
        return Shape(self.places | set(places), self.denied | set(denied))

    def _gather(self) -> None:
        """Collect all that applies to this very value, until nothing more follows."""
        seen: set[Place] = set()
        todo = list(self.places)
        open_: list[Place] = []  # nodes with conditions not decided yet
        while todo:
            self._add(todo, seen, open_)
            for node in list(open_):
                decided = self._decide(node)
                if decided is not None:
                    open_.remove(node)
                    todo.extend(decided)
            todo.extend(self._dependents(seen))
        for node in open_:
            self.choices.append(
                [((node.child("if"), *_maybe(node, "then")), ()), (_maybe(node, "else"), (node.child("if"),))]
            )

    def _add(self, todo: list[Place], seen: set[Place], open_: list[Place]) -> None:
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            if isinstance(place.schema, bool):
                self.void = self.void or not place.schema
                continue
            self.nodes.append(place)
            node = place.schema
            if "$ref" in node:
                todo.append(place.target())
            todo.extend(place.children("allOf"))
            for keyword in ("anyOf", "oneOf"):
                branches = place.children(keyword)
                if len(branches) == 1:
                    todo.extend(branches)
                elif branches:
                    self.choices.append([((branch,), ()) for branch in branches])
            if "not" in node:
                self.denied.add(place.child("not"))
            if "if" in node and ("then" in node or "else" in node):
                open_.append(place)

    def _decide(self, node: Place) -> tuple[Place, ...] | None:
        condition = node.child("if")
        if condition.schema is True or any(same(condition, known) for known in self.nodes):
            return _maybe(node, "then")
        if condition.schema is False or any(same(condition, known) for known in self.denied):
            return _maybe(node, "else")
        return None

    def _dependents(self, seen: set[Place]) -> list[Place]:
        required = self.required if self.is_only("object") else frozenset()
        self.__dict__.pop("required", None)
        self.__dict__.pop("types", None)
        found = []
        for node in self.nodes:
            for name in node.node.get("dependentSchemas", {}):
                child = node.child("dependentSchemas", name)
                if name in required and child not in seen:
                    found.append(child)
        return found

    def each(self, keyword: str) -> Iterator[Any]:
        """Yield the keyword's value wherever it applies."""
        for place in self.nodes:
            if keyword in place.node:
                yield place.node[keyword]

    def is_only(self, atom: str) -> bool:
        """Say whether the value is surely of this type."""
        return self.types == {atom}

    # --- any value ---------------------------------------------------------------------------------

    @cached_property
    def types(self) -> frozenset[str]:
        """Return the types the value may have."""
        types = ATOMS
        for place in self.nodes:
            node = place.node
            if "type" in node:
                types &= atoms_of(node["type"])
            if "const" in node:
                types &= {atom_of(node["const"])}
            if "enum" in node:
                types &= {atom_of(value) for value in node["enum"]}
            if isinstance(node.get("multipleOf"), int):
                types -= {"fraction"}
        for denied in self.denied:
            if isinstance(denied.schema, dict) and denied.schema.keys() == {"type"}:
                types -= atoms_of(denied.schema["type"])
        return types

    @cached_property
    def values(self) -> list[Any] | None:
        """Return every value there can be, or None where they cannot be listed."""
        lists = [[value] for value in self.each("const")] + list(self.each("enum"))
        if self.types <= {"null", "boolean"}:
            lists.append([None, True, False])
        if not lists:
            return None
        shortest = min(lists, key=len)
        if len(shortest) > _MAX_VALUES:
            return None
        denied = [place for place in self.denied if place.exact]
        return [
            value
            for value in shortest
            if atom_of(value) in self.types
            and all(place.holds(value) for place in self.places)
            and not any(place.holds(value) for place in denied)
        ]

    # --- numbers and text --------------------------------------------------------------------------

    @cached_property
    def lower(self) -> Bound | None:
        """Return the greatest lower bound known."""
        bounds = [(value, False) for value in self.each("minimum")]
        bounds += [(value, True) for value in self.each("exclusiveMinimum")]
        best = max(bounds, default=None)
        if best is not None and "fraction" not in self.types:
            best = (floor(best[0]) + 1 if best[1] else ceil(best[0]), False)
        return best

    @cached_property
    def upper(self) -> Bound | None:
        """Return the least upper bound known."""
        bounds = [(value, False) for value in self.each("maximum")]
        bounds += [(value, True) for value in self.each("exclusiveMaximum")]
        best = min(bounds, default=None, key=lambda bound: (bound[0], not bound[1]))
        if best is not None and "fraction" not in self.types:
            best = (ceil(best[0]) - 1 if best[1] else floor(best[0]), False)
        return best

    def least(self, keyword: str) -> int:
        """Return the strictest of a `min…` keyword, 0 where there is none."""
        return max((int(value) for value in self.each(keyword)), default=0)

    def most(self, keyword: str) -> int | None:
        """Return the strictest of a `max…` keyword, None where there is none."""
        return min((int(value) for value in self.each(keyword)), default=None)

    # --- lists -------------------------------------------------------------------------------------

    @cached_property
    def min_items(self) -> int:
        """Return how many items there are at least."""
        contained = [node.node.get("minContains", 1) for node in self.nodes if "contains" in node.node]
        return max([self.least("minItems"), *map(int, contained)])

    @cached_property
    def max_items(self) -> int | None:
        """Return how many items there are at most."""
        limits = [len(n.node.get("prefixItems", ())) for n in self.nodes if n.node.get("items") is False]
        stated = self.most("maxItems")
        return min([*limits, *([] if stated is None else [stated])], default=None)

    @cached_property
    def prefix(self) -> int:
        """Return from which index on all items look alike."""
        lengths = [maybe_items(node)[0] for node in self.nodes]
        return max(lengths, default=0)

    def item(self, index: int) -> Shape:
        """Return what may stand at `index`; `prefix` stands for all beyond."""
        found: list[Place] = []
        for place in self.nodes:
            fixed = place.node.get("prefixItems", ())
            if index < len(fixed):
                found.append(place.child("prefixItems", index))
            elif "items" in place.node:
                found.append(place.child("items"))
            if "unevaluatedItems" in place.node:
                count, every = maybe_items(place)
                if not every and index >= count:
                    found.append(place.child("unevaluatedItems"))
        return Shape(found)

    # --- objects -----------------------------------------------------------------------------------

    @cached_property
    def required(self) -> frozenset[str]:
        """Return the members that are surely there, where the value is an object."""
        names = {name for names in self.each("required") for name in names}
        grown = True
        while grown:
            more = {
                name
                for rule in self.each("dependentRequired")
                for trigger, needed in rule.items()
                if trigger in names
                for name in needed
            }
            grown = not more <= names
            names |= more
        return frozenset(names)

    @cached_property
    def named(self) -> frozenset[str]:
        """Return the member names the writer's schemas mention."""
        names = {name for rule in self.each("properties") for name in rule}
        for place in self.nodes:
            if "unevaluatedProperties" in place.node:
                # An undecided `if` or `anyOf` may take a name out of what this keyword closes.
                names |= maybe_members(place)[0]
        return frozenset(names) | self.required

    def known(self, name: str) -> Shape:
        """Return what the member `name` may hold when it is there."""
        found: list[Place] = []
        for place in self.nodes:
            node = place.node
            if "propertyNames" in node and not place.child("propertyNames").holds(name):
                found.append(NOTHING)
            found.extend(_applied(place, name))
            if "unevaluatedProperties" in node:
                names, patterns, every = maybe_members(place)
                if not (every or name in names or any(matches(p, name) for p in patterns)):
                    found.append(place.child("unevaluatedProperties"))
        return Shape(found)

    def unknown(self, matching: str | None = None, outside: Iterable[str] = ()) -> list[Shape]:
        """Return the cases of what a member may hold whose name no `properties` of the writer mentions.

        With `matching` only names that match this pattern count; names that match one of `outside` do
        not. One of the cases holds for each such member: a name can match any of a schema's patterns.
        """
        listed = [rule["enum"] for rule in self.each("propertyNames") if isinstance(rule, dict) and "enum" in rule]
        if listed or any(rule is False for rule in self.each("propertyNames")):
            return []  # every name is listed: `possible_names` has them
        outside = set(outside)
        cases: list[frozenset[Place]] = [frozenset()]
        for place in self.nodes:
            options = _open_options(place, matching, outside)
            if options is None or len(cases) * len(options) > _MAX_OPTIONS:
                continue
            cases = [case | option for case in cases for option in options]
        return [Shape(case) for case in dict.fromkeys(cases)]

    @cached_property
    def possible_names(self) -> frozenset[str]:
        """Return the names to look at one by one: mentioned ones, and those a list of names allows."""
        listed = {
            name
            for rule in self.each("propertyNames")
            if isinstance(rule, dict)
            for name in rule.get("enum", ())
            if isinstance(name, str)
        }
        return self.named | listed

    @cached_property
    def name_patterns(self) -> frozenset[str]:
        """Return patterns that every member name matches."""
        rules = [rule for rule in self.each("propertyNames") if isinstance(rule, dict)]
        return frozenset(rule["pattern"] for rule in rules if "pattern" in rule)


Alternative = tuple[tuple[Place, ...], tuple[Place, ...]]  # what also holds, what does not
Choice = list[Alternative]


def _maybe(node: Place, keyword: str) -> tuple[Place, ...]:
    return (node.child(keyword),) if keyword in node.node else ()


def _applied(place: Place, name: str) -> list[Place]:
    node = place.node
    found = [place.child("properties", name)] if name in node.get("properties", {}) else []
    found += [place.child("patternProperties", p) for p in node.get("patternProperties", {}) if matches(p, name)]
    if not found and "additionalProperties" in node:
        found.append(place.child("additionalProperties"))
    return found


def _open_options(place: Place, matching: str | None, outside: set[str]) -> list[frozenset[Place]] | None:
    """Return the cases one schema leaves for an unmentioned name; None where it says nothing about it."""
    node = place.node
    patterns = list(node.get("patternProperties", {}))
    if matching is not None and matching in patterns:
        return [frozenset({place.child("patternProperties", matching)})]
    options = [frozenset({place.child("patternProperties", p)}) for p in patterns if p not in outside]
    if "additionalProperties" in node:
        return [*options, frozenset({place.child("additionalProperties")})]
    if "unevaluatedProperties" in node:
        _, maybe, every = maybe_members(place)
        if not every and not (maybe - outside - set(patterns)):
            return [*options, frozenset({place.child("unevaluatedProperties")})]
    return [*options, frozenset()] if options else None
