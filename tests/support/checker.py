"""The checker: what must hold after every experiment, read from the homes of two stopped gateways.

    check(home_a, home_b, promised={...}, shown={...}, drained=True, canaries=[...], traces=[...])

Its parts are those of the project's promise: (1) every accepted message is answered by a verified
receipt, cancelled on record or dead with an alarm; (2) nothing is seen twice; (3) both logs verify, with our
verifier and with Go's, each delivered message has one `accepted` leaf, and every checkpoint ever shown or
cosigned is a prefix of the final log; (4) numbers are gapless and digests agree; (5) no plaintext leaks; (6)
nothing is left to do: how long that took, and that a lost partner was probed, is for whoever watched; (8) tables
and log agree, row by row, as `audit verify` judges them. It
collects all violations before it raises, because the second one often explains the first.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import LedgerError, PartnerError
from gateway.ledger import entry, note
from gateway.ledger.tiles import TILE_WIDTH, export_files, split_hashes
from gateway.ledger.verify import verify_rows
from gateway.primitives import merkle
from gateway.protocol.card import read_card
from gateway.protocol.event import VOID
from gateway.protocol.receipt import read_receipt
from gateway.services.holdings import judge_holdings
from gateway.storage.holdings import stored_holdings
from tests.support.golog import go_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.ledger.entry import Entry
    from gateway.protocol.card import Card
    from gateway.protocol.ids import Kid, PartyId
    from gateway.protocol.keys import VerifyKey

OPEN = {"queued", "sending", "held"}
FINAL = {"accepted", "rejected"}


class Violations(AssertionError):
    """What does not hold, all of it."""


class Side:
    """Everything one gateway left behind."""

    def __init__(self, home: Path) -> None:
        self.path = path = home / "data" / "gateway.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            self._db = db
            self.outbox = self._rows("SELECT * FROM outbox ORDER BY id")
            self.inbox = self._rows("SELECT * FROM inbox ORDER BY id")
            self.envelopes = {row["eid"]: row for row in self._rows("SELECT * FROM envelopes")}
            self.bodies = {row["id"]: row["event"] for row in self._rows("SELECT id, event FROM bodies")}
            self.heads = {row["partner"]: row for row in self._rows("SELECT * FROM stream_heads")}
            self.leaves = self._rows("SELECT seq, data, leaf FROM entries ORDER BY seq")
            self.tiles = {(r["level"], r["number"]): r["hashes"] for r in self._rows("SELECT * FROM tiles")}
            self.checkpoints = [row["note"] for row in self._rows("SELECT note FROM checkpoints ORDER BY size")]
            self.cosignatures = self._rows(
                "SELECT c.note, s.lines, s.witness FROM cosignatures s JOIN checkpoints c USING (size)"
            )
            self.witnessed = self._rows("SELECT * FROM witnessed")
            partners = {row["party"] for row in self._rows("SELECT party FROM partners")}
            self.cards: dict[str, list[Card]] = {}
            for row in self._rows("SELECT party, jws FROM cards ORDER BY id"):
                self.cards.setdefault(row["party"], []).append(read_card(row["jws"]))
            self.integrity = self._rows("PRAGMA integrity_check")[0][0]
        self.party: PartyId = next(cards[0].party for name, cards in self.cards.items() if name not in partners)
        self.entries: list[Entry] = [entry.parse(row["data"]) for row in self.leaves]
        self._hashes = [merkle.leaf_hash(row["data"]) for row in self.leaves]

    def _rows(self, statement: str) -> list[Any]:
        return list(self._db.execute(statement))

    @property
    def log_keys(self) -> list[note.NoteKey]:
        """Every log key this party ever published."""
        return [note.NoteKey.parse(card.log_vkey) for card in self.cards[self.party]]

    def hashes(self, level: int, number: int) -> Sequence[bytes]:
        """Return a tile as stored; the one being filled comes from the stored leaf hashes."""
        if (level, number) in self.tiles:
            return split_hashes(self.tiles[level, number])
        start = number * TILE_WIDTH
        return [row["leaf"] for row in self.leaves[start : start + TILE_WIDTH]] if level == 0 else ()

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves, made anew from their data."""
        return merkle.root(self._hashes[:size])

    def logged(self, typ: str) -> Counter[str]:
        """Return how often each message is named by entries of a type."""
        return Counter(e.jti for e in self.entries if e.typ == typ and e.jti is not None)


