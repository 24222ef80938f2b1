"""Reader keywords on the parts of a value: members of objects, items of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.registry.compatibility.shape import TYPED, Shape, matches, requiring

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.registry.compatibility.places import Place
    from gateway.registry.compatibility.prover import Faults, Incompatibility, Prover

_OPEN = "the writer does not define this member and is open, so it may hold anything"


# --- objects ----------------------------------------------------------------------------------------


def required(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """Hold `required` against what the writer always sends."""
    if "object" not in writer.types:
        return []
    missing = [name for name in reader.node["required"] if name not in writer.required]
    return [prover.fault(reader, "required", f"the writer may leave out `{name}`") for name in missing]


def dependent_required(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`dependentRequired`: where the one is sent, so are the others."""
    faults: Faults = []
    if "object" not in writer.types:
        return []
    for trigger, needed in reader.node["dependentRequired"].items():
        sent = writer.also(requiring(trigger))
        missing = [name for name in needed if name not in sent.required]
        if missing and not prover.empty(sent):
            words = f"the writer may send `{trigger}` without `{missing[0]}`"
            faults.append(prover.fault(reader, "dependentRequired", words))
    return faults


def dependent_schemas(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`dependentSchemas`: where the member is sent, the whole object fits."""
    faults: Faults = []
    if "object" not in writer.types:
        return []
    for trigger in reader.node["dependentSchemas"]:
        sent = writer.also(requiring(trigger))
        if not prover.empty(sent):
            faults += prover.under(sent, reader.child("dependentSchemas", trigger))
    return faults


def properties(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`properties`: what the writer may put there fits; an open writer may put anything."""
    faults: Faults = []
    if "object" not in writer.types:
        return []
    for name in reader.node["properties"]:
        faults += _member(prover, writer.known(name), reader.child("properties", name))
    return faults


def _member(prover: Prover, known: Shape, reader: Place) -> Faults:
    faults = prover.below(known, reader)
    if faults and not known.nodes and not known.void:
        return [prover.fault(reader, "", _OPEN, rule="properties")] if faults[0].decided else faults
    return faults


def pattern_properties(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`patternProperties`: named members that match, and any other that may."""
    faults: Faults = []
    if "object" not in writer.types:
        return []
    for text in reader.node["patternProperties"]:
        child = reader.child("patternProperties", text)
        for name in sorted(writer.possible_names):
            if matches(text, name):
                faults += prover.below(writer.known(name), child)
        for shape in writer.unknown(matching=text):
            faults += _member(prover, shape, child)
    return _once(faults)


def additional_properties(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`additionalProperties`: every member the reader does not define."""
    names = frozenset(reader.node.get("properties", ()))
    patterns = frozenset(reader.node.get("patternProperties", ()))
    return _rest(prover, writer, reader.child("additionalProperties"), names, patterns)


def _rest(prover: Prover, writer: Shape, reader: Place, names: frozenset[str], patterns: frozenset[str]) -> Faults:
    """Hold every member outside `names` and `patterns` against `reader`."""
    faults: Faults = []
    if "object" not in writer.types or reader.schema is True:
        return []
    for name in sorted(writer.possible_names - names):
        if not any(matches(text, name) for text in patterns):
            found = prover.below(writer.known(name), reader)
            if found and reader.schema is False:
                found = [_closed(prover, reader, f"the writer may send `{name}`, which the reader does not know")]
            faults += found
    if writer.name_patterns & patterns:
        return _once(faults)
    for shape in writer.unknown(outside=patterns):
        found = prover.below(shape, reader)
        if found and reader.schema is False:
            found = [_closed(prover, reader, "the writer is open: it may send members the reader does not know")]
        faults += found
    return _once(faults)


def _closed(prover: Prover, reader: Place, words: str) -> Incompatibility:
    return prover.fault(reader, "", words, rule=reader.pointer.rpartition("/")[2])


def property_names(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`propertyNames`: each name the writer mentions, and what it says of the others."""
    child = reader.child("propertyNames")
    if "object" not in writer.types:
        return []
    faults: Faults = []
    for name in sorted(writer.possible_names):
        if not prover.empty(writer.known(name)) and not (child.exact and child.holds(name)):
            words = f"the writer may send a member `{name}`"
            faults.append(prover.fault(reader, "propertyNames", words))
    if any(not prover.empty(shape) for shape in writer.unknown()):
        named = [node.child("propertyNames") for node in writer.nodes if "propertyNames" in node.node]
        faults += prover.below(Shape([TYPED["string"], *named]), child)
    return faults


def unevaluated_properties(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`unevaluatedProperties`: every member that no part of the reader has surely looked at."""
    names: set[str] = set()
    patterns: set[str] = set()
    for part in _surely_applied(prover, writer, reader):
        node = part.node
        names.update(node.get("properties", ()))
        patterns.update(node.get("patternProperties", ()))
        if "additionalProperties" in node or (part is not reader and "unevaluatedProperties" in node):
            return []
    child = reader.child("unevaluatedProperties")
    return _rest(prover, writer, child, frozenset(names), frozenset(patterns))


# --- lists ------------------------------------------------------------------------------------------


def min_items(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`minItems`."""
    limit = int(reader.node["minItems"])
    if "array" not in writer.types or writer.min_items >= limit:
        return []
    return [prover.fault(reader, "minItems", f"the writer may send fewer than {limit} items")]


def max_items(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`maxItems`; a closed list of places has its own length."""
    limit = int(reader.node["maxItems"])
    most = writer.max_items
    if "array" not in writer.types or (most is not None and most <= limit):
        return []
    return [prover.fault(reader, "maxItems", f"the writer may send more than {limit} items")]


def unique_items(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`uniqueItems`; a list of one is unique."""
    few = writer.max_items is not None and writer.max_items <= 1
    if "array" not in writer.types or not reader.node["uniqueItems"] or few or any(writer.each("uniqueItems")):
        return []
    return [prover.fault(reader, "uniqueItems", "the writer may send the same item twice")]


def prefix_items(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`prefixItems`: each place."""
    faults: Faults = []
    if "array" not in writer.types:
        return []
    for index, child in enumerate(reader.children("prefixItems")):
        if writer.max_items is None or index < writer.max_items:
            faults += prover.below(writer.item(index), child)
    return faults


def items(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`items`: all places after the reader's `prefixItems`."""
    start = len(reader.node.get("prefixItems", ()))
    return _items_from(prover, writer, reader.child("items"), start)


def _items_from(prover: Prover, writer: Shape, reader: Place, start: int) -> Faults:
    faults: Faults = []
    if "array" not in writer.types or reader.schema is True:
        return []
    for index in range(start, max(start, writer.prefix) + 1):
        if writer.max_items is None or index < writer.max_items:
            faults += prover.below(writer.item(index), reader)
    return _once(faults)


def contains(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`contains`, `minContains`, `maxContains`: enough such items, and not too many."""
    if "array" not in writer.types:
        return []
    faults: Faults = []
    least = int(reader.node.get("minContains", 1))
    wanted = reader.child("contains")
    if least and not _enough(prover, writer, wanted, least):
        faults.append(prover.undecided(reader, "contains", f"{least} such item(s) are not seen to be sent"))
    most = reader.node.get("maxContains")
    if most is not None and not _not_too_many(prover, writer, wanted, int(most)):
        faults.append(prover.undecided(reader, "maxContains", f"more than {most} such items may be sent"))
    return faults


def _enough(prover: Prover, writer: Shape, wanted: Place, least: int) -> bool:
    for place in writer.nodes:
        if "contains" in place.node and int(place.node.get("minContains", 1)) >= least:
            every = Shape([place.child("contains")])
            if not prover.below(every, wanted):
                return True
    sure = 0
    for index in range(min(writer.min_items, writer.prefix)):
        sure += not prover.below(writer.item(index), wanted)
    beyond = writer.min_items - writer.prefix
    if beyond > 0 and not prover.below(writer.item(writer.prefix), wanted):
        sure += beyond
    return sure >= least


def _not_too_many(prover: Prover, writer: Shape, wanted: Place, most: int) -> bool:
    if writer.max_items is not None and writer.max_items <= most:
        return True
    for place in writer.nodes:
        limit = place.node.get("maxContains")
        if "contains" in place.node and limit is not None and int(limit) <= most:
            counted = place.child("contains")
            if not prover.below(Shape([wanted]), counted):
                return True
    return all(prover.empty(writer.item(index).also(wanted)) for index in range(writer.prefix + 1))


def unevaluated_items(prover: Prover, writer: Shape, reader: Place) -> Faults:
    """`unevaluatedItems`: every place that no part of the reader has surely looked at."""
    start = 0
    for part in _surely_applied(prover, writer, reader):
        node = part.node
        start = max(start, len(node.get("prefixItems", ())))
        if "items" in node or (part is not reader and "unevaluatedItems" in node):
            return []
    return _items_from(prover, writer, reader.child("unevaluatedItems"), start)


# --- shared -----------------------------------------------------------------------------------------


def _surely_applied(prover: Prover, writer: Shape, reader: Place) -> Iterable[Place]:
    """Yield the parts of the reader that every value of the writer passes through."""
    seen: set[Place] = set()
    todo = [reader]
    while todo:
        part = todo.pop()
        if part in seen:
            continue
        seen.add(part)
        yield part
        node = part.node
        if "$ref" in node:
            todo.append(part.target())
        todo.extend(part.children("allOf"))
        branches = [*part.children("anyOf"), *part.children("oneOf")]
        todo.extend(branch for branch in branches if prover.holds(writer, branch))
        if "if" in node and prover.holds(writer, part.child("if")):
            todo.append(part.child("if"))
            todo.extend(part.child(key) for key in ("then",) if key in node)
        elif {"if", "else"} <= node.keys() and prover.empty(writer.also(part.child("if"))):
            todo.append(part.child("else"))
        todo.extend(
            part.child("dependentSchemas", name)
            for name in node.get("dependentSchemas", ())
            if name in writer.required and writer.is_only("object")
        )


def _once(faults: Faults) -> Faults:
    return list(dict.fromkeys(faults))
