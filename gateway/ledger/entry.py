"""Leaf data of the audit log (protocol.md §6): who did what to which object, never a name or a value.

Built for every message, so in one pass: the members below are ASCII and written in sorted order, which
with orjson's escaping is RFC 8785 (JCS) byte for byte; the tests compare it with a reference JCS writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import MalformedProof
from gateway.primitives import b64u, strictjson, times

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ENTRY_BYTES: Final = 4096
SALT_BYTES: Final = 16  # hides what a short entry says from whoever holds only its hash
DIGEST_BYTES: Final = 32
MAX_SEQ: Final = 2**53 - 1

_GROUPS: Final = {
    "gateway": "started stopped",
    "config": "changed",
    "key": "added rotated revoked",
    "card": "published",
    "partner": "added updated suspended resumed",
    "message": "accepted refused held released cancelled sent settled dead received read restricted erased",
    "record": "not-held",
    "attachment": "stored read refused erased",
    "case": "changed searched",
    "figures": "imported withdrawn",
    "schema": "registered approved configured tried",
    "user": "added changed signed-in refused",
    "access": "refused broken-glass reviewed",
    "envelope": "refused",
    "evidence": "exported",
    "audit": "exported alarm",
}
ENTRY_TYPES: Final = frozenset(f"{group}.{verb}" for group, line in _GROUPS.items() for verb in line.split())
"""The types protocol.md §6 names; others may follow, and readers keep what they do not know."""


def build(  # noqa: C901 - one optional member after the other
    *,
    seq: int,
    at_ms: int,
    typ: str,
    actor_sub: str,
    actor_role: str,
    obj_kind: str,
    obj_id: str,
    salt: bytes,
    jti: str | None = None,
    event: bytes | None = None,
    case: str | None = None,
    outcome: str | None = None,
    purpose: str | None = None,
    basis: str | None = None,
) -> bytes:
    """Return the leaf data, JCS. `actor_sub` is an opaque id; `event` a 32-byte event digest.

    Raises ValueError for a wrong length or number, for text that is not UTF-8 and above 4,096 bytes.
    """
    if len(salt) != SALT_BYTES or not 0 <= seq <= MAX_SEQ:
        raise ValueError("an entry has a salt of 16 bytes and a number a JSON reader keeps exact")
    if event is not None and len(event) != DIGEST_BYTES:
        raise ValueError("an event digest is 32 bytes")
    members: dict[str, Any] = {"actor": {"role": actor_role, "sub": actor_sub}}
    if basis is not None:
        members["basis"] = basis
    if case is not None:
        members["case"] = case
    if event is not None:
        members["event"] = b64u.encode(event)
    if jti is not None:
        members["jti"] = jti
    members["obj"] = {"id": obj_id, "kind": obj_kind}
    if outcome is not None:
        members["outcome"] = outcome
    if purpose is not None:
        members["purpose"] = purpose
    members["salt"] = b64u.encode(salt)
    members["seq"] = seq
    members["ts"] = times.format_ms(at_ms)
    members["typ"] = typ
    members["v"] = 1
    try:
        data = orjson.dumps(members)
    except orjson.JSONEncodeError as exc:
        raise ValueError("an entry holds text only, in UTF-8") from exc
    if len(data) > MAX_ENTRY_BYTES:
        raise ValueError("an entry has at most 4096 bytes")
    return data


@dataclass(frozen=True, slots=True)
class Entry:
    """A leaf read back. `typ` may be one we do not know; `event` is the 32-byte digest."""

    seq: int
    at_ms: int
    typ: str
    actor_sub: str
    actor_role: str
    obj_kind: str
    obj_id: str
    salt: bytes
    jti: str | None = None
    event: bytes | None = None
    case: str | None = None
    outcome: str | None = None
    purpose: str | None = None
    basis: str | None = None


def parse(data: bytes) -> Entry:
    """Read leaf data; members and types we do not know are no fault. Raises MalformedProof."""
    members = _object(data)
    try:
        actor, obj = members["actor"], members["obj"]
        if not isinstance(actor, dict) or not isinstance(obj, dict):
            raise MalformedProof("an entry's actor and obj are objects")
        event = _optional(members, "event")
        entry = Entry(
            seq=members["seq"],
            at_ms=times.parse_ms(_text(members, "ts")),
            typ=_text(members, "typ"),
            actor_sub=_text(actor, "sub"),
            actor_role=_text(actor, "role"),
            obj_kind=_text(obj, "kind"),
            obj_id=_text(obj, "id"),
            salt=b64u.decode(_text(members, "salt")),
            jti=_optional(members, "jti"),
            event=None if event is None else b64u.decode(event),
            case=_optional(members, "case"),
            outcome=_optional(members, "outcome"),
            purpose=_optional(members, "purpose"),
            basis=_optional(members, "basis"),
        )
    except (KeyError, ValueError) as exc:
        raise MalformedProof("an entry lacks a member or one is ill-formed") from exc
    if len(entry.salt) != SALT_BYTES or (entry.event is not None and len(entry.event) != DIGEST_BYTES):
        raise MalformedProof("an entry has a salt of 16 bytes and at most a digest of 32")
    return entry


def read_seq(data: bytes) -> int:
    """Return the number an entry gives itself: all a verifier of a whole log needs. Raises MalformedProof."""
    seq: int = _object(data)["seq"]
    return seq


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_ENTRY_BYTES:
        raise MalformedProof("an entry has at most 4096 bytes")
    try:
        members = strictjson.loads(data)
    except strictjson.NotStrict as exc:
        raise MalformedProof("an entry is not strict JSON") from exc
    if not isinstance(members, dict) or members.get("v") != 1 or type(members["v"]) is not int:
        raise MalformedProof("an entry is a JSON object of version 1")
    if type(members.get("seq")) is not int or members["seq"] < 0:
        raise MalformedProof("an entry has a number")
    return members


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise MalformedProof(f"an entry's {name} is text")
    return value


def _optional(members: Mapping[str, Any], name: str) -> str | None:
    return _text(members, name) if name in members else None