class _Findings(list[str]):
    def unless(self, holds: object, what: str) -> None:
        if not holds:
            self.append(what)


def check(
    a: Path,
    b: Path | None = None,
    *,
    promised: Mapping[str, Iterable[str]] | None = None,
    shown: Mapping[str, Sequence[str]] | None = None,
    drained: bool = True,
    canaries: Sequence[bytes] = (),
    traces: Iterable[bytes | Path] = (),
    third_party: bool = True,
) -> None:
    """Check two homes, or one whose partner was a script; `promised` are the ids answered 202, by party.

    `shown` are the ids an application saw that followed the inbox of a party from its first message on.
    `traces` are logs, temporary files and wire captures that must hold none of the `canaries`. Where hundreds of
    runs leave logs of one kind, some may do without the verifier of a `third_party`.
    Raises Violations.
    """
    found = _Findings()
    sides = [Side(a)] + ([Side(b)] if b is not None else [])
    for side in sides:
        found.unless(side.integrity == "ok", f"{side.party}: database {side.integrity}")
        _log(found, side, third_party=third_party)
        _fates(found, side, set((promised or {}).get(side.party, ())), drained=drained)
        _numbers_sent(found, side)
        _seen_once(found, side, (shown or {}).get(side.party))
        _tables(found, side)
    if len(sides) == 2:
        for sender, receiver in (sides, sides[::-1]):
            _agree(found, sender, receiver, drained=drained)
            _prefixes(found, sender, receiver)
            _cosigned(found, sender, receiver)
    _leaks(found, canaries, traces)
    if found:
        raise Violations("\n".join(["", *found[:40]]))


# (1) and (6): every message has a fate ------------------------------------------------------------------


def _fates(found: _Findings, side: Side, promised: set[str], *, drained: bool) -> None:
    rows = {row["jti"]: row for row in side.outbox}
    for jti in promised - rows.keys():
        found.append(f"{side.party}: {jti} was answered 202 and is gone")
    logged = side.logged("message.accepted")
    for jti in rows.keys() ^ logged.keys():
        found.append(f"{side.party}: {jti} stands in only one of outbox and log")
    cancelled, dead = side.logged("message.cancelled"), side.logged("message.dead")
    settled, alarms = side.logged("message.settled"), side.logged("audit.alarm")
    for jti, row in rows.items():
        state = row["state"]
        if state in FINAL:
            found.unless(settled[jti] == 1, f"{side.party}: {jti} settled {settled[jti]} times in the log")
            _receipt(found, side, row)
        elif state == "cancelled":
            found.unless(cancelled[jti], f"{side.party}: {jti} cancelled without an entry")
        elif state == "dead":
            found.unless(dead[jti] and alarms[jti], f"{side.party}: {jti} dead without entry or alarm")
        elif drained:
            found.append(f"{side.party}: {jti} is still {state}")
        found.unless(state in OPEN | FINAL | {"cancelled", "dead"}, f"{side.party}: {jti} is {state}")
        found.unless(not drained or row["void"] != "due", f"{side.party}: number of {jti} not told")


def _receipt(found: _Findings, side: Side, row: Any) -> None:
    """Verify the receipt that ended one message, as an auditor would who has only this home."""
    jti, partner = row["jti"], row["recipient"]
    alone = side.envelopes.get(f"{jti}.receipt")
    kept = alone or side.envelopes.get(row["eid"])
    if kept is None or kept["receipt"] is None:
        found.append(f"{side.party}: {jti} is {row['state']} without a receipt")
        return
    digests = [kept["digests"][at : at + 32] for at in range(0, len(kept["digests"]), 32)]

    def key_for(kid: Kid, alg: str) -> VerifyKey | None:
        keys = (card.verify_key(kid, alg, row["settled_at"]) for card in side.cards[partner])
        return next((key for key in keys if key is not None), None)

    try:
        receipt = read_receipt(
            kept["receipt"], iss=partner, aud=side.party, eid=None if alone else kept["eid"],
            manifest_sha256=None if alone else _sha256(kept["manifest"]), digests=None if alone else digests,
            key_for=key_for,
        )  # fmt: skip
        keys = [note.NoteKey.parse(card.log_vkey) for card in side.cards[partner]]
        note.open_checkpoint(receipt.checkpoint, keys)
    except PartnerError as error:
        found.append(f"{side.party}: the receipt of {jti} does not verify: {error.slug} {error.detail}")
        return
    mine = [outcome for outcome in receipt.outcomes if outcome.event == row["digest"]]
    found.unless(
        [outcome.status for outcome in mine] == [row["state"]],
        f"{side.party}: {jti} is {row['state']}, its receipt says {[o.status for o in mine]}",
    )


