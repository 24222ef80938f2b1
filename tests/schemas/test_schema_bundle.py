"""The published files are what their sources make, and a source that contradicts itself is refused."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from gateway.registry import bundle
from tests.schemas import shelf

if TYPE_CHECKING:
    from pathlib import Path

LISTS: dict[str, Any] = {
    "colour": {
        "version": "1.0.0",
        "closed": True,
        "codePattern": "^[A-Z]+$",
        "codes": [{"code": "RED"}, {"code": "OLD", "disabled": True}, {"code": "MIXED", "derived": True}],
    },
    "open": {"version": "1.2.0", "closed": False, "codePattern": "^[a-z]+$", "codes": [{"code": "a"}]},
    "dated": {
        "version": "2.0.0",
        "closed": True,
        "codePattern": "^[A-Z]+$",
        "codes": [{"code": "A", "validTo": "2026-01-01"}],
    },
}
PARTS: dict[str, Any] = {
    "Day": {"title": "Day", "type": "string"},
    "Inner": {"type": "object", "properties": {"on": {"$ref": "#/$defs/Day", "x-sensitivity": "VI*"}}},
    "Outer": {
        "type": "object",
        "properties": {
            "a": {"type": "string", "x-sensitivity": "VI"},
            "b": {"$ref": "#/$defs/Inner", "x-sensitivity": "OP"},
            "c": {"x-list": "colour", "x-sensitivity": "VI/SU"},
        },
        "required": ["a", "b"],
        "allOf": [{"if": {"required": ["a"]}, "then": {"required": ["c"]}}],
    },
}


def made(source: dict[str, Any]) -> dict[str, Any]:
    """Bundle one source with the parts above."""
    return bundle.bundle("a.b", source, PARTS, LISTS)


def test_the_shipped_files_are_what_their_sources_make() -> None:
    """Nobody edits a published file by hand."""
    assert bundle.main(["--check", str(shelf.SCHEMAS)]) == 0


def test_a_file_edited_by_hand_or_missing_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 and the name of each stale file; `--write` mends it."""
    copy = tmp_path / "schemas"
    shutil.copytree(shelf.SCHEMAS, copy)
    edited, missing = copy / "case.update" / "1.0.0.json", copy / "info.request" / "1.0.0.json"
    edited.write_text(edited.read_text(encoding="utf-8").replace("Case update", "Case note", 1), encoding="utf-8")
    missing.unlink()
    assert bundle.main(["--check", str(copy)]) == 1
    told = capsys.readouterr().err
    assert str(edited) in told
    assert str(missing) in told
    assert bundle.main(["--write", str(copy)]) == 0
    assert bundle.main(["--check", str(copy)]) == 0


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--check", "a", "b"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As every command does."""
    assert bundle.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_a_closed_list_is_an_enum_without_disabled_and_derived_codes() -> None:
    """What is derived for display is no input; a disabled code is not to be used."""
    field = made({"properties": {"x": {"title": "X", "x-list": "colour", "x-sensitivity": "OP"}}})["properties"]["x"]
    assert field == {
        "title": "X",
        "type": "string",
        "enum": ["RED"],
        "x-labels": "colour@1.0.0",
        "x-sensitivity": "OP",
    }


@pytest.mark.parametrize(("name", "cited"), [("open", "open@1.2.0"), ("dated", "dated@2.0.0")])
def test_an_open_or_dated_list_is_cited_with_its_version(name: str, cited: str) -> None:
    """So the digest fixes the codes too, and the gateway judges membership and day."""
    field = made({"properties": {"x": {"x-list": name}}})["properties"]["x"]
    assert field["x-codelist"] == cited
    assert field["pattern"] == LISTS[name]["codePattern"]
    assert "enum" not in field


def test_a_component_comes_along_with_what_it_refers_to_and_nothing_else() -> None:
    """The file is whole and carries no dead weight."""
    assert set(made({"properties": {"x": {"$ref": "#/$defs/Outer"}}})["$defs"]) == {"Outer", "Inner", "Day"}
    assert set(made({"properties": {"x": {"$ref": "#/$defs/Day"}}})["$defs"]) == {"Day"}


def test_a_component_taken_as_another_class_is_a_variant_all_through() -> None:
    """The mark of specific personal data stays; what carries no class is not doubled."""
    schema = made({"properties": {"x": {"$ref": "#/$defs/Outer", "x-as": "SU"}}})
    assert schema["properties"]["x"] == {"$ref": "#/$defs/Outer.SU"}
    assert set(schema["$defs"]) == {"Outer.SU", "Inner.SU", "Day"}
    assert [f["x-sensitivity"] for f in schema["$defs"]["Outer.SU"]["properties"].values()] == [
        "SU",
        "SU",
        "SU",
    ]
    assert schema["$defs"]["Inner.SU"]["properties"]["on"]["x-sensitivity"] == "SU*"
    assert PARTS["Outer"]["properties"]["a"]["x-sensitivity"] == "VI"


def test_a_component_taken_in_part_loses_the_conditions_on_what_is_gone() -> None:
    """A condition on a field that is not there could never be met."""
    part = made({"properties": {"x": {"title": "T", "x-from": {"component": "Outer", "without": ["c"]}}}})[
        "properties"
    ]["x"]
    assert list(part["properties"]) == ["a", "b"]
    assert part["required"] == ["a", "b"]
    assert "allOf" not in part
    assert part["title"] == "T"


def test_a_component_may_be_taken_with_more_fields_or_all_optional() -> None:
    """Own fields and conditions are added; `optional` asks for none."""
    whole = made(
        {
            "properties": {
                "x": {
                    "x-from": {"component": "Outer"},
                    "properties": {"d": {"type": "string"}},
                    "required": ["d"],
                    "allOf": [{"required": ["d"]}],
                }
            }
        }
    )
    taken = whole["properties"]["x"]
    assert list(taken["properties"]) == ["a", "b", "c", "d"]
    assert taken["required"] == ["a", "b", "d"]
    assert len(taken["allOf"]) == 2
    loose = made({"properties": {"x": {"x-from": {"component": "Outer", "only": ["a"], "optional": True}}}})[
        "properties"
    ]["x"]
    assert "required" not in loose


@pytest.mark.parametrize(
    "source",
    [
        {"properties": {"x": {"$ref": "#/$defs/Nobody"}}},
        {"properties": {"x": {"x-list": "nothing"}}},
        {"properties": {"x": {"x-from": {"component": "Nobody"}}}},
        {"properties": {"x": {"x-from": {"component": "Outer", "only": ["z"]}}}},
        {"properties": {"x": {"x-from": {"component": "Outer", "without": ["z"]}}}},
    ],
)
def test_a_source_that_names_what_is_not_there_is_refused(source: dict[str, Any]) -> None:
    """A typing error must not quietly publish a weaker schema."""
    with pytest.raises(bundle.SourceError):
        made(source)


def test_the_text_reads_back_as_what_was_written() -> None:
    """The layout is for people; the document is the same."""
    document = shelf.schema("case.referral")
    assert json.loads(bundle.render(document)) == document
    assert bundle.render(document).endswith("}\n")
