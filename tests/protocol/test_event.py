"""Events: what `parse_event` refuses and why, whose they are, what the clocks say, and voids."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson
import pytest
import rfc8785

from gateway.errors import ClockSkew, Expired, MalformedEvent, SourceMismatch, WrongRecipient
from gateway.primitives import times
from gateway.protocol.event import (
    CLOCK_TOLERANCE_MS,
    MAX_EVENT_BYTES,
    MAX_LIFETIME_MS,
    MAX_MANIFEST_EVENT_BYTES,
    VOID,
    VOID_SCHEMA_DIGEST,
    VOID_SCHEMA_VERSION,
    Event,
    EventDraft,
    UnreadableEvent,
    Void,
    build_event,
    build_void,
    check_addressing,
    check_clock,
    parse_event,
    parse_voids,
)
from gateway.protocol.ids import CaseRef, MessageId, PartyId, Subject

NOW_MS = times.parse_ms("2026-11-24T02:00:00.000Z")
JTI = MessageId("01990000-0000-7000-8000-000000000001")
ID, KH, VN = PartyId("id.imigrasi"), PartyId("kh.gdi"), PartyId("vn.bca")
DRAFT = EventDraft(
    id=JTI,
    source=ID,
    subject=Subject("case.referral"),
    case=CaseRef("XC-ID-2026-000123-8"),
    time_ms=NOW_MS,
    expiry_ms=NOW_MS + 86_400_000,
    schema_version="1.0.0",
    schema_digest=bytes(range(32)),
    recipient=KH,
    environment="test",
    stream_seq=7,
    case_seq=3,
    urgency="URGENT",
    handling=("H1", "V1"),
)
FULL = replace(
    DRAFT,
    in_reply_to=MessageId("01990000-0000-7000-8000-000000000002"),
    supersedes=MessageId("01990000-0000-7000-8000-000000000003"),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    salt=bytes(16),
)
VOID_DRAFT = replace(
    DRAFT,
    subject=VOID,
    case=None,
    case_seq=None,
    schema_version=VOID_SCHEMA_VERSION,
    schema_digest=VOID_SCHEMA_DIGEST,
    handling=("H0",),
)
GIVEN_UP = (
    Void(4, MessageId("01990000-0000-7000-8000-000000000004"), "expired"),
    Void(5, MessageId("01990000-0000-7000-8000-000000000005"), "cancelled", CaseRef("XC-ID-2026-000123-8"), 2),
)
ABSENT = object()


def line(draft: EventDraft = DRAFT, body: bytes = b'{"note":"x"}', **changed: object) -> bytes:
    """Build an event line, then set or take away attributes that the writer would never write."""
    document: dict[str, Any] = orjson.loads(build_event(draft, body))
    document |= changed
    return orjson.dumps({name: value for name, value in document.items() if value is not ABSENT})


def pointers(raw: bytes) -> set[str]:
    """Return the places that make `raw` malformed."""
    with pytest.raises(MalformedEvent) as refused:
        parse_event(raw)
    return {finding.pointer for finding in refused.value.errors}


@pytest.mark.parametrize(
    "draft", [DRAFT, FULL, replace(DRAFT, case=None, case_seq=None)], ids=["usual", "full", "no case"]
)
def test_what_is_written_is_read_back(draft: EventDraft) -> None:
    """The writer has a reader: every attribute comes back, with the data and the size of the line."""
    raw = build_event(draft, b'{"a":[1,{"b":null}]}')
    event = parse_event(raw)
    assert all(getattr(event, name) == getattr(draft, name) for name in EventDraft.__slots__)
    assert (event.data, event.size) == ({"a": [1, {"b": None}]}, len(raw))


@pytest.mark.parametrize(
    "name",
    [
        "specversion", "id", "source", "type", "time", "expirytime", "datacontenttype", "dataschema",
        "schemadigest", "recipient", "environment", "streamseq", "urgency", "handling", "data",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "value",
    [ABSENT, None, 7, True, ["x"], {}, ""],
    ids=["absent", "null", "number", "true", "array", "object", "empty"],
)
def test_a_required_attribute_is_there_and_a_text(name: str, value: Any) -> None:
    """Left out, null, empty or of another type: the finding points at it."""
    if name == "data" and value == {}:
        assert parse_event(line(data={})).data == {}
    else:
        assert f"/{name}" in pointers(line(**{name: value}))


@pytest.mark.parametrize(
    ("at", "changed"),
    [
        ("/specversion", {"specversion": "1.0.2"}),
        ("/id", {"id": JTI.replace("-7000-", "-4000-")}),
        ("/id", {"id": JTI + "\n"}),
        ("/source", {"source": "id.imigrasi"}),
        ("/source", {"source": "urn:bcx:party:Id.imigrasi"}),
        ("/type", {"type": "case.referral"}),
        ("/type", {"type": "bcx."}),
        ("/type", {"type": "bcx.case..referral"}),
        ("/type", {"type": "bcx." + "a" * 101}),
        ("/subject", {"subject": "XC-ID-2026-000123-9"}),
        ("/subject", {"subject": "XC-ID-2026-00123-8"}),
        ("/subject", {"subject": 7}),
        ("/caseseq", {"subject": ABSENT}),
        ("/caseseq", {"subject": None}),
        ("/caseseq", {"caseseq": ABSENT}),
        ("/caseseq", {"caseseq": "0"}),
        ("/caseseq", {"caseseq": "01"}),
        ("/caseseq", {"caseseq": 1}),
        ("/time", {"time": "2026-11-24T02:00:00Z"}),
        ("/time", {"time": "2026-11-24T02:00:00.000+00:00"}),
        ("/time", {"time": "2026-02-29T02:00:00.000Z"}),
        ("/expirytime", {"expirytime": "2026-11-24t02:00:00.000z"}),
        ("/datacontenttype", {"datacontenttype": "application/json; charset=utf-8"}),
        ("/dataschema", {"dataschema": "urn:bcx:schema:case.referral:1.0"}),
        ("/dataschema", {"dataschema": "urn:bcx:schema:case.referral:1.0.01"}),
        ("/dataschema", {"dataschema": "urn:bcx:schema:case.referral:1.0.0-rc1"}),
        ("/dataschema", {"dataschema": "urn:bcx:schema:case.update:1.0.0"}),
        ("/dataschema", {"dataschema": "https://example.org/case.referral"}),
        ("/schemadigest", {"schemadigest": "A" * 42}),
        ("/schemadigest", {"schemadigest": "A" * 42 + "B"}),
        ("/schemadigest", {"schemadigest": "A" * 43 + "="}),
        ("/recipient", {"recipient": "urn:bcx:party:kh.gdi"}),
        ("/environment", {"environment": "staging"}),
        ("/streamseq", {"streamseq": "0"}),
        ("/streamseq", {"streamseq": "-1"}),
        ("/streamseq", {"streamseq": "1.0"}),
        ("/streamseq", {"streamseq": str(2**53)}),
        ("/streamseq", {"streamseq": "1" * 5000}),
        ("/streamseq", {"streamseq": "\u0661"}),
        ("/urgency", {"urgency": "flash"}),
        ("/urgency", {"urgency": "FLASH "}),
        ("/handling", {"handling": "H1  V1"}),
        ("/handling", {"handling": "H1,V1"}),
        ("/handling", {"handling": " H1"}),
        ("/handling", {"handling": "H1 "}),
        ("/handling", {"handling": " ".join(["H1"] * 400)}),
        ("/inreplyto", {"inreplyto": "x"}),
        ("/supersedes", {"supersedes": "550e8400-e29b-41d4-a716-446655440000"}),
        ("/salt", {"salt": "A" * 21 + "B"}),
        ("/salt", {"salt": "A" * 43}),
        ("/data", {"data": [1]}),
        ("/data", {"data": "x"}),
        ("", {"Future": "x"}),
        ("", {"data_base64": "AAAA"}),
        ("", {"future": {"hidden": 1}}),
        ("", {"future": ["hidden"]}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_an_ill_formed_attribute_is_named(at: str, changed: dict[str, Any]) -> None:
    """One thing wrong, one finding, at its place."""
    assert pointers(line(**changed)) == {at}


@pytest.mark.parametrize("value", ["x", 7, True, None, "\u1780"], ids=repr)
def test_an_unknown_extension_is_kept(value: object) -> None:
    """A later profile may add attributes: a single value under a CloudEvents name refuses nothing."""
    raw = line(future1=value)
    assert parse_event(raw).size == len(raw)


@pytest.mark.parametrize("value", ["00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-x", "junk", 7], ids=repr)
def test_an_unreadable_trace_is_dropped_not_refused(value: object) -> None:
    """No message is lost over telemetry (Trace Context §3.2.2)."""
    assert parse_event(line(traceparent=value)).traceparent is None


def test_every_fault_is_told_at_once() -> None:
    """The sender mends one message once."""
    assert pointers(line(time=ABSENT, urgency="x", handling=7)) == {"/time", "/urgency", "/handling"}


def test_a_refusal_never_repeats_what_stood_there() -> None:
    """Findings go into receipts and logs: neither values nor names that the sender chose."""
    with pytest.raises(MalformedEvent) as refused:
        parse_event(line(urgency="Sok Dara", Secret_Name="x", data="Sok Dara"))
    assert "Dara" not in repr(refused.value.errors) + refused.value.detail
    assert "Secret" not in repr(refused.value.errors) + refused.value.detail


@pytest.mark.parametrize(
    ("raw", "jti"),
    [
        (line(time=ABSENT), JTI),
        (line(id="x"), None),
        (line(id=7), None),
        (b"{", None),
        (b"[]", None),
        (b"", None),
    ],
    ids=["id is fine", "id is not", "id is a number", "not JSON", "no object", "empty"],
)
def test_the_id_of_a_malformed_event_is_given_where_it_can_be_read(raw: bytes, jti: str | None) -> None:
    """The outcome names the message where it can."""
    with pytest.raises(UnreadableEvent) as refused:
        parse_event(raw)
    assert refused.value.jti == jti


@pytest.mark.parametrize(
    ("lifetime_ms", "fine"),
    [(0, False), (-1, False), (1, True), (MAX_LIFETIME_MS, True), (MAX_LIFETIME_MS + 1, False)],
)
def test_it_expires_after_its_time_by_thirty_days_at_most(lifetime_ms: int, fine: bool) -> None:
    """Both ends of the span, to the millisecond."""
    raw = line(expirytime=times.format_ms(NOW_MS + lifetime_ms))
    if fine:
        assert parse_event(raw).expiry_ms == NOW_MS + lifetime_ms
    else:
        assert pointers(raw) == {"/expirytime"}


def test_size_ends_at_two_mebibytes_and_at_ten_for_a_manifest() -> None:
    """To the byte, and the schema that allows the larger one is asked for by its URN."""
    asked: list[str] = []

    def is_manifest(urn: str) -> bool:
        asked.append(urn)
        return True

    def of_size(size: int) -> bytes:
        return build_event(DRAFT, b'{"a":"%b"}' % (b"x" * (size - len(build_event(DRAFT, b'{"a":""}')))))

    assert parse_event(of_size(MAX_EVENT_BYTES), is_manifest=is_manifest).size == MAX_EVENT_BYTES
    assert not asked
    with pytest.raises(UnreadableEvent) as refused:
        parse_event(of_size(MAX_EVENT_BYTES + 1))
    assert [finding.code for finding in refused.value.errors] == ["E-SIZE"]
    assert refused.value.jti == JTI
    assert parse_event(of_size(MAX_EVENT_BYTES + 1), is_manifest=is_manifest)
    assert asked == ["urn:bcx:schema:case.referral:1.0.0"]
    assert parse_event(of_size(MAX_MANIFEST_EVENT_BYTES), is_manifest=is_manifest)
    with pytest.raises(UnreadableEvent):
        parse_event(of_size(MAX_MANIFEST_EVENT_BYTES + 1), is_manifest=is_manifest)


def test_a_newline_inside_is_refused() -> None:
    """It is JSON whitespace, and would be two lines to whoever splits again."""
    assert pointers(line().replace(b',"data"', b',\n"data"')) == {""}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({}, None),
        ({"source": VN}, SourceMismatch),
        ({"recipient": VN}, WrongRecipient),
        ({"environment": "prod"}, WrongRecipient),
        ({"source": VN, "recipient": VN}, SourceMismatch),
    ],
    ids=["mine", "another source", "another recipient", "another environment", "source goes first"],
)
def test_an_event_is_of_its_sender_and_for_me(changed: dict[str, Any], error: type[Exception] | None) -> None:
    """Step (6), in its order."""
    event = parse_event(build_event(replace(DRAFT, **changed), b"{}"))
    if error is None:
        check_addressing(event, iss=ID, me=KH, environment="test")
    else:
        with pytest.raises(error):
            check_addressing(event, iss=ID, me=KH, environment="test")


AHEAD = NOW_MS - CLOCK_TOLERANCE_MS  # an event at NOW_MS is 120 s ahead of this clock
END = DRAFT.expiry_ms


@pytest.mark.parametrize(
    ("now_ms", "iat_ms", "error", "retry_after_s"),
    [
        (NOW_MS, NOW_MS, None, None),
        (AHEAD, AHEAD, None, None),
        (AHEAD - 1, AHEAD, ClockSkew, 1),
        (AHEAD - 90_000, AHEAD, ClockSkew, 90),
        (AHEAD - 86_400_000, AHEAD, ClockSkew, 3600),
        (END - 1, END - 1, None, None),
        (END, END, Expired, None),
        (END + 1, END - 1, Expired, None),
        (END + 120_000, END - 1, ClockSkew, None),
        (END + 119_999, END - 1, Expired, None),
        (END + 500_000, END, Expired, None),
    ],
    ids=[
        "now", "120 s ahead", "one ms more", "wait is told", "wait is bounded", "last ms", "expiry itself",
        "sealed just before", "ours may run ahead", "not by enough", "sealed too late",
    ],
)  # fmt: skip
def test_clocks_defer_and_only_expiry_ends(
    now_ms: int, iat_ms: int, error: type[ClockSkew | Expired] | None, retry_after_s: int | None
) -> None:
    """Step (8): a wrong clock ends no message, whichever of the two is wrong."""
    event = parse_event(line())
    if error is None:
        check_clock(event, now_ms=now_ms, manifest_iat_ms=iat_ms)
        return
    with pytest.raises(error) as refused:
        check_clock(event, now_ms=now_ms, manifest_iat_ms=iat_ms)
    assert refused.value.retry_after_s == retry_after_s
    assert [finding.code for finding in refused.value.errors] == ["E-CLOCK"]


@pytest.mark.parametrize(
    "draft",
    [replace(DRAFT, case=None), replace(DRAFT, case_seq=None), replace(DRAFT, expiry_ms=NOW_MS)],
    ids=["number without case", "case without number", "expired at birth"],
)
def test_the_writer_refuses_what_no_reader_takes(draft: EventDraft) -> None:
    """Our own mistake shows here, not at the partner."""
    with pytest.raises(ValueError, match=r"case|expiry"):
        build_event(draft, b"{}")


def void_line(draft: EventDraft = VOID_DRAFT, data: object = None, **changed: object) -> bytes:
    """Build a void with other data or attributes."""
    good = {"voids": [{"seq": 4, "jti": JTI, "reason": "expired"}]}
    return line(draft, orjson.dumps(good if data is None else data), **changed)


def test_a_void_names_each_number_given_up() -> None:
    """Written and read back, those of a case with their number in it."""
    event = parse_event(build_void(VOID_DRAFT, GIVEN_UP))
    assert event.is_void
    assert parse_voids(event) == GIVEN_UP
    assert not parse_event(line()).is_void


def test_the_schema_of_a_void_is_the_empty_one() -> None:
    """`schemadigest` is SHA-256 over JCS of {}."""
    assert sha256(rfc8785.dumps({})).digest() == VOID_SCHEMA_DIGEST


def test_a_void_may_spell_its_numbers_as_the_attributes_do() -> None:
    """`streamseq` is a decimal text; the profile leaves the spelling in a void open."""
    row = {"seq": "4", "jti": JTI, "reason": "expired", "case": "XC-ID-2026-000123-8", "caseseq": "2"}
    assert parse_voids(parse_event(void_line(data={"voids": [row]})))[0].seq == 4


@pytest.mark.parametrize(
    ("at", "raw"),
    [
        ("/type", void_line(subject="XC-ID-2026-000123-8", caseseq="1")),
        ("/type", void_line(dataschema="urn:bcx:schema:void:1.0.1")),
        ("/type", void_line(schemadigest="A" * 43)),
        ("/data/voids", void_line(data={})),
        ("/data/voids", void_line(data={"voids": []})),
        ("/data/voids/0", void_line(data={"voids": [4]})),
        ("/data/voids/0/seq", void_line(data={"voids": [{"jti": JTI, "reason": "x"}]})),
        ("/data/voids/0/seq", void_line(data={"voids": [{"seq": 0, "jti": JTI, "reason": "x"}]})),
        ("/data/voids/0/seq", void_line(data={"voids": [{"seq": True, "jti": JTI, "reason": "x"}]})),
        ("/data/voids/0/seq", void_line(data={"voids": [{"seq": "04", "jti": JTI, "reason": "x"}]})),
        ("/data/voids/0/jti", void_line(data={"voids": [{"seq": 4, "jti": "x", "reason": "x"}]})),
        ("/data/voids/0/reason", void_line(data={"voids": [{"seq": 4, "jti": JTI}]})),
        ("/data/voids/0/reason", void_line(data={"voids": [{"seq": 4, "jti": JTI, "reason": "x" * 201}]})),
        (
            "/data/voids/0/caseseq",
            void_line(data={"voids": [{"seq": 4, "jti": JTI, "reason": "x", "caseseq": 1}]}),
        ),
        (
            "/data/voids/0/caseseq",
            void_line(data={"voids": [{"seq": 4, "jti": JTI, "reason": "x", "case": "XC-ID-2026-000123-8"}]}),
        ),
        (
            "/data/voids/0/case",
            void_line(
                data={"voids": [{"seq": 4, "jti": JTI, "reason": "x", "case": "XC-ID-2026-000123-9", "caseseq": 1}]}
            ),
        ),
        (
            "/data/voids/0/case",
            void_line(data={"voids": [{"seq": 4, "jti": JTI, "reason": "x", "case": 7, "caseseq": 1}]}),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_ill_formed_void_is_refused_on_reading(at: str, raw: bytes) -> None:
    """Steps (9)-(11) pass a void, so its form is judged in (5)."""
    assert pointers(raw) == {at}


@pytest.mark.parametrize(
    ("draft", "voids"),
    [
        (VOID_DRAFT, ()),
        (DRAFT, GIVEN_UP),
        (replace(VOID_DRAFT, schema_digest=bytes(32)), GIVEN_UP),
        (replace(VOID_DRAFT, case=CaseRef("XC-ID-2026-000123-8"), case_seq=1), GIVEN_UP),
    ],
    ids=["nothing given up", "another type", "another schema", "of a case"],
)
def test_the_writer_of_voids_refuses_what_is_none(draft: EventDraft, voids: tuple[Void, ...]) -> None:
    """Each rule of §5 on the way out."""
    with pytest.raises(ValueError, match="void"):
        build_void(draft, voids)


def test_a_parsed_event_is_a_draft_too() -> None:
    """`Event` adds data and size to what a draft says."""
    assert isinstance(parse_event(line()), Event)
    assert issubclass(Event, EventDraft)
