"""Code lists at a version: membership, dates of validity, attributes and labels (files `schemas/codelists/*.json`).

A date-effective code is judged against the day of the event it speaks of, never against today: the checkpoint
that closed last year is right for last year's crossing and wrong for this year's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.casework.dates import Span, parse_day
from gateway.casework.shapes import Json, rows, text
from gateway.errors import ConfigurationError, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

LANGUAGES: Final = ("en", "id", "km")
_PLAIN: Final = frozenset(("code", "validFrom", "validTo", "disabled", "hint", *LANGUAGES, "kmStatus", "kmSrc"))


@dataclass(frozen=True, slots=True)
class Code:
    """One code: its labels by language, first and last day of validity (None: open) and other attributes."""

    code: str
    labels: Mapping[str, str]
    valid_from: date | None
    valid_to: date | None
    disabled: bool
    attributes: Mapping[str, Any]

    def valid(self, span: Span) -> bool:
        """Tell whether the code holds on any day the event may have happened."""
        return not self.disabled and span.meets(self.valid_from, self.valid_to)


@dataclass(frozen=True, slots=True)
class CodeList:
    """One list at one version."""

    name: str
    version: str
    closed: bool
    codes: Mapping[str, Code] = field(default_factory=dict)


class CodeLists:
    """Every list held, by name and version. Unknown list or version: nothing is a member of it."""

    def __init__(self, lists: Iterable[CodeList]) -> None:
        self._held = {(held.name, held.version): held for held in lists}
        self._latest = {held.name: held for held in sorted(self._held.values(), key=_age)}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> CodeLists:
        """Read the lists from file contents. Raise ConfigurationError naming the file that is not one."""
        return cls(_read(name, raw) for name, raw in sorted(files.items()))

    def names(self) -> tuple[str, ...]:
        """Return the names of the lists held."""
        return tuple(sorted(self._latest))

    def get(self, reference: str) -> CodeList | None:
        """Return the list of `name@version`, or the latest of `name`."""
        name, _, version = reference.partition("@")
        return self._held.get((name, version)) if version else self._latest.get(name)

    def find(self, reference: str, code: str) -> Code | None:
        """Return a code, or None if it is no member or disabled; dates are not judged."""
        held = self.get(reference)
        found = None if held is None else held.codes.get(code)
        return None if found is None or found.disabled else found

    def fault(self, reference: str, code: str, span: Span | None, pointer: str) -> Finding | None:
        """Judge a code for an event of `span` (None: no date known, membership only). E-CODE or None."""
        found = self.find(reference, code)
        if found is None:
            return Finding(pointer, f"not a code of {reference.partition('@')[0]}", "E-CODE")
        if span is not None and not found.valid(span):
            return Finding(pointer, "this code was not valid at the time of the event", "E-CODE")
        return None

    def label(self, reference: str, code: str, language: str) -> str:
        """Return the label of a code in `en`, `id` or `km`; falls back to English, then to the code itself."""
        held = self.get(reference)
        found = None if held is None else held.codes.get(code)
        if found is None:
            return code
        return found.labels.get(language) or found.labels.get("en") or code


def _age(held: CodeList) -> tuple[int, ...]:
    return tuple(int(part) for part in held.version.split(".") if part.isdigit())


@lru_cache(maxsize=256)
def _read(name: str, raw: bytes) -> CodeList:
    """Read one file; what never changes is read once a process, however many gateways it opens."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"code list {name} is not JSON") from error
    listed, version = text(document, "list"), text(document, "version")
    if listed is None or version is None or not rows(document, "codes"):
        raise ConfigurationError(f"code list {name} lacks list, version or codes")
    codes = {code: _code(name, code, row) for row in rows(document, "codes") if (code := text(row, "code"))}
    return CodeList(listed, version, document.get("closed") is True, MappingProxyType(codes))


def _code(name: str, code: str, row: Json) -> Code:
    dates = []
    for key in ("validFrom", "validTo"):
        day = parse_day(text(row, key))
        if key in row and day is None:
            raise ConfigurationError(f"code list {name}: {key} of {code} is no date")
        dates.append(day)
    return Code(
        code,
        MappingProxyType({language: row[language] for language in LANGUAGES if language in row}),
        dates[0],
        dates[1],
        row.get("disabled") is True,
        MappingProxyType({key: value for key, value in row.items() if key not in _PLAIN}),
    )
