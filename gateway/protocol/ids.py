"""Names on the wire (protocol.md §1, §4.1): one spelling each, checked once, then carried as their own type.

Parsers raise ValueError naming the rule that failed, never the text: whoever holds the document knows
whose fault it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

from stdnum.iso7064 import mod_37_36

if TYPE_CHECKING:
    from collections.abc import Callable

PartyId = NewType("PartyId", str)
MessageId = NewType("MessageId", str)
CaseRef = NewType("CaseRef", str)
EnvelopeId = NewType("EnvelopeId", str)
Kid = NewType("Kid", str)
Subject = NewType("Subject", str)

PARTY_URN = "urn:bcx:party:"
SCHEMA_URN = "urn:bcx:schema:"

# fullmatch throughout: `$` would let a trailing line feed pass, and ids are joined by line feeds when signed.
_PARTY = re.compile(r"[a-z]{2}\.[a-z0-9-]{1,40}")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_CASE = re.compile(r"XC-([A-Z]{2})-([0-9]{4})-([0-9]{6})-([0-9A-Z])")
_KID = re.compile(r"[A-Za-z0-9_-]{43}")
_SUBJECT = re.compile(r"(?=.{1,100}\Z)[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*")
_SEMVER = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}")
_STATE = re.compile(r"[A-Z]{2}")

_MAX_MS = 2**48 - 1  # what the 48 bits of RFC 9562 §5.7 hold
_MAX_YEAR, _MAX_SEQUENCE = 9999, 999_999


def parse_party(text: str) -> PartyId:
    """Return `text` as a party id such as `id.imigrasi`."""
    if _PARTY.fullmatch(text) is None:
        raise ValueError("not a party id: two letters of the State, a dot, the agency")
    return PartyId(text)


def parse_message_id(text: str) -> MessageId:
    """Return `text` as a message id: a UUIDv7 (RFC 9562 §5.7), lower case."""
    if _UUID7.fullmatch(text) is None:
        raise ValueError("not a lower-case UUIDv7")
    return MessageId(text)


def parse_envelope_id(text: str) -> EnvelopeId:
    """Return `text` as an envelope id: a UUIDv7, lower case."""
    return EnvelopeId(parse_message_id(text))


def parse_kid(text: str) -> Kid:
    """Return `text` as a key id: the 43 characters of a SHA-256 thumbprint (RFC 7638)."""
    if _KID.fullmatch(text) is None:
        raise ValueError("not a key thumbprint")
    return Kid(text)


def parse_subject(text: str) -> Subject:
    """Return `text` as a subject (message type without `bcx.`) such as `case.referral`."""
    if _SUBJECT.fullmatch(text) is None:
        raise ValueError("not a subject: lower-case words joined by dots")
    return Subject(text)


@lru_cache(maxsize=4096)
def _check_character(state: str, year: str, sequence: str) -> str:
    return str(mod_37_36.calc_check_digit(f"XC{state}{year}{sequence}"))


def parse_case_ref(text: str) -> CaseRef:
    """Return `text` as a case reference such as `XC-ID-2026-000123-8`, its check character verified."""
    found = _CASE.fullmatch(text)
    if found is None:
        raise ValueError("not a case reference: XC-<State>-<year>-<six digits>-<check character>")
    state, year, sequence, check = found.groups()
    if check != _check_character(state, year, sequence):
        raise ValueError("case reference: the check character (ISO 7064 MOD 37,36) does not fit")
    return CaseRef(text)


def make_case_ref(country: str, year: int, sequence: int) -> CaseRef:
    """Return the case reference number `sequence` of `country` (ISO 3166-1 alpha-2, upper case) in `year`."""
    if _STATE.fullmatch(country) is None:
        raise ValueError("country is two upper-case letters")
    if not 0 <= year <= _MAX_YEAR or not 0 <= sequence <= _MAX_SEQUENCE:
        raise ValueError("year has four digits, sequence at most six")
    numbers = f"{year:04d}", f"{sequence:06d}"
    return CaseRef(f"XC-{country}-{numbers[0]}-{numbers[1]}-{_check_character(country, *numbers)}")


def case_state(case: CaseRef) -> str:
    """Return the opener's State, two lower-case letters as in a party id."""
    return case[3:5].lower()


def party_urn(party: PartyId) -> str:
    """Return `urn:bcx:party:<party>`: `source` of an event, SAN of a certificate."""
    return PARTY_URN + party


def party_from_urn(text: str) -> PartyId:
    """Return the party that `urn:bcx:party:<party>` names."""
    if not text.startswith(PARTY_URN):
        raise ValueError("not a party urn")
    return parse_party(text[len(PARTY_URN) :])


def schema_urn(subject: Subject, version: str) -> str:
    """Return `urn:bcx:schema:<subject>:<semver>`."""
    return f"{SCHEMA_URN}{subject}:{version}"


def parse_schema_urn(text: str) -> tuple[Subject, str]:
    """Return subject and version of `urn:bcx:schema:<subject>:<semver>` (three numbers, no suffix)."""
    if not text.startswith(SCHEMA_URN):
        raise ValueError("not a schema urn")
    subject, _, version = text[len(SCHEMA_URN) :].partition(":")
    if _SEMVER.fullmatch(version) is None:
        raise ValueError("schema version is not MAJOR.MINOR.PATCH")
    return parse_subject(subject), version


def uuid7(now_ms: int, entropy: Callable[[int], bytes]) -> str:
    """Return a UUIDv7 for the instant `now_ms`; draws 10 bytes from `entropy` (74 bits are used)."""
    if not 0 <= now_ms <= _MAX_MS:
        raise ValueError("instant outside the 48 bits of a UUIDv7")
    drawn = int.from_bytes(entropy(10), "big")
    high, low = (drawn >> 62) & 0xFFF, drawn & (2**62 - 1)
    digits = f"{now_ms:012x}{0x7000 | high:04x}{2**63 | low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
