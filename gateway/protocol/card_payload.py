"""What a party card says: its payload as typed values, written and read (protocol.md §2).

Reading judges form only: whether the card is signed and by whom is `gateway.protocol.card`'s part.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.primitives import strictjson, times
from gateway.primitives.ed25519 import low_order_ed25519
from gateway.primitives.visible import deceives
from gateway.protocol import keys, members
from gateway.protocol.ids import Kid, PartyId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.protocol.keys import SealKey, VerifyKey

MAX_KEYS: Final = 40
MAX_CA_TEXT: Final = 16 * 1024
MAX_SCHEMAS: Final = 500

ACTIVE: Final = "active"
STATUSES: Final = ("next", ACTIVE, "retiring", "revoked")
VKEY_LOG: Final = 0x01  # C2SP signed-note: type byte of an Ed25519 log key
VKEY_WITNESS: Final = 0x04  # C2SP tlog-cosignature: type byte of an Ed25519 cosigner

_PAYLOAD: Final = (
    "v", "party", "name", "country", "environment", "version", "issued", "expires", "endpoint", "profiles",
    "keys", "log", "witness", "tls", "roots", "schemas",
)  # fmt: skip
_KEY: Final = ("kid", "alg", "use", "nbf", "exp", "status")
USES: Final = {keys.ED25519: "sig", keys.ML_DSA_65: "sig", keys.HPKE_9_KE: "enc"}
_PEM: Final = re.compile(r"(?:-----BEGIN CERTIFICATE-----\r?\n[^-]{1,12000}-----END CERTIFICATE-----\s*){1,2}")
_SEMVER: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}")
_SCHEMA_SUBJECT: Final = re.compile(r"(?=.{1,100}\Z)[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardKey:
    """One message or encryption key with its span and status; `jwk` holds RFC 7638 members only."""

    kid: Kid
    alg: str
    nbf_ms: int
    exp_ms: int
    status: str
    revoked_ms: int | None = None
    jwk: Mapping[str, str]
    key: VerifyKey | SealKey = field(compare=False, repr=False)

    def counts(self, now_ms: int) -> bool:
        """Say whether it may be used at `now_ms`: in its span, active or retiring, or revoked only later.

        A time in `revoked` is believed whatever the status says: of two readings the safe one.
        """
        if not self.nbf_ms <= now_ms < self.exp_ms or self.status == "next":
            return False
        return self.status != "revoked" if self.revoked_ms is None else now_ms < self.revoked_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDraft:
    """What a card says; times in ms since the epoch, `roots` Ed25519 then ML-DSA-65."""

    party: PartyId
    name: str
    country: str
    environment: str
    version: int
    issued_ms: int
    expires_ms: int
    endpoint: str
    profiles: tuple[str, ...] = ("1",)
    keys: tuple[CardKey, ...]
    log_origin: str
    log_vkey: str
    witness_vkey: str
    tls_ca: str
    roots: tuple[Mapping[str, str], Mapping[str, str]]
    schemas: Mapping[str, tuple[str, ...]]


def make_key(
    jwk: Mapping[str, object],
    *,
    nbf_ms: int,
    exp_ms: int,
    status: str = ACTIVE,
    revoked_ms: int | None = None,
) -> CardKey:
    """Make a card key of a public JWK.

    Raises:
        ValueError: no key of the profile, of the wrong length, or a low-order point.

    """
    bare = keys.bare_jwk(jwk)
    alg = keys.ED25519 if bare["kty"] == "OKP" else bare["alg"]
    key = keys.SealKey.from_jwk(jwk) if alg == keys.HPKE_9_KE else keys.VerifyKey.from_jwk(jwk)
    return CardKey(
        kid=key.kid,
        alg=alg,
        nbf_ms=nbf_ms,
        exp_ms=exp_ms,
        status=status,
        revoked_ms=revoked_ms,
        jwk=bare,
        key=key,
    )


def build_payload(draft: CardDraft) -> bytes:
    """Write the payload of a card, to be signed here or where the root keys live offline."""
    return strictjson.dumps(
        {
            "v": 1,
            "party": draft.party,
            "name": draft.name,
            "country": draft.country,
            "environment": draft.environment,
            "version": draft.version,
            "issued": times.format_ms(draft.issued_ms),
            "expires": times.format_ms(draft.expires_ms),
            "endpoint": draft.endpoint,
            "profiles": list(draft.profiles),
            "keys": [_key_members(card_key) for card_key in draft.keys],
            "log": {"origin": draft.log_origin, "vkey": draft.log_vkey},
            "witness": {"vkey": draft.witness_vkey},
            "tls": {"ca": draft.tls_ca},
            "roots": [_ordered(root) for root in draft.roots],
            "schemas": {subject: list(versions) for subject, versions in draft.schemas.items()},
        }
    )


def _ordered(jwk: Mapping[str, str]) -> dict[str, str]:
    return {name: jwk[name] for name in ("kty", "crv", "alg", "x", "pub") if name in jwk}


def _key_members(card_key: CardKey) -> dict[str, str]:
    bare = _ordered(card_key.jwk)
    material = "x" if "x" in bare else "pub"
    public = bare.pop(material)
    row = bare | {"alg": card_key.alg, "use": USES[card_key.alg], material: public, "kid": card_key.kid}
    row |= {"nbf": times.format_ms(card_key.nbf_ms), "exp": times.format_ms(card_key.exp_ms)}
    row["status"] = card_key.status
    if card_key.revoked_ms is not None:
        row["revoked"] = times.format_ms(card_key.revoked_ms)
    return row


def read_roots(found: dict[str, Any]) -> tuple[VerifyKey, VerifyKey]:
    """Return the roots a payload names, Ed25519 then ML-DSA-65; `Unfit` where they are not that."""
    rows = members.as_list(found.get("roots"), "/roots", least=2, most=2)
    shapes = (("kty", "crv", "x"), ("kty", "alg", "pub"))
    roots = []
    for at, (row, shape, alg) in enumerate(zip(rows, shapes, (keys.ED25519, keys.ML_DSA_65), strict=True)):
        here = f"/roots/{at}"
        # Members beyond the thumbprint's would change the fingerprint without changing the key.
        members.exactly(members.as_object(row, here), here, shape)
        try:
            key = keys.VerifyKey.from_jwk(row)
        except ValueError as error:
            raise members.Unfit(here, str(error)) from None
        if key.alg != alg:
            raise members.Unfit(here, f"not {alg}")
        roots.append(key)
    return roots[0], roots[1]


def read_payload(found: dict[str, Any]) -> CardDraft:
    """Read a payload, exactly the members of protocol.md §2; `Unfit` names the first fault."""
    members.exactly(found, "", _PAYLOAD)
    if members.integer(found, "v") != 1:
        raise members.Unfit("/v", "not 1")
    party = PartyId(members.matching(found, "party", members.PARTY))
    if members.text(found, "country") != party[:2].upper():
        raise members.Unfit("/country", "not the State of the party")
    issued_ms, expires_ms = members.time_ms(found, "issued"), members.time_ms(found, "expires")
    if expires_ms <= issued_ms:
        raise members.Unfit("/expires", "not after `issued`")
    profiles = members.as_list(found["profiles"], "/profiles", least=1, most=20)
    if not all(isinstance(profile, str) for profile in profiles) or "1" not in profiles:
        raise members.Unfit("/profiles", "profile 1 is not among them")
    for profile in profiles:
        _shown(profile, "/profiles")
    tls = members.as_object(found["tls"], "/tls")
    members.exactly(tls, "/tls", ("ca",))
    ca_text = members.text(tls, "ca", "/tls", longest=MAX_CA_TEXT)
    if _PEM.fullmatch(ca_text) is None:
        raise members.Unfit("/tls/ca", "not one or two certificates in PEM")
    roots = read_roots(found)
    origin, log_vkey, witness_vkey = _log(found, party)
    return CardDraft(
        party=party,
        name=_shown(members.text(found, "name"), "/name"),
        country=found["country"],
        environment=members.one_of(found, "environment", ("prod", "test")),
        version=members.integer(found, "version", least=1),
        issued_ms=issued_ms,
        expires_ms=expires_ms,
        endpoint=_endpoint(found),
        profiles=tuple(profiles),
        keys=_keys(found),
        log_origin=origin,
        log_vkey=log_vkey,
        witness_vkey=witness_vkey,
        tls_ca=ca_text,
        roots=(roots[0].jwk(), roots[1].jwk()),
        schemas=_schemas(found),
    )


def _shown(text: str, at: str) -> str:
    """Return a text that officers will read on a screen; `Unfit` where it would hide, turn or steer something there."""
    if deceives(text):
        raise members.Unfit(at, "holds a control or hidden character")
    return text


def _endpoint(found: dict[str, Any]) -> str:
    endpoint = members.text(found, "endpoint", longest=500)
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme == "https" and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    # A path is appended to it later, so nothing may follow; a user name would go out in every request.
    if not usable or parts.username is not None or re.search(r"[^!-~]|[?#\\]|/\Z", endpoint):
        raise members.Unfit("/endpoint", "not an https address without query, user name or final slash")
    return endpoint


def _keys(found: dict[str, Any]) -> tuple[CardKey, ...]:
    rows = members.as_list(found["keys"], "/keys", most=MAX_KEYS)
    card_keys = tuple(_card_key(row, f"/keys/{at}") for at, row in enumerate(rows))
    if len({card_key.kid for card_key in card_keys}) != len(card_keys):
        # Two spans for one key: which of them counts would depend on who reads.
        raise members.Unfit("/keys", "one key twice")
    return card_keys


def _card_key(row: object, at: str) -> CardKey:
    found = members.as_object(row, at)
    alg = members.one_of(found, "alg", USES, at)
    material = ("kty", "crv", "x") if alg == keys.ED25519 else ("kty", "pub")
    members.exactly(found, at, _KEY + material, ("revoked",))
    members.one_of(found, "use", (USES[alg],), at)
    nbf_ms, exp_ms = members.time_ms(found, "nbf", at), members.time_ms(found, "exp", at)
    if exp_ms <= nbf_ms:
        raise members.Unfit(f"{at}/exp", "not after `nbf`")
    status = members.one_of(found, "status", STATUSES, at)
    revoked_ms = members.time_ms(found, "revoked", at) if "revoked" in found else None
    try:
        # `from_jwk` inside holds lengths, the kid against the thumbprint, and low-order points.
        card_key = make_key(found, nbf_ms=nbf_ms, exp_ms=exp_ms, status=status, revoked_ms=revoked_ms)
    except ValueError as error:
        raise members.Unfit(at, str(error)) from None
    if card_key.alg != alg or card_key.kid != found["kid"]:
        raise members.Unfit(at, "kid or alg is not that of the key")
    return card_key


def _log(found: dict[str, Any], party: PartyId) -> tuple[str, str, str]:
    log, witness = members.as_object(found["log"], "/log"), members.as_object(found["witness"], "/witness")
    members.exactly(log, "/log", ("origin", "vkey"))
    members.exactly(witness, "/witness", ("vkey",))
    origin = members.matching(log, "origin", re.compile(re.escape(party) + r"/bcx/log/[1-9][0-9]{0,8}"), "/log")
    name = _vkey_name(log, "/log", VKEY_LOG)
    if name != origin:
        raise members.Unfit("/log/vkey", "not named like its origin")
    cosigner = _vkey_name(witness, "/witness", VKEY_WITNESS)
    if re.fullmatch(re.escape(party) + r"/bcx/witness/[1-9][0-9]{0,8}", cosigner) is None:
        raise members.Unfit("/witness/vkey", "not named as a witness of this party")
    return origin, log["vkey"], witness["vkey"]


def _vkey_name(found: dict[str, Any], at: str, type_byte: int) -> str:
    """Return the name in a vkey `name+hex(keyID)+base64(type ‖ pub)` that holds (C2SP signed-note)."""
    name, _, rest = members.text(found, "vkey", at, longest=400).partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        raw = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 1 + keys.ED25519_BYTES or raw[0] != type_byte:
        raise members.Unfit(f"{at}/vkey", "no Ed25519 key of the right type")
    if low_order_ed25519(raw[1:]):
        raise members.Unfit(f"{at}/vkey", "Ed25519 key of low order")
    if key_id != sha256(name.encode() + b"\n" + raw).hexdigest()[:8]:
        raise members.Unfit(f"{at}/vkey", "key id is not that of name and key")
    return name


def _schemas(found: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    schemas = members.as_object(found["schemas"], "/schemas")
    if len(schemas) > MAX_SCHEMAS:
        raise members.Unfit("/schemas", "too many")
    for subject, versions in schemas.items():
        rows = members.as_list(versions, "/schemas", most=MAX_SCHEMAS)
        if _SCHEMA_SUBJECT.fullmatch(subject) is None or not all(
            isinstance(version, str) and _SEMVER.fullmatch(version) for version in rows
        ):
            raise members.Unfit("/schemas", "not subjects with lists of versions")
    return {subject: tuple(versions) for subject, versions in schemas.items()}
