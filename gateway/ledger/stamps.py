"""Timestamps beside an exported log: `timestamp/<size>/checkpoint` as it was stamped, and `token.tsr` over it.

Laws:
1. What was stamped is judged by the tree, not by its own signature: keys change, and a checkpoint of this tree at its
   size is what the log says of itself. Another root is another history.
2. A token is judged only under certificates given beforehand; without them it claims nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.errors import MalformedProof
from gateway.ledger.compare import Fault
from gateway.ledger.note import TreeHead, read_tree_head
from gateway.ledger.timestamp import open_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cryptography.x509 import Certificate

_FILE: Final = re.compile(r"timestamp/([1-9][0-9]{0,17})/(?:checkpoint|token\.tsr)")
CHANGED: Final = "nobody outside says that the log was like this then"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A checkpoint of `size` entries that was stamped at `at_ms`; None where no certificate was given to judge it."""

    size: int
    at_ms: int | None


def stamp_files(size: int, note: str, token: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of one timestamp over the checkpoint `note` of `size` entries."""
    yield f"timestamp/{size}/checkpoint", note.encode()
    yield f"timestamp/{size}/token.tsr", token


@dataclass(slots=True)
class Stamps:
    """What the timestamps of an export say; `heads` are by rising size, for the tree to be compared with."""

    heads: list[TreeHead]
    stamps: list[Stamp]
    faults: list[Fault]
    used: set[str]


def read_stamps(
    read: Callable[[str], bytes | None], paths: Iterable[str], size: int, certificates: Sequence[Certificate]
) -> Stamps:
    """Judge the timestamps among `paths` over a log of `size` entries. Never raises for what it reads."""
    found = Stamps([], [], [], set())
    for at in sorted({int(one[1]) for one in map(_FILE.fullmatch, paths) if one}):
        checkpoint, token = f"timestamp/{at}/checkpoint", f"timestamp/{at}/token.tsr"
        found.used |= {checkpoint, token}
        try:
            head, stamp = _read(read(checkpoint), read(token), at, size, certificates)
        except MalformedProof as fault:
            found.faults.append(Fault(None, checkpoint, fault.detail, CHANGED))
        else:
            found.heads.append(head)
            found.stamps.append(stamp)
    return found


def _read(
    note: bytes | None, token: bytes | None, at: int, size: int, certificates: Sequence[Certificate]
) -> tuple[TreeHead, Stamp]:
    if note is None or token is None:
        raise MalformedProof("checkpoint or token is missing")
    head = read_tree_head(note)
    if head.size != at or at > size:
        raise MalformedProof("of another size than its name says, or than the log has")
    # Whoever has no certificates still sees whether the two belong together.
    if sha256(note).digest() not in token:
        raise MalformedProof("the token is not over this checkpoint")
    return head, Stamp(at, open_token(token, note, certificates) if certificates else None)
