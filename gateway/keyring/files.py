"""The key ring in files under `keys/`: a party's private keys, and `keys.json`, which says what each is for.

    root.ed25519 root.mldsa65    seeds of the root pair; may live offline, then only cards cannot be signed
    sig-N.ed25519 sig-N.mldsa65  seeds of a signing pair
    enc-N.xwing                  seed of an encryption key
    log-N.ed25519 witness-N.…    seeds of the log and witness keys
    kek                          32 bytes: the key-encryption key of the data at rest
    ca.key ca.pem                the party's own CA
    exchange-{server,client}.*, api.*   certificates it issued, with their keys
    keys.json                    public keys, status, validity

Every stored seed is checked against the public key in `keys.json` when the ring is opened, so that a damaged
or swapped file is named at the start and not by a partner who refuses our signatures.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import Clash, ConfigurationError, KeysNotValid, LedgerError, NotFound
from gateway.keyring import authority, disk, material, records
from gateway.primitives.times import format_ms
from gateway.protocol.event import CLOCK_TOLERANCE_MS
from gateway.protocol.keys import OpenKey, SigningPair, bare_jwk, thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.keyring.records import KeyRecord, KeyUse
    from gateway.protocol.ids import Kid, PartyId

METADATA: Final = "keys.json"
KEK: Final = "kek"
ROOT_FILES: Final = ("root.ed25519", "root.mldsa65")
_LEAVES: Final[tuple[tuple[authority.Use, str, float], ...]] = (
    ("server", "exchange-server", authority.RENEW_EXCHANGE_DAYS),
    ("client", "exchange-client", authority.RENEW_EXCHANGE_DAYS),
    ("api", "api", authority.RENEW_API_DAYS),
)


class TlsPaths(NamedTuple):
    """The PEM files the listeners and the partner link load."""

    ca_certificate: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    api_certificate: Path
    api_key: Path


class Hosts(NamedTuple):
    """Host names or IPs of `exchange.url` and `api.url`: what the two server certificates answer to."""

    exchange: str
    api: str


class FileKeyRing:
    """Our private keys; made by `create_keys`, read by `open_keys`; changes are durable on return."""

    def __init__(
        self, folder: Path, party: PartyId, roots: tuple[dict[str, str], ...], held: tuple[KeyRecord, ...]
    ) -> None:
        self._folder = folder
        self._party = party
        self._roots = roots
        self._records: tuple[KeyRecord, ...] = ()
        self._highest: dict[KeyUse, int] = {}
        self._private: dict[str, material.PrivateKey] = {}
        self._pairs: dict[str, SigningPair] = {}
        self._open_keys: dict[Kid, OpenKey] = {}
        self._kek = disk.read_seed(folder / KEK)
        self._root = self._load_root()
        self._hold(held)

    def __repr__(self) -> str:
        return f"FileKeyRing({self._party}, {', '.join(f'{r.name} {r.status}' for r in self._records)})"

    # --- what services use ------------------------------------------------------------------------

    def signer(self, now_ms: int) -> SigningPair:
        """Return the pair that signs manifests and receipts. Raises KeysNotValid when none is valid."""
        chosen = records.signing_record(self._records, now_ms)
        if chosen is None:
            later = min((r.nbf_ms for r in self._records if r.use == "sig" and r.nbf_ms > now_ms), default=None)
            fix = (
                "run `gateway keys rotate --use sig`"
                if later is None
                else f"the first is from {format_ms(later)}, our clock says {format_ms(now_ms)}; set the clock"
            )
            raise KeysNotValid(f"no signing key is valid now; {fix}")
        return self._pairs[chosen.name]

    def check_begun(self, now_ms: int) -> None:
        """Raise ConfigurationError where the clock stands before every key of this home: then it is wrong."""
        first = min(record.nbf_ms for record in self._records)
        if first - now_ms > CLOCK_TOLERANCE_MS:
            said = f"the clock says {format_ms(now_ms)}, and the keys of this home are from {format_ms(first)}"
            raise ConfigurationError(f"{said}; set the clock")

    def open_key(self, kid: Kid) -> OpenKey | None:
        """Return the key that opens what was sealed to `kid`; None for unknown and revoked ones alike."""
        return self._open_keys.get(kid)

    def root_signer(self) -> SigningPair | None:
        """Return the root pair, or None where its seeds live offline."""
        return self._root

    def log_key(self) -> Ed25519PrivateKey:
        """Return the key that signs checkpoints."""
        return self._note_key("log")

    def log_keys(self) -> list[Ed25519PrivateKey]:
        """Return the active log key, then retiring ones: a partner with an older card finds its line."""
        retiring = [r for r in self._records if r.use == "log" and r.status == "retiring"]
        return [self.log_key(), *(self._ed25519(record) for record in reversed(retiring))]

    def witness_key(self) -> Ed25519PrivateKey:
        """Return the key that cosigns the partner's checkpoints."""
        return self._note_key("witness")

    def public_keys(self) -> list[dict[str, Any]]:
        """Return the members of the card's `keys`: JWK, kid, alg, use, nbf, exp, status, revoked?."""
        published = [record for record in self._records if record.use in {"sig", "enc"}]
        return [member for record in published for member in record.card_members()]

    @property
    def party(self) -> PartyId:
        """Whose keys these are."""
        return self._party

    @property
    def roots(self) -> tuple[dict[str, str], ...]:
        """The two root JWKs, RFC 7638 members only: here even where the seeds are not."""
        return self._roots

    @property
    def kek(self) -> bytes:
        """The 32-byte key-encryption key of the data at rest."""
        return self._kek

    def wrap(self, secret: bytes, about: bytes) -> bytes:
        """Seal a small secret of the data at rest under the key-encryption key; `about` says what it belongs to."""
        nonce = os.urandom(disk.NONCE_BYTES)
        return nonce + AESGCM(self._kek).encrypt(nonce, secret, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Open what `wrap` sealed. Raises LedgerError where it was changed, or sealed under another key."""
        try:
            return AESGCM(self._kek).decrypt(wrapped[: disk.NONCE_BYTES], wrapped[disk.NONCE_BYTES :], about)
        except (InvalidTag, ValueError):
            detail = f"a stored key does not open: {self._folder / KEK} is another one, or the database was changed"
            raise LedgerError(detail) from None

    @property
    def ca_pem(self) -> str:
        """The CA certificate partners pin: the card's `tls.ca`."""
        return self.tls.ca_certificate.read_text("ascii")

    @property
    def tls(self) -> TlsPaths:
        """Where the certificates and their keys are."""
        leaves = [self._folder / f"{stem}{end}" for _, stem, _ in _LEAVES for end in (".pem", ".key")]
        return TlsPaths(self._folder / "ca.pem", *leaves)

    def records(self) -> tuple[KeyRecord, ...]:
        """Return what is held, for `keys list`."""
        return self._records

    def warnings(self, now_ms: int) -> list[str]:
        """Name what an operator should do about the keys, one line each."""
        return records.warnings(self._records, now_ms)

    def plan(self, use: KeyUse | Literal["tls"], now_ms: int) -> list[str]:
        """Say what `rotate` would do now and what follows when, one step a line."""
        return records.plan(self._records, use, now_ms)

    def certificates_expire(self) -> list[tuple[str, int]]:
        """Return when each certificate ends (ms), by the stem of its file; a missing one is left out."""
        held = [("ca", self.tls.ca_certificate), *((stem, self._folder / f"{stem}.pem") for _, stem, _ in _LEAVES)]
        return [(stem, authority.expires_ms(disk.read_private(path))) for stem, path in held if path.exists()]

    # --- changes ----------------------------------------------------------------------------------

    def advance(self, now_ms: int) -> bool:
        """Activate keys whose time has come, forget expired ones; True when a new card is due."""
        moved = records.advance(self._records, now_ms)
        if moved == self._records:
            return False
        self._replace(moved)
        return True

    def rotate(self, use: KeyUse, now_ms: int, entropy: Callable[[int], bytes]) -> KeyRecord:
        """Make a new key: `sig` and `enc` wait as `next`, `log` and `witness` change at once.

        Without a valid active key there is nothing to wait for: the new one is active at once.
        Raises Clash while another waits.
        """
        number = records.next_number(self._records, use, self._highest.get(use, 0))
        fresh = material.generate(self._folder, use, number, now_ms, entropy)
        active = records.find(self._records, use, "active")
        try:
            if use in {"log", "witness"} or active is None or active.exp_ms <= now_ms:
                self._replace(records.switch_now(self._records, fresh, now_ms))
            else:
                self._replace(records.add_next(self._records, fresh, now_ms))
        except Clash:
            material.erase(self._folder, fresh)
            raise
        return next(record for record in self._records if record.name == fresh.name)

    def revoke(self, kid: str, now_ms: int, entropy: Callable[[int], bytes]) -> tuple[Kid, ...]:
        """Revoke a key now; for half a pair both halves go. An active one is replaced at once.

        Returns the revoked kids. Raises NotFound, or Clash when it is revoked already.
        """
        record = next((held for held in self._records if kid in held.kids), None)
        if record is None:
            if kid in {thumbprint(jwk) for jwk in self._roots}:
                raise Clash("a root key cannot be revoked: make a new home and enrol anew with every partner")
            raise NotFound("no key of that id is held; `gateway keys list` shows them")
        if record.status == "revoked":
            raise Clash("this key is revoked already")
        changed = records.revoke(self._records, record, now_ms)
        if records.find(changed, record.use, "active") is None:
            number = records.next_number(changed, record.use, self._highest.get(record.use, 0))
            changed = records.switch_now(
                changed, material.generate(self._folder, record.use, number, now_ms, entropy), now_ms
            )
        self._replace(changed)
        return record.kids

    def renew_tls(self, now_ms: int, hosts: Hosts, *, force: bool = False) -> tuple[str, ...]:
        """Issue anew each certificate that expires soon, is damaged, or no longer answers to its host.

        Returns the stems of the renewed files; contexts must then load them again.
        """
        ca = self._load_ca()
        renewed: list[str] = []
        for use, stem, least_days in _LEAVES:
            host = {"server": hosts.exchange, "client": None, "api": hosts.api}[use]
            current = self._load_leaf(stem)
            if (
                force
                or current is None
                or authority.fault_of(current, ca.certificate) is not None
                or not authority.begun(current.certificate, now_ms)
                or authority.days_left(current.certificate, now_ms) < least_days
                or (host is not None and not authority.answers_to(current.certificate, host))
            ):
                fresh = authority.issue(ca, use, party=self._party, host=host, now_ms=now_ms)
                # A crash between the two leaves no pair: `fault_of` sees that, and both are made again.
                disk.write_private(self._folder / f"{stem}.key", fresh.key)
                disk.write_private(self._folder / f"{stem}.pem", fresh.certificate)
                renewed.append(stem)
        return tuple(renewed)

    # --- disk -------------------------------------------------------------------------------------

    def _note_key(self, use: KeyUse) -> Ed25519PrivateKey:
        active = records.find(self._records, use, "active")
        if active is None:
            raise ConfigurationError(
                f"{self._folder / METADATA}: no active {use} key; run `gateway keys rotate --use {use}`"
            )
        return self._ed25519(active)

    def _load_root(self) -> SigningPair | None:
        paths = [self._folder / name for name in ROOT_FILES]
        if not any(path.exists() for path in paths):
            return None
        pair = SigningPair(*(disk.read_seed(path) for path in paths))
        for path, stored, own in zip(paths, self._roots, pair.public_jwks(), strict=True):
            if thumbprint(stored) != thumbprint(own):
                raise disk.damaged(path)
        return pair

    def _load_ca(self) -> authority.Credential:
        key, certificate = self._folder / "ca.key", self._folder / "ca.pem"
        ca = authority.Credential(disk.read_private(key), disk.read_private(certificate))
        if authority.fault_of(ca, ca.certificate) is not None:
            raise disk.damaged(key)
        return ca

    def _load_leaf(self, stem: str) -> authority.Credential | None:
        key, certificate = self._folder / f"{stem}.key", self._folder / f"{stem}.pem"
        if not key.exists() or not certificate.exists():
            return None
        return authority.Credential(disk.read_private(key), disk.read_private(certificate))

    def _hold(self, held: tuple[KeyRecord, ...]) -> None:
        """Take `held` as the truth and load what is not loaded yet."""
        self._private = {
            record.name: self._private.get(record.name) or material.load(self._folder, record)
            for record in held
            if record.status != "revoked"
        }
        self._pairs = {name: key for name, key in self._private.items() if isinstance(key, SigningPair)}
        self._open_keys = {key.kid: key for key in self._private.values() if isinstance(key, OpenKey)}
        self._records = held
        for record in held:
            self._highest[record.use] = max(self._highest.get(record.use, 0), record.number)

    def _ed25519(self, record: KeyRecord) -> Ed25519PrivateKey:
        key = self._private[record.name]
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError(record.name)
        return key

    def _replace(self, changed: tuple[KeyRecord, ...]) -> None:
        """Store first, then use; erase last: after a crash `keys.json` names only files that are there."""
        write_metadata(self._folder, self._party, self._roots, changed)
        kept = {record.name for record in changed if record.status != "revoked"}
        gone = [record for record in self._records if record.name not in kept and record.status != "revoked"]
        self._hold(changed)
        for record in gone:
            material.erase(self._folder, record)


def create_keys(
    folder: Path, party: PartyId, hosts: Hosts, *, now_ms: int, entropy: Callable[[int], bytes] = os.urandom
) -> FileKeyRing:
    """Make every key of a new party in a folder that does not exist yet."""
    disk.make_folder(folder)
    root_seeds = [entropy(disk.SEED_BYTES) for _ in ROOT_FILES]
    for name, seed in zip(ROOT_FILES, root_seeds, strict=True):
        disk.write_private(folder / name, seed)
    roots = tuple(bare_jwk(jwk) for jwk in SigningPair(*root_seeds).public_jwks())
    disk.write_private(folder / KEK, entropy(disk.SEED_BYTES))
    ca = authority.make_ca(party, now_ms)
    disk.write_private(folder / "ca.key", ca.key)
    disk.write_private(folder / "ca.pem", ca.certificate)
    held = tuple(material.generate(folder, use, 1, now_ms, entropy) for use in material.SUFFIXES)
    write_metadata(folder, party, roots, held)
    ring = open_keys(folder, party)
    ring.renew_tls(now_ms, hosts)
    return ring


def open_keys(folder: Path, party: PartyId) -> FileKeyRing:
    """Read the key ring of `party`. Raises ConfigurationError naming the file and the fix."""
    disk.check_folder(folder)
    path = folder / METADATA
    raw = disk.read_private(path)
    try:
        owner, roots, held = _read_metadata(json.loads(raw))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise disk.damaged(path) from None
    if owner != party:
        raise ConfigurationError(f"{path}: holds the keys of another party; correct party.id or restore the file")
    return FileKeyRing(folder, party, roots, held)


def write_metadata(
    folder: Path, party: PartyId, roots: tuple[dict[str, str], ...], held: tuple[KeyRecord, ...]
) -> None:
    """Replace `keys.json`."""
    stored = {"v": 1, "party": party, "roots": list(roots), "keys": [record.as_dict() for record in held]}
    disk.write_private(folder / METADATA, json.dumps(stored, indent=1).encode() + b"\n")


def _read_metadata(stored: dict[str, Any]) -> tuple[str, tuple[dict[str, str], ...], tuple[KeyRecord, ...]]:
    roots = tuple(bare_jwk(jwk) for jwk in stored["roots"])
    if stored["v"] != 1 or len(roots) != len(ROOT_FILES):
        raise ValueError("version or roots")
    return stored["party"], roots, tuple(records.read_record(record) for record in stored["keys"])
