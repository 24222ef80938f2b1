"""What a schema may be: refused at registration is what could harm whoever compiles it or validates with it.

1. It stands alone: `$ref` is `#` or `#/…` and hits a schema; no `$id` inside, no anchors, no dynamic scope.
2. It is small: bytes, depth, count of schemas and values, what its patterns make an engine build, and size with
   every reference written out (thirty definitions that name the next one twice are 2^30 checks of one value).
3. It ends: no reference comes back to itself without going one level down the data, and a recursive
   schema meets each place of the data once.
4. It uses the vocabulary of 2020-12 and `x-…`, nothing that 2020-12 silently ignores.
5. Its patterns are of the common core of `patterns`, safe in engines that backtrack.

All walks are over bounded documents: `subject.parse_document` caps bytes and depth before any of this.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Finding
from gateway.registry import patterns
from gateway.registry.growth import growth_findings
from gateway.registry.sensitivity import STRICTEST, unclassified
from gateway.registry.validation import compile_schema
from gateway.registry.vocabulary import (
    ANNOTATIONS,
    ASSERTED_FORMATS,
    ASSERTIONS,
    DIALECT,
    LIST_KEYWORDS,
    MAP_KEYWORDS,
    SINGLE_KEYWORDS,
    escape,
    resolve,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SCHEMA_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_SCHEMAS: Final = 20_000
MAX_CONTAINERS: Final = 30_000  # objects and lists, schemas or not: an engine has some 2 KB of each
MAX_PATTERNS: Final = 1000  # ours have 77 at most
MAX_PATTERN_STEPS: Final = 40_000  # of all patterns, counts written out; ours have 6,000 at most
MAX_FINDINGS: Final = 100
ALLOWED: Final = MAP_KEYWORDS | LIST_KEYWORDS | SINGLE_KEYWORDS | ASSERTIONS | ANNOTATIONS | {"$ref"}
_INSTEAD: Final = {
    "definitions": "2020-12 calls it $defs",
    "dependencies": "2020-12 has dependentRequired and dependentSchemas",
    "additionalItems": "2020-12 has items beside prefixItems",
    "$recursiveRef": "use $ref",
    "$dynamicRef": "use $ref",
    "$anchor": "refer to #/$defs/…",
    "$dynamicAnchor": "refer to #/$defs/…",
}
_CODELIST: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}@[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}")
_REFUSAL: Final = re.compile(r"E-[A-Z]{2,20}(?:-[A-Z]{1,20})*")


def lint(document: dict[str, Any]) -> tuple[Finding, ...]:
    """Return why a parsed schema is refused, at most `MAX_FINDINGS`; empty when it may be registered."""
    large = _size_fault(document)
    return (large,) if large is not None else _lint(document)


def _lint(document: dict[str, Any]) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if document.get("$schema", DIALECT) not in (DIALECT, DIALECT + "#"):
        found.append(Finding("/$schema", "only JSON Schema 2020-12 is understood here", "schema-dialect"))
    places: dict[str, Any] = {}
    for pointer, node in walk(document):
        places[pointer] = node
        if len(places) > MAX_SCHEMAS:
            return (Finding("", f"has more than {MAX_SCHEMAS} subschemas", "schema-size"),)
        if isinstance(node, dict):
            found.extend(_node_findings(pointer, node))
        elif not isinstance(node, bool):
            found.append(Finding(pointer, "a schema is an object, true or false", "schema-form"))
        if len(found) >= MAX_FINDINGS:
            return tuple(found)
    if not found:
        found.extend(_reference_findings(document, places))
    if not found:
        found.extend(growth_findings(document))
    if not found:
        found.extend(_form_findings(document))
    return tuple(found)


def _size_fault(document: dict[str, Any]) -> Finding | None:
    """Return why a document is too large to be looked at more closely, or None: counted before anything is built."""
    containers, steps = 0, 0
    texts: set[str] = set()
    left: list[Any] = [document]
    while left:
        part = left.pop()
        containers += 1
        if containers > MAX_CONTAINERS:
            return Finding("", f"has more than {MAX_CONTAINERS} objects and lists", "schema-size")
        values = part.values() if isinstance(part, dict) else part
        left.extend(value for value in values if isinstance(value, dict | list))
        if isinstance(part, dict):
            fresh = _patterns_of(part) - texts
            texts |= fresh
            if len(texts) > MAX_PATTERNS:
                return Finding("", f"has more than {MAX_PATTERNS} patterns", "schema-size")
            steps += sum(map(patterns.steps, fresh))
            if steps > MAX_PATTERN_STEPS:
                return Finding(
                    "", f"its patterns have over {MAX_PATTERN_STEPS} steps, counts written out", "schema-size"
                )
    return None


def _patterns_of(node: dict[str, Any]) -> set[str]:
    named, text = node.get("patternProperties"), node.get("pattern")
    return {*(named if isinstance(named, dict) else ()), *((text,) if isinstance(text, str) else ())}


def advise(document: dict[str, Any]) -> tuple[Finding, ...]:
    """Return advice that refuses nothing: no upper bound, a format nobody checks, no sensitivity class."""
    words = f"names no x-sensitivity that is known: it counts as {STRICTEST}, the strictest"
    found = [Finding(pointer, words, "advice-sensitivity") for pointer in unclassified(document)]
    for pointer, node in walk(document):
        if not isinstance(node, dict):
            continue
        asked = node.get("type")
        types = asked if isinstance(asked, list) else [asked]
        bounded_text = {"maxLength", "enum", "const", "pattern", "x-codelist"} & node.keys()
        if "string" in types and not bounded_text and node.get("format") not in ASSERTED_FORMATS:
            found.append(Finding(pointer, "text without maxLength", "advice-bound"))
        if "array" in types and "maxItems" not in node and node.get("items") is not False:
            found.append(Finding(pointer, "a list without maxItems", "advice-bound"))
        if node.get("format", "date") not in ASSERTED_FORMATS:
            found.append(Finding(f"{pointer}/format", "this format is a note: nobody checks it", "advice-format"))
    return tuple(sorted(found, key=lambda finding: finding.pointer))


def _node_findings(pointer: str, node: dict[str, Any]) -> Iterator[Finding]:
    for key in node:
        if key in ALLOWED or key.startswith("x-") or (key in ("$id", "$schema") and not pointer):
            continue
        known = _INSTEAD.get(key)
        reason = f"is no keyword that may be used here{': ' + known if known else ''}"
        yield Finding(f"{pointer}/{escape(key)}", reason, "schema-keyword")
    reference = node.get("$ref", "#")
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        # file:///… and http://inner-host/… would be read by whoever compiles the schema.
        yield Finding(f"{pointer}/$ref", "refers outside the schema; only #/… is allowed", "schema-ref")
    elif "%" in reference:
        yield Finding(f"{pointer}/$ref", "is percent-encoded, which readers decode differently", "schema-ref")
    yield from _pattern_findings(pointer, node)
    yield from _extension_findings(pointer, node)


def _pattern_findings(pointer: str, node: dict[str, Any]) -> Iterator[Finding]:
    named = node.get("patternProperties")
    texts = [(f"{pointer}/pattern", node["pattern"])] if "pattern" in node else []
    if isinstance(named, dict):
        texts += [(f"{pointer}/patternProperties/{escape(text)}", text) for text in named]
    for where, text in texts:
        try:
            if isinstance(text, str):
                patterns.check_pattern(text)
        except patterns.PatternRefused as fault:
            yield Finding(where, str(fault), "schema-pattern")


def _extension_findings(pointer: str, node: dict[str, Any]) -> Iterator[Finding]:
    named = node.get("x-codelist")
    if named is not None:
        if not isinstance(named, str) or not _CODELIST.fullmatch(named):
            yield Finding(f"{pointer}/x-codelist", "is written name@major.minor.patch", "schema-codelist")
        asked = node.get("type", "string")
        if not {"string", "array"} & set(asked if isinstance(asked, list) else [asked]):
            yield Finding(f"{pointer}/x-codelist", "stands on text or on a list of text", "schema-codelist")
    refusal = node.get("x-refusal")
    if refusal is not None and not (isinstance(refusal, str) and _REFUSAL.fullmatch(refusal)):
        yield Finding(f"{pointer}/x-refusal", "is an E- code in capitals", "schema-refusal")


def _reference_findings(document: dict[str, Any], places: dict[str, Any]) -> Iterator[Finding]:
    for pointer, node in places.items():
        if not isinstance(node, dict) or "$ref" not in node:
            continue
        target = node["$ref"].removeprefix("#")
        try:
            resolve(document, node["$ref"])
        except (LookupError, TypeError, ValueError):
            yield Finding(f"{pointer}/$ref", "points at nothing", "schema-ref")
            continue
        if target not in places:
            yield Finding(f"{pointer}/$ref", "points at something that is no schema", "schema-ref")


def _form_findings(document: dict[str, Any]) -> Iterator[Finding]:
    """Ask the engine last: its own check of the meta-schema, then compilation."""
    bare = {key: value for key, value in document.items() if key not in ("$id", "$schema")}
    try:
        compile_schema(bare)
    except ValueError as fault:
        path = getattr(fault, "instance_path", [])
        pointer = "".join(f"/{escape(str(token))}" for token in path)
        yield Finding(pointer, "is not as JSON Schema 2020-12 has it", "schema-form")
