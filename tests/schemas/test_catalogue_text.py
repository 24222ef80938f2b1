"""The catalogue as it was written, read field by field: nothing of its tables and lists was dropped silently."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.schemas import shelf

TEXT = (Path(__file__).parent / "catalogue.md").read_text(encoding="utf-8")
WORD = r"[a-z][A-Za-z]*"
CAMEL = re.compile(r"(?<![A-Za-z0-9_.])[a-z]+(?:[A-Z][a-z]*)+(?![A-Za-z0-9_])")
# What stands in the catalogue and not in the schema of its type, and why.
ELSEWHERE = {
    ("identity.verify.request", "faceTemplate"),  # "not allowed in v1"
    ("record.action", "erasureCertificate"),  # a field of case.update, says the note's first page
    ("record.action", "erasedAt"),
    ("record.action", "keysDestroyed"),
    ("record.action", "onwardNotified"),
}
# Required wherever there is one: some offences have no class in ICCS.
CONDITIONAL = {"iccs"}
# Words of the lists that say of what kind a field is.
PROSE = {"bool", "refs", "or", "band", "completion"}
# Of the envelope table: attributes of the event, or the event itself (the note's first page).
ATTRIBUTES = {
    "messageId", "messageType", "schemaVersion", "environment", "sender", "recipient", "authority", "createdAt",
    "expiresAt", "urgency", "exchangeCaseId", "caseSeq", "inReplyTo", "supersedes", "handling", "codes", "payload",
    "focalPointRole", "unit",
}  # fmt: skip


def sections() -> dict[str, str]:
    """Return the text of each type, and of each component as `3.x`."""
    parts = re.split(r"^\*\*([34]\.\d+) ", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS = sections()
TYPES = {
    match[1]: number
    for number, text in SECTIONS.items()
    if number.startswith("4.") and (match := re.match(r"([a-z.]+)", text)) and match[1] in shelf.SUBJECTS
}


def table(text: str) -> list[tuple[list[str], list[str], str]]:
    """Return own names, names of members and requiredness of each row of a section's table."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("|") and len(cells) >= 6 and cells[0] not in {"field", "---"}:
            need = cells[2] if len(cells[1]) > 1 or "{" in cells[0] else cells[1]
            # Two tables of section 4.1 to 4.9 have type, need, list; 3.1 and 3.4 have an own column for the type.
            own, _, inside = cells[0].partition("{")
            found.append((names_of(own), names_of(inside + (cells[1] if cells[1].startswith("{") else "")), need))
    return found


def names_of(cell: str) -> list[str]:
    """Return the field names of a cell, members in braces included."""
    return re.findall(rf"(?<![A-Za-z0-9+<=]){WORD}", re.sub(r"\b(?:if|opt)\b", "", cell))


def parts(text: str) -> list[str]:
    """Return the parts of a section's list with bars, its first sentences left out."""
    prose = " ".join(line for line in text.splitlines() if line and not line.startswith("|"))
    found = prose.split(" | ")
    return [re.split(r"(?<=[.?)]) ", found[0])[-1], *found[1:]] if len(found) > 1 else []


def leading(text: str) -> list[str]:
    """Return the names that begin each part, before what is required of them."""
    found: list[str] = []
    for part in parts(text):
        match = re.match(rf"((?:{WORD}(?:\[\])?,? ?(?:/ ?)?)+?)(?= (?:3\.\d+ )?[RCO]\b| ?\{{|\[| <=|:)", part)
        found += re.findall(WORD, match[1]) if match else []
    return [name for name in found if name not in PROSE]


@cache
def properties(subject: str) -> frozenset[str]:
    """Return every property name of a schema, at any depth."""
    return frozenset(name for _, node in shelf.nodes(shelf.schema(subject)) for name in node.get("properties", {}))


LISTS = {path.stem for path in shelf.CODELISTS}


def test_the_text_has_every_type() -> None:
    """Fourteen sections, each for a schema; what is parsed out of them is not nothing."""
    assert len(TYPES) == 14
    assert set(TYPES) <= set(shelf.SUBJECTS)
    assert sum(len(table(SECTIONS[number])) for number in TYPES.values()) >= 35
    assert sum(len(leading(SECTIONS[number])) for number in TYPES.values()) >= 50


