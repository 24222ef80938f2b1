"""A party whose every byte is chosen by the test: it has real keys, and no gateway that would keep it honest."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gateway.casework.policies.keeping import class_maximum
from gateway.home import open_home
from gateway.ledger.note import ED25519, NoteKey, NoteSigner, sign_checkpoint
from gateway.primitives import merkle
from gateway.protocol import receipt
from gateway.protocol.card import Card, read_card
from gateway.protocol.envelope import OpenedEnvelope, Sealed, open_sealed, seal
from gateway.protocol.event import VOID, VOID_SCHEMA_DIGEST, VOID_SCHEMA_VERSION, EventDraft, build_event
from gateway.protocol.ids import EnvelopeId, MessageId, PartyId, Subject, make_case_ref, uuid7
from gateway.protocol.receipt import Outcome, Receipt, read_receipt
from gateway.protocol.void import Void, write_voids
from gateway.registry.subject import load_schema
from gateway.running import wall_clock
from tests.support.link import example

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.protocol.ids import CaseRef

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
DAY_MS = 86_400_000


def newest_card(home: Path, party: str) -> Card:
    """Return the card of `party` that a home holds."""
    with closing(sqlite3.connect(f"file:{home}/data/gateway.db?mode=ro", uri=True)) as db:
        [(raw,)] = db.execute(
            "SELECT jws FROM cards WHERE party = ? ORDER BY version DESC LIMIT 1", (party,)
        ).fetchall()
    return read_card(raw)


@dataclass(frozen=True)
class Letter:
    """A sealed envelope and what it was made of."""

    sealed: Sealed
    eid: EnvelopeId
    events: tuple[bytes, ...]


class Author:
    """A scripted party towards one partner: it numbers, signs and seals as it is told."""

    def __init__(self, home: Path, partner: PartyId, clock: Callable[[], int]) -> None:
        settings, self.keys = open_home(home, environ={})
        self.home = home
        self.party = settings.me
        self.country = settings.party.country
        self.origin = settings.log_origin
        self.partner = partner
        self.clock = clock
        self.card = newest_card(home, self.party)
        self.partner_card = newest_card(home, partner)
        self.sent = 0
        self.cases = 0

    # --- as a sender ---

    def new_case(self) -> CaseRef:
        """Return a reference this party may open."""
        self.cases += 1
        return make_case_ref(self.country, 2031, self.cases)

    def draft(
        self, name: str = "case.referral/s1-sumarni", *, case: str | None = None, case_seq: int | None = 1
    ) -> EventDraft:
        """Return the attributes of the next message of this party, of the type of a shipped example."""
        self.sent += 1
        subject, now, shipped = name.partition("/")[0], self.clock(), example(name)
        schema = load_schema((SCHEMAS / subject / "1.0.0.json").read_bytes())
        return EventDraft(
            id=MessageId(uuid7(now, os.urandom)), source=self.party, subject=Subject(subject), case=case, time_ms=now,
            expiry_ms=now + 14 * DAY_MS, schema_version=schema.version, schema_digest=schema.digest,
            recipient=self.partner, environment="test", stream_seq=self.sent,
            case_seq=case_seq if case is not None else None, urgency=shipped["urgency"],
            handling=tuple(shipped["handling"]), salt=os.urandom(16),
        )  # fmt: skip

    def event(self, name: str = "case.referral/s1-sumarni", *, data: dict[str, Any] | None = None,
              case: CaseRef | None = None,
              case_seq: int | None = 1, **changes: Any) -> bytes:  # fmt: skip
        """Return one event; a referral opens a case of its own where none is given."""
        opens = name.startswith("case.referral")
        draft = self.draft(name, case=case or (self.new_case() if opens else None), case_seq=case_seq)
        return build_event(replace(draft, **changes), orjson.dumps(data if data is not None else filled(name)))

    def void(self, *voids: Void, **changes: Any) -> bytes:
        """Return the `bcx.void` of these numbers."""
        draft = replace(
            self.draft(), subject=VOID, schema_version=VOID_SCHEMA_VERSION, schema_digest=VOID_SCHEMA_DIGEST,
            urgency="ROUTINE", handling=("H0",), **changes,
        )  # fmt: skip
        return build_event(draft, write_voids(voids))

    def letter(self, *events: bytes, iat_ms: int | None = None, eid: str | None = None, signer: Any = None) -> Letter:
        """Sign and seal events."""
        now = self.clock()
        eid = EnvelopeId(eid or uuid7(now, os.urandom))
        key = self.partner_card.seal_key(now)
        assert key is not None
        sealed = seal(
            events, iss=self.party, aud=self.partner, eid=eid, iat_ms=now if iat_ms is None else iat_ms,
            signer=signer or self.keys.signer(now), recipient=key, entropy=os.urandom,
        )  # fmt: skip
        return Letter(sealed, eid, events)

    def read(self, raw: bytes, letter: Letter | None) -> Receipt:
        """Verify a receipt of the partner: for a letter, or (None) for the question about one message."""
        return read_receipt(
            raw, iss=self.partner, aud=self.party, eid=letter.eid if letter else None,
            manifest_sha256=sha256(letter.sealed.manifest).digest() if letter else None,
            digests=letter.sealed.digests if letter else None,
            key_for=lambda kid, alg: self.partner_card.verify_key(kid, alg, self.clock()),
        )  # fmt: skip

    # --- as a receiver ---

    def open(self, raw: bytes) -> OpenedEnvelope:
        """Open what the partner sent."""
        return open_sealed(
            raw, me=self.party, peer=self.partner, open_key_for=self.keys.open_key,
            verify_key_for=lambda kid, alg: self.partner_card.verify_key(kid, alg, self.clock()),
        )  # fmt: skip

    def checkpoint(self, size: int, fill: bytes = b"leaf") -> str:
        """Sign a head of a log that never was."""
        key = self.keys.log_key()
        public = NoteKey(self.origin, ED25519, key.public_key().public_bytes_raw())
        root = merkle.root([merkle.leaf_hash(fill + str(at).encode()) for at in range(size)])
        return sign_checkpoint(size, root, NoteSigner(public, key.sign))

    def outcome(self, digest: bytes, status: str = "accepted", **changes: Any) -> Outcome:
        """Return an outcome for an event."""
        leaf = 0 if status in {"accepted", "rejected"} else None
        found = Outcome(event=digest, status=status, received_at_ms=self.clock(), leaf=leaf)  # type: ignore[arg-type]
        return replace(found, **changes)

    def sign(self, envelope: OpenedEnvelope | None, outcomes: Sequence[Outcome], **changes: Any) -> bytes:
        """Sign a receipt that says what it is told to say."""
        now = self.clock()
        said: dict[str, Any] = {
            "iss": self.party, "aud": self.partner, "iat_ms": now, "eid": envelope.eid if envelope else None,
            "manifest_sha256": envelope.manifest_sha256 if envelope else None, "outcomes": outcomes,
            "checkpoint": self.checkpoint(10), "stream_high": 0, "signer": self.keys.signer(now),
        }  # fmt: skip
        return receipt.sign_receipt(**{**said, **changes})


def filled(name: str) -> dict[str, Any]:
    """Return the data of an example as a sender's gateway completes it."""
    data: dict[str, Any] = example(name)["data"]
    meta = data["meta"]
    meta.setdefault("language", "eng")
    last = class_maximum(meta["retention"]["class"], wall_clock())
    if last is not None:
        meta["retention"].setdefault("deleteBy", last.isoformat())
    return data
