"""How much work a schema can make of one small instance: the bombs that bytes and depth do not show.

Four shapes are refused. A reference that returns to its own schema without going down the data never
ends. Definitions that name the next one twice double the work at each step: the size with every
reference written out is capped. And a recursive schema that meets one place of the data twice doubles
it at each level of the data, which the sender chooses. And many schemas held against each value of a list are
that many checks of a million values, whatever `maxItems` says: the engine may look at items first. So are many
patterns held against one long text.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Finding
from gateway.registry.vocabulary import subschemas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_WRITTEN_OUT: Final = 1_000_000
MAX_AT_ONE_PLACE: Final = 250  # ours have 38; how many values there may be is the validator's to say
_MAX_STEPS: Final = 100_000
_LONGER: Final = frozenset({"pattern", "format", "minLength", "maxLength", "uniqueItems"})
# A place of the data below the present one: a member by name, any member, or an item.
Slot = tuple[str, str | None]
_LOOSE: Final[dict[str, Slot]] = {
    "patternProperties": ("member", None),
    "additionalProperties": ("other", None),
    "unevaluatedProperties": ("other", None),
    "items": ("rest", None),
    "unevaluatedItems": ("rest", None),
    "contains": ("item", None),
    "propertyNames": ("name", None),
}


def growth_findings(document: dict[str, Any]) -> Iterator[Finding]:
    """Yield one finding for each way the schema can blow up; its references must resolve."""
    graph = _Graph(document)
    looping = graph.loop_in_place()
    if looping is not None:
        yield Finding(looping, "comes back to itself without going down the data", "schema-loop")
        return
    if graph.written_out() > MAX_WRITTEN_OUT:
        yield Finding("", f"is over {MAX_WRITTEN_OUT} schemas with all references written out", "schema-size")
        return
    doubled = graph.doubled_recursion()
    if doubled is not None:
        yield Finding(doubled, "is recursive and meets the same place of the data twice", "schema-loop")
        return
    _, crowded = graph.crowded_place()
    if crowded is not None:
        words = f"more than {MAX_AT_ONE_PLACE} schemas, patterns or required names meet at one value of a list, or text"
        yield Finding(crowded, words, "schema-size")


def checks_of_a_value(document: dict[str, Any]) -> int:
    """Return how many checks one value of a list or map can meet at most; the schema has passed `lint`."""
    return _Graph(document).crowded_place()[0]


class _Graph:
    """Schemas as numbered vertices; edges in place (same data) and down (a slot of the data)."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.pointers: list[str] = []
        self.here: list[list[int]] = []
        self.down: list[list[tuple[Slot, int]]] = []
        self.weight: list[tuple[int, int]] = []
        self._number: dict[str, int] = {}
        self._references: list[tuple[int, str]] = []
        self._add(document)
        for vertex, target in self._references:
            self.here[vertex].append(self._number[target])
        self.component = _components([h + [v for _, v in d] for h, d in zip(self.here, self.down, strict=True)])

    def _add(self, document: dict[str, Any]) -> None:
        todo: list[tuple[str, Any, int | None, Slot | None]] = [("", document, None, None)]
        while todo:
            pointer, node, parent, slot = todo.pop()
            vertex = len(self.pointers)
            self.pointers.append(pointer)
            self.here.append([])
            self.down.append([])
            self.weight.append(_weight(node))
            self._number[pointer] = vertex
            if parent is not None and slot is None:
                self.here[parent].append(vertex)
            elif parent is not None and slot is not None:
                self.down[parent].append((slot, vertex))
            if isinstance(node, dict):
                if "$ref" in node:
                    self._references.append((vertex, node["$ref"].removeprefix("#")))
                for below, sub in subschemas(node):
                    key, _, name = below[1:].partition("/")
                    owner = None if key == "$defs" else vertex
                    todo.append((pointer + below, sub, owner, _slot(key, name)))

    def loop_in_place(self) -> str | None:
        """Return the pointer of a schema on a cycle of in-place edges, or None."""
        component = _components(self.here)
        cyclic = _repeated(component)
        return self._first(
            vertex for vertex, number in enumerate(component) if number in cyclic or vertex in self.here[vertex]
        )

    def crowded_place(self) -> tuple[int, str | None]:
        """Return the most checks of one value of many, and a schema where they or those of a text are too many."""
        most = 0
        todo = [(Counter({0: 1}), False)]
        seen: set[tuple[frozenset[tuple[int, int]], bool]] = set()
        steps = 0
        while todo:
            meeting, listed = todo.pop()
            place = self._together(meeting)
            key = frozenset(place.items()), listed
            if key in seen:
                continue
            seen.add(key)
            checks = sum(self.weight[vertex][0 if listed else 1] * count for vertex, count in place.items())
            if checks > MAX_AT_ONE_PLACE:
                return checks, self._first(place)
            most = max(most, checks if listed else 0)
            for loose, below in self._below(place):
                steps += len(below)
                # Each is one check at least: what is too much is seen before the next place is made.
                if (loose and below.total() > MAX_AT_ONE_PLACE) or steps > _MAX_STEPS:
                    return MAX_AT_ONE_PLACE, self._first(below)
                if below:
                    todo.append((below, listed or loose))
        return most, None

    def _together(self, place: Counter[int]) -> Counter[int]:
        """Return what applies to a value with all that it leads to in place; counts beyond the limit do not matter."""
        found: Counter[int] = Counter()
        todo = place
        while todo:
            following: Counter[int] = Counter()
            for vertex, count in todo.items():
                found[vertex] = min(found[vertex] + count, MAX_AT_ONE_PLACE + 1)
                for target in self.here[vertex]:
                    following[target] = min(following[target] + count, MAX_AT_ONE_PLACE + 1)
            todo = following
        return found

    def _below(self, place: Counter[int]) -> Iterator[tuple[bool, Counter[int]]]:
        """Yield what meets at each place below, and whether there may be any number of such places."""
        for exact, rest in (("member", "other"), ("item", "rest"), ("name", "name")):
            named: dict[str | None, dict[int, list[int]]] = {None: {}}
            others: dict[int, list[int]] = {}
            for vertex in place:
                for (kind, name), target in self.down[vertex]:
                    if kind == exact:
                        named.setdefault(name, {}).setdefault(vertex, []).append(target)
                    elif kind == rest:
                        others.setdefault(vertex, []).append(target)
            fitting = named.pop(None)
            # A member whose name no pattern fits is another place than one that a pattern fits.
            for loose in (_merged(others, fitting), others):
                yield True, _counted(place, loose)
                for found in named.values():
                    yield False, _counted(place, _merged(loose, found, fitting if loose is not others else {}))

    def _first(self, vertices: Iterable[int]) -> str | None:
        return min((self.pointers[vertex] for vertex in vertices), default=None, key=lambda p: (len(p), p))

    def written_out(self) -> int:
        """Return the number of schemas with references written out, those back into a cycle not followed."""
        by_component: dict[int, list[int]] = {}
        for vertex, number in enumerate(self.component):
            by_component.setdefault(number, []).append(vertex)
        total: dict[int, int] = {}
        for number in sorted(by_component, reverse=True):  # what it reaches first
            weight = 0
            for vertex in by_component[number]:
                targets = self.here[vertex] + [v for _, v in self.down[vertex]]
                weight += 1 + sum(total[self.component[t]] for t in targets if self.component[t] != number)
            total[number] = min(weight, MAX_WRITTEN_OUT + 1)
        return total[self.component[0]]

    def doubled_recursion(self) -> str | None:
        """Return a schema that applies two members of its own cycle to one slot of the data, or None."""
        cyclic = _repeated(self.component)
        return self._first(
            vertex for vertex, number in enumerate(self.component) if number in cyclic and self._doubles(vertex, number)
        )

    def _doubles(self, vertex: int, number: int) -> bool:
        slots: list[Slot] = []
        for reached in self._in_place(vertex, number):
            own = [slot for slot, target in self.down[reached] if self.component[target] == number]
            if _self_overlap(own) or any(_overlap(a, b) for a in own for b in slots):
                return True
            slots += own
        return False

    def _in_place(self, vertex: int, number: int) -> list[int]:
        """Return what applies to the same data within the cycle; a schema reached twice is there twice."""
        reached: list[int] = []
        todo = [vertex]
        while todo and len(reached) < 1000:
            current = todo.pop()
            reached.append(current)
            todo.extend(t for t in self.here[current] if self.component[t] == number)
        return reached


