"""The gateway's own crypto, wire and log code in one process, without network or services."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import orjson

from benchmarks.record import SUBJECT, VERSION, make_record
from gateway.ledger.note import COSIGNATURE, ED25519, NoteSigner, read_cosignatures, sign_checkpoint
from gateway.ledger.proof import consistency
from gateway.ledger.witness import decide, format_request, grant, parse_request
from gateway.ports.common import Actor
from gateway.ports.log import SignedCheckpoint
from gateway.protocol.envelope import open_sealed, seal
from gateway.protocol.event import EventDraft, build_event, parse_event
from gateway.protocol.ids import EnvelopeId, MessageId, PartyId, Subject, uuid7
from gateway.protocol.keys import OpenKey, SigningPair, VerifyKey
from gateway.protocol.receipt import Outcome, read_receipt, sign_receipt
from gateway.serving import calm_collector
from gateway.storage.log import LogRows
from gateway.storage.schema import upgrade
from gateway.storage.witness import WitnessRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.protocol.ids import Kid

ID: Final = PartyId("id.imigrasi")
KH: Final = PartyId("kh.gdi")
HUNDRED: Final = 100
DAY_MS: Final = 86_400_000


def wire_us(envelopes: int) -> float:
    """Return CPU µs a message for seal, open, parse, sign a receipt and read it, 100 events an envelope."""
    now = time.time_ns() // 1_000_000
    a, b = SigningPair(os.urandom(32), os.urandom(32)), SigningPair(os.urandom(32), os.urandom(32))
    key = OpenKey(os.urandom(32))
    events = [_event(number, now) for number in range(HUNDRED)]
    keys_of_a, keys_of_b = _book(a), _book(b)
    checkpoint = "kh.gdi/bcx/log/1\n1\nAAAA\n"

    def exchange() -> None:
        eid = EnvelopeId(uuid7(now, os.urandom))
        sealed = seal(events, iss=ID, aud=KH, eid=eid, iat_ms=now, signer=a, recipient=key.public(), entropy=os.urandom)
        opened = open_sealed(sealed.jwe, me=KH, peer=ID, open_key_for=lambda _: key, verify_key_for=keys_of_a)
        parsed = [parse_event(line) for line in opened.events]
        outcomes = [
            Outcome(event=digest, status="accepted", received_at_ms=now, jti=event.id, leaf=at)
            for at, (digest, event) in enumerate(zip(opened.digests, parsed, strict=True))
        ]
        raw = sign_receipt(
            iss=KH, aud=ID, iat_ms=now, eid=eid, manifest_sha256=opened.manifest_sha256, outcomes=outcomes,
            checkpoint=checkpoint, stream_high=1, signer=b,
        )  # fmt: skip
        read_receipt(
            raw, iss=KH, aud=ID, eid=eid, manifest_sha256=opened.manifest_sha256, digests=sealed.digests,
            key_for=keys_of_b,
        )  # fmt: skip

    exchange()
    calm_collector()  # as a serving gateway has it
    started = time.process_time()
    for _ in range(envelopes):
        exchange()
    return (time.process_time() - started) * 1e6 / envelopes / HUNDRED


def log_us(folder: Path, groups: int) -> float:
    """Return CPU µs for one log entry: built, hashed, stored and put into its tile, 100 a transaction."""
    path = folder / "log.db"
    upgrade(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    log = LogRows(connection, os.urandom)
    actor, digest, jti = Actor("kh.gdi", "partner"), os.urandom(32), "01990000-0000-7000-8000-000000000001"
    started = time.process_time()
    for _ in range(groups):
        connection.execute("BEGIN IMMEDIATE")
        log.begin_unit()
        for _ in range(HUNDRED):
            log.append("message.received", actor=actor, obj=("message", jti), at=1, jti=jti, event=digest,
                       outcome="accepted")  # fmt: skip
        log.seal_group()
        connection.execute("COMMIT")
        log.group_committed()
    used = time.process_time() - started
    connection.close()
    return used * 1e6 / groups / HUNDRED


def head_us(folder: Path, rounds: int) -> tuple[float, float]:
    """Return CPU µs for signing and storing one checkpoint, and for having it cosigned, both sides, less the HTTPS.

    A commit each, as a gateway with nothing else to write has it; under load they share the commits of messages.
    """
    path = folder / "heads.db"
    upgrade(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    log, witness = LogRows(connection, os.urandom), WitnessRows(connection)
    signer = NoteSigner.from_seed("kh.gdi/bcx/log/1", ED25519, bytes(32))
    other = NoteSigner.from_seed("id.imigrasi/bcx/witness/1", COSIGNATURE, bytes(32))
    keys, actor = {signer.key.name: [signer.key]}, Actor("gateway", "system")
    spent = {"sign": 0, "cosign": 0}

    @contextmanager
    def transaction(what: str) -> Iterator[None]:
        started = time.process_time_ns()
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
        spent[what] += time.process_time_ns() - started

    old = 0
    for _ in range(rounds):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(256):
            log.append("gateway.started", actor=actor, obj=("epoch", "1"), at=1)
        log.seal_group()
        log.group_committed()
        connection.execute("COMMIT")
        with transaction("sign"):
            size, root = log.head()
            log.add_checkpoint(SignedCheckpoint(size, root, sign_checkpoint(size, root, signer), 1))
        with transaction("cosign"):
            newest = log.last_checkpoint()
            assert newest is not None
            path_ = consistency(log.read_hashes, old, size) if old else []
            request = parse_request(format_request(old, path_, newest.note))
            answer = decide(request, witness.witnessed(signer.key.name), keys)
            assert answer.record is not None
            witness.set_witnessed(signer.key.name, KH, answer.record, 1)
        with transaction("cosign"):
            body = newest.note[: newest.note.rindex("\n\n") + 1]
            lines = read_cosignatures(body, grant(answer, other, 1).body, [other.key])[0]
            witness.add_cosignature(size, ID, lines, 1)
        old = size
    connection.close()
    return spent["sign"] / rounds / 1000, spent["cosign"] / rounds / 1000


def _event(number: int, now: int) -> bytes:
    draft = EventDraft(
        id=MessageId(uuid7(now, os.urandom)), source=ID, subject=Subject(SUBJECT), case=None, time_ms=now,
        expiry_ms=now + DAY_MS, schema_version=VERSION, schema_digest=bytes(32), recipient=KH, environment="test",
        stream_seq=number + 1, case_seq=None, urgency="ROUTINE", handling=("H1",), in_reply_to=None, supersedes=None,
        traceparent=None, salt=os.urandom(16),
    )  # fmt: skip
    return build_event(draft, orjson.dumps(make_record(number)))


def _book(pair: SigningPair) -> Callable[[Kid, str], VerifyKey | None]:
    keys = [VerifyKey.from_jwk(jwk) for jwk in pair.public_jwks()]
    book = {key.kid: key for key in keys}
    return lambda kid, _alg: book.get(kid)
