"""Seal and open: what we seal, the page opens; what is bent, is refused in the page's order (§4.2-§4.5)."""

from __future__ import annotations

import base64
import json
from hashlib import sha256, shake_256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import (
    AuthenticationFailed,
    MalformedEnvelope,
    PartnerError,
    UnknownKey,
    UnsupportedProfile,
    WrongRecipient,
)
from gateway.primitives import b64u, times
from gateway.protocol import jwe, jws
from gateway.protocol.envelope import OpenedEnvelope, Sealed, open_sealed, seal
from gateway.protocol.ids import EnvelopeId, PartyId
from gateway.protocol.keys import OpenKey, SigningPair, VerifyKey
from gateway.protocol.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.protocol.ids import Kid

GOLDEN: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors/bcx-1.json").read_text())
SEED = b64u.decode(GOLDEN["recipient"]["private"]["xwing_seed"])
OPEN_KEY = OpenKey(SEED)
PRIVATE = GOLDEN["sender"]["private"]
PAIR = SigningPair(b64u.decode(PRIVATE["ed25519"]), b64u.decode(PRIVATE["mldsa65_seed"]))
HELD = {jwk["kid"]: VerifyKey.from_jwk(jwk) for jwk in GOLDEN["sender"]["keys"]}
ISS, AUD = PartyId("id.imigrasi"), PartyId("kh.gdi")
EID = EnvelopeId("01990000-0000-7000-8000-0000000000e9")
IAT_MS = times.parse_ms("2026-11-24T02:00:01.000Z")
EVENTS = [event.encode() for event in GOLDEN["events"]]


def fixed(size: int) -> bytes:
    """Stand in for chance: the bytes 0, 1, 2 and so on."""
    return bytes(range(size))


def held(kid: Kid, _alg: str) -> VerifyKey | None:
    """Answer with the golden sender's keys."""
    return HELD.get(kid)


def sealed(events: Sequence[bytes] = EVENTS, entropy: Callable[[int], bytes] = fixed) -> Sealed:
    """Seal from the golden sender to the golden recipient."""
    return seal(
        events,
        iss=ISS,
        aud=AUD,
        eid=EID,
        iat_ms=IAT_MS,
        signer=PAIR,
        recipient=OPEN_KEY.public(),
        entropy=entropy,
    )


def opened(raw: bytes, me: PartyId = AUD, peer: PartyId = ISS, keys: Sequence[OpenKey] = (OPEN_KEY,)) -> OpenedEnvelope:
    """Open as the golden recipient unless told otherwise."""
    ours = {key.kid: key for key in keys}
    return open_sealed(raw, me=me, peer=peer, open_key_for=ours.get, verify_key_for=held)


def plain(text: str | bytes) -> bytes:
    """Decode base64url with the standard library."""
    raw = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))


def with_header(raw: bytes, **changes: object) -> bytes:
    """Return the JWE with members of its header changed (None deletes)."""
    head, _, rest = raw.partition(b".")
    header = json.loads(plain(head)) | changes
    kept = {name: value for name, value in header.items() if value is not None}
    return b64u.encode_bytes(json.dumps(kept).encode()) + b"." + rest


def resealed(plaintext: bytes, *, iss: PartyId = ISS, aud: PartyId = AUD, eid: str = EID) -> bytes:
    """Seal any plaintext, as a partner with other code might."""
    return jwe.encrypt(plaintext, iss=iss, aud=aud, eid=eid, recipient=OPEN_KEY.public(), entropy=fixed)


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100])
def test_what_is_sealed_opens(count: int) -> None:
    """Every number of events an envelope may hold, also empty and binary-looking lines."""
    events = [b"" if index == 5 else b'{"n":%d}\r\x00\xff' % index for index in range(count)]
    made = sealed(events)
    found = opened(made.jwe)
    assert found.events == tuple(events)
    assert (found.manifest, found.digests) == (made.manifest, made.digests)
    assert found.manifest_sha256 == sha256(made.manifest).digest()
    assert (found.iss, found.aud, found.eid, found.iat_ms, found.kids) == (ISS, AUD, EID, IAT_MS, PAIR.kids)


