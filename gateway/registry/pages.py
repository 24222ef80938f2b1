"""Write the catalogue for people: one page a message type, one of common parts, one of code lists, as Markdown.

All of it comes from the published schemas, the code lists and the examples, so no page says what the gateway does
not check.

`python -m gateway.registry.pages --check|--write [SCHEMAS DOCS]`
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.registry.bundle import keep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Node = dict[str, Any]

SHOWN_ITEMS: Final = 2
"""Rows of a long list an example shows."""
LONG: Final = 4
INLINE_CODES: Final = 25
NOT_SHOWN: Final = frozenset({"uiTerm"})  # words of the console: no message carries them
CASE_RULES: Final = {
    "opens": "opens a case, or joins the one it names",
    "required": "belongs to a case",
    "optional": "may belong to a case",
    "none": "belongs to no case",
}
KINDS: Final = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "its members below"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the pages are made from: schemas by type, code lists by name, one example a type by its name."""

    schemas: Mapping[str, Node]
    lists: Mapping[str, Node]
    examples: Mapping[str, tuple[str, Node]]


@dataclass(slots=True)
class _Found:
    """What a walk over one schema met: rows of fields, code lists used, refusals by code, components linked."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    refusals: dict[str, list[str]] = field(default_factory=dict)


def pages(catalogue: Catalogue) -> dict[str, str]:
    """Return the text of each page by its file name."""
    made = {f"{subject}.md": type_page(catalogue, subject) for subject in sorted(catalogue.schemas)}
    return {**made, "components.md": components_page(catalogue), "codes.md": codes_page(catalogue)}


def type_page(catalogue: Catalogue, subject: str) -> str:
    """Return the page of one message type."""
    document = catalogue.schemas[subject]
    found = _Found()
    _walk(document, document, "", found)
    name, body = catalogue.examples[subject]
    handling = " ".join(document["x-min-handling"]) or "by what is in it"
    lines = [
        f"# {subject}: {document['title']}",
        "",
        document["description"],
        "",
        "| | |",
        "|---|---|",
        f"| case | {CASE_RULES[document['x-case']]} |",
        f"| urgency unless another is given | {_coded('urgency', document['x-default-urgency'])} |",
        f"| handling, at least | {handling} |",
        f"| kept under | {', '.join(_coded('retentionClass', code) for code in document['x-retention'])} |",
        f"| size | up to {'10 MiB: a list of up to 500 persons fits' if document.get('x-manifest') else '256 KiB'} |",
        f"| schema | `{document['$id']}` |",
        "",
        "## Fields",
        "",
        "Of `data`. Needed: yes, no, or *sometimes*, when another field says so. Class: who may see it, as",
        "[README.md](README.md#classes) explains.",
        "",
        *_table(("field", "what", "needed", "form", "class"), found.rows),
        "",
        "## Codes",
        "",
        *_table(("list", "used by", "codes"), _lists(catalogue, found)),
        "",
        "## Refusals",
        "",
        "A message is refused with a code and the place. Any other fault of form is E-SCHEMA, a code outside its list",
        "E-CODE. The rules of casework that apply to every type are in [README.md](README.md#rules-of-casework).",
        "",
        *_table(("code", "meaning", "where"), _refusals(catalogue, found)),
        "",
        "## Example",
        "",
        f"`schemas/examples/{subject}/{name}.json`, the body of `POST /api/v1/messages`; long lists are cut here.",
        "",
        "```json",
        json.dumps(shortened(body), ensure_ascii=False, indent=2),
        "```",
    ]
    return "\n".join(lines) + "\n"


def components_page(catalogue: Catalogue) -> str:
    """Return the page of the parts that several types share."""
    parts: dict[str, tuple[Node, Node]] = {}
    for document in catalogue.schemas.values():
        for name, node in document["$defs"].items():
            if "properties" in node:
                parts.setdefault(_base(name), (document, node))
    lines = [
        "# Common parts",
        "",
        "Persons, names, dates, documents, places and files look the same wherever they stand. Their class follows",
        "whom they are about: a victim or witness (VI) or a suspect (SU). See [README.md](README.md#classes).",
    ]
    for name, (document, node) in sorted(parts.items()):
        found = _Found()
        _walk(document, node, "", found)
        lines += ["", f"## {name}", "", f"{node['title']}. {node['description']}", ""]
        lines += _table(("field", "what", "needed", "form", "class"), found.rows)
        if found.refusals:
            told = (f"{code} {_meaning(catalogue, code)}" for code in sorted(found.refusals))
            lines += ["", f"Refusals: {'; '.join(told)}."]
    return "\n".join(lines) + "\n"


def codes_page(catalogue: Catalogue) -> str:
    """Return the page of the code lists: each code with its labels and days."""
    lines = [
        "# Code lists",
        "",
        "Made from `schemas/codelists/`. A code is valid from its first to its last day, both included, and is judged",
        "against the day of what it speaks of. Khmer: *sourced* from a public text, *confident*, or *draft*; a",
        "Khmer-speaking officer must review all of it before use. Values of HTCDS keep its spelling (IOM, CC BY 4.0;",
        "see [attribution](../attribution.md)).",
    ]
    for name, listed in sorted(catalogue.lists.items()):
        if name in NOT_SHOWN:
            continue
        codes = [code for code in listed["codes"] if not code.get("derived")]
        kind = "closed" if listed["closed"] else "open"
        lines += [
            "",
            f"## {name}",
            "",
            f"{listed['title']}. Version {listed['version']}, {kind}; {listed['source']}.",
            "",
        ]
        lines += _table(
            ("code", "English", "Indonesian", "Khmer", "Khmer is", "valid"), (_code(code) for code in codes)
        )
    return "\n".join(lines) + "\n"


# --- fields ---------------------------------------------------------------------------------------------


def _walk(document: Node, node: Node, path: str, found: _Found) -> None:
    """Collect the fields of an object and of what is written inside them; common parts are linked, not repeated."""
    required, sometimes = set(node.get("required", ())), _conditional(node)
    _note_refusals(node, path or "the message as a whole", found)
    for name, member in node.get("properties", {}).items():
        place = f"{path}{name}"
        need = "yes" if name in required else "*sometimes*" if name in sometimes else "no"
        form = _form(document, member, place, found)
        found.rows.append((f"`{place}`", _words(member), need, form, member.get("x-sensitivity", "")))
        inner, mark = member, ""
        while "items" in inner:
            inner, mark = inner["items"], f"{mark}[]"
        if "properties" in inner:
            _walk(document, inner, f"{place}{mark}.", found)


def _words(node: Node) -> str:
    title, text = node.get("title", ""), node.get("description", "")
    return text if text.rstrip(".").lower() == title.lower() or not title else f"**{title}.** {text}"


def _form(document: Node, node: Node, place: str, found: _Found) -> str:
    """Return what may stand there, in words."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        target = document["$defs"][name]
        if "properties" in target:
            return f"[{_base(name)}](components.md#{_base(name).lower()})"
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}, "title": target["title"]}
        named = target["title"].lower()
    else:
        named = ""
    _note_refusals(node, place, found)
    for key in ("x-labels", "x-codelist"):
        if key in node:
            listed = node[key].partition("@")[0]
            found.lists.setdefault(listed, []).append(place)
            return f"a code of [{listed}](codes.md#{listed.lower()})"
    if "items" in node:
        most = node["maxItems"]
        return f"up to {most}: {_form(document, node['items'], place, found)}"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    return _plain(node, named)


