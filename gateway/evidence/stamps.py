"""Step 12: what an outside authority stamped (RFC 3161), and that it holds the entries that were proved.

Law: a token counts under certificates given from outside, as a card does under a fingerprint. Without them all but the
token is judged, and nothing is claimed of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import MalformedProof
from gateway.evidence.files import log_path
from gateway.evidence.findings import STAMP, Findings
from gateway.ledger.note import Checkpoint, open_checkpoint
from gateway.ledger.timestamp import open_token
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

    from gateway.evidence.logs import Logged
    from gateway.evidence.parts import LogPart, StampPart
    from gateway.evidence.trust import Keys

BACKDATED = "nobody outside says that this log is as old as it claims"


def check_stamp(
    log: LogPart, logged: Logged, keys: Keys, certificates: Sequence[Certificate], findings: Findings
) -> bool:
    """Judge the timestamp of one log; return whether it holds under the certificates given."""
    findings.done.add(STAMP)
    if log.stamp is None:
        return False
    _check_head(log.party, log.stamp, logged.head, keys, findings)
    if not certificates:
        return False
    path = log_path(log.party, "timestamp.tsr")
    try:
        at = open_token(log.stamp.token, log.stamp.checkpoint.encode(), certificates)
    except MalformedProof as fault:
        findings.fault(STAMP, path, fault.detail, BACKDATED)
        return False
    return findings.check(
        STAMP, at == log.stamp.at_ms, log_path(log.party, "timestamp.json"), "another time than the token says",
        "the page tells a time that nobody stamped",
    )  # fmt: skip


def _check_head(party: str, stamp: StampPart, head: Checkpoint | None, keys: Keys, findings: Findings) -> None:
    path = log_path(party, "timestamped")
    try:
        stamped = open_checkpoint(stamp.checkpoint, keys.log_keys(party), keys.witness_keys(party))
    except MalformedProof as fault:
        findings.fault(STAMP, path, fault.detail, f"{party} did not sign what was stamped")
        return
    findings.check(
        STAMP, stamped.size == stamp.size, path, "another size than the proof is for",
        "proof and checkpoint were mixed up",
    )  # fmt: skip
    if head is not None:
        findings.check(
            STAMP,
            stamped.origin == head.origin
            and merkle.verify_consistency(head.size, stamped.size, head.root, stamped.root, stamp.path),
            log_path(party, "timestamp.json"), "what was stamped does not lead on from the log's checkpoint",
            "the stamp is over another history than the entries stand in",
        )  # fmt: skip
