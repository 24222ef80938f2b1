"""What every code list file is: named, dated, labelled in three languages, reviewed or marked as not."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.schemas import shelf

if TYPE_CHECKING:
    from pathlib import Path

SEMVER = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
INVISIBLE = "\u200b\u200c\u200d\u17a3\u17a4\u17b4\u17b5\ufeff"
REFUSED_WORDS = ("PMI ilegal", "TKI", "dicekal", "scammer", "illegal migrant", "judol")

# SHA-256 over the names as they were taken from the standard.
HTCDS = "b448075a329f240c1ce8b036eb04a8aae482daa48e683f415b7deed8592b724c"

each_list = pytest.mark.parametrize("path", shelf.CODELISTS, ids=lambda path: path.stem)


@each_list
def test_a_list_names_itself_its_version_source_and_openness(path: Path) -> None:
    """The file name is the list's name; the version is what schemas cite."""
    found = shelf.load(path)
    assert found["list"] == path.stem
    assert SEMVER.fullmatch(found["version"])
    assert date.fromisoformat(found["date"])
    assert found["title"]
    assert found["source"]
    assert isinstance(found["closed"], bool)
    assert set(found["labels"]) == {"en", "id", "km"}


@each_list
def test_codes_are_unique_and_of_the_lists_own_form(path: Path) -> None:
    """A code is compared byte for byte, so its form is fixed."""
    found = shelf.load(path)
    codes = [row["code"] for row in found["codes"]]
    assert codes
    assert len(codes) == len(set(codes))
    for code in codes:
        assert re.fullmatch(found["codePattern"], code), code


@each_list
def test_labels_are_in_three_languages_and_khmer_says_who_reviewed_it(path: Path) -> None:
    """English and Indonesian always; Khmer with its review state, in NFC, without invisible characters."""
    found = shelf.load(path)
    for row in found["codes"]:
        assert row["en"].strip(), row["code"]
        assert row["id"].strip(), row["code"]
        assert ("km" in row) == ("kmStatus" in row), row["code"]
        # Platforms write their names in Latin letters in Cambodia too; the specimen State has no Khmer name.
        assert "km" in row or found["list"] == "onlinePlatform" or row["code"] == "UTO", row["code"]
        if "km" in row:
            assert row["kmStatus"] in found["kmStatus"], row["code"]
            assert row["km"] == unicodedata.normalize("NFC", row["km"]), row["code"]
            assert not set(INVISIBLE) & set(row["km"]), row["code"]
        if row.get("kmStatus") == "sourced":
            assert row["kmSrc"] in found["kmSources"], row["code"]


@each_list
def test_days_of_validity_are_days_and_in_order(path: Path) -> None:
    """First and last day, both inclusive; a list with dates is open, so that the gateway judges the day."""
    found = shelf.load(path)
    for row in found["codes"]:
        first = date.fromisoformat(row.get("validFrom", "0001-01-01"))
        last = date.fromisoformat(row.get("validTo", "9999-12-31"))
        assert first <= last, row["code"]
        if "validFrom" in row or "validTo" in row:
            assert not found["closed"], row["code"]


@each_list
def test_codes_of_another_standard_carry_its_attribution(path: Path) -> None:
    """HTCDS names stand verbatim under CC BY 4.0; local additions say that they are local."""
    found = shelf.load(path)
    if any(row.get("origin") == "HTCDS" for row in found["codes"]):
        assert found["licence"] == "CC BY 4.0"
        assert "IOM" in found["attribution"]
        assert "endorsement" in found["attribution"]


@each_list
def test_labels_follow_the_rules_of_wording(path: Path) -> None:
    """No label calls a person illegal or by a crime."""
    for row in shelf.load(path)["codes"]:
        for language in ("en", "id"):
            assert not [word for word in REFUSED_WORDS if word in row[language]], row["code"]


def test_the_names_taken_from_htcds_are_the_ones_taken() -> None:
    """118 values in 14 lists, letter by letter: one renamed or dropped would not round-trip."""
    taken = sorted(
        f"{path.stem}/{row['code']}"
        for path in shelf.CODELISTS
        for row in shelf.load(path)["codes"]
        if row.get("origin") == "HTCDS"
    )
    assert (len(taken), len({name.partition("/")[0] for name in taken})) == (118, 14)
    assert sha256("\n".join(taken).encode()).hexdigest() == HTCDS


def test_spellings_of_htcds_are_kept_even_where_they_are_odd() -> None:
    """A corrected spelling would not round-trip: `Unaquainted` is HTCDS's own."""
    codes = {row["code"] for row in shelf.codelist("relationshipToTrafficker")["codes"]}
    assert codes == {"Familial", "Acquainted", "Unaquainted"}


def test_all_countries_and_the_nationality_codes_of_passports_are_there() -> None:
    """249 of ISO 3166-1, four of ICAO, and the specimen State, marked."""
    rows = {row["code"]: row for row in shelf.codelist("country")["codes"]}
    assert {"IDN", "KHM", "JPN", "TLS", "XXA", "XXB", "XXC", "XXX", "UTO"} <= rows.keys()
    assert len(rows) == 249 + 4 + 1
    assert [code for code, row in rows.items() if row.get("testOnly")] == ["UTO"]
    alpha2 = [row["alpha2"] for row in rows.values() if "alpha2" in row]
    assert len(alpha2) == len(set(alpha2)) == 249


def test_the_airport_that_moved_has_two_codes_that_follow_each_other() -> None:
    """KTI replaced PNH on 9 September 2025; the UN/LOCODE KHKTI is a town's and no checkpoint."""
    rows = {row["code"]: row for row in shelf.codelist("checkpoint")["codes"]}
    assert rows["KH-PNH"]["validTo"] == "2025-09-08"
    assert rows["KH-KTI"]["validFrom"] == "2025-09-09"
    assert "unlocode" not in rows["KH-KTI"]
    assert "KHKTI" not in rows
