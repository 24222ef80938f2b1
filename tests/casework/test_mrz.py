"""ICAO Doc 9303: the specimens, generated zones of all three formats, the odd but legal, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import cycle
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.casework import mrz
from gateway.casework.mrznames import agrees, ways
from gateway.casework.persons import check, zone_faults

TD3 = ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")
TD2 = ("I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6")
TD1 = ("I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<")
TD1_LONG = (
    "I<UTOD23145890<7349<<<<<<<<<<<",
    "3407127M9507122UTO<<<<<<<<<<<2",
    "STEVENSON<<PETER<JOHN<<<<<<<<<",
)
SAMPLES = [
    ("P<IDNSUMARNI<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000017IDN9903148F3301018<<<<<<<<<<<<<<<0"),
    ("P<IDNSUMARNI<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000017IDN9904134F3301018<<<<<<<<<<<<<<<4"),
    ("P<IDNCONTOH<<AGUS<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000202IDN<<<<<<0M2712310<<<<<<<<<<<<<<<6"),
    ("P<IDNCONTOH<<YULI<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000213IDN01<<<<3F2712310<<<<<<<<<<<<<<<4"),
    ("P<KHMSOK<<UTEAHAR<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000051KHM0811024F2811017<<<<<<<<<<<<<<<4"),
    ("P<CHNLI<<CESHI<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000062CHN8507206M3007192<<<<<<<<<<<<<<<2"),
    ("P<KHMLY<<CHESI<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "TEST000073KHM8507206M3107195<<<<<<<<<<<<<<<0"),
]


@pytest.mark.parametrize("lines", [TD3, TD2, TD1])
def test_the_icao_specimen_in_three_formats(lines: tuple[str, ...]) -> None:
    """Utopia's Anna Maria Eriksson reads the same from each."""
    zone, findings = mrz.read(lines)
    assert findings == ()
    assert zone is not None
    assert (zone.primary, zone.secondary, zone.issuer, zone.nationality) == (
        "ERIKSSON",
        "ANNA MARIA",
        "UTO",
        "UTO",
    )
    assert (zone.birth, zone.sex, zone.expiry) == ("740812", "F", "120415")
    assert zone.number == ("L898902C3" if lines is TD3 else "D23145890")


def test_a_long_number_goes_on_in_the_optional_data() -> None:
    """Parts 5 and 6: `<` for its check digit, which follows the rest."""
    zone, findings = mrz.read(TD1_LONG)
    assert findings == ()
    assert zone is not None
    assert (zone.number, zone.optional) == ("D23145890734", "")
    assert mrz.read((TD1_LONG[0].replace("7349", "7348"), *TD1_LONG[1:]))[0] is None


@pytest.mark.parametrize("lines", SAMPLES)
def test_the_sample_cases_read(lines: tuple[str, str]) -> None:
    """§9: unknown and partly unknown births included."""
    assert mrz.read(lines)[1] == ()


def digit(field: str) -> str:
    """Return the check digit by another way than the gateway's: letters by their place after nine, weights in turn."""
    values = [0 if c == "<" else int(c, 36) for c in field]
    return str(sum(value * weight for value, weight in zip(values, cycle((7, 3, 1)))) % 10)


def dated(birth: str, sex: str, expiry: str, between: str = "") -> str:
    """Return birth, sex and expiry with their digits; `between` stands where the format has the nationality first."""
    return between + birth + digit(birth) + sex + expiry + digit(expiry)


def build(number: str, country: str, birth: str, sex: str, expiry: str, personal: str, name: str) -> tuple[str, ...]:
    """Return a TD3 zone with right check digits."""
    line = number.ljust(9, "<")
    line += digit(line) + dated(birth, sex, expiry, country)
    personal = personal.ljust(14, "<")
    line += personal + (digit(personal) if personal.strip("<") else "<")
    line += digit(line[0:10] + line[13:20] + line[21:43])
    return f"P<{country}{name}".ljust(44, "<")[:44], line


def build_td2(number: str, country: str, birth: str, sex: str, expiry: str, rest: str, name: str) -> tuple[str, ...]:
    """Return a TD2 zone with right check digits; a long number goes on in `rest`."""
    head, tail = number[:9].ljust(9, "<"), number[9:]
    line = head + ("<" if tail else digit(head)) + dated(birth, sex, expiry, country)
    line += ((tail + digit(head + "<" + tail) + "<" if tail else "") + rest).ljust(7, "<")[:7]
    line += digit(line[0:10] + line[13:20] + line[21:35])
    return f"I<{country}{name}".ljust(36, "<")[:36], line


def build_td1(number: str, country: str, birth: str, sex: str, expiry: str, rest: str, name: str) -> tuple[str, ...]:
    """Return a TD1 zone with right check digits; a long number goes on in `rest`."""
    head, tail = number[:9].ljust(9, "<"), number[9:]
    first = f"I<{country}" + head + ("<" if tail else digit(head))
    first += ((tail + digit(head + "<" + tail) + "<" if tail else "") + rest).ljust(15, "<")[:15]
    second = dated(birth, sex, expiry) + country + rest.ljust(11, "<")[:11]
    second += digit(first[5:30] + second[0:7] + second[8:15] + second[18:29])
    return first, second, name.ljust(30, "<")[:30]


LETTERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=13)
DIGITS = st.text("0123456789", min_size=6, max_size=6)
BIRTHS = st.one_of(DIGITS, DIGITS.map(lambda d: d[:4] + "<<"), DIGITS.map(lambda d: d[:2] + "<<<<"), st.just("<<<<<<"))


@pytest.mark.parametrize(("builder", "most"), [(build, 9), (build_td2, 15), (build_td1, 23)])
@given(st.data(), BIRTHS, DIGITS, st.sampled_from("MFX<"), st.text("0123456789", max_size=3), LETTERS, LETTERS)
def test_generated_zones_read_back(
    builder: Any, most: int, data: Any, birth: str, expiry: str, sex: str, rest: str, one: str, two: str
) -> None:
    """Every built zone of the three formats reads, with what was put in, long numbers and unknown births included."""
    number = data.draw(st.text("ABCDEFGHJ0123456789", min_size=1, max_size=most))
    rest = "" if len(number) > 9 else rest
    zone, findings = mrz.read(builder(number, "IDN", birth, sex, expiry, rest, f"{one}<<{two}"))
    assert findings == ()
    assert zone is not None
    assert (zone.number, zone.birth, zone.expiry, zone.sex) == (number, birth, expiry, sex)
    assert (zone.issuer, zone.nationality, zone.primary) == ("IDN", "IDN", one)
    assert two.startswith(zone.secondary)


# Line and places that a check digit covers.
COVERED = {
    TD3: {1: [*range(9), *range(13, 19), *range(21, 27), *range(28, 42)]},
    TD2: {1: [*range(9), *range(13, 19), *range(21, 27), *range(28, 35)]},
    TD1: {0: [*range(5, 14), *range(15, 30)], 1: [*range(6), *range(8, 14), *range(18, 29)]},
}