def _plain(node: Node, named: str) -> str:
    kinds = node.get("type", "object")
    kind = kinds if isinstance(kinds, str) else next((k for k in kinds if k != "null"), "object")
    words = named or KINDS.get(kind, kind)
    if kind == "integer":
        words += f", {node['minimum']} to {node['maximum']}"
    if kind == "string" and ("pattern" not in node or named == "free text"):
        least, most = node.get("minLength"), node.get("maxLength")
        words += f", {least} to {most} characters" if least else f", at most {most} characters"
    return words + (", or nothing" if isinstance(kinds, list) and "null" in kinds else "")


def _conditional(node: Node) -> set[str]:
    """Return the fields that some condition asks for."""
    found: set[str] = set()
    for part in node.get("allOf", ()):
        for key in ("then", "else"):
            found |= set(part.get(key, {}).get("required", ()))
        for choice in (*part.get("anyOf", ()), *part.get("oneOf", ())):
            found |= set(choice.get("required", ()))
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        found |= set(choice.get("required", ()))
    for names in node.get("dependentRequired", {}).values():
        found |= set(names)
    return found


def _note_refusals(node: Node, place: str, found: _Found) -> None:
    """Note each refusal of a node and of its conditions, not those of the fields inside it."""
    for code in _refusals_in(node):
        places = found.refusals.setdefault(code, [])
        if place not in places:
            places.append(place.rstrip("."))