def _sha256(raw: bytes) -> bytes:
    from hashlib import sha256

    return sha256(raw).digest()


# (2): nothing twice -------------------------------------------------------------------------------------


def _seen_once(found: _Findings, side: Side, shown: Sequence[str] | None) -> None:
    stored = [row["jti"] for row in side.inbox if row["status"] == "accepted" and row["subject"] != VOID]
    for jti, count in Counter(stored if shown is None else shown).items():
        found.unless(count == 1, f"{side.party}: {jti} is seen {count} times")
    if shown is not None:
        found.unless(
            list(shown) == stored, f"{side.party}: an application saw {len(shown)} of {len(stored)}, or others"
        )
    for row in side.inbox:
        if row["status"] == "accepted":
            body = side.bodies.get(row["body_id"])
            right = body is not None and merkle.leaf_hash(body) == row["digest"]
            found.unless(right, f"{side.party}: {row['jti']} is not held as received")


# (3): the log ---------------------------------------------------------------------------------------------


def _log(found: _Findings, side: Side, *, third_party: bool) -> None:
    report = verify_rows(
        side.checkpoints[-1] if side.checkpoints else None,
        [(row["seq"], row["data"]) for row in side.leaves],
        side.hashes,
        log_keys=side.log_keys,
        history=side.checkpoints[:-1],
    )
    for fault in report.faults:
        found.append(f"{side.party}: log {fault.index} {fault.path}: {fault.what}")
    for text in side.checkpoints:
        head = note.open_checkpoint(text, side.log_keys)
        found.unless(head.root == side.root(head.size), f"{side.party}: checkpoint {head.size} is no prefix")
    fault = _go_fault(side) if third_party else None
    found.unless(fault is None, f"{side.party}: Go's verifier says: {fault}")
    accepted = Counter(e.jti for e in side.entries if e.typ == "message.received" and e.outcome == "accepted")
    arrived = {row["jti"]: row for row in side.inbox if row["status"] == "accepted"}
    for jti in accepted.keys() | arrived.keys():
        found.unless(
            accepted[jti] == 1 and jti in arrived,
            f"{side.party}: {jti} has {accepted[jti]} accepted leaves, and {'a' if jti in arrived else 'no'} row",
        )
    for row in side.inbox:
        leaf = side.entries[row["leaf"]] if row["leaf"] < len(side.entries) else None
        if row["status"] == "voided":
            continue
        right = leaf is not None and leaf.event == row["digest"] and leaf.typ == "message.received"
        found.unless(right, f"{side.party}: entry {row['leaf']} does not record {row['jti']}")


def _go_fault(side: Side) -> str | None:
    """Have the newest checkpoint and all below it judged by Go."""
    if not side.checkpoints:
        return "no checkpoint"
    text = side.checkpoints[-1]
    head = note.read_tree_head(text)
    key = next((key for key in side.log_keys if key.name == head.origin and _signed(text, key)), None)
    if key is None:
        return "signed under no key of its cards"
    data = [row["data"] for row in side.leaves]
    try:
        files = list(export_files(head.size, lambda start, end: data[start:end], side.hashes))
    except LedgerError as error:
        return error.detail
    return go_fault([("checkpoint", text.encode()), *files], key.vkey)


def _signed(text: str, key: note.NoteKey) -> bool:
    try:
        note.open_checkpoint(text, [key])
    except PartnerError:
        return False
    return True


def _prefixes(found: _Findings, holder: Side, issuer: Side) -> None:
    """Check that every checkpoint shown in a receipt is a prefix of the issuer's final log."""
    for row in holder.envelopes.values():
        if row["receipt"] is None or row["partner"] != issuer.party:
            continue
        text = _payload(row["receipt"])["checkpoint"]
        head = note.open_checkpoint(text, issuer.log_keys)
        found.unless(
            head.size <= len(issuer.leaves) and head.root == issuer.root(head.size),
            f"{holder.party}: holds a checkpoint of {issuer.party} at {head.size} that is no prefix of its log",
        )


