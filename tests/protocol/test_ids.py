"""Names and notations of protocol.md §1: one spelling each."""

from __future__ import annotations

import base64
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.primitives import b64u, times
from gateway.protocol import ids

if TYPE_CHECKING:
    from collections.abc import Callable

UUID = "01990000-0000-7000-8000-0000000000e1"
NOW_MS = 1_795_485_605_123

GOOD: list[tuple[Callable[[str], object], str]] = [
    (ids.parse_party, "id.imigrasi"),
    (ids.parse_party, "kh." + "a" * 40),
    (ids.parse_message_id, UUID),
    (ids.parse_envelope_id, UUID),
    (ids.parse_kid, "ZOMDvrK6dh0D0l7z7nLlugcDk102eBiLJupbSoKr3JA"),
    (ids.parse_subject, "case.referral"),
    (ids.parse_subject, "void"),
    (ids.parse_case_ref, "XC-ID-2026-000123-8"),
    (ids.parse_schema_urn, "urn:bcx:schema:case.referral:1.0.0"),
    (ids.party_from_urn, "urn:bcx:party:kh.gdi"),
]

BAD: list[tuple[Callable[[str], object], str]] = [
    (ids.parse_party, "ID.imigrasi"),
    (ids.parse_party, "id"),
    (ids.parse_party, "id."),
    (ids.parse_party, "id.imigrasi\n"),
    (ids.parse_party, "id.imi.grasi"),
    (ids.parse_party, "id." + "a" * 41),
    (ids.parse_party, "\u0456d.imigrasi"),
    (ids.parse_message_id, UUID.upper()),
    (ids.parse_message_id, UUID + "\n"),
    (ids.parse_message_id, "01990000-0000-4000-8000-0000000000e1"),
    (ids.parse_message_id, "01990000-0000-7000-c000-0000000000e1"),
    (ids.parse_message_id, "01990000000070008000000000000e1"),
    (ids.parse_envelope_id, "{" + UUID + "}"),
    (ids.parse_kid, "short"),
    (ids.parse_kid, "ZOMDvrK6dh0D0l7z7nLlugcDk102eBiLJupbSoKr3J="),
    (ids.parse_subject, "Case.referral"),
    (ids.parse_subject, "case..referral"),
    (ids.parse_subject, "case.referral\n"),
    (ids.parse_subject, "a" * 101),
    (ids.parse_case_ref, "XC-ID-2026-000123-7"),
    (ids.parse_case_ref, "XC-ID-2026-000132-8"),
    (ids.parse_case_ref, "XC-KH-2026-000123-8"),
    (ids.parse_case_ref, "xc-id-2026-000123-8"),
    (ids.parse_case_ref, "XC-ID-2026-123-8"),
    (ids.parse_case_ref, "XC-ID-2026-00012\u0663-8"),
    (ids.parse_case_ref, "XC-ID-2026-000123-8\n"),
    (ids.parse_schema_urn, "urn:bcx:schema:case.referral:1.0"),
    (ids.parse_schema_urn, "urn:bcx:schema:case.referral:01.0.0"),
    (ids.parse_schema_urn, "urn:bcx:schema:case.referral:1.0.0-rc1"),
    (ids.parse_schema_urn, "urn:bcx:schema:case.referral"),
    (ids.parse_schema_urn, "urn:bcx:party:case.referral:1.0.0"),
    (ids.party_from_urn, "kh.gdi"),
    (ids.party_from_urn, "urn:bcx:party:KH.gdi"),
]


@pytest.mark.parametrize(("parse", "text"), GOOD)
def test_a_well_formed_name_is_taken_as_it_is(parse: Callable[[str], object], text: str) -> None:
    """Parsing changes nothing."""
    parsed = parse(text)
    assert parsed in (text, text.removeprefix(ids.PARTY_URN), ("case.referral", "1.0.0"))


@pytest.mark.parametrize(("parse", "text"), BAD)
def test_an_ill_formed_name_is_refused_without_quoting_it(parse: Callable[[str], object], text: str) -> None:
    """Each bad spelling raises ValueError that names the rule only."""
    with pytest.raises(ValueError, match=r"not|does not") as fault:
        parse(text)
    assert len(text) < 9 or text.strip() not in str(fault.value)


def test_a_case_reference_gets_the_check_character_of_iso_7064() -> None:
    """The reference of the protocol page comes out whole, and knows its State."""
    case = ids.make_case_ref("ID", 2026, 123)
    assert case == "XC-ID-2026-000123-8"
    assert ids.case_state(case) == "id"


@pytest.mark.parametrize("arguments", [("id", 2026, 1), ("ID", 10_000, 1), ("ID", 2026, 1_000_000), ("ID", 2026, -1)])
def test_a_case_reference_that_does_not_fit_is_not_made(arguments: tuple[str, int, int]) -> None:
    """The form holds six digits and no more."""
    with pytest.raises(ValueError, match=r"country|year"):
        ids.make_case_ref(*arguments)


