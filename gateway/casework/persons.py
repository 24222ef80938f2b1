"""Checks on persons and their documents that a schema cannot make (§3.2 to 3.5): script, name, phone, date, MRZ.

Pointers are below the person's own; findings carry E-SCRIPT, E-SCHEMA, E-PHONE, E-DATE, E-MRZ or E-MRZ-VIZ.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from gateway.casework import mrz as zones
from gateway.casework.dates import A_DAY, Span, read_partial, span_of
from gateway.casework.mrznames import any_agrees
from gateway.casework.shapes import Json, number, obj, rows, text, texts
from gateway.errors import Finding
from gateway.primitives.visible import LINES, deceives

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LATIN_MARKS: Final = frozenset(" '-.,")
_PLAIN_LATIN: Final = re.compile("[A-Za-z '.,-]*")
# Overrides, embeddings, isolates and marks: text that reads otherwise than it is stored.
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PASSPORTS: Final = frozenset(("P", "PD", "PO"))
# The one State that zones name by another code than ISO 3166-1 (Doc 9303 part 3, section 5).
_IN_ZONE: Final = {"DEU": "D"}
_ORIGINAL: Final = frozenset(("LEGAL", "BIRTH", "TRAVEL_DOCUMENT"))
_RENDERED: Final = frozenset(("TRAVEL_DOCUMENT", "TRANSLITERATION"))
_KHMER_DEPRECATED: Final = frozenset("\u17a3\u17a4\u17b4\u17b5")
_ZWSP: Final = "\u200b"
_NOT_NFC: Final = "not in Unicode NFC: one text must have one spelling in bytes"
_OTHER_SCRIPTS: Final[dict[str, re.Pattern[str]]] = {
    "Hans": re.compile(r"[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af\u00b7\u30fb ]+"),
    "Hant": re.compile(r"[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af\u00b7\u30fb ]+"),
    "Thai": re.compile(r"[\u0e01-\u0e3a\u0e40-\u0e4e .]+"),
    "Arab": re.compile(r"[\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06e1-\u06e8\u06ea-\u06ef\u06fa-\u06ff .'-]+"),
}


def check(person: Json, pointer: str, on: date) -> Iterator[Finding]:
    """Yield what does not hold in one person; `on` is the message's day."""
    for i, name in enumerate(rows(person, "names")):
        yield from name_faults(name, f"{pointer}/names/{i}")
    yield from transliteration_faults(person, pointer)
    for i, contact in enumerate(rows(person, "contacts")):
        if (text(contact, "kind") or "").upper() == "PHONE" and not is_phone(text(contact, "value") or ""):
            yield Finding(f"{pointer}/contacts/{i}/value", "not an international number (E.164)", "E-PHONE")
    if "birth" in person:
        yield from birth_faults(obj(person, "birth"), f"{pointer}/birth", on)
    for i, document in enumerate(rows(person, "documents")):
        yield from document_faults(document, f"{pointer}/documents/{i}", person, pointer, on)


