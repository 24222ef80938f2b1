"""How sensitive a field is, as its schema says in `x-sensitivity`; what says nothing is the strictest.

VI identifies a victim, SU a suspect or facilitator, OP is operational, AG aggregate or reference; two classes
joined by `/` are both; `*` adds specific personal data (health, biometrics, children).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.registry.vocabulary import MAP_KEYWORDS, resolve, subschemas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STRICTEST: Final = "VI*"
UNCLASSIFIED: Final = "unclassified"
_KEYWORD: Final = "x-sensitivity"
_DECLARING: Final = MAP_KEYWORDS - {"dependentSchemas"} | {"items", "prefixItems", "additionalProperties"}
_CLASS: Final = re.compile(r"(?:VI|SU|OP|AG)(?:/(?:VI|SU|OP|AG))*\*?")


def sensitivity(field: Any) -> str:
    """Return the class of one field by its own schema. Fails closed: none, or one nobody knows, is `STRICTEST`."""
    named = field.get(_KEYWORD) if isinstance(field, dict) else None
    return named if isinstance(named, str) and _CLASS.fullmatch(named) else STRICTEST


def personal_classes(document: dict[str, Any], members: Iterable[str]) -> frozenset[str]:
    """Return VI and SU where the schema says so of anything these members of the root may hold.

    `UNCLASSIFIED` is among them where it names no class for a field, or does not know the member: fails closed.
    """
    properties = document.get("properties")
    declared: dict[str, Any] = properties if isinstance(properties, dict) else {}
    found: set[str] = set()
    for member in members:
        found |= _classes(document, declared[member]) if member in declared else {UNCLASSIFIED}
    return frozenset(found & {"VI", "SU", UNCLASSIFIED})


def _classes(document: dict[str, Any], field: Any) -> set[str]:
    found: set[str] = set()
    seen: set[str] = set()
    todo: list[tuple[Any, bool]] = [(field, True)]
    while todo:
        node, declared = todo.pop()
        if declared:
            named = node.get(_KEYWORD) if isinstance(node, dict) else None
            known = isinstance(named, str) and _CLASS.fullmatch(named) is not None
            found |= set(str(named).rstrip("*").split("/")) if known else {UNCLASSIFIED}
        if not isinstance(node, dict):
            continue
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            seen.add(reference)
            todo.append((resolve(document, reference), False))
        for below, part in subschemas(node) if reference is None else ():
            keyword = below.split("/")[1]
            if keyword in _DECLARING:
                todo.append((part, keyword == "properties"))
    return found


def unclassified(document: dict[str, Any]) -> Iterator[str]:
    """Yield a pointer to each field that is strictest only because its schema names no class we know.

    Fields are what `properties` declare; a rule about one (in `if`, in `allOf`, beside `$ref`) is none itself.
    """
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        pointer, node = todo.pop()
        for below, part in subschemas(node) if isinstance(node, dict) and "$ref" not in node else ():
            keyword = below.split("/")[1]
            if keyword == "properties" and (not isinstance(part, dict) or sensitivity(part) != part.get(_KEYWORD)):
                yield pointer + below
            if keyword in _DECLARING:
                todo.append((pointer + below, part))