def _merged(
    fallback: dict[int, list[int]], first: dict[int, list[int]], also: dict[int, list[int]] | None = None
) -> dict[int, list[int]]:
    """Return what each schema holds against a place: what it names, beside patterns; else what it has for the rest."""
    if not first and not also:
        return fallback
    found = dict(fallback)
    for vertex, targets in first.items():
        found[vertex] = [*targets, *(also or {}).get(vertex, ())]
    return found


def _counted(place: Counter[int], targets: dict[int, list[int]]) -> Counter[int]:
    below: Counter[int] = Counter()
    for vertex, found in targets.items():
        for target in found:
            below[target] += place[vertex]
    return below


def _weight(node: Any) -> tuple[int, int]:
    """Return how many checks a schema is by itself, and how many of them take longer the longer the value is."""
    if not isinstance(node, dict):
        return 1, 0
    counted = [node.get(key) for key in ("required", "patternProperties")]
    listed = node.get("enum")
    counted += [[v for v in listed if isinstance(v, dict | list)]] if isinstance(listed, list) else []
    own = 1 + sum(len(value) for value in counted if isinstance(value, dict | list))
    return own, len(_LONGER & node.keys())


def _slot(key: str, name: str) -> Slot | None:
    """Return where in the data a subschema applies; None for the same place."""
    if key == "properties":
        return "member", name
    return ("item", name) if key == "prefixItems" else _LOOSE.get(key)


