"""The agreement: closed when empty, exact about its keys, dated, and never added up from halves."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.primitives import times
from gateway.protocol import agreement as agreements
from gateway.protocol.agreement import Agreement, parse_agreement
from gateway.protocol.ids import CaseRef, PartyId

ID, KH, VN = PartyId("id.imigrasi"), PartyId("kh.gdi"), PartyId("vn.bca")
NOW_MS = times.parse_ms("2026-11-24T02:00:00.000Z")
SHIPPED = Path(__file__).parents[2] / "config" / "agreement.toml"
TYPES = (
    "case.referral", "case.update", "info.request", "info.response", "identity.verify.request",
    "identity.verify.response", "departure.deferral.notice", "passport.deferral.notice",
    "victim.assistance.referral", "repatriation.movement", "subject.alert", "route.bulletin", "record.action",
    "stats.periodic",
)  # fmt: skip
PERMIT = """
[[permit]]
sender = "id.imigrasi"
recipient = "kh.gdi"
types = ["case.referral", "subject.alert"]
urgencies = ["FLASH", "ROUTINE"]
handling = ["H0", "H2"]
release = ["subject.alert"]
"""
INSTRUMENT = """
[[transfer_instrument]]
code = "ART56_3_BINDING_INSTRUMENT"
ref = "MOU-1"
title = "Memorandum"
active_from = 2026-11-24
active_until = 2026-11-25T00:00:00Z
"""


def read(text: str, environment: str = "test") -> Agreement:
    """Parse TOML text as an agreement."""
    return parse_agreement(tomllib.loads(text), environment=environment)


def refusal(found: Agreement, *asked: Any, now_ms: int = NOW_MS) -> str | None:
    """Return where the agreement says no."""
    sender, recipient, subject, urgency, handling = asked
    finding = found.permits(sender, recipient, subject, urgency, handling, now_ms)
    return None if finding is None else finding.pointer


def test_an_empty_agreement_permits_nothing() -> None:
    """No permit, no traffic; no instrument, no personal data; and what might leave waits."""
    empty = read("version = 1")
    assert refusal(empty, ID, KH, "case.referral", "ROUTINE", ("H0",)) == ""
    assert empty.transfer_instrument("ART56_3_BINDING_INSTRUMENT", "MOU-1", NOW_MS) is None
    assert empty.needs_release(ID, KH, "case.referral", NOW_MS)
    assert empty.parties == frozenset()


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        ((ID, KH, "case.referral", "ROUTINE", ("H0",)), None),
        ((ID, KH, "subject.alert", "FLASH", ("H0", "H2")), None),
        ((KH, ID, "case.referral", "ROUTINE", ("H0",)), ""),
        ((ID, VN, "case.referral", "ROUTINE", ("H0",)), ""),
        ((ID, KH, "case.update", "ROUTINE", ("H0",)), "/type"),
        ((ID, KH, "case.referral", "URGENT", ("H0",)), "/urgency"),
        ((ID, KH, "case.referral", "ROUTINE", ("H0", "V1")), "/handling"),
        ((ID, KH, "case.referral", "ROUTINE", ()), "/handling"),
        ((ID, KH, "*", "ROUTINE", ("H0",)), "/type"),
    ],
    ids=repr,
)
def test_a_permit_holds_for_what_it_names(asked: tuple[Any, ...], at: str | None) -> None:
    """Direction, type, urgency and every handling code."""
    assert refusal(read("version = 1" + PERMIT), *asked) == at


def test_two_permits_do_not_add_up() -> None:
    """The type of one with the urgency of the other was agreed by nobody."""
    other = PERMIT.replace('["case.referral", "subject.alert"]', '["case.update"]').replace('"FLASH", ', "")
    other = other.replace('["subject.alert"]', "[]")
    both = read("version = 1" + PERMIT + other)
    assert refusal(both, ID, KH, "case.update", "ROUTINE", ("H0",)) is None
    assert refusal(both, ID, KH, "case.update", "FLASH", ("H0",)) == "/urgency"


def test_an_empty_list_names_nothing() -> None:
    """[] is none, never all."""
    for key, at in (("types", "/type"), ("urgencies", "/urgency"), ("handling", "/handling")):
        document = tomllib.loads("version = 1" + PERMIT)
        document["permit"][0] |= {"release": [], key: []}
        found = parse_agreement(document, environment="test")
        assert refusal(found, ID, KH, "case.referral", "ROUTINE", ("H0",)) == at


def test_permits_have_dates() -> None:
    """From the first moment to the one before the last."""
    dated = read("version = 1" + PERMIT + "active_from = 2026-11-24\nactive_until = 2026-11-25\n")
    start, day = times.parse_ms("2026-11-24T00:00:00.000Z"), 86_400_000
    asked = (ID, KH, "case.referral", "ROUTINE", ("H0",))
    seen = [refusal(dated, *asked, now_ms=at) for at in (start - 1, start, start + day - 1, start + day)]
    assert seen == ["", None, None, ""]
    assert dated.needs_release(ID, KH, "case.referral", start + day)


def test_some_types_need_a_second_person() -> None:
    """Where one permit in force says so, and where none covers the type."""
    found = read("version = 1" + PERMIT)
    assert not found.needs_release(ID, KH, "case.referral", NOW_MS)
    assert found.needs_release(ID, KH, "subject.alert", NOW_MS)
    assert found.needs_release(ID, KH, "case.update", NOW_MS)
    assert found.needs_release(KH, ID, "case.referral", NOW_MS)


@pytest.mark.parametrize(
    ("case", "sender", "shared", "fine"),
    [
        ("XC-ID-2026-000123-8", ID, False, True),
        ("XC-ID-2026-000123-8", KH, True, True),
        ("XC-ID-2026-000123-8", KH, False, False),
    ],
)
def test_a_case_is_shared_or_of_the_senders_state(case: str, sender: PartyId, shared: bool, fine: bool) -> None:
    """Nobody opens a case in another State's name or writes into one it has no part in (step (9))."""
    finding = read("version = 1").permits_case(CaseRef(case), sender, shared=shared)
    assert (finding is None) is fine


