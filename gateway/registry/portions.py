"""The faults of large data, made a few at a time.

The engine makes every fault it can before it shows the first: a message of 2 MiB that says `[{},{},{},…]` where
persons belong is a million faults, gigabytes of them. So data of over `WHOLE_VALUES` is cut where ours is long, at
the lists of the root: first all but their items, then item by item, until the reader has enough. A part that is
still large tells its first fault and no other, which the engine finds without making more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jsonschema_rs
import orjson

from gateway.registry.vocabulary import escape, resolve, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Engine = jsonschema_rs.Draft202012Validator
    Compile = Callable[..., Engine]
    Path = tuple[str | int, ...]

# Each can be a few faults; ten thousand of them are a fifth of a second.
WHOLE_VALUES: Final = 2000
# Ours have 5,000 at most: whoever sends more is told that it is too long.
MOST_ITEMS: Final = 10_000
_MOST_STEPS: Final = 8
# Faults that a list or an object may have only because it was shortened.
_OF_LENGTH: Final = frozenset({"contains", "minItems", "minContains", "minProperties"})
_URN: Final = "urn:bcx:portions"
# Where the root has these, more than `properties` may lead to the items of its lists.
_ROUNDABOUT: Final = frozenset(
    {"$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "patternProperties"}
    | {"additionalProperties", "unevaluatedProperties"}
)
_TO_ITEMS: Final = (b'"items":', b'"prefixItems":', b'"unevaluatedItems":', b'"$ref":')


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the engine, and where the part it was found in stands: in the schema, and in the data.

    Where `schema` is not empty the error's own path begins with the step that led the engine to the part.
    """

    error: jsonschema_rs.ValidationError
    schema: Path = ()
    data: Path = ()

    @property
    def evaluation(self) -> Path:
        """How the evaluation of the whole would have come to the keyword."""
        own = tuple(self.error.evaluation_path)
        return (*self.schema, *own[1:]) if self.schema else own

    @property
    def instance(self) -> list[str | int]:
        """Where in the data it is."""
        return [*self.data, *self.error.instance_path]

    def inner(self, error: jsonschema_rs.ValidationError) -> Fault:
        """Return a fault found within this one."""
        return Fault(error, self.schema, self.data)


@dataclass(frozen=True, slots=True)
class _List:
    """A list of the root: how an evaluation comes to its items, the engine of one, and how many it may have."""

    path: Path
    engine: Engine
    most: int


class Portions:
    """`faults` yields what is wrong with data, as the engine of the whole would, in parts."""

    def __init__(
        self, document: Mapping[str, Any], whole: Engine, compile_schema: Compile, deny: Any, *,
        most_values: int = WHOLE_VALUES,
    ) -> None:  # fmt: skip
        """Take a schema with its engine, how to compile parts of it, and up to which size data is judged whole."""
        self._whole = whole
        self._most_values = most_values
        self._names = frozenset(_names(document))
        self._lists: dict[str, _List] = {}
        registry = jsonschema_rs.Registry([(_URN, dict(document))], retriever=deny)
        frame = {**document, "properties": dict(document.get("properties", {}))}
        if "$defs" in document:
            frame["$defs"] = dict(document["$defs"])
        for name in () if _comes_back(document) else frame["properties"]:
            found = _items_of(document, name)
            if found is not None:
                path, pointer, most = found
                engine = compile_schema({"$ref": f"{_URN}#{quote(pointer, safe='/~')}"}, registry=registry)
                self._lists[name] = _List(path, engine, most)
                _open_items(frame, name, document)
        self._frame = compile_schema(frame) if self._lists else whole
        others = orjson.dumps({key: value for key, value in document.items() if key in _ROUNDABOUT})
        self._one_way = not any(mark in others for mark in _TO_ITEMS)

    def faults(self, data: Any) -> Iterator[Fault]:
        """Yield the faults of invalid data: all of small data, of large data at least the first."""
        if count_values(data) <= self._most_values:
            yield from map(Fault, self._whole.iter_errors(data))
            return
        shorter: set[Path] = set()
        some = False
        for fault in self._parts(self._shortened(data, (), shorter)):
            if fault.error.kind.name not in _OF_LENGTH or tuple(fault.instance) not in shorter:
                some = True
                yield fault
        if not some:
            yield from _first(self._whole, data)

    def _parts(self, data: Any) -> Iterator[Fault]:
        if not isinstance(data, dict):
            yield from self._of(self._whole, data)
            return
        lists = {name: data[name] for name in self._lists if isinstance(data.get(name), list)}
        rest = {name: value for name, value in data.items() if name not in lists} if self._one_way else data
        yield from self._of(self._frame, data, count_values(rest))
        for name, items in lists.items():
            listed = self._lists[name]
            # Those beyond have the fault of the list, that it is too long.
            for place, item in enumerate(items[: listed.most]):
                if not listed.engine.is_valid(item):
                    for fault in self._of(listed.engine, item):
                        yield Fault(fault.error, listed.path, (name, place))

    def _shortened(self, value: Any, path: Path, shorter: set[Path]) -> Any:
        """Return a copy without what is beyond `MOST_ITEMS` of a list or object, and note those that lost something.

        A fault of the engine holds a copy of the value that has it. Members that the schema names all stay.
        """
        if isinstance(value, dict):
            members = value.items()
            if len(value) > MOST_ITEMS:
                shorter.add(path)
                members = {k: v for at, (k, v) in enumerate(members) if at < MOST_ITEMS or k in self._names}.items()
            return {name: self._shortened(item, (*path, name), shorter) for name, item in members}
        if not isinstance(value, list):
            return value
        if len(value) > MOST_ITEMS:
            shorter.add(path)
        return [self._shortened(item, (*path, place), shorter) for place, item in enumerate(value[:MOST_ITEMS])]

    def _of(self, engine: Engine, data: Any, values: int | None = None) -> Iterator[Fault]:
        if (count_values(data) if values is None else values) > WHOLE_VALUES:
            yield from _first(engine, data)
        else:
            yield from map(Fault, engine.iter_errors(data))


