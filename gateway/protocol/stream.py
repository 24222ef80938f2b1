"""Pings and streams: the two small signed objects of protocol.md §5 beside the receipt.

A ping says "I am here" and never reaches a case. A stream lists what its issuer holds of the asker's
messages, so that the two can be compared number by number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import MalformedEnvelope, WrongRecipient
from gateway.primitives import b64u, strictjson, times
from gateway.protocol import jws, members
from gateway.protocol.ids import MessageId, PartyId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.protocol.ids import Kid
    from gateway.protocol.keys import Signer, VerifyKey

    KeyFor = Callable[[Kid, str], VerifyKey | None]

MAX_PING_BYTES: Final = 16 * 1024  # two signatures are about 5 KB
MAX_STREAM_BYTES: Final = 1024 * 1024
MAX_STREAM_ITEMS: Final = 2000  # about 200 bytes each once encoded: fits MAX_STREAM_BYTES

_LARGEST: Final = {jws.PING_TYP: MAX_PING_BYTES, jws.STREAM_TYP: MAX_STREAM_BYTES}
HELD: Final = ("accepted", "rejected")
VOIDED: Final = "voided"


@dataclass(frozen=True, slots=True)
class Ping:
    """A verified sign of life of `iss`, signed at `iat_ms` (ms since the epoch)."""

    iss: PartyId
    aud: PartyId
    iat_ms: int


@dataclass(frozen=True, slots=True)
class StreamItem:
    """What the issuer holds under number `seq`: `event` is the leaf hash, none where voided unseen."""

    seq: int
    jti: MessageId
    event: bytes | None
    status: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A verified list of items with `seq` >= `from_seq`, rising."""

    iss: PartyId
    aud: PartyId
    iat_ms: int
    from_seq: int
    items: tuple[StreamItem, ...]


def sign_ping(*, iss: PartyId, aud: PartyId, iat_ms: int, signer: Signer) -> bytes:
    """Sign a ping, or the answer to one: they have the same form."""
    payload = {"v": 1, "iss": iss, "aud": aud, "iat": times.format_ms(iat_ms)}
    return jws.sign(strictjson.dumps(payload), jws.PING_TYP, signer)


def read_ping(raw: bytes, *, iss: PartyId, aud: PartyId, key_for: KeyFor) -> Ping:
    """Verify a ping of `iss` for `aud`; how old it may be is the caller's question.

    Raises:
        AuthenticationFailed: a signature does not hold (UnknownSigner: its `kid` is not held).
        MalformedEnvelope: signed, but no ping.
        WrongRecipient: signed for another party.

    """
    try:
        found, iat_ms = _verified(raw, jws.PING_TYP, iss, aud, key_for)
        members.exactly(found, "", ("v", "iss", "aud", "iat"))
    except members.Unfit as unfit:
        raise unfit.as_error(MalformedEnvelope) from None
    return Ping(iss, aud, iat_ms)


def sign_stream(
    *, iss: PartyId, aud: PartyId, iat_ms: int, from_seq: int, items: Sequence[StreamItem], signer: Signer
) -> bytes:
    """Sign the list `items` (rising `seq` from `from_seq`, at most MAX_STREAM_ITEMS; else ValueError)."""
    if len(items) > MAX_STREAM_ITEMS or not _rising(from_seq, items):
        msg = f"items rise from from_seq and are {MAX_STREAM_ITEMS} at most"
        raise ValueError(msg)
    payload = {
        "v": 1,
        "iss": iss,
        "aud": aud,
        "iat": times.format_ms(iat_ms),
        "from": from_seq,
        "items": [
            {
                "seq": item.seq,
                "jti": item.jti,
                "event": None if item.event is None else b64u.encode(item.event),
                "status": item.status,
            }
            for item in items
        ],
    }
    return jws.sign(strictjson.dumps(payload), jws.STREAM_TYP, signer)


def read_stream(raw: bytes, *, iss: PartyId, aud: PartyId, from_seq: int, key_for: KeyFor) -> Stream:
    """Verify the stream of `iss` for `aud` that was asked for from number `from_seq` on.

    Raises:
        AuthenticationFailed: a signature does not hold (UnknownSigner: its `kid` is not held).
        MalformedEnvelope: signed, but no answer to what was asked.
        WrongRecipient: signed for another party.

    """
    try:
        found, iat_ms = _verified(raw, jws.STREAM_TYP, iss, aud, key_for)
        members.exactly(found, "", ("v", "iss", "aud", "iat", "from", "items"))
        items = _items(found, from_seq)
    except members.Unfit as unfit:
        raise unfit.as_error(MalformedEnvelope) from None
    return Stream(iss, aud, iat_ms, from_seq, items)


def _verified(raw: bytes, typ: str, iss: PartyId, aud: PartyId, key_for: KeyFor) -> tuple[dict[str, Any], int]:
    # A size no honest peer reaches is refused before any signature is worked on.
    if len(raw) > _LARGEST[typ]:
        raise members.Unfit("", "over the size limit")
    found = members.document(jws.verify(raw, typ, key_for).payload)
    if members.integer(found, "v") != 1:
        raise members.Unfit("/v", "not 1")
    if found.get("iss") != iss:
        # The keys are those of `iss`: its own signature over another name is no ping of anyone.
        raise members.Unfit("/iss", "not the party that was asked")
    if found.get("aud") != aud:
        raise WrongRecipient("signed for another party")
    return found, members.time_ms(found, "iat")


def _items(found: dict[str, Any], from_seq: int) -> tuple[StreamItem, ...]:
    if members.integer(found, "from") != from_seq:
        raise members.Unfit("/from", "not the number asked for")
    rows = members.as_list(found["items"], "/items", most=MAX_STREAM_ITEMS)
    items = tuple(_item(row, f"/items/{at}") for at, row in enumerate(rows))
    if not _rising(from_seq, items):
        raise members.Unfit("/items", "numbers do not rise from the one asked for")
    return items


def _item(row: object, at: str) -> StreamItem:
    found = members.as_object(row, at)
    members.exactly(found, at, ("seq", "jti", "event", "status"))
    status = members.one_of(found, "status", (*HELD, VOIDED), at)
    unseen = status == VOIDED and found["event"] is None
    return StreamItem(
        seq=members.integer(found, "seq", at, least=1),
        jti=MessageId(members.matching(found, "jti", members.MESSAGE_ID, at)),
        event=None if unseen else members.octets(found, "event", at, exact=members.SHA256_BYTES),
        status=status,
    )


def _rising(from_seq: int, items: Sequence[StreamItem]) -> bool:
    numbers = [from_seq - 1, *(item.seq for item in items)]
    return all(before < after for before, after in pairwise(numbers))