@pytest.mark.parametrize(
    ("code", "ref", "at", "held"),
    [
        ("ART56_3_BINDING_INSTRUMENT", "MOU-1", "2026-11-24T00:00:00.000Z", True),
        ("ART56_3_BINDING_INSTRUMENT", "MOU-1", "2026-11-24T23:59:59.999Z", True),
        ("ART56_3_BINDING_INSTRUMENT", "MOU-1", "2026-11-23T23:59:59.999Z", False),
        ("ART56_3_BINDING_INSTRUMENT", "MOU-1", "2026-11-25T00:00:00.000Z", False),
        ("ART56_3_BINDING_INSTRUMENT", "MOU-2", "2026-11-24T12:00:00.000Z", False),
        ("ART56_3_BINDING_INSTRUMENT", None, "2026-11-24T12:00:00.000Z", False),
        ("ART56_4_CONSENT", "MOU-1", "2026-11-24T12:00:00.000Z", False),
    ],
)
def test_an_instrument_counts_while_in_force(code: str, ref: str | None, at: str, held: bool) -> None:
    """Code and reference to the letter, dates to the millisecond."""
    found = read("version = 1" + INSTRUMENT).transfer_instrument(code, ref, times.parse_ms(at))
    assert (found is not None) is held


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("version", ""),
        ("version", "version = 2"),
        ("version", 'version = "1"'),
        ("version", "version = true"),
        ("version", "version = 1.0"),
        ("permits", "version = 1\npermits = []"),
        ("permit", "version = 1\npermit = 1"),
        ("permit", "version = 1\n[permit]\nsender = 'id.imigrasi'"),
        ("permit[0].urgency", "version = 1" + PERMIT + "urgency = ['FLASH']"),
        ("permit[0].sender", "version = 1" + PERMIT.replace("id.imigrasi", "Imigrasi")),
        ("permit[0].recipient", "version = 1" + PERMIT.replace("kh.gdi", "id.imigrasi")),
        ("permit[0].types", "version = 1" + PERMIT.replace("types =", "#")),
        ("permit[0].types", "version = 1" + PERMIT.replace('"case.referral"', '"Case"')),
        ("permit[0].types", "version = 1" + PERMIT.replace('"case.referral"', "7")),
        ("permit[0].types", "version = 1" + PERMIT.replace('"case.referral"', '"*"')),
        ("permit[0].urgencies", "version = 1" + PERMIT.replace("FLASH", "ASAP")),
        ("permit[0].urgencies", "version = 1" + PERMIT.replace('["FLASH", "ROUTINE"]', '"FLASH"')),
        ("permit[0].handling", "version = 1" + PERMIT.replace("H0", "h0")),
        (
            "permit[0].release",
            "version = 1" + PERMIT.replace('release = ["subject.alert"]', 'release = ["case.update"]'),
        ),
        ("permit[0].release", "version = 1" + PERMIT.replace('release = ["subject.alert"]', "")),
        ("permit[0].active_from", "version = 1" + PERMIT + "active_from = '2026-01-01'"),
        ("permit[0].active_from", "version = 1" + PERMIT + "active_from = 2026-01-01T00:00:00"),
        ("permit[0].active_from", "version = 1" + PERMIT + "active_from = 1969-12-31"),
        (
            "permit[0].active_until",
            "version = 1" + PERMIT + "active_from = 2026-01-02\nactive_until = 2026-01-02",
        ),
        ("permit[0].active_until", "version = 1" + PERMIT + "active_until = 12:00:00"),
        ("transfer_instrument[0].activ_until", "version = 1" + INSTRUMENT + "activ_until = 2026-01-01"),
        ("transfer_instrument[0].code", "version = 1" + INSTRUMENT.replace("ART56_3", "art56_3")),
        ("transfer_instrument[0].ref", "version = 1" + INSTRUMENT.replace("MOU-1", " ")),
        ("transfer_instrument[0].title", "version = 1" + INSTRUMENT.replace("title", "#")),
        ("transfer_instrument[0].active_from", "version = 1" + INSTRUMENT.replace("active_from", "#")),
        ("transfer_instrument[0].test", "version = 1" + INSTRUMENT + "test = 1"),
    ],
)
def test_a_fault_names_its_key(key: str, text: str) -> None:
    """The operator is told the file and the key; a misspelt restriction must not pass for none."""
    with pytest.raises(ConfigurationError) as refused:
        read(text)
    assert refused.value.detail.startswith(f"agreement.toml: {key}: ")


