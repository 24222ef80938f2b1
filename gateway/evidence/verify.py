"""The verifier: one bundle, checked without home, network or database; every fault, never just the first.

It believes nothing in the bundle: keys count because their card's fingerprint was given from outside. Steps are
those of `docs/evidence.md`. A fault in one step does not end the others: they go on with what can still be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import GatewayError, MalformedProof
from gateway.evidence import container
from gateway.evidence import files as f
from gateway.evidence.bundle import write_pages
from gateway.evidence.exchange import Answer, Signed, check_event, check_manifest, check_receipt
from gateway.evidence.facts import UNJUDGED, read_facts, read_payload
from gateway.evidence.findings import (
    CONTAINER,
    LIST,
    MANIFEST,
    PAGES,
    RECEIPT,
    SCHEMA,
    STAMP,
    Fault,
    Findings,
)
from gateway.evidence.logs import Logged, check_log, check_revocations, check_submitted, check_witness_times
from gateway.evidence.parts import FORMAT
from gateway.evidence.stamps import check_stamp
from gateway.evidence.trust import Keys, check_cards
from gateway.primitives.times import format_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

    from gateway.evidence.facts import Facts
    from gateway.evidence.parts import LogPart, Parts
    from gateway.ledger.note import NoteKey
    from gateway.protocol.event import Event
    from gateway.protocol.manifest import Manifest

UNKNOWN: Final = "00000000-0000-7000-8000-000000000000"
"""Stands for the message where neither list nor guide names one."""
_TOLD: Final = re.compile(rb"Message `([0-9a-f-]{36})`")
MADE_UP = "the container was changed or written by something else; its contents are judged below all the same"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out. `trusted` are the parties whose fingerprint was given; `proves` says in words what holds.

    `gaps` are codes of what the bundle lacks without being wrong (`facts.GAPS`, `facts.UNJUDGED`).
    """

    faults: tuple[Fault, ...]
    trusted: tuple[str, ...]
    parts: Parts | None
    gaps: tuple[str, ...]
    proves: tuple[str, ...]
    steps: frozenset[int]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and both parties are the ones they are said to be."""
        return not self.faults


def verify_bundle(
    raw: bytes, *, fingerprints: Sequence[str] = (), vkeys: Sequence[NoteKey] = (),
    certificates: Sequence[Certificate] = (), now_ms: int | None = None,
) -> Verdict:  # fmt: skip
    """Check a bundle of format `bcx-evidence/1`. Never raises for what it reads.

    `fingerprints` are those both authorities told; without any the rest is checked, and that is a fault too.
    `vkeys` are further log or witness keys, trusted as given; `certificates` those of a timestamp authority.
    `now_ms` is the time beyond which nobody can have cosigned; absent, that is not judged.
    """
    findings = Findings()
    files = _open(raw, findings)
    if files is None:
        return Verdict(tuple(findings.faults), (), None, (), (), frozenset(findings.done))
    parts = _read(files, findings)
    if parts is None:
        return Verdict(tuple(findings.faults), (), None, (), (), frozenset(findings.done))
    keys, trusted, cards = check_cards(parts, fingerprints, vkeys, findings)
    event = check_event(parts, findings)
    manifest, signed = check_manifest(parts, keys, findings)
    answer, more = check_receipt(parts, manifest, keys, findings)
    logs = {log.party: check_log(parts, log, manifest, answer, keys, findings) for log in parts.logs}
    for party in logs.keys() - {parts.sender, parts.recipient}:
        findings.fault(LIST, f.log_path(party, ""), "the log of a third party", "nothing in the bundle needs it")
    check_witness_times(logs, parts.recipient, now_ms, findings)
    check_submitted(parts, logs.get(parts.sender), findings)
    _check_times(parts, [*signed, *more], manifest, answer, logs, keys, findings)
    _check_schema(parts, event, findings)
    facts = read_facts(parts, cards)
    _check_pages(parts, facts, files, findings)
    findings.done.add(STAMP)
    stamped = [log for log in parts.logs if check_stamp(log, logs[log.party], keys, certificates, findings)]
    return Verdict(
        faults=tuple(sorted(findings.faults, key=lambda fault: fault.step)),
        trusted=tuple(trusted),
        parts=parts,
        gaps=(*facts.gaps, *_unjudged(parts, certificates)),
        proves=() if findings.faults else _proves(parts, manifest, answer, logs, stamped),
        steps=frozenset(findings.done),
    )


def _open(raw: bytes, findings: Findings) -> dict[str, bytes] | None:
    """Do step 1."""
    try:
        found = container.read(raw)
    except MalformedProof as fault:
        findings.fault(CONTAINER, "", fault.detail, "this is no evidence bundle, or a part of it is lost")
        return None
    findings.check(CONTAINER, container.write(found) == raw, "", "not the bytes its files would give", MADE_UP)
    files = dict(found)
    order = [path for path, _ in found]
    findings.check(
        CONTAINER, order == [f.LISTING, *sorted({*order} - {f.LISTING})], "",
        "its files are not in the fixed order, each once", "two readers could see two bundles",
    )  # fmt: skip
    return files


def _read(files: dict[str, bytes], findings: Findings) -> Parts | None:
    """Do step 2: the list of files against the files, then the parts."""
    try:
        listing = f.read_listing(files.get(f.LISTING, b""))
    except MalformedProof as fault:
        findings.fault(LIST, f.LISTING, fault.detail, "without its list nobody can say what the bundle should hold")
        return _read_unlisted(files, findings)
    for row in listing["files"]:
        _check_row(row, files, findings)
    for path in f.unlisted(listing, files):
        findings.fault(LIST, path, "not in the list of files", "it was added afterwards")
    findings.check(
        LIST, listing["exporter"] in {listing["sender"], listing["recipient"]}, f.LISTING, "exported by a third party",
        "only sender and recipient have this evidence",
    )  # fmt: skip
    parts = _read_parts(files, listing, findings)
    if parts is None:
        return None
    rest = {path: content for path, content in files.items() if path != f.LISTING}
    findings.check(
        LIST, f.write_listing(parts, rest) == files[f.LISTING], f.LISTING, "not the list these files would give",
        "the list was changed, or files were",
    )  # fmt: skip
    return parts


def _read_unlisted(files: dict[str, bytes], findings: Findings) -> Parts | None:
    """Go on without the list: manifest and guide say what it would; a broken list hides no other fault."""
    told = _TOLD.search(files.get(f.GUIDE, b""))
    try:
        said = read_payload(files.get(f.MANIFEST, b""))
        listing = f.read_listing(f.canonical({
            "format": FORMAT, "message": told[1].decode() if told else UNKNOWN, "sender": said.get("iss"),
            "recipient": said.get("aud"), "exporter": said.get("iss"), "redacted": f.EVENT not in files, "files": [],
        }))  # fmt: skip
    except (GatewayError, ValueError):
        return None
    parts = _read_parts(files, listing, findings)
    if parts is None:
        return None
    other = replace(parts, exporter=parts.recipient)
    held = f.write_files(other)
    return other if write_pages(other, held, read_facts(other))[f.PAGE] == files.get(f.PAGE) else parts


def _read_parts(files: dict[str, bytes], listing: dict[str, Any], findings: Findings) -> Parts | None:
    unreadable: list[tuple[str, str]] = []
    parts = f.read_parts(files, listing, unreadable)
    for path, what in unreadable:
        findings.fault(LIST, path, what, "this part of the evidence cannot be used")
    if parts is None:
        return None
    written = f.write_files(parts)
    for path in sorted(written.keys() & files.keys()):
        findings.check(
            LIST, written[path] == files[path], path, "not written as the format has it",
            "two readers could read it in two ways",
        )  # fmt: skip
    return parts


def _check_row(row: dict[str, Any], files: dict[str, bytes], findings: Findings) -> None:
    path = row["path"]
    if path not in files:
        findings.fault(LIST, path, "missing", "a part of the evidence was taken out")
        return
    same = sha256(files[path]).hexdigest() == row["sha256"] and len(files[path]) == row["bytes"]
    findings.check(LIST, same, path, "its SHA-256 or size is not the listed one", "this file was changed")
    role = f.role_of(path)
    if findings.check(LIST, role is not None, path, "no bundle has such a file", "nothing vouches for it"):
        findings.check(LIST, row["role"] == role, path, "its role is not that of its name", "the list was changed")


def _check_times(  # one argument for each thing that tells a time
    parts: Parts, signed: Sequence[Signed], manifest: Manifest | None, answer: Answer | None, logs: dict[str, Logged],
    keys: Keys, findings: Findings,
) -> None:  # fmt: skip
    """Judge every key at the logged time (protocol.md §2), then what was revoked later (step 8)."""
    recorded, told = logs.get(parts.recipient), logs.get(parts.sender)
    received = recorded.find("message.received") if recorded else None
    settled = told.find("message.settled") if told else None
    times: dict[int, int | None] = {
        MANIFEST: received.at_ms if received else _told_ms(manifest, answer),
        RECEIPT: settled.at_ms if settled else answer.receipt.iat_ms if answer else None,
    }
    if answer is not None and answer.receipt.eid is None:
        # An answer asked for later is signed with the key of that day, whenever the message was settled.
        times[RECEIPT] = answer.receipt.iat_ms
    revoked: dict[str, tuple[str, int]] = {}
    for one in signed:
        at = times[one.step]
        for kid in one.kids:
            why = keys.why_not(one.party, kid, at) if at is not None else None
            findings.check(
                one.step, why is None, one.file, f"the key that signed it did not count at {_moment(at)}: {why}",
                "a signature with such a key is nobody's word",
            )  # fmt: skip
            later = keys.revoked_ms(one.party, kid)
            if later is not None and why is None:
                revoked[one.file] = (one.party, min(later, revoked.get(one.file, ("", later))[1]))
    check_revocations(revoked, recorded, findings)


def _told_ms(manifest: Manifest | None, answer: Answer | None) -> int | None:
    """Return when the recipient says it recorded the message, or else when the sender says it signed."""
    if answer is not None and answer.outcome.received_at_ms is not None:
        return answer.outcome.received_at_ms
    return manifest.iat_ms if manifest is not None else None


def _moment(at_ms: int | None) -> str:
    return "an unknown time" if at_ms is None else format_ms(at_ms)


def _check_schema(parts: Parts, event: Event | None, findings: Findings) -> None:
    """Do step 10: the rules the event names, and nothing that nobody vouches for."""
    findings.done.add(SCHEMA)
    if event is None:
        findings.check(
            SCHEMA, parts.schema is None, f.SCHEMA, "a schema without the event that names it",
            "nothing vouches for this file",
        )  # fmt: skip
        return
    if event.is_void:
        return
    findings.check(
        SCHEMA, parts.schema is not None and sha256(parts.schema).digest() == event.schema_digest, f.SCHEMA,
        "not the schema the event names", "the message was judged by other rules than these",
    )  # fmt: skip


def _check_pages(parts: Parts, facts: Facts, files: dict[str, bytes], findings: Findings) -> None:
    """Do step 11: what people read is made again from what was checked."""
    held = f.write_files(parts)
    for path, content in write_pages(parts, held, facts).items():
        findings.check(
            PAGES, files.get(path) == content, path, "not what the other files give",
            "whoever reads it is told something else than what is proved",
        )  # fmt: skip


def _unjudged(parts: Parts, certificates: Sequence[Certificate]) -> tuple[str, ...]:
    stamped = any(log.stamp is not None for log in parts.logs)
    lacking = {"no-timestamp": bool(certificates) and not stamped, "timestamp-unjudged": stamped and not certificates}
    return tuple(code for code in UNJUDGED if lacking[code])


def _proves(
    parts: Parts, manifest: Manifest | None, answer: Answer | None, logs: dict[str, Logged], stamped: Sequence[LogPart]
) -> tuple[str, ...]:
    """Say what holds, in words; only for a bundle without faults."""
    what = f"message {parts.message} for {parts.recipient}"
    if manifest is not None:
        said = [f"{parts.sender} signed {what} in envelope {manifest.eid} at {format_ms(manifest.iat_ms)}"]
    else:
        said = [f"{parts.sender} took {what} to be sent; nothing here shows that it was"]
    if answer is not None:
        reason = f" ({answer.outcome.problem})" if answer.outcome.problem else ""
        said.append(f"{parts.recipient} {answer.outcome.status} it{reason} and signed that")
    for party, log in logs.items():
        entries = ", ".join(f"entry {one.seq} {one.typ} {one.outcome or ''}".rstrip() for one in log.entries)
        said.append(f"the log of {party} holds it: {entries}" if entries else f"the log of {party} is shown")
        if log.cosignatures:
            first = log.cosignatures[0]
            said.append(f"{first.witness.name} saw that log at {format_ms(first.time_s * 1000)}")
    said += [
        f"the timestamp authority saw the log of {log.party} at {format_ms(log.stamp.at_ms)}"
        for log in stamped
        if log.stamp is not None
    ]
    return tuple(said)