def script_fault(value: str, script: str) -> str | None:
    """Return why a name is not written in its script, or None.

    A look-alike from another script defeats search and watch lists, a bidi override the eye.
    """
    if script == "Latn" and _PLAIN_LATIN.fullmatch(value) is not None:
        return None
    if any(c in _BIDI or (unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Cn") and c != _ZWSP) for c in value):
        return "a control, invisible or unassigned character"
    if not unicodedata.is_normalized("NFC", value):
        return _NOT_NFC
    if _ZWSP in value and script != "Khmr":
        return "a zero-width space outside Khmer"
    if script == "Latn":
        fine = all(c in _LATIN_MARKS or _latin(c) for c in value)
    elif script == "Khmr":
        if not _KHMER_DEPRECATED.isdisjoint(value):
            return "a deprecated or invisible Khmer character"
        fine = all(c in (" ", _ZWSP) or "\u1780" <= c <= "\u17d3" or c in "\u17dc\u17dd" for c in value)
    elif script in _OTHER_SCRIPTS:
        fine = _OTHER_SCRIPTS[script].fullmatch(value) is not None
    else:
        fine = len({_family(c) for c in value if c.isalpha()}) <= 1
    return None if fine else "a character that is not of the stated script"


def text_fault(value: str) -> str | None:
    """Return why free text is refused, or None: it may hold any script, but nothing that hides, turns or steers it."""
    if deceives(value, keep=LINES) or (
        not value.isascii() and any(unicodedata.category(c) in ("Cs", "Co", "Cn") for c in value)
    ):
        return "a control, hidden, bidi or unassigned character"
    return None if unicodedata.is_normalized("NFC", value) else _NOT_NFC


def name_faults(name: Json, pointer: str) -> Iterator[Finding]:
    """Yield what does not hold in one PersonName (§3.2)."""
    script = text(name, "script") or "Zyyy"
    for field in ("fullName", "primaryIdentifier", "secondaryIdentifier"):
        value = text(name, field)
        fault = None if value is None else script_fault(value, script)
        if fault is not None:
            yield Finding(f"{pointer}/{field}", fault, "E-SCRIPT")
    first, second = text(name, "primaryIdentifier"), text(name, "secondaryIdentifier")
    if second is not None and (
        not any(c.isalpha() for c in second) or (first is not None and second.casefold() == first.casefold())
    ):
        yield Finding(f"{pointer}/secondaryIdentifier", "a single name has no second part: leave it out", "E-SCHEMA")


def transliteration_faults(person: Json, pointer: str) -> Iterator[Finding]:
    """Yield the Latin names of a person whose own name is in another script that do not say how they came about (§3.2).

    A name of a civil register may be Latin by itself, and an alias in another script says nothing of the passport.
    """
    held = rows(person, "names")
    original = [name for name in held if text(name, "nameType") in _ORIGINAL]
    if all(text(name, "script") in (None, "Latn", "Zyyy") for name in original):
        return
    for i, name in enumerate(held):
        rendered = text(name, "script") == "Latn" and text(name, "nameType") in _RENDERED
        if rendered and text(name, "transliterationScheme") is None:
            where = f"{pointer}/names/{i}/transliterationScheme"
            yield Finding(where, "needed beside a name in another script", "E-SCHEMA")


def is_phone(value: str) -> bool:
    """Tell whether a value has the form of E.164 and a calling code that exists.

    Form only: numbers kept for examples (+62 800) fail numbering plans, and must pass here.
    """
    if _PHONE.fullmatch(value) is None:
        return False
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # only where there is a number: it is slow to load

    return any(int(value[1:length]) in COUNTRY_CODE_TO_REGION_CODE for length in (2, 3, 4))


def birth_faults(birth: Json, pointer: str, on: date) -> Iterator[Finding]:
    """Yield what does not hold in a birth: no such day, in the future, or ages that are none.

    A stated age may differ from the written date: both are told, and the protective reading counts (P04).
    """
    span, fault = read_partial(birth)
    if fault is not None:
        yield Finding(f"{pointer}/value", fault, "E-DATE")
    if span is not None and span.first > on + A_DAY:
        yield Finding(f"{pointer}/value", "a birth in the future", "E-DATE")
    ages = [age for age in rows(birth, "assessedRange") if isinstance(age, int)]
    if ages != sorted(ages):
        yield Finding(f"{pointer}/assessedRange", "the range runs backwards", "E-DATE")
    stated = number(birth, "ageStated")
    if stated is not None and stated < 0:
        yield Finding(f"{pointer}/ageStated", "an age below zero", "E-DATE")


def document_faults(document: Json, pointer: str, person: Json, owner: str, on: date) -> Iterator[Finding]:
    """Yield what does not hold in one travel document, by itself and against its holder (at `owner`)."""
    spans: dict[str, Span] = {}
    for field in ("issuedOn", "expiresOn"):
        value = text(document, field)
        span = span_of(value)
        if span is not None:
            spans[field] = span
        elif value is not None:
            yield Finding(f"{pointer}/{field}", "there is no such day", "E-DATE")
    issued, expires = spans.get("issuedOn"), spans.get("expiresOn")
    if issued is not None and expires is not None and issued.first > expires.last:
        yield Finding(f"{pointer}/expiresOn", "expires before it was issued", "E-DATE")
    if issued is not None and issued.first > on + A_DAY:
        yield Finding(f"{pointer}/issuedOn", "issued in the future", "E-DATE")
    born, _ = read_partial(obj(person, "birth"))
    if issued is not None and born is not None and issued.last < born.first:
        yield Finding(f"{pointer}/issuedOn", "issued before its holder's birth", "E-DATE")
    lines = texts(document, "mrz")
    if lines:
        zone, faults = zones.read(lines, f"{pointer}/mrz")
        yield from faults
        if zone is not None and text(document, "discrepancyNote") is None:
            known = person if not any(birth_faults(obj(person, "birth"), "", on)) else {**person, "birth": {}}
            yield from zone_faults(zone, document, pointer, known, owner)


def zone_faults(zone: zones.Mrz, document: Json, pointer: str, person: Json, owner: str) -> Iterator[Finding]:
    """Yield E-MRZ-VIZ where a zone contradicts what is declared; only what both state is compared."""
    compared = (
        (_kind_differs(zone.document_code, text(document, "documentType")), f"{pointer}/documentType", "document type"),
        (_number_differs(zone.number, text(document, "number")), f"{pointer}/number", "document number"),
        (_code_differs(zone.issuer, text(document, "issuer")), f"{pointer}/issuer", "issuing State"),
        (_date_differs(zone.expiry, text(document, "expiresOn")), f"{pointer}/expiresOn", "date of expiry"),
        (_date_differs(zone.birth, text(obj(person, "birth"), "value")), f"{owner}/birth", "date of birth"),
        (_sex_differs(zone.sex, text(person, "sex")), f"{owner}/sex", "sex"),
        (_nationality_differs(zone.nationality, person), f"{owner}/nationalities", "nationality"),
        (_name_differs(zone, person), f"{owner}/names", "name"),
    )
    for differs, where, what in compared:
        if differs:
            yield Finding(where, f"the {what} in the machine-readable zone is another", "E-MRZ-VIZ")


def latin_names(person: Json) -> list[str]:
    """Return the Latin forms a person is declared under: full names and joined identifiers."""
    found: list[str] = []
    for name in rows(person, "names"):
        if text(name, "script") not in (None, "Latn"):
            continue
        parts = [text(name, "primaryIdentifier"), text(name, "secondaryIdentifier")]
        found += [value for value in (text(name, "fullName"), " ".join(p for p in parts if p)) if value]
    return found


def _latin(char: str) -> bool:
    return (char.isalpha() and unicodedata.name(char, "").startswith(("LATIN ", "MODIFIER LETTER"))) or (
        "\u0300" <= char <= "\u036f"
    )


def _family(char: str) -> str:
    return unicodedata.name(char, "?").split(" ", 1)[0]


def _number_differs(zone: str, declared: str | None) -> bool:
    return declared is not None and zone != re.sub(r"[\s-]", "", declared.upper())


def _kind_differs(zone: str, declared: str | None) -> bool:
    return declared in _PASSPORTS and not zone.startswith("P")


def _code_differs(zone: str, declared: str | None) -> bool:
    return declared is not None and zone != _IN_ZONE.get(declared, declared)


def _date_differs(zone: str, declared: str | None) -> bool:
    if declared is None:
        return False
    written = declared.replace("-", "")[2:8]
    return any("<" not in (a, b) and a != b for a, b in zip(zone, written, strict=False))


def _sex_differs(zone: str, declared: str | None) -> bool:
    return zone in ("M", "F") and declared in ("M", "F") and zone != declared


def _nationality_differs(zone: str, person: Json) -> bool:
    stated = {text(entry, "country") for entry in rows(person, "nationalities")} - {None}
    return bool(stated) and zone not in {_IN_ZONE.get(country, country) for country in stated if country}


def _name_differs(zone: zones.Mrz, person: Json) -> bool:
    names = latin_names(person)
    return bool(names) and not any_agrees(names, zone.primary, zone.secondary, truncated=zone.name_truncated)
