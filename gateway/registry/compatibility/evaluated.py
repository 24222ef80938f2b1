"""Which members and items a schema may have evaluated, as `unevaluatedProperties` and `…Items` ask.

The writer's side needs what *may* be evaluated: only what surely is not falls under the writer's
`unevaluated…`. (What the reader has *surely* evaluated needs proofs and is with the rules.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.compatibility.places import Place

Members = tuple[frozenset[str], frozenset[str], bool]  # names, patterns, everything
Items = tuple[int, bool]  # a prefix of that length, everything

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLES: Final = ("if", "then", "else")


def maybe_members(place: Place) -> Members:
    """Return the members that some part of `place` can have evaluated for its `unevaluatedProperties`."""
    names: set[str] = set()
    patterns: set[str] = set()
    every = False
    for part in _parts(place):
        node = part.node
        names.update(node.get("properties", ()))
        patterns.update(node.get("patternProperties", ()))
        every = every or "additionalProperties" in node or (part is not place and "unevaluatedProperties" in node)
    return frozenset(names), frozenset(patterns), every


def maybe_items(place: Place) -> Items:
    """Return the items that some part of `place` can have evaluated for its `unevaluatedItems`."""
    length = 0
    every = False
    for part in _parts(place):
        node = part.node
        length = max(length, len(node.get("prefixItems", ())))
        every = every or "items" in node or "contains" in node or (part is not place and "unevaluatedItems" in node)
    return length, every


def _parts(place: Place) -> Iterator[Place]:
    """Yield the schema and all that may apply in place within it; `not` keeps nothing."""
    seen: set[Place] = set()
    todo = [place]
    while todo:
        part = todo.pop()
        if part in seen:
            continue
        seen.add(part)
        yield part
        node = part.node
        if "$ref" in node:
            todo.append(part.target())
        for keyword in _LISTS:
            todo.extend(part.children(keyword))
        todo.extend(part.child(keyword) for keyword in _SINGLES if keyword in node)
        todo.extend(part.child("dependentSchemas", name) for name in node.get("dependentSchemas", ()))
