"""Write each message type as one whole JSON Schema file from shared components and code lists.

A schema's digest must cover all that it says (protocol.md §4.1), so the published files refer to nothing
outside themselves. What people edit are `schemas/components.json`, `schemas/source/types/*.json` and
`schemas/codelists/*.json`; three keywords there are expanded here and never published:

`x-list: L`      a closed list becomes `enum` (and `x-labels: "L@version"` says whose labels to show);
                 an open or dated one becomes `x-codelist: "L@version"` with the list's pattern
`x-as: C`        beside `$ref`: the component with every sensitivity class in it replaced by C
`x-from: {component, only?, without?, optional?, as?}`   the component's fields, all of them optional
                 where so marked, with those written beside it added

`python -m gateway.registry.bundle --check|--write [DIRECTORY]`
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
FIRST_VERSION = "1.0.0"
_REF = "#/$defs/"
_LONGEST_CODE = 64
_WIDTH = 110


class SourceError(ValueError):
    """A source names what does not exist or contradicts itself; the text says where."""


@dataclass(slots=True)
class _Bundler:
    components: Mapping[str, Json]
    codelists: Mapping[str, Json]
    found: dict[str, Json] = field(default_factory=dict)

    def expand(self, node: Any) -> Any:
        """Return `node` with its keywords expanded; components it refers to gather in `found`."""
        if isinstance(node, list):
            return [self.expand(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "x-from" in node:
            node = self._derived(node)
        if "x-list" in node:
            node = self._coded(node)
        node = {name: self.expand(value) for name, value in node.items()}
        if "$ref" in node:
            node["$ref"] = _REF + self._refer(node["$ref"], node.pop("x-as", None))
        return node

    def _component(self, name: str) -> Json:
        if name not in self.components:
            raise SourceError(f"no component {name}")
        return self.components[name]

    def _refer(self, reference: str, as_class: str | None) -> str:
        name = reference.removeprefix(_REF)
        plain = self._component(name)
        key = name
        if as_class is not None and self._is_classified(plain):
            key = f"{name}.{as_class}"
            plain = _reclassified(plain, as_class)
        if key not in self.found:
            self.found[key] = {}  # a component may refer to itself
            self.found[key] = self.expand(plain)
        return key

    def _is_classified(self, node: Any) -> bool:
        return any(
            "x-sensitivity" in part or ("$ref" in part and self._is_classified(self._component(_name(part))))
            for part in _objects(node)
        )

    def _derived(self, node: Json) -> Json:
        rule = node["x-from"]
        base = deepcopy(self._component(rule["component"]))
        if "x-from" in base:
            base = self._derived(base)
        if "as" in rule:
            base = _reclassified(base, rule["as"])
        fields: Json = base["properties"]
        kept = set(rule.get("only", fields)) - set(rule.get("without", ()))
        if unknown := (set(rule.get("only", ())) | set(rule.get("without", ()))) - set(fields):
            raise SourceError(f"{rule['component']} has no field {min(unknown)}")
        gone = set(fields) - kept
        base["properties"] = {name: fields[name] for name in fields if name in kept}
        needed = () if rule.get("optional") else base.get("required", ())
        base["required"] = [name for name in needed if name in kept]
        # A condition on a field that was left out can never be met, so it goes with the field.
        base["allOf"] = [rule for rule in base.get("allOf", ()) if not gone & _fields_named(rule)]
        own = {name: value for name, value in node.items() if name != "x-from"}
        base["properties"] |= own.pop("properties", {})
        base["required"] += own.pop("required", [])
        base["allOf"] += own.pop("allOf", [])
        return {name: value for name, value in (base | own).items() if value != []}

    def _coded(self, node: Json) -> Json:
        name = node["x-list"]
        if name not in self.codelists:
            raise SourceError(f"no code list {name}")
        codes = self.codelists[name]
        version = f"{name}@{codes['version']}"
        coded: Json = {"type": "string"}
        if codes["closed"] and not any(_is_dated(code) for code in codes["codes"]):
            coded["enum"] = [code["code"] for code in codes["codes"] if _is_usable(code)]
            coded["x-labels"] = version
        else:
            coded |= {"pattern": codes["codePattern"], "maxLength": _LONGEST_CODE, "x-codelist": version}
        before = {key: node[key] for key in ("title", "description") if key in node}
        return before | coded | {key: value for key, value in node.items() if key not in {*before, "x-list"}}


def _objects(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for item in node:
            yield from _objects(item)


def _name(reference: Json) -> str:
    return str(reference["$ref"]).removeprefix(_REF)


def _fields_named(rule: Json) -> set[str]:
    named: set[str] = set()
    for part in _objects(rule):
        named.update(part.get("required", ()))
        named.update(part.get("properties", ()))
    return named


def _is_dated(code: Json) -> bool:
    return "validFrom" in code or "validTo" in code


def _is_usable(code: Json) -> bool:
    return not code.get("disabled") and not code.get("derived")


def _reclassified(component: Json, as_class: str) -> Json:
    """Return a copy in which each class is `as_class`; the mark `*` of specific personal data stays."""
    copy = deepcopy(component)
    for part in _objects(copy):
        if "x-sensitivity" in part:
            part["x-sensitivity"] = as_class + ("*" if part["x-sensitivity"].endswith("*") else "")
        if "$ref" in part:
            part["x-as"] = as_class
    return copy


def bundle(subject: str, source: Json, components: Mapping[str, Json], codelists: Mapping[str, Json]) -> Json:
    """Return the whole schema of `subject`, version 1.0.0, with each component it uses in `$defs`.

    Raises SourceError where the source names a component, field or code list that does not exist.
    """
    bundler = _Bundler(components, codelists)
    body: Json = bundler.expand(source)
    head: Json = {"$schema": DIALECT, "$id": f"urn:bcx:schema:{subject}:{FIRST_VERSION}"}
    return head | body | {"$defs": {name: bundler.found[name] for name in sorted(bundler.found)}}


def render(document: Json) -> str:
    """Return `document` as text that reads and diffs well: short values on one line, a newline at the end."""
    return _render(document, 0) + "\n"


def _render(value: Any, indent: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or indent + len(flat) <= _WIDTH:
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        rows = [f"{json.dumps(name)}: {_render(item, indent + 1)}" for name, item in value.items()]
        return "{\n" + ",\n".join(pad + row for row in rows) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + _render(item, indent + 1) for item in value) + "\n" + " " * indent + "]"


def bundle_all(directory: Path) -> dict[Path, str]:
    """Return path → text of every schema file that the sources under `directory` (`schemas/`) make."""
    components = _load(directory / "components.json")["$defs"]
    codelists = {path.stem: _load(path) for path in sorted((directory / "codelists").glob("*.json"))}
    made = {}
    for path in sorted((directory / "source" / "types").glob("*.json")):
        try:
            schema = bundle(path.stem, _load(path), components, codelists)
        except SourceError as fault:
            raise SourceError(f"{path.name}: {fault}") from None
        made[directory / path.stem / f"{FIRST_VERSION}.json"] = render(schema)
    return made


def _load(path: Path) -> Json:
    loaded: Json = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def main(arguments: list[str]) -> int:
    """Write the files, or check that they are as the sources make them: 0 yes, 1 no, 2 wrong usage."""
    if not arguments or arguments[0] not in {"--check", "--write"} or len(arguments) > 2:
        sys.stderr.write("usage: python -m gateway.registry.bundle --check|--write [DIRECTORY]\n")
        return 2
    directory = Path(arguments[1]) if len(arguments) > 1 else Path("schemas")
    return keep(bundle_all(directory), write=arguments[0] == "--write")


def keep(made: Mapping[Path, str], *, write: bool) -> int:
    """Write files as made, or say which are not as made; return 1 where one is not, else 0."""
    stale = []
    for path, text in made.items():
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
    for path in stale:
        sys.stderr.write(f"{path} is not what its sources make: run with --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
