"""Makes and reads the seeds of one key: which files a use has, and how its public JWKs follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.keyring import disk, records
from gateway.keyring.records import KeyRecord, KeyUse
from gateway.primitives import b64u
from gateway.protocol.keys import OpenKey, SigningPair, bare_jwk, thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SUFFIXES: Final[Mapping[KeyUse, tuple[str, ...]]] = {
    "sig": ("ed25519", "mldsa65"),
    "enc": ("xwing",),
    "log": ("ed25519",),
    "witness": ("ed25519",),
}
PrivateKey = SigningPair | OpenKey | Ed25519PrivateKey


def generate(folder: Path, use: KeyUse, number: int, now_ms: int, entropy: Callable[[int], bytes]) -> KeyRecord:
    """Make and store the seeds of one key, active from now; the record is not in `keys.json` yet."""
    seeds = [entropy(disk.SEED_BYTES) for _ in SUFFIXES[use]]
    for suffix, seed in zip(SUFFIXES[use], seeds, strict=True):
        disk.write_private(folder / f"{use}-{number}.{suffix}", seed)
    public = tuple(_card_member(jwk, use) for jwk in _jwks(_private_key(use, seeds)))
    return KeyRecord(use, number, public, "active", now_ms, now_ms + records.LIFE_DAYS * records.DAY_MS)


def load(folder: Path, record: KeyRecord) -> PrivateKey:
    """Read the private key of a record. Raises ConfigurationError naming a missing or damaged file."""
    files = paths(folder, record)
    key = _private_key(record.use, [disk.read_seed(path) for path in files])
    for path, kid, jwk in zip(files, record.kids, _jwks(key), strict=True):
        if thumbprint(jwk) != kid:
            raise disk.damaged(path)
    return key


def paths(folder: Path, record: KeyRecord) -> list[Path]:
    """Return the seed files of a record."""
    return [folder / f"{record.name}.{suffix}" for suffix in SUFFIXES[record.use]]


def erase(folder: Path, record: KeyRecord) -> None:
    """Remove the seed files of a record."""
    for path in paths(folder, record):
        path.unlink(missing_ok=True)
    disk.sync_folder(folder)


def _private_key(use: KeyUse, seeds: Sequence[bytes]) -> PrivateKey:
    if use == "sig":
        return SigningPair(seeds[0], seeds[1])
    if use == "enc":
        return OpenKey(seeds[0])
    return Ed25519PrivateKey.from_private_bytes(seeds[0])


def _jwks(key: PrivateKey) -> tuple[dict[str, str], ...]:
    if isinstance(key, SigningPair):
        return key.public_jwks()
    if isinstance(key, OpenKey):
        return (key.public_jwk(),)
    return ({"kty": "OKP", "crv": "Ed25519", "x": b64u.encode(key.public_key().public_bytes_raw())},)


def _card_member(jwk: Mapping[str, str], use: KeyUse) -> dict[str, str]:
    """Return a JWK with `kid`, `alg` and `use`, as the card's `keys` want it."""
    bare = bare_jwk(jwk)
    alg = bare.get("alg", "Ed25519")
    return {**bare, "alg": alg, "use": "enc" if use == "enc" else "sig", "kid": thumbprint(bare)}