def test_what_we_seal_opens_in_a_reading_without_our_code() -> None:
    """Standard library and raw keys only: the page, read a second time."""
    made = sealed()
    segments = made.jwe.split(b".")
    header = json.loads(plain(segments[0]))
    assert header | {"ek": None} == {
        "alg": "HPKE-9-KE",
        "enc": "A256GCM",
        "typ": "bcx-envelope+jwe",
        "cty": "bcx-envelope",
        "kid": GOLDEN["recipient"]["keys"][0]["kid"],
        "iss": "id.imigrasi",
        "aud": "kh.gdi",
        "eid": EID,
        "crit": ["bcx"],
        "bcx": "1",
        "ek": None,
    }
    wrapped, iv, ciphertext, tag = map(plain, segments[1:])
    assert (len(plain(header["ek"])), len(wrapped), len(iv), len(tag)) == (1120, 48, 12, 16)

    expanded = shake_256(SEED).digest(96)
    private = hpke.MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
    )
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.AES_256_GCM)
    info = b"JOSE-HPKE rcpt\xffA256GCM\xffid.imigrasi\nkh.gdi\n" + EID.encode()
    cek = suite.decrypt(plain(header["ek"]) + wrapped, private, info)
    plaintext = AESGCM(cek).decrypt(iv, ciphertext + tag, segments[0])

    manifest, *lines, end = plaintext.split(b"\n")
    assert (lines, end) == (EVENTS, b"")
    found = json.loads(manifest)
    leaves = [sha256(b"\x00" + line).digest() for line in lines]
    node = sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    root = sha256(b"\x01" + node + leaves[2]).digest()
    assert json.loads(plain(found["payload"])) == {
        "v": 1,
        "iss": "id.imigrasi",
        "aud": "kh.gdi",
        "eid": EID,
        "iat": "2026-11-24T02:00:01.000Z",
        "n": 3,
        "root": base64.urlsafe_b64encode(root).decode().rstrip("="),
    }
    ed25519, ml_dsa = (plain(jwk.get("x") or jwk["pub"]) for jwk in GOLDEN["sender"]["keys"])
    publics: tuple[Ed25519PublicKey | MLDSA65PublicKey, ...] = (
        Ed25519PublicKey.from_public_bytes(ed25519),
        MLDSA65PublicKey.from_public_bytes(ml_dsa),
    )
    for entry, public in zip(found["signatures"], publics, strict=True):
        public.verify(plain(entry["signature"]), f"{entry['protected']}.{found['payload']}".encode())


def test_fixed_entropy_fixes_content_key_and_iv() -> None:
    """All but the encapsulation (the system's own chance) follows from the entropy given."""
    made = sealed()
    head, _, iv, ciphertext, tag = made.jwe.split(b".")
    assert plain(iv) == bytes(range(12))
    plaintext = b"\n".join((made.manifest, *EVENTS, b""))
    assert AESGCM(bytes(range(32))).encrypt(bytes(range(12)), plaintext, head) == plain(ciphertext) + plain(tag)


def test_the_golden_envelope_is_sealed_again_as_far_as_it_is_determined() -> None:
    """Root and digests of the golden events; header, save `ek`, in the golden order."""
    made = sealed()
    assert b64u.encode(made.root) == GOLDEN["root"]
    assert [b64u.encode(digest) for digest in made.digests] == GOLDEN["event_digest"]
    golden = json.loads(plain(GOLDEN["jwe"].split(".")[0]))
    ours = json.loads(plain(made.jwe.split(b".")[0]))
    varying = {"ek": "", "eid": ""}
    assert list((ours | varying).items()) == list((golden | varying).items())


UNSEALABLE = {
    "no-event": ([], "1 to 100"),
    "hundred-and-one": ([b"{}"] * 101, "1 to 100"),
    "newline-inside": ([b'{"a":\n1}'], "one line"),
    "over-sixteen-mebibytes": ([bytes(2**20)] * 16, "16 MiB"),
}


@pytest.mark.parametrize("name", UNSEALABLE)
def test_what_no_envelope_may_hold_is_not_sealed(name: str) -> None:
    """The partner would refuse it, each time it is tried."""
    events, reason = UNSEALABLE[name]
    with pytest.raises(ValueError, match=reason):
        sealed(events)


def test_a_full_envelope_of_sixteen_mebibytes_opens() -> None:
    """The limit itself is allowed."""
    room = jwe.MAX_PLAINTEXT_BYTES - len(sealed([b""]).manifest) - 2
    assert len(opened(sealed([bytes(room)]).jwe).events[0]) == room