def test_a_test_instrument_stops_a_prod_gateway() -> None:
    """Real people's data must never cross on a paper made for rehearsal."""
    text = "version = 1" + INSTRUMENT + "test = true"
    assert read(text, "test").instruments[0].test
    with pytest.raises(ConfigurationError, match=r"transfer_instrument\[0\]\.test"):
        read(text, "prod")


def test_the_digest_is_of_what_it_says() -> None:
    """Comments and the spelling of a day do not count, a changed word and a changed day do."""
    text = "version = 1" + PERMIT + INSTRUMENT
    one = read(text).digest
    assert (
        one == read("# comment\n" + text).digest == read(text.replace("2026-11-24\n", "2026-11-24T00:00:00Z\n")).digest
    )
    assert one != read(text.replace("MOU-1", "MOU-2")).digest
    assert one != read(text.replace("2026-11-24\n", "2026-11-23\n")).digest


@pytest.mark.parametrize("environment", ["prod", "test"])
def test_the_shipped_agreement_carries_every_type_and_no_personal_data(environment: str) -> None:
    """All fourteen types both ways under every handling code; no instrument, so P02 refuses persons."""
    shipped = read(SHIPPED.read_text("utf-8"), environment)
    codes = ("H0", "H1", "H2", "H3", "V1", "V2", "NP", "EO", "OR")
    for sender, recipient in ((ID, KH), (KH, ID)):
        for subject in TYPES:
            assert refusal(shipped, sender, recipient, subject, "FLASH", codes) is None
        assert refusal(shipped, sender, recipient, "tech.receipt", "FLASH", codes) == "/type"
    assert shipped.instruments == ()
    assert shipped.parties == {ID, KH}


def test_the_shipped_example_instrument_is_one() -> None:
    """Its comment is what an operator will uncomment: it must parse."""
    text = SHIPPED.read_text("utf-8")
    before, _, after = text.partition("# [[transfer_instrument]]")
    uncommented = "\n".join(
        row.removeprefix("# ") for row in ("# [[transfer_instrument]]" + after).splitlines() if row != "#"
    )
    assert read(before + uncommented, "prod").instruments[0].code == "ART56_3_BINDING_INSTRUMENT"


def test_the_agreement_of_a_test_home() -> None:
    """Every type both ways, a marked instrument, no second person; useless in prod."""
    text = agreements.test_agreement(KH, ID, VN)
    found = read(text)
    for sender, recipient in ((ID, KH), (KH, ID), (KH, VN), (VN, KH)):
        assert refusal(found, sender, recipient, "any.type", "INFO", ("H0", "ZZ")) is None
        assert not found.needs_release(sender, recipient, "any.type", NOW_MS)
    assert refusal(found, ID, VN, "any.type", "INFO", ("H0",)) == ""
    held = found.transfer_instrument(agreements.TEST_INSTRUMENT_CODE, agreements.TEST_INSTRUMENT_REF, NOW_MS)
    assert held is not None
    assert held.test
    assert "TEST" in held.title
    with pytest.raises(ConfigurationError):
        read(text, "prod")
