"""A second reading of docs/protocol.md §3 to §8 and §14.1: opened by its formulas and nothing of ours."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from hashlib import sha3_256, sha256, shake_256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.protocol.attachment import AttachmentId, Opening, Sealing, context
from gateway.protocol.ids import PartyId
from tests.docs.pages import ROOT

VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/bcx-1.json").read_text("utf-8"))


def unb64u(text: str) -> bytes:
    """Decode §2.1."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def lp(value: bytes) -> bytes:
    """Return `lp` of §8.3."""
    return len(value).to_bytes(2, "big") + value


def plaintext(jwe: str, seed: bytes) -> bytes:
    """Open §8.3 and §8.4 with the private key of §3.3."""
    head, wrapped, iv, ciphertext, tag = jwe.split(".")
    header = json.loads(unb64u(head))
    enc = unb64u(header["ek"])
    expanded = shake_256(seed).digest(96)
    kem, scalar = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
    ss_m = kem.decapsulate(enc[:1088])
    ss_x = scalar.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    pk_x = scalar.public_key().public_bytes_raw()
    ss = sha3_256(ss_m + ss_x + enc[1088:] + pk_x + bytes.fromhex("5c2e2f2f5e5c")).digest()
    info = b"JOSE-HPKE rcpt\xffA256GCM\xff" + "\n".join((header["iss"], header["aud"], header["eid"])).encode()
    suite_id = b"HPKE" + bytes.fromhex("647a 0011 0002")
    context = b"\0" + lp(b"") + lp(info)
    schedule = shake_256(lp(b"") + lp(ss) + b"HPKE-v1" + suite_id + lp(b"secret") + b"\0\x6c" + context).digest(108)
    cek = AESGCM(schedule[:32]).decrypt(schedule[32:44], unb64u(wrapped), b"")
    return AESGCM(cek).decrypt(unb64u(iv), unb64u(ciphertext) + unb64u(tag), head.encode())


def root(leaves: list[bytes]) -> bytes:
    """Return the RFC 6962 tree hash of §15.2."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def test_the_golden_envelope_opens_by_the_formulas_of_the_page() -> None:
    """HPKE, JWE, manifest and root come out as the vectors say, without a line of gateway code."""
    lines = plaintext(VECTORS["jwe"], unb64u(VECTORS["recipient"]["private"]["xwing_seed"])).split(b"\n")
    assert lines.pop() == b""
    manifest, events = lines[0], lines[1:]
    assert manifest.decode() == VECTORS["manifest"]
    signed = json.loads(manifest)
    payload = json.loads(unb64u(signed["payload"]))
    digests = [sha256(b"\0" + event).digest() for event in events]
    assert payload["n"] == len(events)
    assert unb64u(payload["root"]) == root(digests)
    public = {key["kty"]: unb64u(key.get("x") or key["pub"]) for key in VECTORS["sender"]["keys"]}
    verifiers = (
        Ed25519PublicKey.from_public_bytes(public["OKP"]),
        MLDSA65PublicKey.from_public_bytes(public["AKP"]),
    )
    for verifier, entry in zip(verifiers, signed["signatures"], strict=True):
        verifier.verify(unb64u(entry["signature"]), f"{entry['protected']}.{signed['payload']}".encode())


def test_the_fingerprint_of_the_golden_card_is_computed_as_the_page_says() -> None:
    """Two officers with two programs read the same eight groups aloud."""
    roots = [{name: key[name] for name in sorted(key)} for key in VECTORS["card"]["roots"]]
    digest = sha256(json.dumps(roots, separators=(",", ":")).encode()).digest()
    groups = [int.from_bytes(digest[at : at + 4], "big") % 100_000 for at in range(0, 32, 4)]
    assert " ".join(f"{group:05d}" for group in groups) == VECTORS["card"]["fingerprint"]


def chunks(key: bytes, about: bytes, head: bytes) -> tuple[AESGCM, bytes, bytes]:
    """Return cipher, base nonce and commitment of §14.1."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + head + about
    derived = HKDFExpand(SHA512(), 32 + 12 + 32, info).derive(key)
    return AESGCM(derived[:32]), derived[32:44], derived[44:]


def nonce(base: bytes, number: int) -> bytes:
    """Return the nonce of a chunk, counted from 0."""
    return (int.from_bytes(base) ^ number).to_bytes(12)


def sealed_chunks(key: bytes, about: bytes, salt: bytes, plain: bytes) -> bytes:
    """Encrypt §14.1: chunks of 16 KiB, the last one shorter."""
    cipher, base, commitment = chunks(key, about, salt)
    parts = [plain[at : at + 16_384] for at in range(0, len(plain) + 1, 16_384)]
    return salt + commitment + b"".join(cipher.encrypt(nonce(base, n), part, b"") for n, part in enumerate(parts))


def test_an_attachment_opens_both_ways_by_the_formulas_of_the_page() -> None:
    """Around the ends of chunks and past 256 of them: what we seal opens there, what is sealed there opens here."""
    key, salt, name = os.urandom(32), os.urandom(24), "0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c42"
    about = b"bcx-attachment/1\nid.imigrasi\nkh.gdi\n" + name.encode()
    ours = context(PartyId("id.imigrasi"), PartyId("kh.gdi"), AttachmentId(name))
    for size in (1, 16_383, 16_384, 16_385, 32_768, 257 * 16_384 + 7):
        plain = os.urandom(size)
        sealing = Sealing(key, ours)
        sealed = sealing.add(plain) + sealing.end()
        assert sealed == sealed_chunks(key, about, sealed[:24], plain)
        opening = Opening(key, ours)
        assert opening.add(sealed_chunks(key, about, salt, plain)) + opening.end() == plain
