"""One entry of a log with its inclusion path and the checkpoint over it, as one text: C2SP tlog-proof v1.

The `extra` line carries the entry's bytes: SHA-256(0x00 ‖ entry) is the record hash that the path begins at. It is
authenticated by that alone. Bytes in, a verified proof or `MalformedProof` out, nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import MalformedProof
from gateway.ledger import note
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER: Final = "c2sp.org/tlog-proof@v1"
MOST_BYTES: Final = note.MAX_NOTE_BYTES + 32 * 1024
MOST_HASHES: Final = 63  # of a log of 2^63 entries
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_EXTRA: Final = "extra "


@dataclass(frozen=True, slots=True)
class EntryProof:
    """An entry, its place, its path to the root (leaf's sibling first), and the signed checkpoint as it was given."""

    index: int
    data: bytes
    path: tuple[bytes, ...]
    checkpoint: str


def write_proof(proof: EntryProof) -> str:
    """Return the text of a proof."""
    lines = [HEADER, _EXTRA + note.base64_line(proof.data), f"index {proof.index}", *map(note.base64_line, proof.path)]
    return "\n".join(lines) + "\n\n" + proof.checkpoint


def read_proof(raw: bytes) -> EntryProof:
    """Read the text of a proof, **without checking it**. Raises MalformedProof."""
    if len(raw) > MOST_BYTES:
        raise MalformedProof("the proof is larger than any")
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise MalformedProof("a proof is UTF-8") from exc
    head, gap, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or lines[0] != HEADER or len(lines) < 3:
        raise MalformedProof(f"a proof begins with {HEADER}, its entry and its index")
    if not lines[1].startswith(_EXTRA):
        raise MalformedProof("the proof holds no entry: ours have it in the line `extra`")
    found = _INDEX.fullmatch(lines[2])
    if found is None or len(lines) - 3 > MOST_HASHES:
        raise MalformedProof("a proof has an index and at most 63 hashes")
    path = tuple(note.unbase64(line, "a hash of the path") for line in lines[3:])
    if any(len(node) != merkle.HASH_BYTES for node in path):
        raise MalformedProof("a hash of the path is 32 bytes")
    return EntryProof(int(found[1]), note.unbase64(lines[1].removeprefix(_EXTRA), "the entry"), path, checkpoint)


def check_proof(
    proof: EntryProof, log_keys: Sequence[note.NoteKey], witness_keys: Sequence[note.NoteKey] = ()
) -> note.Checkpoint:
    """Return the checkpoint under which the entry stands, opened under keys given beforehand. Raises MalformedProof."""
    opened = note.open_checkpoint(proof.checkpoint, log_keys, witness_keys)
    leaf = merkle.leaf_hash(proof.data)
    if proof.index >= opened.size or not merkle.verify_inclusion(
        leaf, proof.index, opened.size, proof.path, opened.root
    ):
        raise MalformedProof("the path does not lead from this entry to the signed root")
    return opened
