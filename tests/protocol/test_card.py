"""Party cards: the golden one, what is no card, which key counts when, and what may follow a pinned card."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import Conflict, MalformedCard, WrongRecipient
from gateway.primitives import strictjson, times
from gateway.protocol import jws
from gateway.protocol.card import (
    MAX_CARD_BYTES,
    Card,
    CardDraft,
    CardKey,
    OtherRoots,
    build_payload,
    check_enrolment,
    compare_cards,
    fingerprint,
    make_key,
    read_card,
    sign_card,
    sign_payload,
)
from gateway.protocol.ids import PartyId
from gateway.protocol.keys import OpenKey, SigningPair

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "bcx-1.json").read_bytes())["card"]
GOLDEN_CARD = read_card(GOLDEN["jws"].encode())
NOW_MS = times.parse_ms("2026-11-24T02:00:00.000Z")
DAY_MS = 86_400_000
ROOTS, OTHER = SigningPair(b"r" * 32, b"r" * 32), SigningPair(b"o" * 32, b"o" * 32)
PAIR = SigningPair(b"m" * 32, b"m" * 32)
OPEN_KEYS = [OpenKey(bytes([at]) * 32) for at in range(1, 5)]
LOW_ORDER = bytes(32)  # y = 0: a point of order 4


def vkey(name: str, type_byte: int, public: bytes) -> str:
    """Write a C2SP vkey by hand."""
    raw = bytes([type_byte]) + public
    key_id = sha256(name.encode() + b"\n" + raw).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(raw).decode()}"


POINT = base64.urlsafe_b64decode(PAIR.public_jwks()[0]["x"] + "=")
SPAN: dict[str, Any] = {"nbf_ms": NOW_MS - DAY_MS, "exp_ms": NOW_MS + 30 * DAY_MS}
SEAL = make_key(OPEN_KEYS[0].public_jwk(), **SPAN)
DRAFT = CardDraft(
    party=PartyId("kh.gdi"),
    name="General Department of Immigration",
    country="KH",
    environment="test",
    version=4,
    issued_ms=NOW_MS - DAY_MS,
    expires_ms=NOW_MS + 60 * DAY_MS,
    endpoint="https://gdi.example:8443/bcx/v1",
    keys=(*(make_key(jwk, **SPAN) for jwk in PAIR.public_jwks()), SEAL),
    log_origin="kh.gdi/bcx/log/1",
    log_vkey=vkey("kh.gdi/bcx/log/1", 1, POINT),
    witness_vkey=vkey("kh.gdi/bcx/witness/1", 4, POINT),
    tls_ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    roots=ROOTS.public_jwks(),
    schemas={"case.referral": ("1.0.0", "1.1.0")},
)
CARD = sign_card(DRAFT, ROOTS)


def changed(**parts: Any) -> Card:
    """Sign the usual card with some parts changed."""
    return sign_card(replace(DRAFT, **parts), ROOTS)


def signed(change: Callable[[dict[str, Any]], object], signer: SigningPair = ROOTS) -> bytes:
    """Change the payload in a way the writer never would, and sign that."""
    payload = json.loads(build_payload(DRAFT))
    change(payload)
    return jws.sign(strictjson.dumps(payload), jws.CARD_TYP, signer)


def test_the_golden_card_is_read_and_its_fingerprint_is_the_published_one() -> None:
    """The fingerprint two officers read aloud, from the roots alone."""
    assert GOLDEN_CARD.fingerprint == GOLDEN["fingerprint"] == fingerprint(GOLDEN["roots"])
    assert [dict(root) for root in GOLDEN_CARD.roots] == GOLDEN["roots"]
    assert (GOLDEN_CARD.party, GOLDEN_CARD.version, GOLDEN_CARD.environment) == ("kh.gdi", 1, "test")


def test_the_golden_payload_is_rebuilt_byte_for_byte() -> None:
    """What the reader takes apart the writer puts together again."""
    assert build_payload(GOLDEN_CARD) == GOLDEN_CARD.payload


def test_what_is_signed_is_read_back() -> None:
    """Every field, statuses and a revocation included."""
    revoked = replace(SEAL, status="revoked", revoked_ms=NOW_MS)
    card = changed(keys=(*DRAFT.keys[:2], revoked))
    again = read_card(card.raw)
    assert again == card
    assert again.keys == (*DRAFT.keys[:2], revoked)
    assert {name: getattr(read_card(CARD.raw), name) for name in CardDraft.__slots__} == {
        name: getattr(DRAFT, name) for name in CardDraft.__slots__
    }


def test_a_card_signed_by_others_than_its_roots_is_none() -> None:
    """Anyone can put a party's roots into a payload."""
    raw = signed(lambda _payload: None, OTHER)
    with pytest.raises(MalformedCard):
        read_card(raw)
    with pytest.raises(MalformedCard):
        sign_payload(build_payload(DRAFT), OTHER)


