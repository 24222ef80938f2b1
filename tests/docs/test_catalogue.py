"""The catalogue for people says what the schemas and rules of today say."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.casework.figures import COLUMNS, NEEDED
from gateway.registry import pages
from tests.docs import catalogue
from tests.docs.pages import ROOT, page, rows, words

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs" / "catalogue"


def test_the_pages_are_what_the_schemas_make() -> None:
    """Run `python -m gateway.registry.pages --write` when this fails."""
    assert pages.main(["--check", str(ROOT / "schemas"), str(DOCS)]) == 0
    made = {*pages.pages(catalogue.CATALOGUE), "README.md", "statistics.md"}
    assert {path.name for path in DOCS.glob("*.md")} == made


def test_the_readme_lists_types_and_rules_of_today() -> None:
    """Run `python -m tests.docs.catalogue` when this fails."""
    assert page(catalogue.README) == catalogue.current(page(catalogue.README))


def test_a_stale_or_missing_page_is_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 and its name; `--write` mends it."""
    copy = tmp_path / "catalogue"
    shutil.copytree(DOCS, copy)
    stale, missing = copy / "case.update.md", copy / "codes.md"
    stale.write_text(stale.read_text("utf-8").replace("Case update", "Case note", 1), "utf-8")
    missing.unlink()
    arguments = [str(ROOT / "schemas"), str(copy)]
    assert pages.main(["--check", *arguments]) == 1
    told = capsys.readouterr().err
    assert str(stale) in told
    assert str(missing) in told
    assert pages.main(["--write", *arguments]) == 0
    assert pages.main(["--check", *arguments]) == 0


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--check", "a"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As every command does."""
    assert pages.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("subject", sorted(catalogue.CATALOGUE.schemas))
def test_a_page_has_every_field_and_refusal_of_its_schema(subject: str) -> None:
    """Each property at the root, and each code the schema refuses with."""
    document = catalogue.CATALOGUE.schemas[subject]
    text = page(f"docs/catalogue/{subject}.md")
    for name in document["properties"]:
        assert f"| `{name}` |" in text
    for heading in ("Fields", "Codes", "Refusals", "Example"):
        assert f"## {heading}\n" in text
    for condition in document.get("allOf", ()):
        if "x-refusal" in condition.get("then", {}):
            assert f"| {condition['then']['x-refusal']} |" in text


def test_the_columns_of_a_file_of_figures_are_explained() -> None:
    """In the order of the form, with what is needed."""
    told = rows("docs/catalogue/statistics.md", "columns")
    assert [words(row[0])[0] for row in told] == list(COLUMNS)
    assert {words(row[0])[0] for row in told if row[1] == "yes"} == set(NEEDED)


def test_the_open_questions_are_all_there() -> None:
    """Eight, for the authorities."""
    questions = page(catalogue.README).partition("## Open questions")[2]
    assert [line[:2] for line in questions.splitlines() if line[:1].isdigit()] == [f"{n}." for n in range(1, 9)]
