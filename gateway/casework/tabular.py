"""Rows of persons as CSV, as officers fill them in: a template out, rows in, errors by line and column.

A column is named by the way to its value, as `person.names.0.fullName`; a list of plain values is one column, its
values joined by `|`. Which columns there are and of what type is read from the schema, so a new version of a type
needs nothing here. Columns may be left out and stand in any order.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.casework.shapes import Json, step
from gateway.errors import Finding, capped
from gateway.primitives.table import csv_text, plain_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROWS: Final = {
    "identity.verify.request": "items",
    "identity.verify.response": "results",
    "case.referral": "manifest",
    "repatriation.movement": "manifest",
}
"""The types that carry a row for each person, and the member of `data` the rows stand in."""

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_ROWS: Final = 1000
"""Where the schema sets no bound; it is read no further than that."""
MAX_LINE_CELLS: Final = 1000
"""Cells of one line, and so columns; the types have some 60."""
SLOTS: Final = 2  # of a list of objects, such as names in two scripts
JOINT: Final = "|"
_DEPTH: Final = 6
_TRUE: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its way, the JSON type at its end, and whether it is a list of such."""

    name: str
    type: str
    many: bool = False

    @property
    def way(self) -> tuple[str | int, ...]:
        """Return the members and places that lead to the value."""
        return tuple(int(part) if part.isdigit() else part for part in self.name.split("."))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows read from CSV, and where each value of each row came from."""

    key: str
    rows: list[Json]
    lines: tuple[int, ...]
    cells: tuple[Mapping[str, str], ...] = field(repr=False)

    def located(self, finding: Finding) -> Finding:
        """Return a finding about `data` with the line and column it is about, where it is about a row."""
        start = f"/data/{self.key}/"
        number, _, rest = finding.pointer.removeprefix(start).partition("/")
        if not finding.pointer.startswith(start) or not number.isdigit() or int(number) >= len(self.rows):
            return finding
        column = _column_at(self.cells[int(number)], f"/{rest}" if rest else "")
        where = f"line {self.lines[int(number)]}" + (f", column {column}" if column else "")
        return Finding(finding.pointer, f"{where}: {finding.reason}", finding.code)


def columns(schema: Mapping[str, Any], key: str) -> tuple[Column, ...]:
    """Return every column the rows of a schema may have, in its order."""
    root = dict(schema)
    node = _resolved(root, root["properties"][key])
    return tuple(_columns(root, _resolved(root, node.get("items", {})), "", 0))


def _columns(root: Json, node: Json, name: str, depth: int) -> Iterator[Column]:
    kind = _type(node)
    if kind == "object" and depth < _DEPTH:
        for member, child in _members(root, node).items():
            yield from _columns(root, child, f"{name}.{member}" if name else member, depth + 1)
    elif kind == "array":
        inner = _resolved(root, node.get("items", {}))
        if _type(inner) == "object":
            for slot in range(min(SLOTS, node.get("maxItems", SLOTS))):
                yield from _columns(root, inner, f"{name}.{slot}", depth + 1)
        else:
            yield Column(name, _type(inner), many=True)
    elif kind != "object":
        yield Column(name, kind)


def _members(root: Json, node: Json) -> Json:
    """Return the members of an object: its own, and those of forms it has one of (a name by its script)."""
    found: Json = {}
    for part in (node, *node.get("allOf", ()), *node.get("oneOf", ()), *node.get("anyOf", ())):
        resolved = _resolved(root, part)
        for member, child in resolved.get("properties", {}).items():
            if isinstance(child, dict) and member not in found:
                found[member] = _resolved(root, child)
        if part is not node and "allOf" in resolved:
            found = _members(root, resolved) | found
    return found


def _resolved(root: Json, node: Any) -> Json:
    if not isinstance(node, dict):
        return {}
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    target: Any = root
    for token in reference.removeprefix("#/").split("/"):
        target = target.get(token, {}) if isinstance(target, dict) else {}
    return {**_resolved(root, target), **{name: value for name, value in node.items() if name != "$ref"}}


def _type(node: Json) -> str:
    if isinstance(node.get("type"), str):
        return str(node["type"])
    if isinstance(node.get("const"), bool):
        return "boolean"
    return "object" if any(name in node for name in ("properties", "oneOf", "anyOf")) else "string"


def template(schema: Mapping[str, Any], key: str) -> str:
    """Return the CSV to be filled in: its first line, and no row."""
    return csv_text([[column.name for column in columns(schema, key)]])


def write(schema: Mapping[str, Any], key: str, rows: Sequence[Any]) -> str:
    """Return rows as CSV, with the columns that any of them fills."""
    cells = [{c.name: text for c in columns(schema, key) if (text := _cell(row, c)) is not None} for row in rows]
    used = [c.name for c in columns(schema, key) if any(c.name in row for row in cells)]
    return csv_text([used, *([row.get(name, "") for name in used] for row in cells)])


def _cell(row: Any, column: Column) -> str | None:
    found = row
    for part in column.way:
        if isinstance(part, int):
            found = found[part] if isinstance(found, list) and part < len(found) else None
        else:
            found = found.get(part) if isinstance(found, dict) else None
    if column.many:
        return JOINT.join(_plain(item) for item in found) if isinstance(found, list) else None
    return None if found is None or isinstance(found, dict | list) else _plain(found)


def _plain(value: Any) -> str:
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def read(schema: Mapping[str, Any], key: str, text: str, new_ref: Callable[[], str]) -> Table | tuple[Finding, ...]:
    """Read rows from CSV; or return why it cannot be read at all.

    What a value may be, the schema judges: here a text that is no number stays a text. A row without `itemId` is
    numbered, a person without `personRef` gets a new one.
    """
    if len(text.encode()) > MAX_BYTES:
        return (Finding("/rows", f"over {MAX_BYTES // 1024 // 1024} MiB", "E-SIZE"),)
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","
    known = {column.name: column for column in columns(schema, key)}
    source = _Lines(text, separator)
    reader = csv.reader(source, delimiter=separator, strict=True)
    lines = ((reader.line_num, line) for line in source.rows(reader))
    try:
        header = [name.strip() for name in next(lines, (0, []))[1]]
        faults = capped(_header_faults(header, known))
        return faults or _table(key, header, known, lines, new_ref, _most_rows(schema, key))
    except csv.Error:
        return (Finding("/rows", f"line {reader.line_num}: not CSV (RFC 4180)", "E-SCHEMA"),)
    except _TooWideError:
        words = f"line {reader.line_num + 1}: more than {MAX_LINE_CELLS} cells"
        return (Finding("/rows", words, "E-SIZE"),)


class _TooWideError(Exception):
    """A row has more cells than any type has columns."""


class _Lines:
    """The lines of a text for a CSV reader, which are counted before it makes a cell of them.

    Eight megabytes of separators are eight million cells, in one line or in the quoted lines of one row.
    """

    def __init__(self, text: str, separator: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._separator = separator
        self._cells = 0

    def rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        """Yield what a reader of this makes, and count each row for itself."""
        for row in reader:
            self._cells = 0
            yield row

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._cells += line.count(self._separator)
            if self._cells > MAX_LINE_CELLS:
                raise _TooWideError
            yield line


def _most_rows(schema: Mapping[str, Any], key: str) -> int:
    root = dict(schema)
    return min(int(_resolved(root, root["properties"][key]).get("maxItems", MAX_ROWS)), MAX_ROWS)


def _header_faults(header: Sequence[str], known: Mapping[str, Column]) -> Iterator[Finding]:
    if not header:
        yield Finding("/rows", "no line with the names of the columns", "E-SCHEMA")
    seen: set[str] = set()
    for place, name in enumerate(header, 1):
        # Never repeated: where the first line is missing, this is somebody's data.
        if name not in known:
            yield Finding("/rows", f"line 1: column {place} is none of this type; see its template", "E-SCHEMA")
        elif name in seen:
            yield Finding("/rows", f"line 1: column {place} stands twice", "E-SCHEMA")
        seen.add(name)


def _table(
    key: str, header: Sequence[str], known: Mapping[str, Column], lines: Iterable[tuple[int, list[str]]],
    new_ref: Callable[[], str], most: int,
) -> Table | tuple[Finding, ...]:  # fmt: skip
    rows: list[Json] = []
    cells: list[Mapping[str, str]] = []
    numbers: list[int] = []
    for number, line in lines:
        if not any(cell.strip() for cell in line):
            continue
        if len(rows) >= most:
            words = f"line {number}: more than {most} rows; send the rest in another message"
            return (Finding("/rows", words, "E-SIZE"),)
        if len(line) > len(header):
            return (Finding("/rows", f"line {number}: more cells than columns", "E-SCHEMA"),)
        row, from_where = _row([(known[name], cell.strip()) for name, cell in zip(header, line, strict=False)])
        row.setdefault("itemId", str(len(rows) + 1))
        person = row.get("person")
        if isinstance(person, dict):
            person.setdefault("personRef", new_ref())
        rows.append(row)
        cells.append(from_where)
        numbers.append(number)
    return Table(key, rows, tuple(numbers), tuple(cells))


def _row(cells: Sequence[tuple[Column, str]]) -> tuple[Json, Mapping[str, str]]:
    """Build one row; an empty slot of a list closes up, so each value remembers its column."""
    row: Json = {}
    where: dict[str, str] = {}
    slots: dict[tuple[str | int, ...], int] = {}
    for column, cell in cells:
        if cell == "":
            continue
        text = plain_cell(cell)
        value = [_value(part.strip(), column.type) for part in text.split(JOINT)] if column.many else None
        holder: Any = row
        pointer = ""
        way = column.way
        for at, part in enumerate(way[:-1]):
            following: Any = [] if isinstance(way[at + 1], int) else {}
            if isinstance(part, int):
                place = slots.setdefault(way[: at + 1], len(holder))
                if place == len(holder):
                    holder.append(following)
                holder, pointer = holder[place], step(pointer, place)
            else:
                holder, pointer = holder.setdefault(part, following), step(pointer, part)
        holder[way[-1]] = value if value is not None else _value(text, column.type)
        where[step(pointer, str(way[-1]))] = column.name
    return row, where


def _value(text: str, kind: str) -> Any:
    if kind == "integer" and text.lstrip("-").isdigit() and len(text) < 16:
        return int(text)
    if kind == "boolean":
        return _TRUE.get(text.lower(), text)
    return text


def _column_at(cells: Mapping[str, str], pointer: str) -> str | None:
    """Return the column of the value at or above a pointer; the first below it where the fault is a whole object's."""
    above = [where for where in cells if pointer == where or pointer.startswith(where + "/")]
    if above:
        return cells[max(above, key=len)]
    below = [name for where, name in cells.items() if pointer and where.startswith(pointer + "/")]
    return below[0] if below else None
