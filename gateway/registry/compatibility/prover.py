"""Prove that every value a writer may send is one its reader accepts, or say where the proof fails.

1. A goal is `Shape` (writer, over-approximated) under `Place` (reader, exact). It holds when each keyword
   of the reader follows. What cannot be proved counts as broken and says that it is undecided.
2. Where the writer lists its values (`enum`, `const`) each is tried with the real validator: exact.
3. A goal met again below itself may be assumed, if the data has gone down a level since: values are
   finite, so this is induction over their depth. Met again without going down it is undecided.
4. A result that leans on an assumption is remembered only once that assumption is settled.
5. Work is bounded by `MAX_STEPS`, after which everything is undecided: a registration cannot hang.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from gateway.registry.compatibility.places import Place, same
from gateway.registry.compatibility.shape import TYPED, Shape
from gateway.registry.validation import compile_schema
from gateway.registry.vocabulary import ASSERTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.registry.compatibility.shape import Choice

MAX_STEPS: Final = 30_000
MAX_SPLITS: Final = 2  # writer's choices taken apart at once: two anyOf under one reader's keyword
MANY_CHOICES: Final = 4  # with more, one at a time: ten conditions taken in pairs are 400 cases a fault
MAX_FAULTS: Final = 50
_IN_PLACE: Final = frozenset({"anyOf", "oneOf", "not", "if"})
_SHOWN_VALUES: Final = 3


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """One reason why the reader may refuse what the writer may send.

    `pointer` leads into the reader's schema, to the keyword `rule` that is not met. `decided` is False
    where nothing shows a break but nothing excludes it either.
    """

    pointer: str
    rule: str
    words: str
    decided: bool = True

    def __str__(self) -> str:
        return f"{self.pointer or '/'} ({self.rule}): {self.words}"


Faults = list[Incompatibility]
_Key = tuple[Any, Place]


class Rule(Protocol):
    """Tells why a reader's keyword does not follow from what the writer may send; empty when it does."""

    def __call__(self, prover: Prover, writer: Shape, reader: Place, /) -> Faults:
        """Return the breaks."""


