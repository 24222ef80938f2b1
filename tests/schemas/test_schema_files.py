"""What every shipped schema file is: whole, closed, bounded, classified, and as the catalogue has it."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from tests.schemas import shelf

BASE = re.compile(r"VI/SU|VI|SU|OP|AG")
NUMERIC = {"minimum", "maximum"}
CONDITIONS = {"if", "then", "else", "not", "anyOf", "oneOf", "allOf", "contains", "dependentSchemas"}
UNPUBLISHED = {"x-list", "x-as", "x-from"}
KNOWN = {
    "x-manifest",
    "x-opens-case",
    "x-case",
    "x-default-urgency",
    "x-min-handling",
    "x-retention",
    "x-sensitivity",
    "x-refusal",
    "x-codelist",
    "x-labels",
}
AVOIDED = (
    "illegal",
    "scammer",
    "human trade",
    "merchandise",
    "real victim",
    "fake victim",
    "tempted",
    "rescued",
)


def test_each_type_of_the_catalogue_has_its_file_and_no_other_has() -> None:
    """Fourteen types; receipts and voids are the protocol's own."""
    shipped = {path.parent.name for path in shelf.SCHEMAS.glob("*/1.0.0.json")}
    wire = {c["code"] for c in shelf.codelist("messageType")["codes"] if not c.get("disabled")}
    assert shipped == set(shelf.SUBJECTS) == wire


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_a_file_is_a_whole_and_valid_2020_12_schema_under_its_own_name(subject: str) -> None:
    """Both engines compile it, the retriever denies all, and no reference leaves the file."""
    document = shelf.schema(subject)
    jsonschema.Draft202012Validator.check_schema(document)
    shelf.engine(subject)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:bcx:schema:{subject}:1.0.0"
    used = {node["$ref"].removeprefix("#/$defs/") for _, node in shelf.nodes(document) if "$ref" in node}
    assert used == set(document["$defs"])


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_the_root_says_how_the_gateway_treats_the_type(subject: str) -> None:
    """Case rule, default urgency, least handling, retention and the manifest mark are the catalogue's."""
    document, agreed = shelf.schema(subject), shelf.FIELDS[subject]
    assert document["x-case"] == agreed["case"]
    assert document["x-opens-case"] is (agreed["case"] == "opens")
    assert document["x-default-urgency"] == agreed["urgency"]
    assert document["x-min-handling"] == agreed["handling"]
    assert document.get("x-manifest", False) is agreed.get("manifest", False)
    classes = {c["code"] for c in shelf.codelist("retentionClass")["codes"]}
    assert document["x-retention"]
    assert set(document["x-retention"]) <= classes


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_the_fields_are_the_agreed_ones_with_requiredness_and_class(subject: str) -> None:
    """Nothing is missing, nothing is there that was not agreed, and what is required is."""
    document, agreed = shelf.schema(subject), shelf.FIELDS[subject]
    rows = {need: [row.split(" ") for row in agreed[need]] for need in "RCO"}
    listed = {name: sensitivity for need in "RCO" for name, sensitivity in rows[need]}
    assert {name: field["x-sensitivity"] for name, field in document["properties"].items()} == listed
    assert document["required"] == [name for name in document["properties"] if name in dict(rows["R"])]


@pytest.mark.parametrize(
    ("subject", "path"),
    [(subject, path) for subject in shelf.SUBJECTS for path in shelf.FIELDS[subject]["inside"]],
)
def test_an_agreed_member_inside_a_field_is_there(subject: str, path: str) -> None:
    """The names inside objects and rows are the catalogue's too."""
    assert shelf.at(shelf.schema(subject), path)


def test_the_common_components_have_exactly_their_members() -> None:
    """Wherever a component is bundled, it is the same component."""
    for subject in shelf.SUBJECTS:
        for name, component in shelf.schema(subject)["$defs"].items():
            agreed = shelf.FIELDS["components"].get(name.partition(".")[0])
            if agreed is not None:
                assert list(component["properties"]) == agreed, f"{subject} {name}"


@pytest.mark.parametrize("subject", [name for name in shelf.SUBJECTS if shelf.FIELDS[name].get("evaluated")])
def test_a_type_that_must_be_evaluated_refuses_a_message_that_is_not(subject: str) -> None:
    """The 4x4 evaluation stands in meta; without it E-EVAL."""
    path = next(p for p in shelf.EXAMPLES if p.parent.name == subject)
    data = shelf.load(path)["data"]
    del data["meta"]["evaluation"]
    assert ("/meta", "E-EVAL") in {(f.pointer, f.code) for f in shelf.findings(subject, data)}


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_every_field_says_what_it_is_and_how_sensitive(subject: str) -> None:
    """Title, description and class on each: pages are made from them."""
    document = shelf.schema(subject)
    assert document["title"]
    assert document["description"]
    for pointer, field in shelf.properties(document):
        assert field.get("title"), pointer
        assert field.get("description"), pointer
        assert BASE.fullmatch(field["x-sensitivity"].removesuffix("*")), pointer
    for name, component in document["$defs"].items():
        assert component.get("title"), name
        assert component.get("description"), name


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_every_object_is_closed_and_every_text_list_and_number_bounded(subject: str) -> None:
    """A misspelt member is refused; nothing can be made endless; numbers are integers."""
    document = shelf.schema(subject)
    for pointer, field in [("", document), *((f"/$defs/{n}", d) for n, d in document["$defs"].items())]:
        for where, node in shelf.nodes(field, pointer):
            _check_bounds(document, where, node)