def _repeated(component: list[int]) -> set[int]:
    """Return the components of more than one vertex."""
    return {number for number, count in Counter(component).items() if count > 1}


def _overlap(a: Slot, b: Slot) -> bool:
    """Say whether two slots of different schema objects can be the same place."""
    families = {"member": "m", "other": "m", "item": "i", "rest": "i", "name": "n"}
    if families[a[0]] != families[b[0]]:
        return False
    return a[1] is None or b[1] is None or a[1] == b[1]


def _self_overlap(own: list[Slot]) -> bool:
    """Say whether slots of one schema object meet: `other` and `rest` take only what the rest leaves."""
    direct = [slot for slot in own if slot[0] in ("member", "item", "name")]
    loose = [slot for slot in direct if slot[1] is None]
    if loose and sum(_overlap(loose[0], slot) for slot in direct) > 1:
        return True
    contains_and_rest = any(slot == ("item", None) for slot in own) and ("rest", None) in own
    return contains_and_rest or own.count(("other", None)) > 1 or own.count(("rest", None)) > 1


def _components(edges: list[list[int]]) -> list[int]:
    """Give each vertex the number of its strongly connected component, lower than those it reaches."""
    back: list[list[int]] = [[] for _ in edges]
    for vertex, targets in enumerate(edges):
        for target in targets:
            back[target].append(vertex)
    component = [-1] * len(edges)
    numbers = 0
    for root in reversed(_finished(edges)):
        todo = [root] if component[root] < 0 else []
        while todo:
            vertex = todo.pop()
            component[vertex] = numbers
            todo.extend(v for v in back[vertex] if component[v] < 0)
        numbers = max(numbers, component[root] + 1)
    return component


def _finished(edges: list[list[int]]) -> list[int]:
    """Return the vertices in the order a depth-first walk leaves them."""
    order: list[int] = []
    seen = [False] * len(edges)
    for root in range(len(edges)):
        todo = [] if seen[root] else [(root, iter(edges[root]))]
        seen[root] = True
        while todo:
            vertex, targets = todo[-1]
            following = next((t for t in targets if not seen[t]), None)
            if following is None:
                order.append(vertex)
                todo.pop()
            else:
                seen[following] = True
                todo.append((following, iter(edges[following])))
    return order
