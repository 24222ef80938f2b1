"""Data held against one schema version: a quick yes or no, or every fault with pointer, code and words.

1. No schema reaches outside itself: the retriever denies (jsonschema-rs reads files and URLs otherwise).
2. No instance is handed to the engine that could exhaust its stack: depth is bounded first.
3. Patterns run on an engine without backtracking, so that their time is linear in the text.
4. Findings hold pointers, codes and the schema's own words, never a value and never a member name that
   only the data knows.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import jsonschema_rs

from gateway import errors
from gateway.errors import Finding
from gateway.registry import words
from gateway.registry.growth import MAX_AT_ONE_PLACE, checks_of_a_value
from gateway.registry.portions import Fault, Portions, count_values
from gateway.registry.vocabulary import (
    ASSERTED_FORMATS,
    LIST_KEYWORDS,
    MAP_KEYWORDS,
    SINGLE_KEYWORDS,
    escape,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

DEFAULT_LIMIT: Final = 100
_BY_INDEX: Final = frozenset({"items", "prefixItems", "unevaluatedItems"})
_BY_DATA_NAME: Final = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties"})
_RULES: Final = frozenset({"then", "else", "dependentSchemas"})
_MAX_PLACES: Final = 10_000  # paths of a recursive schema have no end
MOST_CHECKS: Final = 20_000_000  # of all values together: two seconds of the engine; a manifest of 500 has a million
FEW_VALUES: Final = MOST_CHECKS // MAX_AT_ONE_PLACE  # so many are few for any schema that was registered


class _Versioned(Protocol):
    """What the validator needs of a schema version."""

    @property
    def document(self) -> dict[str, Any]: ...


def compile_schema(document: Any, **options: Any) -> jsonschema_rs.Draft202012Validator:
    """Compile for 2020-12 with the guards of this module; ValueError of the engine where that fails."""
    return jsonschema_rs.Draft202012Validator(
        document,
        validate_formats=True,
        retriever=deny,
        pattern_options=jsonschema_rs.RegexOptions(),
        mask="…",
        **options,
    )


def deny(_uri: str) -> NoReturn:
    """Refuse to fetch anything."""
    # A $ref to file:///etc/passwd or to an inner host would be read at compile time.
    message = "a schema may not refer outside itself"
    raise ValueError(message)


def prepare(node: Any, codelists: Mapping[str, Collection[str]] | None) -> Any:
    """Return a copy of a schema as the engine shall see it.

    `x-codelist` becomes an `enum` of the codes where `codelists` (`name@version` to codes) knows the
    list, on the items where the node is a list; formats other than date, date-time and uuid are left
    out, because engines differ on them. A list that is not known stays as it is.
    """
    if isinstance(node, list):
        return [prepare(item, codelists) for item in node]
    if not isinstance(node, dict):
        return node
    copy: dict[str, Any] = {}
    for key, value in node.items():
        if key in MAP_KEYWORDS and isinstance(value, dict):
            copy[key] = {name: prepare(sub, codelists) for name, sub in value.items()}
        elif key in LIST_KEYWORDS or key in SINGLE_KEYWORDS:
            copy[key] = prepare(value, codelists)
        elif key != "format" or value in ASSERTED_FORMATS:
            copy[key] = value
    named = copy.get("x-codelist")
    if isinstance(named, str) and codelists is not None and named in codelists:
        _expand(copy, named, codelists[named])
    return copy


def _expand(node: dict[str, Any], named: str, codes: Collection[str]) -> None:
    coded = {"enum": sorted(codes), "x-codelist": named} if codes else {"not": {}, "x-codelist": named}
    if "x-refusal" in node:
        coded["x-refusal"] = node["x-refusal"]
    if node.get("type") == "array":
        node["allOf"] = [*node.get("allOf", []), {"items": coded}]
    elif node.get("type") == "string" and "enum" not in node and codes:
        node["enum"] = coded["enum"]
    else:
        node["allOf"] = [*node.get("allOf", []), {"if": {"type": "string"}, "then": coded}]


def codelists_of(node: Any) -> frozenset[str]:
    """Return every `name@version` that an `x-codelist` anywhere in the schema names."""
    found: set[str] = set()
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            named = part.get("x-codelist")
            if isinstance(named, str):
                found.add(named)
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    return frozenset(found)


def codes_written_out(node: Any, codelists: Mapping[str, Collection[str]]) -> int:
    """Return how many codes `prepare` would write into a schema, a list as often as it is named."""
    total = 0
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            named = part.get("x-codelist")
            total += len(codelists.get(named, ())) if isinstance(named, str) else 0
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    return total


class Validator:
    """Holds data against one schema version; safe to share between threads, cheap to call, dear to build."""

    def __init__(self, schema: _Versioned, codelists: Mapping[str, Collection[str]] | None = None) -> None:
        """Compile `schema`, with `codelists` mapping `name@version` to its codes.

        With None code lists are not checked at all; with a mapping, a list the schema names and the
        mapping lacks raises UnknownSchemaRequested (fail closed). Validity dates are casework's.
        """
        if codelists is not None:
            missing = sorted(codelists_of(schema.document) - set(codelists))
            if missing:
                detail = f"the schema uses code lists that are not held here: {', '.join(missing)}"
                raise errors.UnknownSchemaRequested(detail)
        self._document = prepare(schema.document, codelists)
        self._document.pop("$id", None)
        self._engine = compile_schema(self._document)
        self._original = schema.document
        self._places: dict[tuple[str | int, ...], _Place] = {}

    def is_valid(self, data: Any) -> bool:
        """Say whether `data` (parsed JSON) is valid; what is nested or numbered beyond bounds is not."""
        return self._out_of_bounds(data) is None and self._engine.is_valid(data)

    def findings(self, data: Any, limit: int = DEFAULT_LIMIT) -> tuple[Finding, ...]:
        """Return up to `limit` faults, sorted by pointer; empty exactly when `is_valid`.

        A fault's code is the nearest `x-refusal` at the same place of the data, or of the conditional
        rule (`then`, `else`, `dependentSchemas`, a node with `if`) it stands in; otherwise E-CODE for a
        code outside its list and E-SCHEMA for the rest. A missing or unknown member is reported at its
        parent; what lies under a member whose name only the data knows, at that member's parent.
        """
        beyond = self._out_of_bounds(data)
        if beyond is not None:
            return (beyond,)
        found: dict[Finding, None] = {}
        for fault in self._portions.faults(data):
            for finding in self._explain(fault):
                found[finding] = None
                if len(found) >= limit:
                    return _sorted(found)
        return _sorted(found)

    def _out_of_bounds(self, data: Any) -> Finding | None:
        # The engine recurses on the C stack (SIGSEGV at 50,000 levels); orjson stops at 254 and is the
        # cheapest walk there is. It also refuses lone surrogates and integers beyond 64 bits.
        try:
            values = count_values(data)
        except TypeError:
            return Finding("", "is nested too deeply or holds a number out of range", "E-SCHEMA")
        if values <= FEW_VALUES or values <= self._most_values:
            return None
        return Finding("", "has too many values to be judged", "E-SIZE")

    @cached_property
    def _most_values(self) -> int:
        # Counted at the first message that is large: it takes longer than to compile the schema.
        return MOST_CHECKS // max(1, checks_of_a_value(self._original))

    @cached_property
    def _portions(self) -> Portions:
        # Made at the first fault: most schemas of most processes never meet one.
        return Portions(self._document, self._engine, compile_schema, deny)

    def _explain(self, fault: Fault) -> Iterator[Finding]:
        error = fault.error
        keyword = error.kind.name
        if keyword in ("anyOf", "oneOf"):
            branches = getattr(error.kind, "context", [])
            likely = _likely_branches(branches, len(error.instance_path))
            if len(likely) == 1:
                for inner in likely[0]:
                    yield from self._explain(fault.inner(inner))
                return
            yield self._finding(fault, coded=bool(likely) and all(map(_only_code, likely)))
            return
        if keyword == "enum" and not isinstance(error.instance, str) and self._typed(fault):
            return  # a number where a code belongs is one fault, told by `type`
        yield self._finding(fault, coded=False)

    def _typed(self, fault: Fault) -> bool:
        return self._place(fault).node.get("type") == "string"

    def _place(self, fault: Fault) -> _Place:
        path = fault.evaluation
        place = self._places.get(path)
        if place is None:
            place = _locate(self._document, path)
            if len(self._places) < _MAX_PLACES:
                self._places[path] = place
        return place

    def _finding(self, fault: Fault, *, coded: bool) -> Finding:
        error, place = fault.error, self._place(fault)
        keyword = place.keyword
        node = place.node
        if keyword in ("required", "dependentRequired") or error.kind.name == "required":
            reason = f"lacks the member `{getattr(error.kind, 'property', '')}`"
        elif error.kind.name in ("additionalProperties", "unevaluatedProperties"):
            unexpected: list[str] = getattr(error.kind, "unexpected", [])
            reason = words.unknown_members(unexpected, _known_members(node))
        elif place.in_names:
            reason = words.reason("propertyNames", node)
        else:
            reason = words.reason("false" if error.kind.name == "falseSchema" else keyword, node)
        pointer, cut = _pointer(fault.instance, place.known)
        if cut:
            reason = f"one of its members {reason}"
        return Finding(pointer, reason, place.refusal or ("E-CODE" if coded or place.coded else "E-SCHEMA"))


class _Place:
    """Where in the schema a violation stands: independent of the data, so found once per path."""

    __slots__ = ("coded", "in_names", "keyword", "known", "node", "refusal")

    def __init__(self, *, keyword: str, node: dict[str, Any], known: int, refusal: str | None, in_names: bool) -> None:
        self.keyword = keyword
        self.node = node
        self.known = known  # how many tokens of the instance path the schema itself vouches for
        self.refusal = refusal
        self.in_names = in_names
        self.coded = keyword == "enum" or (keyword == "const" and isinstance(node.get("const"), str))


def _locate(document: dict[str, Any], path: tuple[str | int, ...]) -> _Place:
    """Walk an evaluation path from the root, through `$ref`s, to the node that is violated."""
    node: Any = document
    trail: list[tuple[dict[str, Any], str, int]] = []  # node, the keyword that led to it, instance depth
    depth, known, vouched, in_names = 0, 0, True, False
    step, index = "", 0
    while isinstance(node, dict):
        trail.append((node, step, depth))
        if index >= len(path):
            break
        step = str(path[index])
        index += 1
        if step == "$ref":
            node = resolve(document, node["$ref"])
            continue
        if step in MAP_KEYWORDS or step in LIST_KEYWORDS:
            if index >= len(path):
                break
            node = node[step][path[index]]
            index += 1
        elif step in SINGLE_KEYWORDS and (index < len(path) or node.get(step) is False):
            node = node[step]
        else:
            break
        in_names = in_names or step == "propertyNames"
        if step == "properties" or step in _BY_INDEX or step in _BY_DATA_NAME:
            depth += 1
            vouched = vouched and step not in _BY_DATA_NAME
            known = depth if vouched else known
    keyword = str(path[-1]) if path and isinstance(node, dict) else "false"
    return _Place(keyword=keyword, node=trail[-1][0], known=known, refusal=_refusal(trail), in_names=in_names)


def _refusal(trail: list[tuple[dict[str, Any], str, int]]) -> str | None:
    here = trail[-1][2]
    for node, step, depth in reversed(trail):
        code = node.get("x-refusal")
        # A list's E-SIZE is about the list: it must not name every fault inside its rows.
        if isinstance(code, str) and (depth == here or step in _RULES or "if" in node):
            return code
    return None


def _known_members(node: dict[str, Any]) -> list[str]:
    known = list(node.get("properties", {}))
    for part in node.get("allOf", []):
        if isinstance(part, dict):
            known += part.get("properties", {})
    return known


def _pointer(path: list[str | int], known: int) -> tuple[str, bool]:
    shown = path[:known]
    text = "".join("/" + escape(str(token)) for token in shown)
    return text, known < len(path)


def _likely_branches(
    branches: list[list[jsonschema_rs.ValidationError]], depth: int
) -> list[list[jsonschema_rs.ValidationError]]:
    """Leave out the branches that are for another type, or for another value of a discriminating member."""
    return [branch for branch in branches if branch and not any(_other_form(error, depth) for error in branch)]


def _other_form(error: jsonschema_rs.ValidationError, depth: int) -> bool:
    below = len(error.instance_path) - depth
    return (error.kind.name == "type" and below == 0) or (error.kind.name == "const" and below <= 1)


def _only_code(branch: list[jsonschema_rs.ValidationError]) -> bool:
    return all(error.kind.name == "enum" for error in branch)


def _sorted(found: dict[Finding, None]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: (_order(finding.pointer), finding.reason)))


def _order(pointer: str) -> tuple[tuple[int, int, str], ...]:
    """Sort row 2 before row 10."""
    return tuple((0, int(t), "") if t.isdigit() else (1, 0, t) for t in pointer.split("/"))