ORDER: dict[str, tuple[Callable[[bytes], bytes], type[PartnerError]]] = {
    "1-before-2": (lambda raw: with_header(raw, aud="vn.bca", zip="DEF"), MalformedEnvelope),
    "profile-before-members": (
        lambda raw: with_header(raw, bcx="2", zip="DEF", aud="vn.bca"),
        UnsupportedProfile,
    ),
    "profile-before-other-segments": (
        lambda raw: with_header(raw, bcx="2").rpartition(b".")[0] + b".=",
        UnsupportedProfile,
    ),
    "profile-of-another-shape": (lambda raw: with_header(raw, bcx=2), MalformedEnvelope),
    "segments-before-2": (lambda raw: with_header(raw, aud="vn.bca") + b"A", MalformedEnvelope),
    "2-aud-before-iss": (lambda raw: with_header(raw, aud="vn.bca", iss="vn.bca"), WrongRecipient),
    "2-iss-before-3": (lambda raw: with_header(raw, iss="vn.bca", kid="x"), AuthenticationFailed),
    "3-before-4": (lambda raw: with_header(raw, kid="x" * 43), UnknownKey),
    "4-header-is-authenticated": (with_header, AuthenticationFailed),
}


@pytest.mark.parametrize("name", ORDER)
def test_the_first_failure_decides(name: str) -> None:
    """Several faults at once: the step that comes first in §4.4 gives the answer."""
    bend, problem = ORDER[name]
    with pytest.raises(problem) as fault:
        opened(bend(GOLDEN["jwe"].encode()))
    assert fault.value.slug == problem.slug


HEADERS: dict[str, dict[str, object]] = {
    "zip": {"zip": "DEF"},
    "jku": {"jku": "x"},
    "x5c": {"x5c": []},
    "apu": {"apu": ""},
    "no-cty": {"cty": None},
    "alg": {"alg": "HPKE-9"},
    "crit-twice": {"crit": ["bcx", "bcx"]},
    "crit-text": {"crit": "bcx"},
    "kid-a-number": {"kid": 1},
    "kid-an-object": {"kid": {}},
    "iss-a-list": {"iss": ["id.imigrasi"]},
    "aud-null-like": {"aud": False},
    "eid-not-uuid7": {"eid": "01990000-0000-4000-8000-0000000000e9"},
    "eid-upper-case": {"eid": EID.upper()},
    "eid-line-feed": {"eid": EID + "\n"},
    "ek-short": {"ek": "AAAA"},
    "ek-padded": {"ek": "AAA="},
    "ek-not-ascii": {"ek": "\u00e9" * 1494},
    "ek-a-number": {"ek": 0},
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_not_exactly_the_profiles_is_malformed(name: str) -> None:
    """One changed member each."""
    with pytest.raises(MalformedEnvelope):
        opened(with_header(GOLDEN["jwe"].encode(), **HEADERS[name]))


def test_limits_are_looked_at_before_work_is_done() -> None:
    """Request, header and ciphertext each over by one; the bytes behind are never decoded."""
    head, wrapped, iv, body, tag = GOLDEN["jwe"].encode().split(b".")
    longest = (jwe.MAX_PLAINTEXT_BYTES * 4 + 2) // 3
    for raw, reason in (
        (b"!" * (jwe.MAX_REQUEST_BYTES + 1), "24 MiB"),
        (b".".join((b"!" * (jwe.MAX_HEADER_BYTES + 1), wrapped, iv, body, tag)), "8 KiB"),
        (b".".join((head, wrapped, iv, b"!" * (longest + 1), tag)), "16 MiB"),
    ):
        with pytest.raises(MalformedEnvelope, match=reason):
            opened(raw)


def signed(events: Sequence[bytes], **changes: object) -> bytes:
    """Return a plaintext whose manifest payload has members changed (None deletes), signed as usual."""
    payload = json.loads(jws.peek_payload(sealed(events or [b""]).manifest)) | changes
    kept = {name: value for name, value in payload.items() if value is not None}
    manifest = jws.sign(json.dumps(kept).encode(), "bcx-manifest+jws", PAIR)
    return b"\n".join((manifest, *events, b""))


INSIDES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no-newline": lambda: b"{}",
    "last-line-unended": lambda: signed(EVENTS)[:-1],
    "blank-line-behind": lambda: signed(EVENTS) + b"\n",
    "bytes-behind-the-last-line": lambda: signed(EVENTS) + b"x",
    "only-newlines": lambda: b"\n" * 1_000_000,
    "manifest-over-16-kib": lambda: b" " * 16_384 + signed(EVENTS),
    "one-more-member": lambda: signed(EVENTS, zip=1),
    "one-member-less": lambda: signed(EVENTS, iat=None),
    "version-2": lambda: signed(EVENTS, v=2),
    "version-true": lambda: signed(EVENTS, v=True),
    "n-as-text": lambda: signed(EVENTS, n="3"),
    "n-true": lambda: signed(EVENTS[:1], n=True),
    "n-zero": lambda: signed(EVENTS, n=0),
    "n-more": lambda: signed(EVENTS, n=4),
    "root-short": lambda: signed(EVENTS, root=GOLDEN["root"][:-2]),
    "root-padded": lambda: signed(EVENTS, root=GOLDEN["root"] + "="),
    "root-of-other-events": lambda: signed(EVENTS, root=b64u.encode(bytes(32))),
    "iat-without-zone": lambda: signed(EVENTS, iat="2026-11-24T02:00:01.000"),
    "iss-differs": lambda: signed(EVENTS, iss="vn.bca"),
    "aud-differs": lambda: signed(EVENTS, aud="vn.bca"),
    "eid-differs": lambda: signed(EVENTS, eid="01990000-0000-7000-8000-0000000000ff"),
    "events-swapped": lambda: b"\n".join((signed(EVENTS).split(b"\n")[0], *reversed(EVENTS), b"")),
}


