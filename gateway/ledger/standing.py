"""What the log says of a message: its bytes, its state, who asked for it. Tables are held against this.

Tables can be edited by whoever reaches the database; entries cannot without breaking the signed tree. So a body is
what its entry's digest says, and a state is what the entries about its message add up to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from gateway.primitives import b64u, times
from gateway.primitives.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ACCEPTED: Final = "message.accepted"
RECEIVED: Final = "message.received"
SETTLED: Final = "message.settled"
ERASED: Final = "message.erased"
ALARM: Final = "audit.alarm"

STATES: Final[Mapping[str, str | None]] = {
    ACCEPTED: "queued",
    "message.held": "held",
    "message.released": "queued",
    "message.cancelled": "cancelled",
    "message.dead": "dead",
    SETTLED: None,
    RECEIVED: "received",
}
"""What the state of a message is after each entry; of a settled one its outcome says which of two."""
ABOUT: Final = (*(typ for typ in STATES if typ != RECEIVED), ERASED)
"""Types of the entries that decide what stands of a message of ours."""


class Said(NamedTuple):
    """What an entry of our own says; read without the checks that a verifier of the tree makes."""

    seq: int
    ts: str
    typ: str
    sub: str
    kind: str
    obj: str
    jti: str | None
    event: bytes | None
    case: str | None
    outcome: str | None
    basis: str | None

    @property
    def at_ms(self) -> int:
        """Return its time; 0 where it has none that can be read."""
        try:
            return times.parse_ms(self.ts)
        except ValueError:
            return 0

    @property
    def status(self) -> str:
        """Return accepted or rejected, as an answer has it."""
        return (self.outcome or "").partition(" ")[0]

    @property
    def problem(self) -> str | None:
        """Return the code of a rejection."""
        return (self.outcome or "").partition(" ")[2] or None

    def erases(self, sender: str) -> bool:
        """Say whether it erases a whole message of `sender`: only whoever sent it can have it erased."""
        return self.typ == ERASED and self.kind == "message" and self.sub == sender


def read(data: bytes) -> Said | None:
    """Return what an entry says; None for what is no entry: the verifier of the tree names that."""
    try:
        found = orjson.loads(data)
        event = found.get("event")
        return Said(
            found["seq"], found["ts"], found["typ"], found["actor"]["sub"], found["obj"]["kind"], found["obj"]["id"],
            found.get("jti"), None if event is None else b64u.decode(event), found.get("case"), found.get("outcome"),
            found.get("basis"),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def read_all(data: Iterable[bytes]) -> list[Said]:
    """Return what these entries say, by number."""
    return sorted((one for one in map(read, data) if one is not None), key=lambda one: one.seq)


@dataclass(frozen=True, slots=True)
class Basis:
    """What an entry rests on beside the event, as digests: the receipt that settled it, the row of its case."""

    receipt: bytes | None = None
    case: bytes | None = None

    def text(self) -> str | None:
        """Return the member `basis`, or None where there is nothing to say."""
        parts = ((name, digest) for name, digest in (("receipt", self.receipt), ("case", self.case)) if digest)
        return " ".join(f"{name}:{b64u.encode(digest)}" for name, digest in parts) or None


def basis_of(found: Said) -> Basis:
    """Return the digests an entry rests on; entries of earlier releases have none."""
    named: dict[str, bytes] = {}
    for part in (found.basis or "").split(" "):
        name, colon, digest = part.partition(":")
        if colon and name in {"receipt", "case"}:
            try:
                named[name] = b64u.decode(digest)
            except ValueError:
                continue
    return Basis(named.get("receipt"), named.get("case"))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the entries about one message of ours add up to; `leaf` is the entry that accepted it."""

    leaf: int
    digest: bytes | None
    account: str
    case: str | None
    at_ms: int
    state: str
    receipt: bytes | None = None
    erased: bool = False


def standing(entries: Iterable[Said], me: str) -> Standing | None:
    """Return what stands of a message of ours by the entries about it, in order; None where none accepts it."""
    now: Standing | None = None
    for one in entries:
        if one.typ == ACCEPTED and now is None:
            now = Standing(one.seq, one.event, one.sub, one.case, one.at_ms, "queued")
        elif now is None:
            continue
        elif one.typ == SETTLED:
            now = replace(now, state=one.status, receipt=basis_of(one).receipt)
        elif one.typ == ERASED:
            now = replace(now, erased=now.erased or one.erases(me))
        elif (state := STATES.get(one.typ)) is not None and one.typ not in {ACCEPTED, RECEIVED}:
            now = replace(now, state=state)
    return now


def holds(event: bytes, digest: bytes, said: Said | None, typ: str, jti: str | None) -> str | None:
    """Return why bytes are not those of a message, in a word, or None: row and entry must both have their digest."""
    if said is None or (said.typ, said.jti) != (typ, jti):
        return "unlogged"
    if said.event != digest:
        return "digest"
    return None if leaf_hash(event) == digest else "bytes"
