"""Machine-readable zones of ICAO Doc 9303: TD1, TD2 and TD3, check digits and comparison with declared data.

Check digits prove copying, not truth: they never cover names, and values equal modulo 10 (`0`, `A`, `K`, `U`)
pass (part 3, §4.9). A zone that reads well is still only what a document says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import cycle
from operator import mul
from typing import TYPE_CHECKING, Final

from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FILLER: Final = "<"
_WEIGHTS: Final = (7, 3, 1)
_VALUES: Final = {c: i for i, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")} | {FILLER: 0}
_LINE: Final = re.compile("[A-Z0-9<]+")
_NAME: Final = re.compile("[A-Z<]+")
_KIND: Final = re.compile("[A-Z][A-Z<]")
# A part that is not known is filled, from the day backwards (part 3, §4.8).
_DATE: Final = re.compile("[0-9]{6}|[0-9]{4}<<|[0-9]{2}<<<<|<<<<<<")
_CODE: Final = re.compile("[A-Z]{1,3}<{0,2}")
_SHAPES: Final = {(2, 44): "TD3", (2, 36): "TD2", (3, 30): "TD1"}


@dataclass(frozen=True, slots=True)
class Mrz:
    """What a zone says, fillers stripped; dates as `YYMMDD` with `<` for unknown parts."""

    format: str
    document_code: str
    issuer: str
    number: str
    nationality: str
    birth: str
    sex: str
    expiry: str
    primary: str
    secondary: str
    optional: str
    name_truncated: bool


def check_digit(field: str) -> str:
    """Return the check digit of a field (part 3, §4.9: weights 7, 3, 1, modulo 10)."""
    return str(sum(map(mul, map(_VALUES.__getitem__, field), cycle(_WEIGHTS))) % 10)


def read(lines: Sequence[str], pointer: str = "") -> tuple[Mrz | None, tuple[Finding, ...]]:
    """Read a zone. Return it with no findings, or None with every E-MRZ found; `pointer` is the `mrz` array's."""
    shape = (len(lines), len(lines[0]) if lines else 0)
    name = _SHAPES.get(shape)
    if name is None or any(len(line) != shape[1] for line in lines):
        return None, (_fault(pointer, "not two lines of 44 or 36 characters, nor three of 30"),)
    bad = [i for i, line in enumerate(lines) if _LINE.fullmatch(line) is None]
    if bad:
        return None, tuple(_fault(f"{pointer}/{i}", "only A-Z, 0-9 and < may stand here") for i in bad)
    return _READERS[name](lines, pointer)


class _Zone:
    """One zone being read: collects what does not hold."""

    def __init__(self, pointer: str) -> None:
        self.pointer = pointer
        self.findings: list[Finding] = []

    def digit(self, line: int, what: str, field: str, digit: str, *, empty_filler: bool = False) -> None:
        """Compare a check digit. `empty_filler`: a field all of fillers may have `<` for its 0."""
        if empty_filler and digit == FILLER and not field.strip(FILLER):
            return
        if digit != check_digit(field):
            self.fault(line, f"check digit of the {what} is wrong")

    def form(self, line: int, what: str, field: str, pattern: re.Pattern[str]) -> None:
        """Compare a field with the form it must have."""
        if pattern.fullmatch(field) is None:
            self.fault(line, f"{what} is not well-formed")

    def fault(self, line: int, reason: str) -> None:
        """Add a finding on a line."""
        self.findings.append(_fault(f"{self.pointer}/{line}", reason))

    def common(self, line: int, nationality: str, birth: str, sex: str, expiry: str) -> None:
        """Check the fields that all three formats have."""
        self.form(line, "nationality", nationality, _CODE)
        self.form(line, "date of birth", birth, _DATE)
        self.form(line, "date of expiry", expiry, _DATE)
        if sex not in "MFX<":
            self.fault(line, "sex is not well-formed")

    def number(self, line: int, field: str, digit: str, optional: str) -> tuple[str, str]:
        """Check a document number; return it with what remains of the optional data.

        TD1 and TD2 carry a number of more than nine characters on into the optional data, marked by `<` in
        place of its check digit, which then follows it there (parts 5 and 6, note j).
        """
        if digit != FILLER or not field.strip(FILLER):
            self.digit(line, "document number", field, digit, empty_filler=True)
            return field.rstrip(FILLER), optional
        rest, _, remainder = optional.partition(FILLER)
        if not rest:
            self.fault(line, "check digit of the document number is missing")
            return field, optional
        self.digit(line, "document number", field + FILLER + rest[:-1], rest[-1])
        return field + rest[:-1], remainder