@given(st.integers(0, 999_999), st.integers(0, 5), st.integers(0, 9))
def test_a_mistyped_digit_never_gives_another_valid_reference(sequence: int, place: int, digit: int) -> None:
    """MOD 37,36 finds every single substitution: a case is not filed under its neighbour."""
    case = ids.make_case_ref("KH", 2026, sequence)
    typed = case[: 11 + place] + str(digit) + case[12 + place :]
    if typed != case:
        with pytest.raises(ValueError, match="check character"):
            ids.parse_case_ref(typed)


def test_urns_are_read_as_they_are_written() -> None:
    """Writer and reader of each urn agree."""
    assert ids.party_from_urn(ids.party_urn(ids.PartyId("kh.gdi"))) == "kh.gdi"
    assert ids.parse_schema_urn(ids.schema_urn(ids.Subject("case.update"), "2.1.0")) == (
        "case.update",
        "2.1.0",
    )


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_carries_its_instant_and_its_chance(now_ms: int, drawn: bytes) -> None:
    """RFC 9562 §5.7: 48 bits of time, version 7, variant 10, the rest from entropy."""
    made = ids.uuid7(now_ms, lambda size: drawn[:size])
    ids.parse_message_id(made)
    digits = made.replace("-", "")
    assert int(digits[:12], 16) == now_ms
    chance = int(digits[13:16], 16) << 62 | int(digits[16:], 16) & (2**62 - 1)
    assert chance == int.from_bytes(drawn, "big") & (2**74 - 1)


@pytest.mark.parametrize("now_ms", [-1, 2**48])
def test_a_uuid7_outside_its_48_bits_is_not_made(now_ms: int) -> None:
    """Time must not spill into the version."""
    with pytest.raises(ValueError, match="48 bits"):
        ids.uuid7(now_ms, os.urandom)


# --- instants -------------------------------------------------------------------------------------

BAD_INSTANTS = [
    "2026-11-24T02:00:05Z",
    "2026-11-24T02:00:05.12Z",
    "2026-11-24T02:00:05.1234Z",
    "2026-11-24T02:00:05.123+00:00",
    "2026-11-24t02:00:05.123z",
    "2026-11-24 02:00:05.123Z",
    "2026-11-24T24:00:00.000Z",
    "2026-11-24T23:60:00.000Z",
    "2026-12-31T23:59:60.000Z",
    "2026-02-29T00:00:00.000Z",
    "2026-00-10T00:00:00.000Z",
    "0000-01-01T00:00:00.000Z",
    "2026-11-24T02:00:05.123Z\n",
    "\u0662026-11-24T02:00:05.123Z",
    "",
]


@pytest.mark.parametrize("text", BAD_INSTANTS)
def test_another_spelling_of_an_instant_is_refused(text: str) -> None:
    """One spelling, and only days that exist."""
    with pytest.raises(ValueError, match=r"no such day|not an RFC 3339"):
        times.parse_ms(text)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_000)))  # noqa: DTZ001 - hypothesis takes naive bounds
def test_instants_agree_with_the_calendar(moment: datetime) -> None:
    """Writing and reading agree with datetime for every year the form can hold."""
    ms = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    text = moment.isoformat(timespec="milliseconds") + "Z"
    assert times.format_ms(ms) == text
    assert times.parse_ms(text) == ms


@pytest.mark.parametrize("ms", [-62_135_596_800_001, 253_402_300_800_000, 10**30])
def test_instants_beyond_four_digit_years_are_not_written(ms: int) -> None:
    """No fifth digit, no year zero."""
    with pytest.raises(ValueError, match=r"year|ordinal"):
        times.format_ms(ms)


# --- base64url ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_base64url_is_read_as_it_is_written(raw: bytes) -> None:
    """Agrees with the standard library, less the padding."""
    text = b64u.encode(raw)
    assert text == base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert b64u.encode_bytes(memoryview(raw)) == text.encode()
    assert b64u.decode(text) == b64u.decode(text.encode()) == raw


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet="AQgw-_+/=8 \n.\u00e9", max_size=9))
def test_only_one_text_stands_for_each_value(text: str) -> None:
    """Whatever is accepted encodes back to the same text; the rest raises an error that quotes nothing."""
    try:
        outcome = b64u.encode(b64u.decode(text))
    except ValueError as fault:
        outcome = str(fault)
    assert outcome == text or re.fullmatch(r"[A-Za-z0-9 :-]{20,}", outcome)


@pytest.mark.parametrize("text", ["QQ==", "QR", "QQR", "Q", "Q+Q/", "QQ\n", " QQ", "QQ=", "Q.Q", "\u00e9Q"])
def test_a_second_spelling_is_refused(text: str) -> None:
    """Padding, stray bits, the other alphabet, white space."""
    with pytest.raises(ValueError, match=r"base64"):
        b64u.decode(text)