@pytest.mark.parametrize("lines", [TD3, TD2, TD1])
@given(st.data())
def test_one_wrong_character_is_found_unless_equal_modulo_ten(lines: tuple[str, ...], data: Any) -> None:
    """A change in a checked field of any format is refused, but for the digit's known blind spot."""
    row = data.draw(st.sampled_from(sorted(COVERED[lines])))
    place = data.draw(st.sampled_from(COVERED[lines][row]))
    char = data.draw(st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<"))
    before = lines[row][place]
    assume(char != before)
    spoilt = lines[row][:place] + char + lines[row][place + 1 :]
    zone, findings = mrz.read([spoilt if at == row else line for at, line in enumerate(lines)])
    values = {c: 0 if c == "<" else int(c, 36) for c in (char, before)}
    if (values[char] - values[before]) % 10:
        assert zone is None
        assert {finding.code for finding in findings} == {"E-MRZ"}


@pytest.mark.parametrize("char", "0AKU")
def test_values_equal_modulo_ten_pass_as_the_digits_cannot_tell_them_apart(char: str) -> None:
    """§10: `0`, `A`, `K` and `U` weigh alike; a zone that reads well is still only what a document says."""
    number = "L8" + char + TD3[1][3:9]
    built = build(number, "UTO", "740812", "F", "120415", "", "ERIKSSON")
    for other in "0AKU":
        assert mrz.read((built[0], "L8" + other + built[1][3:]))[1] == ()


@pytest.mark.parametrize(
    "lines",
    [
        build("TEST00001", "IDN", "<<<<<<", "F", "330101", "", "SUMARNI"),  # no birth, digit 0
        build("TEST00001", "IDN", "99<<<<", "F", "330101", "", "SUMARNI"),
        build("TEST00001", "IDN", "990314", "<", "330101", "", "SUMARNI"),  # no sex
        build("TEST00001", "XXA", "990314", "F", "330101", "", "SUMARNI"),  # stateless
        build("TEST00001", "D<<", "990314", "F", "330101", "", "SUMARNI"),
        build("TEST00001", "IDN", "990314", "F", "330101", "", "A" * 39),  # cut at 39 characters
        build("TEST00001", "IDN", "261123", "F", "330101", "", "SUMARNI"),  # age 0
    ],
)
def test_odd_but_legal_zones(lines: tuple[str, str]) -> None:
    """§10, last paragraph: accepted, `<` for an empty personal number's digit included."""
    assert lines[1][42] == "<"
    assert mrz.read(lines)[1] == ()


@pytest.mark.parametrize(
    "lines",
    [
        (),
        TD3[:1],
        (TD3[0], TD3[1][:-1]),
        (TD3[0].lower(), TD3[1]),
        (TD3[0].replace("<<<", "< <", 1), TD3[1]),
        build("TEST00001", "IDN", "9<0314", "F", "330101", "", "SUMARNI"),
        build("TEST00001", "IDN", "990314", "Q", "330101", "", "SUMARNI"),
        build("TEST00001", "<<<", "990314", "F", "330101", "", "SUMARNI"),
        build("TEST00001", "IDN", "990314", "F", "330101", "", "S1MARNI"),
        build("TEST00001", "IDN", "990314", "F", "330101", "", "<SUMARNI"),
        ("<" + TD3[0][1:], TD3[1]),
        ("P1" + TD3[0][2:], TD3[1]),
    ],
)
def test_zones_that_are_none(lines: tuple[str, ...]) -> None:
    """Lines, length, character set, fields: E-MRZ, and no zone to compare with."""
    zone, findings = mrz.read(lines)
    assert zone is None
    assert {finding.code for finding in findings} == {"E-MRZ"}


@pytest.mark.parametrize(
    ("name", "primary", "secondary", "cut", "same"),
    [
        ("Sumarni", "SUMARNI", "", False, True),
        ("SOK UTEAHAR", "SOK", "UTEAHAR", False, True),
        ("Uteahar Sok", "SOK", "UTEAHAR", False, True),
        ("Jörg Müller", "MUELLER", "JOERG", False, True),
        ("Jörg Müller", "MULLER", "JORG", False, True),
        ("Muñoz", "MUNXXOZ", "", False, True),
        ("Siti Nur-Aisyah O'Neil", "ONEIL", "SITI NUR AISYAH", False, True),
        ("Abdul-Rahman", "ABDULRAHMAN", "", False, True),
        ("Nguyễn Thị Đào", "NGUYEN", "THI DAO", False, True),
        (
            "Bhattacharyyasubramaniam Krishnamurthyananda",
            "BHATTACHARYYASUBRAMANIAM",
            "KRISHNAMURTHY",
            True,
            True,
        ),
        (
            "Bhattacharyyasubramaniam Krishnamurthyananda",
            "BHATTACHARYYASUBRAMANIAM",
            "KRISHNAMURTHY",
            False,
            False,
        ),
        ("Sumarni", "SUMARTI", "", False, False),
        ("Sok Uteahar", "SOK", "", False, False),
        ("\u179f\u17bb\u1781", "SOK", "", False, False),
    ],
)
def test_names_against_the_zone(name: str, primary: str, secondary: str, cut: bool, same: bool) -> None:
    """Allowed transliterations, any order, hyphens and apostrophes, cut names; nothing else."""
    assert agrees(name, primary, secondary, truncated=cut) is same


def test_a_name_of_umlauts_costs_no_exponential_work() -> None:
    """Ways of writing are bounded."""
    assert len(ways("Ü" * 60)) == 64


def test_an_explained_contradiction_passes() -> None:
    """§10 #3: a discrepancy note answers E-MRZ-VIZ."""
    person = {
        "names": [{"script": "Latn", "fullName": "SUMARNI"}],
        "birth": {"value": "1999-04-13", "precision": "DAY"},
        "documents": [{"number": "TEST00001", "issuer": "IDN", "mrz": list(SAMPLES[0])}],
    }
    found = list(check(person, "/persons/0", date(2026, 11, 24)))
    assert [(f.code, f.pointer) for f in found] == [("E-MRZ-VIZ", "/persons/0/birth")]
    person["documents"][0]["discrepancyNote"] = "Day and month swapped at the office."
    assert list(check(person, "/persons/0", date(2026, 11, 24))) == []


def test_only_what_both_state_is_compared() -> None:
    """A partial birth, an unstated sex or nationality contradicts nothing; another document number does."""
    zone, _ = mrz.read(TD3)
    assert zone is not None
    silent: dict[str, Any] = {"birth": {"value": "1974", "precision": "YEAR"}, "sex": "U"}
    assert list(zone_faults(zone, {}, "/d", silent, "")) == []
    assert list(zone_faults(replace(zone, birth="74<<<<"), {}, "/d", {"birth": {"value": "1974-01-01"}}, "")) == []
    for document, pointer in (
        ({"number": "X1"}, "/d/number"),
        ({"issuer": "IDN"}, "/d/issuer"),
        ({"expiresOn": "2013"}, "/d/expiresOn"),
    ):
        assert [f.pointer for f in zone_faults(zone, document, "/d", {}, "")] == [pointer]
    assert [f.pointer for f in zone_faults(replace(zone, document_code="V"), {"documentType": "P"}, "/d", {}, "")] == [
        "/d/documentType"
    ]
    german = replace(zone, issuer="D", nationality="D")
    assert list(zone_faults(german, {"issuer": "DEU"}, "/d", {"nationalities": [{"country": "DEU"}]}, "")) == []
    two = {"nationalities": [{"country": "IDN"}, {"country": "UTO"}]}
    assert list(zone_faults(zone, {}, "/d", two, "")) == []
    assert [f.pointer for f in zone_faults(zone, {}, "/d", {"nationalities": [{"country": "IDN"}]}, "/p")] == [
        "/p/nationalities"
    ]