def _fault(pointer: str, reason: str) -> Finding:
    return Finding(pointer, reason, "E-MRZ")


def _names(zone: _Zone, line: int, field: str) -> tuple[str, str, bool]:
    zone.form(line, "name", field, _NAME)
    if field.startswith(FILLER):
        zone.fault(line, "name is missing")
    primary, _, secondary = field.partition(FILLER * 2)
    return (
        primary.strip(FILLER).replace(FILLER, " "),
        secondary.strip(FILLER).replace(FILLER, " "),
        not field.endswith(FILLER),
    )


def _td3(lines: Sequence[str], pointer: str) -> tuple[Mrz | None, tuple[Finding, ...]]:
    first, second = lines
    zone = _Zone(pointer)
    zone.form(0, "document code", first[0:2], _KIND)
    zone.form(0, "issuing State", first[2:5], _CODE)
    primary, secondary, cut = _names(zone, 0, first[5:])
    zone.digit(1, "document number", second[0:9], second[9])
    zone.common(1, second[10:13], second[13:19], second[20], second[21:27])
    zone.digit(1, "date of birth", second[13:19], second[19])
    zone.digit(1, "date of expiry", second[21:27], second[27])
    zone.digit(1, "personal number", second[28:42], second[42], empty_filler=True)
    zone.digit(1, "whole line", second[0:10] + second[13:20] + second[21:43], second[43])
    found = Mrz(
        "TD3",
        first[0:2].rstrip(FILLER),
        first[2:5].rstrip(FILLER),
        second[0:9].rstrip(FILLER),
        second[10:13].rstrip(FILLER),
        second[13:19],
        second[20],
        second[21:27],
        primary,
        secondary,
        second[28:42].rstrip(FILLER),
        cut,
    )
    return (None if zone.findings else found), tuple(zone.findings)


def _td2(lines: Sequence[str], pointer: str) -> tuple[Mrz | None, tuple[Finding, ...]]:
    first, second = lines
    zone = _Zone(pointer)
    zone.form(0, "document code", first[0:2], _KIND)
    zone.form(0, "issuing State", first[2:5], _CODE)
    primary, secondary, cut = _names(zone, 0, first[5:])
    number, optional = zone.number(1, second[0:9], second[9], second[28:35])
    zone.common(1, second[10:13], second[13:19], second[20], second[21:27])
    zone.digit(1, "date of birth", second[13:19], second[19])
    zone.digit(1, "date of expiry", second[21:27], second[27])
    zone.digit(1, "whole line", second[0:10] + second[13:20] + second[21:35], second[35])
    found = Mrz(
        "TD2",
        first[0:2].rstrip(FILLER),
        first[2:5].rstrip(FILLER),
        number,
        second[10:13].rstrip(FILLER),
        second[13:19],
        second[20],
        second[21:27],
        primary,
        secondary,
        optional.strip(FILLER),
        cut,
    )
    return (None if zone.findings else found), tuple(zone.findings)


def _td1(lines: Sequence[str], pointer: str) -> tuple[Mrz | None, tuple[Finding, ...]]:
    first, second, third = lines
    zone = _Zone(pointer)
    zone.form(0, "document code", first[0:2], _KIND)
    zone.form(0, "issuing State", first[2:5], _CODE)
    number, optional = zone.number(0, first[5:14], first[14], first[15:30])
    zone.common(1, second[15:18], second[0:6], second[7], second[8:14])
    zone.digit(1, "date of birth", second[0:6], second[6])
    zone.digit(1, "date of expiry", second[8:14], second[14])
    zone.digit(1, "whole zone", first[5:30] + second[0:7] + second[8:15] + second[18:29], second[29])
    primary, secondary, cut = _names(zone, 2, third)
    found = Mrz(
        "TD1",
        first[0:2].rstrip(FILLER),
        first[2:5].rstrip(FILLER),
        number,
        second[15:18].rstrip(FILLER),
        second[0:6],
        second[7],
        second[8:14],
        primary,
        secondary,
        (optional + second[18:29]).strip(FILLER),
        cut,
    )
    return (None if zone.findings else found), tuple(zone.findings)


_READERS: Final[dict[str, Callable[[Sequence[str], str], tuple[Mrz | None, tuple[Finding, ...]]]]] = {
    "TD1": _td1,
    "TD2": _td2,
    "TD3": _td3,
}