@pytest.mark.parametrize("which", [0, 1], ids=["Ed25519", "ML-DSA-65"])
def test_both_roots_sign(which: int) -> None:
    """One good signature beside one bad is none."""
    document = json.loads(CARD.raw)
    signature = document["signatures"][which]["signature"]
    document["signatures"][which]["signature"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    with pytest.raises(MalformedCard):
        read_card(json.dumps(document).encode())


def test_another_signed_object_of_the_roots_is_no_card() -> None:
    """`typ` ties the signature to its purpose."""
    with pytest.raises(MalformedCard):
        read_card(jws.sign(CARD.payload, jws.RECEIPT_TYP, ROOTS))


def test_an_oversized_card_is_refused_unread() -> None:
    """A stranger's card must not cost work in proportion to its size."""
    with pytest.raises(MalformedCard, match="size"):
        read_card(b" " * (MAX_CARD_BYTES + 1))


# What moves a cursor, turns a line, makes two lines of one, or is not seen at all.
STEERING = ("\x1b[31m", "\x00", "\n", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\u200b", "\ufeff")


def _set(*path: Any) -> Callable[[dict[str, Any]], object]:
    """Return a change that sets the value at a path; the last of `path` is the value."""

    def change(payload: Any) -> None:
        *way, last, value = path
        for step in way:
            payload = payload[step]
        payload[last] = value

    return change


def _drop(*path: Any) -> Callable[[dict[str, Any]], object]:
    """Return a change that takes a member away."""

    def change(payload: Any) -> None:
        *way, last = path
        for step in way:
            payload = payload[step]
        del payload[last]

    return change


def _twice(payload: dict[str, Any]) -> None:
    payload["keys"].append(payload["keys"][0])


LOW = base64.urlsafe_b64encode(LOW_ORDER).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("at", "change"),
    [
        *((f"/{name}", _drop(name)) for name in json.loads(build_payload(DRAFT))),
        ("", _set("extra", 1)),
        ("/v", _set("v", 2)),
        ("/v", _set("v", True)),
        ("/party", _set("party", "KH.gdi")),
        ("/country", _set("country", "ID")),
        ("/name", _set("name", "")),
        ("/name", _set("name", "x" * 201)),
        *(("/name", _set("name", f"GDI{hidden}x")) for hidden in STEERING),
        *(("/profiles", _set("profiles", ["1", f"2{hidden}"])) for hidden in STEERING),
        *(("/endpoint", _set("endpoint", f"https://gdi.example/b{hidden}cx")) for hidden in (*STEERING, "\u00e9")),
        ("/environment", _set("environment", "staging")),
        ("/version", _set("version", 0)),
        ("/version", _set("version", "4")),
        ("/issued", _set("issued", "2026-11-01")),
        ("/expires", _set("expires", "2020-01-01T00:00:00.000Z")),
        ("/endpoint", _set("endpoint", "http://gdi.example/bcx")),
        ("/endpoint", _set("endpoint", "https://")),
        ("/endpoint", _set("endpoint", "https://u:p@gdi.example/bcx")),
        ("/endpoint", _set("endpoint", "https://gdi.example/bcx?x=1")),
        ("/endpoint", _set("endpoint", "https://gdi.example/bcx/")),
        ("/endpoint", _set("endpoint", "https://gdi.example:99999/bcx")),
        ("/endpoint", _set("endpoint", "https://[::1/bcx")),
        ("/endpoint", _set("endpoint", "https://gdi.example/b cx")),
        ("/profiles", _set("profiles", ["2"])),
        ("/profiles", _set("profiles", [])),
        ("/keys", _set("keys", {})),
        ("/keys", _twice),
        ("/keys/0/kid", _drop("keys", 0, "kid")),
        ("/keys/0", _set("keys", 0, "kid", "A" * 43)),
        ("/keys/0", _set("keys", 0, "extra", "x")),
        ("/keys/0/alg", _set("keys", 0, "alg", "ES256")),
        ("/keys/0/use", _set("keys", 0, "use", "enc")),
        ("/keys/0/status", _set("keys", 0, "status", "old")),
        ("/keys/0/nbf", _set("keys", 0, "nbf", 0)),
        ("/keys/0/exp", _set("keys", 0, "exp", "2020-01-01T00:00:00.000Z")),
        ("/keys/0/revoked", _set("keys", 0, "revoked", None)),
        ("/keys/1", _set("keys", 1, "pub", "AAAA")),
        ("/keys/1/use", _set("keys", 1, "alg", "HPKE-9-KE")),
        ("/keys/2/use", _set("keys", 2, "alg", "ML-DSA-65")),
        ("/keys/2", _set("keys", 2, "pub", "AAAA")),
        ("/log", _set("log", "url", "x")),
        ("/log/origin", _set("log", "origin", "id.imigrasi/bcx/log/1")),
        ("/log/vkey", _set("log", "origin", "kh.gdi/bcx/log/2")),
        ("/log/vkey", _set("log", "vkey", vkey("kh.gdi/bcx/log/1", 4, POINT))),
        ("/log/vkey", _set("log", "vkey", vkey("kh.gdi/bcx/log/1", 1, LOW_ORDER))),
        ("/log/vkey", _set("log", "vkey", DRAFT.log_vkey.replace("+", "+0", 1))),
        ("/log/vkey", _set("log", "vkey", "kh.gdi/bcx/log/1")),
        ("/witness/vkey", _set("witness", "vkey", vkey("id.imigrasi/bcx/witness/1", 4, POINT))),
        ("/witness/vkey", _set("witness", "vkey", vkey("kh.gdi/bcx/witness/1", 1, POINT))),
        ("/tls/ca", _set("tls", "ca", "no certificate")),
        ("/tls/ca", _set("tls", "ca", DRAFT.tls_ca * 3)),
        ("/roots", _set("roots", list(ROOTS.public_jwks()[:1]))),
        ("/roots/0/crv", _set("roots", list(ROOTS.public_jwks()[::-1]))),
        ("/roots/0", _set("roots", 0, "alg", "Ed25519")),
        ("/roots/0", _set("roots", 0, "x", LOW)),
        ("/schemas", _set("schemas", {"case.referral": "1.0.0"})),
        ("/schemas", _set("schemas", {"case.referral": ["1.0"]})),
        ("/schemas", _set("schemas", {"Case": ["1.0.0"]})),
        ("/schemas", _set("schemas", [])),
    ],
)
def test_a_payload_that_is_no_card_is_refused_though_signed(
    at: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """Exactly the members of §2, each of its form; the finding points at the fault."""
    with pytest.raises(MalformedCard) as refused:
        read_card(signed(change))
    assert [finding.pointer for finding in refused.value.errors] == [at]


def test_a_low_order_key_is_refused_at_enrolment() -> None:
    """Under a key of small order one signature fits many messages."""

    def weaken(payload: dict[str, Any]) -> None:
        payload["keys"][0]["x"] = LOW
        canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{LOW}"}}'.encode()
        payload["keys"][0]["kid"] = base64.urlsafe_b64encode(sha256(canonical).digest()).rstrip(b"=").decode()

    with pytest.raises(MalformedCard, match="low"):
        read_card(signed(weaken))
    with pytest.raises(ValueError, match="low"):
        make_key({"kty": "OKP", "crv": "Ed25519", "x": LOW}, **SPAN)


@pytest.mark.parametrize(
    ("parts", "at_ms", "counts"),
    [
        ({}, NOW_MS, True),
        ({}, SPAN["nbf_ms"], True),
        ({}, SPAN["nbf_ms"] - 1, False),
        ({}, SPAN["exp_ms"] - 1, True),
        ({}, SPAN["exp_ms"], False),
        ({"status": "retiring"}, NOW_MS, True),
        ({"status": "next"}, NOW_MS, False),
        ({"status": "next", "revoked_ms": NOW_MS + 1}, NOW_MS, False),
        ({"status": "revoked"}, NOW_MS, False),
        ({"status": "revoked", "revoked_ms": NOW_MS + 1}, NOW_MS, True),
        ({"status": "revoked", "revoked_ms": NOW_MS}, NOW_MS, False),
        ({"status": "active", "revoked_ms": NOW_MS}, NOW_MS, False),
        ({"status": "active", "revoked_ms": NOW_MS + 1}, NOW_MS, True),
        ({"status": "revoked", "revoked_ms": NOW_MS + 1}, SPAN["nbf_ms"] - 1, False),
    ],
)
def test_a_key_counts_in_its_span_and_status(parts: dict[str, Any], at_ms: int, counts: bool) -> None:
    """`nbf` included, `exp` excluded; a revocation ahead does not count yet."""
    key = replace(DRAFT.keys[0], **parts)
    assert key.counts(at_ms) is counts
    card = changed(keys=(key, *DRAFT.keys[1:]))
    found = card.verify_key(key.kid, "Ed25519", at_ms)
    assert (found is not None) is counts
    assert found is None or found.kid == key.kid


def test_no_key_counts_after_the_card_has_expired() -> None:
    """A party that stopped publishing cards is not trusted on."""
    keys = tuple(replace(key, exp_ms=DRAFT.expires_ms + DAY_MS) for key in DRAFT.keys)
    card = changed(keys=keys)
    for at_ms, counts in ((DRAFT.expires_ms - 1, True), (DRAFT.expires_ms, False)):
        assert (card.verify_key(keys[0].kid, "Ed25519", at_ms) is not None) is counts
        assert (card.seal_key(at_ms) is not None) is counts


def test_a_key_is_found_under_its_own_algorithm_only() -> None:
    """Nor does an encryption key verify."""
    ed25519, ml_dsa, seal = DRAFT.keys
    assert CARD.verify_key(ed25519.kid, "ML-DSA-65", NOW_MS) is None
    assert CARD.verify_key(ml_dsa.kid, "ML-DSA-65", NOW_MS) is not None
    assert CARD.verify_key(seal.kid, "HPKE-9-KE", NOW_MS) is None


def _seal(at: int, nbf_ms: int, **parts: Any) -> CardKey:
    return replace(make_key(OPEN_KEYS[at].public_jwk(), nbf_ms=nbf_ms, exp_ms=NOW_MS + DAY_MS), **parts)


def test_one_seals_to_the_active_key_with_the_latest_start() -> None:
    """Neither to the retiring nor to the coming one, nor to one that is not valid yet."""
    keys = (
        _seal(0, NOW_MS - 5),
        _seal(1, NOW_MS - 4),
        _seal(2, NOW_MS - 1, status="retiring"),
        _seal(3, NOW_MS + 1),
    )
    card = changed(keys=(*DRAFT.keys[:2], *keys))
    found = card.seal_key(NOW_MS)
    assert found is not None
    assert found.kid == keys[1].kid
    assert changed(keys=(*DRAFT.keys[:2], keys[2])).seal_key(NOW_MS) is None
    revoked = replace(keys[0], status="revoked", revoked_ms=NOW_MS + 9)
    assert changed(keys=(*DRAFT.keys[:2], revoked)).seal_key(NOW_MS) is None


def test_a_first_card_is_for_my_environment_and_usable() -> None:
    """Else enrolment succeeds and nothing ever works."""
    check_enrolment(CARD, environment="test", now_ms=NOW_MS)
    check_enrolment(GOLDEN_CARD, environment="test", now_ms=NOW_MS)
    with pytest.raises(WrongRecipient):
        check_enrolment(CARD, environment="prod", now_ms=NOW_MS)
    with pytest.raises(MalformedCard, match="expired"):
        check_enrolment(CARD, environment="test", now_ms=DRAFT.expires_ms)
    for at in range(3):
        keys = tuple(key for place, key in enumerate(DRAFT.keys) if place != at)
        with pytest.raises(MalformedCard, match="counts"):
            check_enrolment(changed(keys=keys), environment="test", now_ms=NOW_MS)


def test_a_later_version_under_the_same_roots_follows() -> None:
    """The same card again is no news, a higher version is."""
    assert compare_cards(CARD, read_card(CARD.raw)) == "same"
    assert compare_cards(CARD, changed(version=5, endpoint="https://new.example/bcx")) == "newer"


def test_one_payload_signed_twice_is_the_same_card() -> None:
    """ML-DSA signatures are randomised: other bytes, one story."""
    assert compare_cards(CARD, sign_payload(CARD.payload, ROOTS)) == "same"


@pytest.mark.parametrize(
    ("offered", "error"),
    [
        (changed(version=3), MalformedCard),
        (changed(endpoint="https://new.example/bcx"), Conflict),
        (
            changed(
                version=5,
                party=PartyId("kh.other"),
                log_origin="kh.other/bcx/log/1",
                log_vkey=vkey("kh.other/bcx/log/1", 1, POINT),
                witness_vkey=vkey("kh.other/bcx/witness/1", 4, POINT),
            ),
            MalformedCard,
        ),
        (changed(version=5, environment="prod"), MalformedCard),
        (sign_card(replace(DRAFT, version=5, roots=OTHER.public_jwks()), OTHER), OtherRoots),
        (sign_card(replace(DRAFT, roots=OTHER.public_jwks()), OTHER), OtherRoots),
    ],
    ids=[
        "older",
        "same version, other bytes",
        "other party",
        "other environment",
        "other roots",
        "other roots, same version",
    ],
)
def test_what_may_not_follow_a_pinned_card(offered: Card, error: type[Exception]) -> None:
    """Each refusal has its own class, since each asks for another act: nothing, alarm, enrol anew."""
    with pytest.raises(MalformedCard if error is MalformedCard else error) as refused:
        compare_cards(CARD, offered)
    assert type(refused.value) is error


def test_other_roots_tell_what_to_do() -> None:
    """The operator reads that a new enrolment is needed."""
    with pytest.raises(OtherRoots, match="enrol"):
        compare_cards(CARD, sign_card(replace(DRAFT, version=5, roots=OTHER.public_jwks()), OTHER))
