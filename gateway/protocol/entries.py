"""`messages/entries`: log entries of many messages in one unsigned answer (protocol.md §5); they prove themselves.

The asker holds each entry against tiles that lead to a checkpoint it has cosigned. So nothing here is believed,
and nothing here convicts: what lacks or differs is asked for again, one by one, in answers that are signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import MalformedProof
from gateway.primitives import b64u, strictjson
from gateway.protocol import members
from gateway.protocol.ids import MessageId, parse_message_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_JTIS: Final = 1000
MAX_ENTRIES_REQUEST_BYTES: Final = 64 * 1024  # a thousand ids of 36 characters are 39 KB
_ENTRY: Final = {"jti", "leaf", "entry"}


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """What the log is said to hold of one message: leaf data `data`, at index `leaf`."""

    jti: MessageId
    leaf: int
    data: bytes


def write_question(jtis: Sequence[MessageId]) -> bytes:
    """Return the body that asks for the entries of these messages, MAX_JTIS at most."""
    return strictjson.dumps({"jtis": jtis})


def read_question(raw: bytes) -> Sequence[MessageId]:
    """Return the messages asked for, in order. Raises members.Unfit naming the place."""
    found = members.document(raw)
    members.exactly(found, "", frozenset({"jtis"}))
    rows = members.as_list(found["jtis"], "/jtis", most=MAX_JTIS)
    asked: list[MessageId] = []
    for place, row in enumerate(rows):
        try:
            asked.append(parse_message_id(row if isinstance(row, str) else ""))
        except ValueError as error:
            raise members.Unfit(f"/jtis/{place}", str(error)) from None
    return asked


def write_answer(entries: Iterable[LoggedEntry]) -> bytes:
    """Return the answer that shows these entries, in the order asked."""
    rows = [{"jti": shown.jti, "leaf": shown.leaf, "entry": b64u.encode(shown.data)} for shown in entries]
    return strictjson.dumps({"entries": rows})


def read_answer(raw: bytes, asked: Sequence[MessageId]) -> Mapping[MessageId, LoggedEntry]:
    """Return the entries of an answer by message.

    Raises MalformedProof unless it is a list of some of those that were `asked`, once each, in that order.
    """
    try:
        found = members.document(raw)
        members.exactly(found, "", frozenset({"entries"}))
        rows = members.as_list(found["entries"], "/entries", most=len(asked))
        shown = [_entry(row, f"/entries/{place}") for place, row in enumerate(rows)]
    except members.Unfit as unfit:
        raise unfit.as_error(MalformedProof) from None
    # One walk over what was asked: a doubled, a strange and a misplaced id all run off its end.
    order = iter(asked)
    if not all(row.jti in order for row in shown):
        raise MalformedProof("entries of other messages than were asked for, or in another order")
    return {row.jti: row for row in shown}


def _entry(row: Any, at: str) -> LoggedEntry:
    if type(row) is not dict or row.keys() != _ENTRY:
        raise members.Unfit(at, "not exactly jti, leaf and entry")
    jti, leaf = row["jti"], row["leaf"]
    if type(jti) is not str or type(leaf) is not int or leaf < 0:
        raise members.Unfit(at, "jti is a text, leaf an index")
    return LoggedEntry(MessageId(jti), leaf, members.unpacked(row["entry"], f"{at}/entry"))