def _refusals_in(node: Node) -> Iterator[str]:
    if "x-refusal" in node:
        yield node["x-refusal"]
    conditions = [*node.get("allOf", ()), *(node[key] for key in ("then", "else", "not", "contains") if key in node)]
    for part in conditions:
        for key in ("then", "else"):
            yield from _deep(part.get(key))
        yield from _deep({key: value for key, value in part.items() if key not in {"if", "then", "else"}})


def _deep(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("x-refusal"), str):
            yield value["x-refusal"]
        for member in value.values():
            yield from _deep(member)
    elif isinstance(value, list):
        for member in value:
            yield from _deep(member)


# --- tables ---------------------------------------------------------------------------------------------


def _lists(catalogue: Catalogue, found: _Found) -> Iterator[tuple[str, ...]]:
    for name, places in sorted(found.lists.items()):
        codes = [
            f"`{c['code']}`" for c in catalogue.lists[name]["codes"] if not c.get("disabled") and not c.get("derived")
        ]
        shown = " ".join(codes) if len(codes) <= INLINE_CODES else f"{len(codes)} codes"
        yield f"[{name}](codes.md#{name.lower()})", ", ".join(f"`{place}`" for place in dict.fromkeys(places)), shown


def _refusals(catalogue: Catalogue, found: _Found) -> Iterator[tuple[str, ...]]:
    for code, places in sorted(found.refusals.items()):
        shown = (place if " " in place else f"`{place}`" for place in places)
        yield code, _meaning(catalogue, code), ", ".join(shown)


def _meaning(catalogue: Catalogue, code: str) -> str:
    return next(str(row["en"]) for row in catalogue.lists["nackReason"]["codes"] if row["code"] == code)


def _coded(listed: str, code: str) -> str:
    return f"[{code}](codes.md#{listed.lower()})"


def _code(row: Node) -> tuple[str, ...]:
    days = (
        f"{row.get('validFrom', '')} \u2013 {row.get('validTo', '')}" if {"validFrom", "validTo"} & row.keys() else ""
    )
    state = "not in use" if row.get("disabled") else days
    return f"`{row['code']}`", row["en"], row["id"], row.get("km", ""), row.get("kmStatus", ""), state


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines] if lines else ["None."]


def _base(name: str) -> str:
    return name.partition(".")[0]


def shortened(value: Any) -> Any:
    """Return an example with its long lists cut, each saying how much is left out."""
    if isinstance(value, dict):
        return {key: shortened(member) for key, member in value.items()}
    if not isinstance(value, list):
        return value
    kept = value if len(value) <= LONG or not isinstance(value[0], dict) else value[:SHOWN_ITEMS]
    left = len(value) - len(kept)
    return [*map(shortened, kept), *([f"\u2026 and {left} more"] if left else [])]


# --- files ----------------------------------------------------------------------------------------------


def read(schemas: Path) -> Catalogue:
    """Read what the pages are made from; the example of a type is the shortest that has its whole story."""
    documents = {path.parent.name: _json(path) for path in schemas.glob("*.*/1.0.0.json")}
    lists = {path.stem: _json(path) for path in (schemas / "codelists").glob("*.json")}
    examples: dict[str, tuple[str, Node]] = {}
    for subject in documents:
        chosen = min((schemas / "examples" / subject).glob("*.json"), key=lambda path: (path.stat().st_size, path.name))
        examples[subject] = chosen.stem, _json(chosen)
    return Catalogue(documents, lists, examples)


def _json(path: Path) -> Node:
    found: Node = json.loads(path.read_text(encoding="utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """Write the pages, or check that they are as their sources make them: 0 yes, 1 no, 2 wrong usage."""
    if len(arguments) not in {1, 3} or arguments[0] not in {"--check", "--write"}:
        sys.stderr.write("usage: python -m gateway.registry.pages --check|--write [SCHEMAS DOCS]\n")
        return 2
    schemas, docs = map(Path, arguments[1:] or ("schemas", "docs/catalogue"))
    made = {docs / name: text for name, text in pages(read(schemas)).items()}
    return keep(made, write=arguments[0] == "--write")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