def _cosigned(found: _Findings, issuer: Side, witness: Side) -> None:
    """Check that every checkpoint a partner cosigned, or remembers, is a prefix of the final log, under its key."""
    keys = [note.NoteKey.parse(card.witness_vkey) for card in witness.cards[witness.party]]
    shown = [
        note.add_lines(row["note"], row["lines"]) for row in issuer.cosignatures if row["witness"] == witness.party
    ]
    held = [row["note"] for row in witness.witnessed if row["party"] == issuer.party]
    for text in shown + held:
        try:
            head = note.open_checkpoint(text, issuer.log_keys, keys)
        except PartnerError as error:
            found.append(f"{witness.party}: holds a head of {issuer.party} that does not verify: {error.detail}")
            continue
        found.unless(
            head.size <= len(issuer.leaves) and head.root == issuer.root(head.size),
            f"{witness.party}: cosigned {issuer.party} at {head.size}, which is no prefix of its log",
        )
        found.unless(text in held or head.cosignatures, f"{issuer.party}: no cosignature at {head.size}")


def _payload(receipt: bytes) -> dict[str, Any]:
    from gateway.primitives import strictjson
    from gateway.protocol import jws

    payload: dict[str, Any] = strictjson.loads(jws.peek_payload(receipt))
    return payload


# (4): numbers and digests ---------------------------------------------------------------------------------


def _numbers_sent(found: _Findings, side: Side) -> None:
    by_partner: dict[str, list[int]] = {}
    by_case: dict[str, list[int]] = {}
    for row in side.outbox:
        by_partner.setdefault(row["recipient"], []).append(row["stream_seq"])
        if row["case_ref"] is not None:
            by_case.setdefault(row["case_ref"], []).append(row["case_seq"])
        found.unless(
            merkle.leaf_hash(side.bodies[row["body_id"]]) == row["digest"],
            f"{side.party}: the bytes of {row['jti']} changed",
        )
    for name, numbers in [*by_partner.items(), *by_case.items()]:
        found.unless(
            sorted(numbers) == list(range(1, len(numbers) + 1)),
            f"{side.party}: numbers towards {name} are not gapless: {sorted(numbers)[:20]}",
        )


def _agree(found: _Findings, sender: Side, receiver: Side, *, drained: bool) -> None:
    arrived = {row["digest"]: row for row in receiver.inbox if row["sender"] == sender.party and row["digest"]}
    for row in sender.outbox:
        if row["recipient"] != receiver.party:
            continue
        there = arrived.pop(row["digest"], None)
        what = f"{sender.party}: {row['jti']} is {row['state']}, at {receiver.party} "
        if row["state"] in FINAL:
            status = there["status"] if there is not None else "unknown"
            found.unless(status == row["state"], what + status)
            if there is not None:
                same = row["partner_leaf"] == there["leaf"] and row["received_at"] == there["received_at"]
                found.unless(same, what + "with another leaf or time")
        elif drained and there is not None and there["status"] == "accepted":
            found.append(what + "accepted")
    for row in arrived.values():
        found.unless(row["status"] == "rejected", f"{receiver.party}: holds {row['jti']}, which nobody sent")
    if drained and sender.party in receiver.heads:
        high, sent = (
            receiver.heads[sender.party]["high"],
            len([row for row in sender.outbox if row["recipient"] == receiver.party]),
        )
        found.unless(high == sent, f"{receiver.party}: {sent - high} numbers of {sender.party} not accounted for")


# (8): tables and log --------------------------------------------------------------------------------------


def _tables(found: _Findings, side: Side) -> None:
    with stored_holdings(side.path) as held:
        for fault in judge_holdings(held, side.party):
            found.append(f"{side.party}: {fault.path}, entry {fault.index}: {fault.what}: {fault.meaning}")


# (5): leaks -------------------------------------------------------------------------------------------------


def _leaks(found: _Findings, canaries: Sequence[bytes], traces: Iterable[bytes | Path]) -> None:
    for trace in traces:
        raw = trace.read_bytes() if isinstance(trace, Path) else trace
        name = trace.name if isinstance(trace, Path) else "a trace"
        for canary in canaries:
            found.unless(canary not in raw, f"plaintext in {name}")