def _names(document: Mapping[str, Any]) -> Iterator[str]:
    for _, node in walk(document):
        if isinstance(node, dict):
            yield from node.get("properties", ())
            yield from node.get("required", ())
            for needed in node.get("dependentRequired", {}).values():
                yield from needed


def _first(engine: Engine, data: Any) -> Iterator[Fault]:
    try:
        engine.validate(data)
    except jsonschema_rs.ValidationError as error:
        yield Fault(error)


def count_values(data: Any) -> int:
    """Return about how many values there are, a comma in a text counted for one.

    Raises TypeError for data nested deeper than 254, lone surrogates and integers beyond 64 bits.
    """
    raw = orjson.dumps(data)
    return raw.count(b",") + raw.count(b"{") + raw.count(b"[")


def _comes_back(document: Mapping[str, Any]) -> bool:
    """Say whether a reference leads to the root or its members, whose lists would be met again further down."""
    references = (node.get("$ref", "") for _, node in walk(document) if isinstance(node, dict))
    return any(reference == "#" or reference.startswith("#/properties") for reference in references)


def _items_of(document: Mapping[str, Any], name: str) -> tuple[Path, str, int] | None:
    """Return how an evaluation comes to the items of a member that is a list, their pointer, and `maxItems`."""
    node: Any = document["properties"][name]
    path: Path = ("properties", name)
    pointer = f"/properties/{escape(name)}"
    for _ in range(_MOST_STEPS):
        if not isinstance(node, dict):
            return None
        if "$ref" not in node:
            plain = isinstance(node.get("items"), dict) and "prefixItems" not in node
            return ((*path, "items"), f"{pointer}/items", int(node.get("maxItems", MOST_ITEMS))) if plain else None
        if "items" in node:
            return None
        path, pointer = (*path, "$ref"), node["$ref"].removeprefix("#")
        node = resolve(document, node["$ref"])
    return None


def _open_items(frame: dict[str, Any], name: str, document: Mapping[str, Any]) -> None:
    """Let the items of a member of the root be anything, and no other list that is written in the same place."""
    node = frame["properties"][name]
    chain = [node]
    while "$ref" in node:
        node = resolve(document, node["$ref"])
        chain.append(node)
    opened = {**chain.pop(), "items": True}
    for step, node in enumerate(reversed(chain)):
        own = f"{name} {step}"
        frame["$defs"] = {**frame.get("$defs", {}), own: opened}
        opened = {**node, "$ref": f"#/$defs/{quote(escape(own), safe='~')}"}
    frame["properties"][name] = opened