def _check_bounds(document: dict[str, Any], where: str, node: dict[str, Any]) -> None:
    types = node.get("type", [])
    types = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    free = "/properties/newValue/anyOf/" in where  # any value of any field: its own schema judges the result
    if "object" in types and not free:
        assert node["additionalProperties"] is False, where
    if "array" in types:
        assert "maxItems" in node, where
    if "string" in types:
        assert {"maxLength", "enum"} & node.keys(), where
    if "integer" in types and not free:
        assert node.keys() >= NUMERIC, where
    assert "number" not in types, where
    if "$ref" in node:
        assert node["$ref"].removeprefix("#/$defs/") in document["$defs"], where


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_patterns_are_read_alike_by_every_engine(subject: str) -> None:
    r"""No `\d \w \s \b`, no look-around, no back-reference, anchored at both ends, no nested repetition."""
    for where, node in shelf.nodes(shelf.schema(subject)):
        pattern = node.get("pattern")
        if not isinstance(pattern, str):
            continue
        assert not re.search(r"\\[dDwWsSbBpPkK1-9]|\(\?", pattern), where
        assert pattern.startswith("^"), where
        assert pattern.endswith("$") or "/allOf/" in where, where
        if "JsonPointer" not in where:  # its repetition is decided by the slash each round begins with
            assert not re.search(r"[*+]\)[*+{]", pattern), where


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_extension_keywords_are_known_and_lists_stand_where_a_walk_meets_them(subject: str) -> None:
    """A code list behind a condition could be walked past, so it stands on plain fields and rows only."""
    refusals = {c["code"] for c in shelf.codelist("nackReason")["codes"]}
    for where, node in shelf.nodes(shelf.schema(subject)):
        inside_names = where.endswith(("/properties", "/$defs"))
        for keyword in node:
            if keyword.startswith("x-") and not inside_names:
                assert keyword in KNOWN - UNPUBLISHED, where
        if "x-refusal" in node:
            assert node["x-refusal"] in refusals, where
        if "x-codelist" in node:
            name, _, version = node["x-codelist"].partition("@")
            assert shelf.codelist(name)["version"] == version, where
            assert not CONDITIONS & set(where.split("/")), where
        if "x-labels" in node:
            name, _, version = node["x-labels"].partition("@")
            found = shelf.codelist(name)
            usable = [c["code"] for c in found["codes"] if not c.get("disabled") and not c.get("derived")]
            assert found["version"] == version, where
            assert node["enum"] == usable, where
            assert found["closed"], where


def test_an_offence_has_the_classification_of_the_code_list() -> None:
    """ICCS stands twice, in the list and in the schema's conditions: they agree, and every offence is judged."""
    seen: dict[str, tuple[bool, list[str]]] = {}
    for rule in shelf.schema("case.referral")["allOf"]:
        then = rule.get("then", {})
        if "iccs" in then.get("properties", {}):
            asked, said = rule["if"]["properties"]["offenceCategory"], then["properties"]["iccs"]
            for code in asked.get("enum") or [asked["const"]]:
                allowed = [said["const"]] if said and "const" in said else said and said["enum"]
                seen[code] = ("iccs" in then.get("required", []), allowed or [])
    listed = {c["code"]: c.get("iccs") for c in shelf.codelist("offenceCategory")["codes"]}
    both = {"TPPO_AND_TPPM": (False, [listed["TPPO"], listed["TPPM"]])}
    assert seen == {code: (iccs is not None, [iccs] if iccs else []) for code, iccs in listed.items()} | both


def test_files_are_limited_by_type_as_the_code_list_says() -> None:
    """Media types and sizes stand twice, in the list and in the schema: they agree."""
    rules = shelf.schema("case.referral")["$defs"]["Attachment"]["allOf"]
    seen: dict[str, tuple[list[str], int]] = {}
    for rule in rules:
        asked = rule["if"]["properties"]["attachmentType"]
        media = rule["then"]["properties"]["mediaType"]
        allowed = media.get("enum") or [media["const"]]
        for code in asked.get("enum") or [asked["const"]]:
            seen[code] = (allowed, rule["then"]["properties"]["byteLength"]["maximum"])
    assert seen == {c["code"]: (c["media"], c["maxBytes"]) for c in shelf.codelist("attachmentType")["codes"]}


@pytest.mark.parametrize("subject", shelf.SUBJECTS)
def test_the_words_blame_nobody(subject: str) -> None:
    """Nobody is illegal, no label of crime on a person."""
    for where, node in shelf.nodes(shelf.schema(subject)):
        for key in ("title", "description"):
            words = node.get(key)
            if isinstance(words, str):
                assert not [word for word in AVOIDED if word in words.lower()], where
