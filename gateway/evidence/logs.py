"""Steps 7 to 9: what the logs recorded, under which signed root, and who besides their owner vouches for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import MalformedProof
from gateway.evidence.chain import IN_BUNDLE
from gateway.evidence.files import log_path
from gateway.evidence.findings import LOG, OWN_LOG, WITNESS, Findings
from gateway.ledger import entry
from gateway.ledger.note import Checkpoint, Cosignature, open_checkpoint
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.evidence.exchange import Answer
    from gateway.evidence.parts import LogPart, Parts, Proved
    from gateway.evidence.trust import Keys
    from gateway.ledger.entry import Entry
    from gateway.protocol.manifest import Manifest

_ANSWERED = frozenset({"message.sent", "message.settled", "message.received"})
"""Entries that a message has which was in an envelope."""
REWRITTEN = "the entry was changed, or was never in this log"


@dataclass(frozen=True, slots=True)
class Logged:
    """What one log shows: its signed checkpoint, the entries that are proved, cosignatures, earliest first."""

    party: str
    head: Checkpoint | None
    entries: tuple[Entry, ...]
    cosignatures: tuple[Cosignature, ...]

    def find(self, typ: str) -> Entry | None:
        """Return the last proved entry of a type."""
        return next((one for one in reversed(self.entries) if one.typ == typ), None)


def check_log(
    parts: Parts, log: LogPart, manifest: Manifest | None, answer: Answer | None, keys: Keys, findings: Findings
) -> Logged:
    """Do step 7 (the recipient's log) or 9 (the sender's): signature, every entry, and what the entries say."""
    step = LOG if log.party == parts.recipient else OWN_LOG
    findings.done.add(step)
    head = _head(log, keys, step, findings)
    found = [one for row in log.entries if (one := _proved(log, row, head, step, findings)) is not None]
    for one in found:
        _check_words(parts, log, one, manifest, answer, step, findings)
    if step == LOG and answer is not None:
        _check_same_log(log, head, answer, findings)
    cosignatures = sorted(head.cosignatures, key=lambda one: one.time_s) if head is not None else ()
    return Logged(log.party, head, tuple(found), tuple(cosignatures))


def check_witness_times(logs: Mapping[str, Logged], recipient: str, now_ms: int | None, findings: Findings) -> None:
    """Judge when each witness says it looked: by `now_ms` where given, by the log's first entry where that is here."""
    for party, told in logs.items():
        first = next((one.at_ms for one in told.entries if one.seq == 0), None)
        findings.check(
            LOG if party == recipient else OWN_LOG, all(one.timely(first, now_ms) for one in told.cosignatures),
            log_path(party, "checkpoint"), "cosigned at a time that was not yet, or before the log began",
            "a clock was wrong, the witness's or the one here, or the time was made up: it is nobody's word",
        )  # fmt: skip


def check_submitted(parts: Parts, told: Logged | None, findings: Findings) -> None:
    """Do what step 9 asks of a message in no envelope: nothing else is signed than the log that took it."""
    if parts.manifest is None:
        named = (one for one in told.entries if told.head is not None) if told is not None else ()
        findings.check(
            OWN_LOG, any((one.typ, one.event) == ("message.accepted", parts.digest) for one in named),
            log_path(parts.sender, "entries.json"), "no entry shows that the message was submitted",
            "nothing in this file is signed that is about the message",
        )  # fmt: skip


def _head(log: LogPart, keys: Keys, step: int, findings: Findings) -> Checkpoint | None:
    path = log_path(log.party, "checkpoint")
    try:
        head = open_checkpoint(log.checkpoint, keys.log_keys(log.party), keys.witness_keys(log.party))
    except MalformedProof as fault:
        findings.fault(step, path, fault.detail, f"{log.party} did not sign this state of its log")
        return None
    findings.check(
        step, head.size == log.size, path, "another size than the proofs are for", "proof and checkpoint were mixed up"
    )
    return head


def _proved(log: LogPart, row: Proved, head: Checkpoint | None, step: int, findings: Findings) -> Entry | None:
    path = log_path(log.party, "entries.json")
    if head is not None:
        findings.check(
            step, merkle.verify_inclusion(merkle.leaf_hash(row.data), row.index, head.size, row.path, head.root), path,
            f"entry {row.index} is not under the signed root", REWRITTEN,
        )  # fmt: skip
    try:
        found = entry.parse(row.data)
    except MalformedProof as fault:
        findings.fault(step, path, f"entry {row.index}: {fault.detail}", REWRITTEN)
        return None
    findings.check(step, found.seq == row.index, path, f"entry {row.index} numbers itself {found.seq}", REWRITTEN)
    return found


def _check_words(
    parts: Parts, log: LogPart, one: Entry, manifest: Manifest | None, answer: Answer | None, step: int,
    findings: Findings,
) -> None:  # fmt: skip
    """Judge whether an entry is about this message and agrees with what was signed."""
    path = log_path(log.party, "entries.json")
    if parts.manifest is None and one.typ in _ANSWERED:
        ours = False
    elif one.typ == "message.sent":
        ours = manifest is None or (one.event, one.obj_id) == (manifest.root, manifest.eid)
    else:
        named = one.jti is not None or one.event is not None
        ours = named and one.jti in {None, parts.message} and one.event in {None, parts.digest}
    findings.check(
        step, ours and one.typ in IN_BUNDLE, path, f"entry {one.seq} is about something else",
        "it says nothing about this message",
    )  # fmt: skip
    if answer is None or one.typ not in {"message.received", "message.settled"}:
        return
    said = answer.outcome.status + (f" {answer.outcome.problem}" if answer.outcome.problem else "")
    agrees = one.outcome == said
    if one.typ == "message.received":
        agrees = agrees and (one.seq, one.at_ms) == (answer.outcome.leaf, answer.outcome.received_at_ms)
    findings.check(
        step, agrees, path, f"entry {one.seq} records another answer than the receipt gives",
        f"{log.party} wrote one thing down and signed another",
    )  # fmt: skip


def _check_same_log(log: LogPart, head: Checkpoint | None, answer: Answer, findings: Findings) -> None:
    """Compare with the checkpoint the receipt carries: two roots of one size are two histories."""
    shown = answer.checkpoint
    if head is None or shown is None or (shown.origin, shown.size) != (head.origin, head.size):
        return
    path = log_path(log.party, "checkpoint")
    findings.check(
        LOG, shown.root == head.root, path, "another root than the receipt's for this size",
        "the recipient showed two histories of its log: keep this bundle, both signatures are its own",
    )  # fmt: skip


def check_revocations(revoked: Mapping[str, tuple[str, int]], recorded: Logged | None, findings: Findings) -> None:
    """Do step 8's rule: after a revocation only a cosignature of earlier time keeps a signature good.

    `revoked` has for each signed file the party and the time of the revocation in ms. Whoever holds a stolen key can
    write any time into what it signs; the time of a witness is the one it cannot write. One that lies before the entry
    which it covers was made up.
    """
    findings.done.add(WITNESS)
    for file, (party, revoked_ms) in revoked.items():
        received = recorded.find("message.received") if recorded is not None else None
        earlier = recorded is not None and received is not None and any(
            one.time_s * 1000 < revoked_ms and one.timely(received.at_ms, None) for one in recorded.cosignatures
        )  # fmt: skip
        findings.check(
            WITNESS, earlier, file,
            f"a key of {party} that signed this was revoked later, and no witness saw the entry before",
            "it may have been made with a stolen key and dated back",
        )  # fmt: skip