@pytest.mark.parametrize("name", INSIDES)
def test_every_fault_inside_looks_alike_to_the_peer(name: str) -> None:
    """Sealed well, wrong within: always authentication-failed, the reason in detail, no event quoted."""
    with pytest.raises(AuthenticationFailed) as fault:
        opened(resealed(INSIDES[name]()))
    assert (fault.value.slug, fault.value.errors) == ("authentication-failed", ())
    assert fault.value.detail
    assert "vn.bca" not in fault.value.detail


def test_a_manifest_alone_must_hold_a_whole_root() -> None:
    """Read as evidence, without its events, a short root proves nothing."""
    with pytest.raises(AuthenticationFailed, match="root is not 32 bytes"):
        read_manifest(signed([], root=b64u.encode(bytes(31))).split(b"\n")[0], held)


def test_a_manifest_cannot_be_moved_to_another_envelope() -> None:
    """A genuine manifest with its events, sealed again under another id, recipient's bytes intact."""
    plaintext = b"\n".join((sealed().manifest, *EVENTS, b""))
    assert opened(resealed(plaintext)).events == tuple(EVENTS)
    with pytest.raises(AuthenticationFailed):
        opened(resealed(plaintext, eid="01990000-0000-7000-8000-0000000000ff"))


def test_a_wrapped_key_cannot_be_moved_to_another_envelope() -> None:
    """HPKE info binds it: header renamed and encrypted afresh under the stolen content key still fails."""
    made = sealed()
    _, wrapped, iv, _, _ = made.jwe.split(b".")
    header = with_header(made.jwe, eid="01990000-0000-7000-8000-0000000000ff").split(b".")[0]
    plaintext = signed(EVENTS, eid="01990000-0000-7000-8000-0000000000ff")
    both = AESGCM(fixed(32)).encrypt(fixed(12), plaintext, header)
    raw = b".".join((header, wrapped, iv, b64u.encode_bytes(both[:-16]), b64u.encode_bytes(both[-16:])))
    with pytest.raises(AuthenticationFailed, match="unwrap"):
        opened(raw)


def test_no_key_opens_nothing() -> None:
    """Fails closed when the key ring is empty, or no signer is held."""
    with pytest.raises(UnknownKey):
        opened(sealed().jwe, keys=())
    with pytest.raises(AuthenticationFailed):
        open_sealed(
            sealed().jwe,
            me=AUD,
            peer=ISS,
            open_key_for=lambda _kid: OPEN_KEY,
            verify_key_for=lambda _kid, _alg: None,
        )


def test_an_envelope_sealed_to_another_key_does_not_open() -> None:
    """Even where the header's `kid` is made to name ours."""
    stranger = OpenKey(b"\x05" * 32)
    made = seal(
        EVENTS,
        iss=ISS,
        aud=AUD,
        eid=EID,
        iat_ms=IAT_MS,
        signer=PAIR,
        recipient=stranger.public(),
        entropy=fixed,
    )
    with pytest.raises(UnknownKey):
        opened(made.jwe)
    with pytest.raises(AuthenticationFailed):
        opened(with_header(made.jwe, kid=OPEN_KEY.kid))
    assert opened(made.jwe, keys=(stranger,)).events == tuple(EVENTS)
