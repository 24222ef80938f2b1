"""What a witness answers to `add-checkpoint` (C2SP tlog-witness v1.0.0; protocol.md §6).

A decision only. The caller MUST read the stored checkpoint, decide, and store the new one in a single
transaction that is durable before the answer leaves: two requests that overlap could otherwise roll the
record back, or a crash could make the witness forget what it has cosigned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.errors import MalformedProof
from gateway.ledger.note import (
    MAX_SIZE,
    Checkpoint,
    NoteKey,
    NoteSigner,
    TreeHead,
    base64_line,
    cosign,
    open_checkpoint,
    read_tree_head,
    unbase64,
)
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PROOF_LINES = 63
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

_OLD = re.compile(rb"old (0|[1-9][0-9]{0,18})")
_HASH_LINE = re.compile(rb"[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed `add-checkpoint` body; nothing in it is verified yet."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str
    head: TreeHead


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The latest checkpoint cosigned for one origin, and whether that log was caught forking."""

    size: int
    root: bytes
    note: str
    forked: bool = False


class Evidence(Enum):
    """Misbehaviour under the log's valid signature: keep both notes, raise an alarm."""

    FORK = "two signed roots for one size"
    BAD_PROOF = "a signed checkpoint that does not extend the last one"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send. `record` (a Witnessed to store first) comes with 200 only; `evidence` with refusals."""

    status: int
    body: str = ""
    content_type: str | None = None
    record: Witnessed | None = None
    evidence: Evidence | None = None


def origin_id(origin: str) -> str:
    """Return hex SHA-256 of the origin, as in `witness/<id>/checkpoint`."""
    return sha256(origin.encode()).hexdigest()


def parse_request(body: bytes) -> Request:
    """Read old size, proof lines, blank line, checkpoint. Raises MalformedProof: answer 400."""
    header, blank, text = body.partition(b"\n\n")
    if not blank:
        raise MalformedProof("an add-checkpoint body has a blank line before the checkpoint")
    first, *rows = header.split(b"\n")
    old = _OLD.fullmatch(first)
    if old is None or int(old[1]) > MAX_SIZE:
        raise MalformedProof("the first line reads `old` and a size")
    if len(rows) > MAX_PROOF_LINES:
        raise MalformedProof("a consistency proof has at most 63 lines")
    head = read_tree_head(text)  # refuses what is not UTF-8
    return Request(int(old[1]), tuple(_hash(row) for row in rows), text.decode(), head)


def _hash(row: bytes) -> bytes:
    if not _HASH_LINE.fullmatch(row):
        raise MalformedProof("a proof line is one hash of 32 bytes in base64")
    return unbase64(row.decode(), "a proof line")


def format_request(old_size: int, proof: Sequence[bytes], checkpoint: str) -> bytes:
    """Return the body of an `add-checkpoint` request. Raises ValueError for more than 63 proof lines."""
    if len(proof) > MAX_PROOF_LINES:
        raise ValueError("a consistency proof has at most 63 lines")
    lines = [f"old {old_size}", *(base64_line(node) for node in proof)]
    return ("\n".join(lines) + "\n\n" + checkpoint).encode()


def decide(request: Request, stored: Witnessed | None, log_keys: Mapping[str, Sequence[NoteKey]]) -> Answer:
    """Judge one request; `log_keys` are the trusted keys by origin, `stored` what we hold for its origin.

    A 200 comes without body: `grant` adds the cosignature line once the record is durable.
    """
    # (1) An origin we do not watch.
    trusted = log_keys.get(request.head.origin)
    if trusted is None:
        return Answer(404)
    # (2) A log caught with two histories is never believed again, whichever it shows next.
    if stored is not None and stored.forked:
        return Answer(403)
    # (3) The signature before any answer that tells what we hold, and before anything counts as evidence.
    try:
        checkpoint = open_checkpoint(request.note, trusted)
    except MalformedProof:
        return Answer(403)
    return _judge_history(request, checkpoint, stored)


def _judge_history(request: Request, checkpoint: Checkpoint, stored: Witnessed | None) -> Answer:
    held_size, held_root = (stored.size, stored.root) if stored else (0, merkle.EMPTY_ROOT)
    fork = checkpoint.size == held_size and checkpoint.root != held_root
    evidence = Evidence.FORK if fork else None
    # (4) A proof cannot start after its end.
    if request.old_size > checkpoint.size:
        return Answer(400, evidence=evidence)
    # (5) Another idea of what we cosigned last: say it, the log tries again from there.
    if request.old_size != held_size:
        return Answer(409, f"{held_size}\n", SIZE_TYPE, evidence=evidence)
    # (6) Same size, other root: a fork, signed by the log itself.
    if fork:
        return Answer(409, evidence=evidence)
    # (7) The old tree must be a prefix of the new one; from nothing the only proof is the empty one.
    if not _extends(request, checkpoint, held_root):
        return Answer(422, evidence=Evidence.BAD_PROOF)
    # (8) Record, then cosign.
    return Answer(200, record=Witnessed(checkpoint.size, checkpoint.root, checkpoint.note))


def _extends(request: Request, checkpoint: Checkpoint, held_root: bytes) -> bool:
    if request.old_size == 0:
        return not request.proof
    return merkle.verify_consistency(request.old_size, checkpoint.size, held_root, checkpoint.root, request.proof)


def grant(answer: Answer, signer: NoteSigner, now_s: int) -> Answer:
    """Return a 200 `answer` with its cosignature line. Call only after `answer.record` is durable.

    Raises ValueError for any other answer: a refusal must never be signed.
    """
    if answer.record is None:
        raise ValueError("only an accepted checkpoint is cosigned")
    body = answer.record.note[: answer.record.note.rindex("\n\n") + 1]
    return Answer(200, cosign(body, signer, now_s), TEXT_TYPE, answer.record)