@pytest.mark.parametrize("subject", sorted(TYPES))
def test_each_field_of_the_catalogue_is_in_the_schema(subject: str) -> None:
    """Rows of tables, parts of lists and every other name in the section: a property of the type, or a code list."""
    text = SECTIONS[TYPES[subject]]
    rows = {name for own, inside, _ in table(text) for name in (*own, *inside)}
    wanted = rows | set(leading(text)) | set(CAMEL.findall(text))
    missing = {name for name in wanted if name not in properties(subject) | LISTS}
    assert {(subject, name) for name in missing} <= ELSEWHERE, missing


@pytest.mark.parametrize("subject", [s for s in sorted(TYPES) if table(SECTIONS[TYPES[s]])])
def test_what_a_table_requires_is_required(subject: str) -> None:
    """R in the third column is `required` at the root, or under a condition where it cannot always be; O is not."""
    document = shelf.schema(subject)
    sometimes = {name for rule in document.get("allOf", ()) for name in rule.get("then", {}).get("required", ())}
    for own, _, need in table(SECTIONS[TYPES[subject]]):
        for name in own:
            if name in document["properties"] and need.partition(" ")[0] in {"R", "O"}:
                required = name in document["required"] or (name in CONDITIONAL and name in sometimes)
                assert required is need.startswith("R"), (name, need)


def classes(text: str) -> dict[str, str]:
    """Return the class of each field of a section's table; the role's is the role."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in text.splitlines()]
    return {
        name: cells[4]
        for cells in rows
        if len(cells) == 6 and cells[4] not in {"", "sens", "---", "role"}
        for name in names_of(cells[0].partition("{")[0])
    }


@pytest.mark.parametrize("subject", [s for s in shelf.SUBJECTS if table(SECTIONS[TYPES[s]])])
def test_the_class_a_table_gives_is_the_fields(subject: str) -> None:
    """The fifth column is `x-sensitivity`, the overlay's star included."""
    listed = classes(SECTIONS[TYPES[subject]])
    held = {name: field["x-sensitivity"] for name, field in shelf.schema(subject)["properties"].items()}
    assert len(listed) >= 7
    assert {name: held[name] for name in listed} == listed


def test_the_overlay_of_a_suspect_lies_where_the_text_has_its_star() -> None:
    """Section 3.10: bank data, and the warrant, which is the criminal record that P03 speaks of."""
    subject = shelf.schema("subject.alert")["$defs"]["Subject"]["properties"]
    own = set(re.findall(WORD, SECTIONS["3.10"].partition("Person with role")[2])) & subject.keys()
    starred = {name for name in own if subject[name]["x-sensitivity"].endswith("*")}
    assert own >= {"rolesInProcess", "organisation", "vehicles", "wallets", "handles", "linkedSites"}
    assert starred == {*re.findall(rf"({WORD})\*", SECTIONS["3.10"]), "warrant"}


def test_the_class_of_each_field_of_a_person_is_the_tables() -> None:
    """Section 3.4, in the type that has whole persons; stable references and languages are OP, all else is theirs."""
    person = shelf.schema("case.referral")["$defs"]["Person"]["properties"]
    listed = classes(SECTIONS["3.4"])
    assert len(listed) >= 15
    assert {name: person[name]["x-sensitivity"] for name in listed} == listed


@pytest.mark.parametrize("subject", [s for s in sorted(TYPES) if parts(SECTIONS[TYPES[s]])])
def test_what_a_list_requires_is_required(subject: str) -> None:
    """R directly behind a name, or behind its members in braces."""
    required = set(shelf.schema(subject)["required"]) | set(shelf.schema(subject)["$defs"]["Meta"]["properties"])
    behind = rf"((?:{WORD}, )*{WORD})(?:\[\])?(?: 3\.\d+)?(?: \{{[^}}]*\}})? R\b"
    named = [re.match(behind, part) for part in parts(SECTIONS[TYPES[subject]])]
    wanted = {name for match in named if match for name in match[1].split(", ")}
    assert wanted
    assert wanted <= required, wanted - required


def test_each_field_of_the_components_is_in_a_schema() -> None:
    """Section 3: persons, names, dates, documents, places, files, consent; the envelope's fields in meta."""
    everywhere = frozenset().union(*(properties(subject) for subject in shelf.SUBJECTS)) | LISTS
    for number, text in SECTIONS.items():
        if number.startswith("3."):
            rows = {name for own, inside, _ in table(text) for name in (*own, *inside)}
            wanted = rows | set(leading(text)) | set(CAMEL.findall(text))
            missing = wanted - everywhere - (ATTRIBUTES if number == "3.1" else set())
            assert not missing, (number, missing)