class Prover:
    """Holds the goals under proof; one per question, then thrown away."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        """Take `rules`, from reader keyword to the function that tells why it does not follow."""
        self._rules = rules
        self._settled: dict[_Key, Faults] = {}
        self._open: dict[_Key, tuple[int, int]] = {}  # its number, and the level of the data it was met at
        self._leaned: float = float("inf")  # the lowest numbered open goal the work since has assumed
        self._level = 0
        self._splits = 0
        self._emptying: set[Any] = set()
        self._empty: dict[Any, bool] = {}
        self.steps = 0

    # --- writer under reader -----------------------------------------------------------------------

    def under(self, writer: Shape, reader: Place) -> Faults:
        """Return why `writer` is not under `reader` at the same place of the data; empty when proved."""
        if reader.schema is True or reader.schema == {}:
            return []
        key = (writer.key, reader)
        if key in self._settled:
            return self._settled[key]
        if any(same(place, reader) for place in writer.nodes):
            return []
        if key in self._open:
            return self._assume(key)
        self.steps += 1
        if self.steps > MAX_STEPS:
            return [self.undecided(reader, "size", "the two schemas are too large to compare")]
        outer, self._leaned = self._leaned, float("inf")
        number = len(self._open)
        self._open[key] = (number, self._level)
        faults = self._prove(writer, reader)[:MAX_FAULTS]
        del self._open[key]
        if self._leaned >= number:
            self._settled[key] = faults
            self._leaned = float("inf")
        self._leaned = min(outer, self._leaned)
        return faults

    def _assume(self, key: _Key) -> Faults:
        number, level = self._open[key]
        if self._level == level:
            return [self.undecided(key[1], "$ref", "the schema comes back to itself")]
        self._leaned = min(self._leaned, number)
        return []

    def below(self, writer: Shape, reader: Place) -> Faults:
        """Return the same for a part of the data: one level down."""
        self._level += 1
        faults = self.under(writer, reader)
        self._level -= 1
        return faults

    def holds(self, writer: Shape, reader: Place) -> bool:
        """Say whether `writer` is proved under `reader`."""
        return not self.under(writer, reader)

    def _prove(self, writer: Shape, reader: Place) -> Faults:
        if reader.schema is False:
            if self.empty(writer):
                return []
            return [self.fault(reader, "", "the reader allows nothing here, the writer may", rule="false")]
        values = writer.values
        if values is not None and reader.exact:
            return self._try_values(values, reader)
        faults: Faults = []
        for keyword in reader.node:
            rule = self._rules.get(keyword)
            if rule is not None:
                faults += self._follow(rule, keyword, writer, reader)
        # Last, because it is dear: a writer that can send nothing breaks nothing.
        return [] if faults and self.empty(writer) else faults

    def _try_values(self, values: list[Any], reader: Place) -> Faults:
        refused = [value for value in values if not reader.holds(value)]
        if not refused:
            return []
        keyword = _refusing(reader, refused[0])
        shown = ", ".join(orjson.dumps(value).decode()[:40] for value in refused[:_SHOWN_VALUES])
        more = f" and {len(refused) - _SHOWN_VALUES} more" if len(refused) > _SHOWN_VALUES else ""
        return [
            self.fault(
                reader,
                keyword,
                f"the writer may send {shown}{more}, which the reader refuses",
                rule=keyword or "enum",
            )
        ]

    def _follow(self, rule: Rule, keyword: str, writer: Shape, reader: Place) -> Faults:
        """Try a keyword on the whole, then on each of the writer's alternatives."""
        faults = rule(self, writer, reader)
        if not faults or self._splits >= self._depth_for(writer) or self.steps > MAX_STEPS:
            return faults
        self._splits += 1
        try:
            for choice in self._choices(writer, in_place=keyword in _IN_PLACE):
                if all(self._case(rule, keyword, part, reader) for part in parts(writer, choice)):
                    return []
        finally:
            self._splits -= 1
        return faults

    def _case(self, rule: Rule, keyword: str, part: Shape, reader: Place) -> bool:
        self.steps += 1
        values = part.values
        if values is not None and reader.exact:
            return all(reader.holds(value) for value in values)
        return not self._follow(rule, keyword, part, reader) or self.empty(part)

    def _depth_for(self, writer: Shape) -> int:
        return 1 if len(writer.choices) > MANY_CHOICES else MAX_SPLITS

    def _choices(self, writer: Shape, *, in_place: bool) -> Iterator[Choice]:
        yield from writer.choices
        if in_place and len(writer.types) > 1:
            yield [((TYPED[atom],), ()) for atom in sorted(writer.types)]

    # --- emptiness ---------------------------------------------------------------------------------

    def empty(self, writer: Shape) -> bool:
        """Say whether surely no value fits; False also where that is not seen."""
        if writer.void:
            return True
        if writer.key in self._empty:
            return self._empty[writer.key]
        if writer.key in self._emptying or len(self._emptying) > 40 or self.steps > MAX_STEPS:
            return False
        self.steps += 1
        self._emptying.add(writer.key)
        outer, self._leaned = self._leaned, float("inf")
        empty = self._contradicts(writer)
        self._emptying.discard(writer.key)
        if not (empty and self._leaned != float("inf")) and not (not empty and self._emptying):
            self._empty[writer.key] = empty
        self._leaned = min(outer, self._leaned)
        return empty

    def _contradicts(self, writer: Shape) -> bool:
        if any(same(denied, place) for denied in writer.denied for place in writer.nodes):
            return True
        values = writer.values
        if values is not None:
            return not values
        if all(self._no_value_of(writer, atom) for atom in writer.types):
            return True
        if self._splits < self._depth_for(writer):
            self._splits += 1
            try:
                if any(all(map(self.empty, parts(writer, choice))) for choice in writer.choices):
                    return True
            finally:
                self._splits -= 1
        return any(not self.under(writer, denied) for denied in writer.denied)

    def _no_value_of(self, writer: Shape, atom: str) -> bool:
        if atom in ("integer", "fraction"):
            low, high = writer.lower, writer.upper
            if low is None or high is None:
                return False
            return low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1]))
        if atom == "string":
            most = writer.most("maxLength")
            return most is not None and writer.least("minLength") > most
        if atom == "array":
            return self._no_list(writer)
        return atom == "object" and self._no_object(writer)

    def _no_list(self, writer: Shape) -> bool:
        most = writer.max_items
        if most is not None and writer.min_items > most:
            return True
        return any(self.empty(writer.item(index)) for index in range(min(writer.min_items, writer.prefix + 1)))

    def _no_object(self, writer: Shape) -> bool:
        most = writer.most("maxProperties")
        if most is not None and max(len(writer.required), writer.least("minProperties")) > most:
            return True
        return any(self.empty(writer.known(name)) for name in sorted(writer.required))

    # --- words -------------------------------------------------------------------------------------

    def fault(self, reader: Place, keyword: str, words: str, *, rule: str = "") -> Incompatibility:
        """Return a break at a keyword of the reader, or at the subschema itself under the name `rule`."""
        pointer = reader.pointer + (f"/{keyword}" if keyword in reader.node else "")
        return Incompatibility(reader.root.shown(pointer), rule or keyword, words)

    def undecided(self, reader: Place, keyword: str, words: str) -> Incompatibility:
        """Return a break that is none for sure, and say so."""
        return replace(self.fault(reader, keyword, f"cannot be decided: {words}"), decided=False)


def _refusing(reader: Place, value: Any) -> str:
    """Return the reader's keyword that refuses the value by itself, if one does."""
    for keyword in sorted(ASSERTIONS & reader.node.keys()):
        if not compile_schema({keyword: reader.node[keyword]}).is_valid(value):
            return keyword
    return ""


def parts(writer: Shape, choice: Choice) -> Iterator[Shape]:
    """Yield the writer's shape once for each alternative of a choice of its own."""
    for also, denied in choice:
        yield writer.also(*also, denied=denied)
