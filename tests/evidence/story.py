"""Evidence without gateways: two authorities whose keys, clocks and logs a test holds in its hand.

`Story()` is a true one: a referral of id.imigrasi among three, accepted by kh.gdi, in both logs, both cosigned. A test
changes one thing in it and says what must be found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from gateway.evidence import files as f
from gateway.evidence.bundle import write_pages
from gateway.evidence.container import read, write
from gateway.evidence.facts import read_facts
from gateway.evidence.parts import CardPart, LogPart, Parts, Proved, StampPart
from gateway.ledger import entry, note
from gateway.ledger.timestamp import make_request, open_token
from gateway.primitives import merkle, times
from gateway.protocol.card import Card, CardDraft, make_key, sign_card
from gateway.protocol.event import EventDraft, build_event
from gateway.protocol.ids import CaseRef, EnvelopeId, MessageId, PartyId, Subject
from gateway.protocol.keys import OpenKey, SigningPair
from gateway.protocol.manifest import sign_manifest
from gateway.protocol.receipt import Outcome, Status, sign_receipt

if TYPE_CHECKING:
    from tests.support.tsa import OpensslAuthority

DAY_MS = 86_400_000
START_MS = times.parse_ms("2026-11-24T02:00:00.000Z")
JTI = MessageId("01935b2c-0000-7000-8000-000000000001")
EID = EnvelopeId("01935b2c-0000-7000-8000-00000000000e")
SCHEMA = b'{"$id":"urn:bcx:schema:case.referral:1.0.0","type":"object"}'
CANARY = "Sumarni Kanarienvogel"


def seed(*words: object) -> bytes:
    """Return 32 bytes that follow from words."""
    return sha256(" ".join(map(str, words)).encode()).digest()


@dataclass
class Party:
    """An authority with every key it has."""

    party: PartyId
    cards: list[Card] = field(default_factory=list)

    def pair(self, name: str = "sig-1") -> SigningPair:
        """Return a signing pair by name; `root` is the root pair."""
        return SigningPair(seed(self.party, name, "ed"), seed(self.party, name, "ml"))

    def note(self, kind: str, number: int = 1, *, origin: int = 1) -> note.NoteSigner:
        """Return the key that signs the log (`log`) or others' (`witness`)."""
        algorithm = note.ED25519 if kind == "log" else note.COSIGNATURE
        name = f"{self.party}/bcx/{kind}/{origin}"
        return note.NoteSigner.from_seed(name, algorithm, seed(self.party, kind, number))

    def card(
        self, version: int = 1, *, issued: int = START_MS - DAY_MS, log: int = 1, origin: int = 1,
        roots: str = "root", name: str = "Authority", **keys: dict[str, Any],
    ) -> Card:  # fmt: skip
        """Sign a card with the named pairs, each with changes to its span; `sig_1` alone unless told otherwise."""
        made = [
            make_key(jwk, **({"nbf_ms": START_MS - 2 * DAY_MS, "exp_ms": START_MS + 60 * DAY_MS} | changes))
            for name, changes in (keys or {"sig_1": {}}).items()
            for jwk in self.pair(name.replace("_", "-")).public_jwks()
        ]
        made.append(
            make_key(OpenKey(seed(self.party)).public_jwk(), nbf_ms=START_MS - DAY_MS, exp_ms=START_MS + DAY_MS)
        )
        card = sign_card(
            CardDraft(
                party=self.party, name=name, country=self.party[:2].upper(), environment="test",
                version=version, issued_ms=issued, expires_ms=issued + 80 * DAY_MS, endpoint="https://gateway.example/v1",
                keys=tuple(made), log_origin=self.note("log", origin=origin).key.name,
                log_vkey=self.note("log", log, origin=origin).key.vkey,
                witness_vkey=self.note("witness").key.vkey, roots=self.pair(roots).public_jwks(), schemas={},
                tls_ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
            self.pair(roots),
        )  # fmt: skip
        self.cards.append(card)
        return card


class Story:
    """One message; attributes may be changed before `parts`. `more` goes into its data."""

    def __init__(self, *, cards: bool = True, more: dict[str, Any] | None = None) -> None:
        self.more = more or {}
        self.id, self.kh = Party(PartyId("id.imigrasi")), Party(PartyId("kh.gdi"))
        if cards:
            self.id.card()
            self.kh.card()
        self.sent_ms, self.received_ms, self.settled_ms = START_MS, START_MS + 50, START_MS + 90
        self.sent_with, self.answered_with = "sig-1", "sig-1"
        self.status, self.problem = "accepted", None
        self.log_number = 1
        self.cosigned_s: int | None = START_MS // 1000 + 2
        self.answer_alone = False
        self.sent_to: PartyId = self.kh.party
        self.settled_as: str | None = None
        self.neighbours = "true"
        self.event = self.line(JTI, 2)
        self.lines = [self.line(MessageId(JTI[:-1] + "9"), 1), self.event, self.line(MessageId(JTI[:-1] + "8"), 3)]

    @property
    def fingerprints(self) -> list[str]:
        """The true ones."""
        return [self.id.cards[0].fingerprint, self.kh.cards[0].fingerprint]

    def line(self, jti: MessageId, number: int) -> bytes:
        """Write an event."""
        return build_event(
            EventDraft(
                id=jti, source=self.id.party, subject=Subject("case.referral"), case=CaseRef("XC-ID-2026-000123-8"),
                time_ms=self.sent_ms if hasattr(self, "sent_ms") else START_MS, expiry_ms=START_MS + 14 * DAY_MS,
                schema_version="1.0.0", schema_digest=sha256(SCHEMA).digest(), recipient=self.kh.party,
                environment="test", stream_seq=number, case_seq=number, urgency="URGENT", handling=("H0", "H2"),
                salt=bytes(16),
            ),
            json.dumps({"name": CANARY, **self.more}, separators=(",", ":")).encode(),
        )  # fmt: skip

    @property
    def digest(self) -> bytes:
        """Of the message."""
        return merkle.leaf_hash(self.event)

    def entry(self, seq: int, at: int, typ: str, **members: Any) -> bytes:
        """Write a log entry about the message."""
        about = {"jti": JTI, "event": self.digest, "obj_kind": "message", "obj_id": JTI, "actor_sub": "gateway",
                 "actor_role": "system"}  # fmt: skip
        return entry.build(seq=seq, at_ms=at, typ=typ, salt=seed(seq)[:16], **(about | members))

    def log(self, owner: Party, witness: Party, entries: list[bytes], *, number: int = 1) -> LogPart:
        """Prove entries in a log of 9 in which they stand at their own numbers."""
        own = {entry.read_seq(data): data for data in entries}
        hashes = self.leaves(owner, own, 9)
        text = note.sign_checkpoint(9, merkle.root(hashes), owner.note("log", number))
        if self.cosigned_s is not None:
            body = text[: text.rindex("\n\n") + 1]
            text = note.add_lines(text, note.cosign(body, witness.note("witness"), self.cosigned_s))
        proved = [Proved(at, own[at], tuple(merkle.inclusion_path(hashes, at))) for at in sorted(own)]
        return LogPart(owner.party, text, 9, tuple(proved))

    @staticmethod
    def leaves(owner: Party, own: dict[int, bytes], size: int) -> list[bytes]:
        """Return the leaf hashes of a log in which some entries are told and the others anything."""
        return [merkle.leaf_hash(own.get(at, seed(owner.party, at))) for at in range(size)]

    def stamp(
        self, owner: Party, log: LogPart, authority: OpensslAuthority, *, size: int = 12, origin: int = 1
    ) -> LogPart:
        """Have a later checkpoint of a log stamped."""
        hashes = self.leaves(owner, {one.index: one.data for one in log.entries}, size)
        text = note.sign_checkpoint(size, merkle.root(hashes), owner.note("log", origin, origin=origin))
        token = authority.answer(make_request(text.encode())[0])
        at = open_token(token, text.encode(), authority.certificates)
        path = tuple(merkle.consistency_path(hashes, log.size)) if size > log.size else ()
        return replace(log, stamp=StampPart(text, size, path, at, token))

    def outcome(self, digest: bytes, at: int, *, ours: bool) -> Outcome:
        """Answer one event of the envelope."""
        if not ours:
            named = digest if self.neighbours == "true" else seed(at)
            return Outcome(event=named, status="accepted", received_at_ms=self.received_ms, leaf=at)
        status = cast("Status", self.status)
        return Outcome(
            event=digest, status=status, received_at_ms=self.received_ms, jti=JTI,
            leaf=None if status == "deferred" else 4, problem=self.problem,
        )  # fmt: skip

    def parts(self) -> Parts:
        """Sign everything; return what id.imigrasi would export."""
        digests = [merkle.leaf_hash(line) for line in self.lines]
        place = self.lines.index(self.event)
        manifest = sign_manifest(
            iss=self.id.party, aud=self.sent_to, eid=EID, iat_ms=self.sent_ms, n=3, root=merkle.root(digests),
            signer=self.id.pair(self.sent_with),
        )  # fmt: skip
        said = self.status + (f" {self.problem}" if self.problem else "")
        theirs = self.log(self.kh, self.id, number=self.log_number, entries=[
            self.entry(4, self.received_ms, "message.received", actor_sub=self.id.party, outcome=said),
        ])  # fmt: skip
        ours = self.log(self.id, self.kh, [
            self.entry(2, self.sent_ms - 9, "message.accepted"),
            self.entry(5, self.sent_ms, "message.sent", jti=None, event=merkle.root(digests), obj_id=EID),
            self.entry(6, self.settled_ms, "message.settled", outcome=self.settled_as or said),
        ])  # fmt: skip
        outcomes = [self.outcome(digest, at, ours=at == place) for at, digest in enumerate(digests)]
        receipt = sign_receipt(
            iss=self.kh.party, aud=self.id.party, iat_ms=self.received_ms + 1, eid=None if self.answer_alone else EID,
            manifest_sha256=None if self.answer_alone else sha256(manifest).digest(),
            outcomes=[outcomes[place]] if self.answer_alone else outcomes,
            checkpoint=theirs.checkpoint, stream_high=3, signer=self.kh.pair(self.answered_with),
        )  # fmt: skip
        cards = [CardPart(one.party, card.version, card.raw) for one in (self.id, self.kh) for card in one.cards]
        return Parts(
            message=JTI, sender=self.id.party, recipient=self.kh.party, exporter=self.id.party, event=self.event,
            digest=self.digest, place=place, count=3, path=tuple(merkle.inclusion_path(digests, place)),
            manifest=manifest, receipt=receipt, cards=tuple(cards), logs=(ours, theirs), schema=SCHEMA,
        )  # fmt: skip


def unsent(story: Story, *more: bytes) -> Parts:
    """Return what id.imigrasi would export of a message that never was in an envelope; `more` are further entries."""
    parts = story.parts()
    taken = story.entry(2, story.sent_ms - 9, "message.accepted", actor_role="client", actor_sub="c-1")
    late = story.entry(6, story.sent_ms + DAY_MS, "audit.alarm", outcome="undelivered")
    log = story.log(story.id, story.kh, [taken, late, *more])
    return replace(parts, manifest=None, receipt=None, place=0, count=0, path=(), logs=(log,))


def again(files: dict[str, bytes], changes: dict[str, bytes | None]) -> bytes:
    """Forge a bundle: change files, then make page, guide, list and container fit them, as a careful forger would."""
    held = {**files, **{path: content for path, content in changes.items() if content is not None}}
    for path in [f.LISTING, *(path for path, content in changes.items() if content is None)]:
        held.pop(path, None)
    listing = json.loads(changes.get(f.LISTING) or files[f.LISTING])
    parts = f.read_parts(held, listing, [])
    rest = {path: content for path, content in held.items() if path not in {f.PAGE, f.GUIDE}}
    if parts is not None:
        pages = write_pages(parts, f.write_files(parts), read_facts(parts))
        rest |= {path: changes.get(path) or content for path, content in pages.items()}
        listed = f.write_listing(replace(parts, event=held.get(f.EVENT)), rest)
    else:
        rest |= {path: held[path] for path in (f.PAGE, f.GUIDE)}
        listing["files"] = [
            {"path": path, "role": f.role_of(path), "bytes": len(content), "sha256": sha256(content).hexdigest()}
            for path, content in sorted(rest.items())
        ]
        listed = f.canonical(listing)
    return write([(f.LISTING, listed), *sorted(rest.items())])


def files_of(raw: bytes) -> dict[str, bytes]:
    """Return the files of a bundle."""
    return dict(read(raw))
