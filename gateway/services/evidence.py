"""Evidence of one message: its chain of steps from the log, and the bundle a stranger can check offline.

Law: a bundle is logged before it leaves, and holds what was there when the message was answered, so that the next
export of the same message gives the same bytes until more is known of it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

import rfc8785

from gateway.errors import Clash, MalformedProof, Paused, RecordChanged, UnknownSchemaRequested
from gateway.evidence import chain
from gateway.evidence.bundle import write_bundle
from gateway.evidence.facts import read_event
from gateway.evidence.parts import CardPart, LogPart, Parts, Proved, StampPart
from gateway.ledger import entry, note, proof, standing
from gateway.logs import get_logger
from gateway.primitives import merkle
from gateway.services.accounts import actor_of, require
from gateway.services.evidence_cards import choose_cards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.ports.common import Clock
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.services.catalogue import Catalogue
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.evidence_partner import PartnerEntries
    from gateway.services.reading import Reader
    from gateway.services.receive import Receiver

    Row = Mapping[str, Any]

log = get_logger()

ENTRIES_MOST: Final = 90
READS_MOST: Final = 100
"""Entries of readings a bundle holds: a message read daily must not outgrow the format."""
LOOK: Final = "`gateway audit verify` names what was changed"
ATTEMPTS_MOST: Final = 100
"""Attempts the chain shows, the last ones: a partner that is down for weeks is tried thousands of times."""


class _Reads(Protocol):
    """The questions asked here."""

    async def event(self, direction: str, number: int) -> Row | None: ...
    async def receipt(self, number: int) -> bytes | None: ...
    async def envelope(self, eid: str, direction: str, partner: str) -> Row | None: ...
    async def envelopes_of(self, number: int, limit: int) -> Sequence[Row]: ...
    async def story(self, row: Row, limit: int, often: int) -> Sequence[Row]: ...
    async def cards(self, party: str) -> Sequence[bytes]: ...
    async def answers_to(self, jti: str, case: str, partner: str) -> Sequence[Row]: ...
    async def checkpoint_over(self, leaf: int) -> Row | None: ...
    async def leaf_data(self, start: int, end: int) -> Sequence[bytes]: ...


class Evidence:
    """`chain` tells what happened to a message, `export` proves it."""

    def __init__(
        self, store: Store, reads: _Reads, reader: Reader, checkpoints: Checkpointer,
        receiver: Receiver, catalogue: Catalogue, partner_entries: PartnerEntries, clock: Clock, *, me: str,
    ) -> None:  # fmt: skip
        self._store = store
        self._reads = reads
        self._reader = reader
        self._checkpoints = checkpoints
        self._receiver = receiver
        self._catalogue = catalogue
        self._partner_entries = partner_entries
        self._clock = clock
        self._me = me

    # --- the chain ------------------------------------------------------------------------------

    async def chain(self, jti: str, owner: str | None, sender: str | None = None) -> list[chain.Step]:
        """Return the steps of a message from our log, oldest first: each names its entry. Raises as `Reader.message`.

        `sent` stands once for each of the last attempts; the entry of an answer to it counts as `answered` (its
        `message` is the answer).
        """
        row = await self._reader.message(jti, owner, sender)
        found = [(self._me, e["seq"], e["data"]) for e in await self._own_rows(row)]
        if row["direction"] == "out":
            sent = await self._reads.envelopes_of(row["id"], ATTEMPTS_MOST)
            found += [(self._me, e["seq"], e["data"]) for e in sent]
        steps = {(one.index, one.step): one for one in chain.steps(found)}
        if row["case_ref"] is not None:
            for answer in await self._reads.answers_to(row["jti"], row["case_ref"], row["partner"]):
                [data] = await self._reads.leaf_data(answer["leaf"], answer["leaf"] + 1)
                for one in chain.steps([(self._me, answer["leaf"], data)]):
                    steps[one.index, "answered"] = chain.answered(one)
        return sorted(steps.values(), key=lambda one: (one.at_ms, one.index))

    async def _own_rows(self, row: Row) -> Sequence[Row]:
        sender = self._me if row["direction"] == "out" else row["partner"]
        story = await self._reads.story(row, ENTRIES_MOST, READS_MOST)
        return [one for one in story if _is_about(one["data"], row, sender)]

    # --- the bundle -----------------------------------------------------------------------------

    async def export(
        self, jti: str, account: Account, *, sender: str | None = None, redacted: bool = True,
        purpose: str | None = None,
    ) -> bytes:  # fmt: skip
        """Return the bundle of a message, after the export is in the log; with its content unless `redacted`.

        Raises as `Reader.message`; NotPermitted and MalformedRequest as reading the event does; Clash where what its
        sender signed is not held, and Paused where our log is not signed so far yet.
        """
        if not redacted:
            require(account, "event.read")
        row = await self._reader.message(jti, None, sender)
        event = None if redacted else await self._reader.content(row, purpose)
        raw = write_bundle(await self._collect(row, event))

        def work(tx: Transaction) -> None:
            tx.log.append(
                "evidence.exported", actor=actor_of(account), obj=("message", row["jti"]), at=self._clock(),
                jti=row["jti"], event=row["digest"], case=row["case_ref"],
                outcome="redacted" if event is None else "whole", purpose=purpose,
            )  # fmt: skip

        await self._store.write(work)
        return raw

    async def _collect(self, row: Row, event: bytes | None) -> Parts:
        out = row["direction"] == "out"
        sender, recipient = (self._me, row["partner"]) if out else (row["partner"], self._me)
        envelope = await self._reads.envelope(row["eid"], row["direction"], row["partner"]) if row["eid"] else None
        if envelope is None or not envelope["manifest"]:
            if not out:
                raise Clash("its sender's signed envelope is not held; `gateway audit search --message` has the log")
            return await self._unsent(row, event)
        digests = [envelope["digests"][at : at + 32] for at in range(0, len(envelope["digests"]), 32)]
        if row["digest"] not in digests:
            raise RecordChanged(f"message {row['jti']} is in no envelope that is kept; {LOOK}")
        place = digests.index(row["digest"])
        receipt = await self._receipt(row) if out else await self._answer(row)
        logs = [await self._own_log(row, envelope["leaf"])]
        if out and row["partner_leaf"] is not None:
            logs += await self._partner_entries.part(row)
        cards = await self._cards(row, [envelope["manifest"], *([receipt] if receipt else [])], logs)
        return Parts(
            message=row["jti"], sender=sender, recipient=recipient, exporter=self._me, event=event,
            digest=row["digest"], place=place, count=len(digests), path=tuple(merkle.inclusion_path(digests, place)),
            manifest=envelope["manifest"], receipt=receipt, cards=cards, logs=tuple(logs),
            schema=self._schema(event),
        )  # fmt: skip

    async def _unsent(self, row: Row, event: bytes | None) -> Parts:
        """Return what shows of a message that was in no envelope yet: what our log says, and who cosigned that."""
        logs = (await self._own_log(row, None),)
        return Parts(
            message=row["jti"], sender=self._me, recipient=row["partner"], exporter=self._me, event=event,
            digest=row["digest"], place=0, count=0, path=(), manifest=None, receipt=None,
            cards=await self._cards(row, [], logs), logs=logs, schema=self._schema(event),
        )  # fmt: skip

    async def _receipt(self, row: Row) -> bytes | None:
        """Return the receipt that ended a message of ours: the one whose digest was logged when it came."""
        receipt = await self._reads.receipt(row["id"])
        said = standing.standing(standing.read_all(e["data"] for e in await self._own_rows(row)), self._me)
        if said is not None and said.receipt is not None and said.receipt != sha256(receipt or b"").digest():
            raise RecordChanged(f"the receipt of message {row['jti']} is not the one that was logged; {LOOK}")
        return receipt

    async def _answer(self, row: Row) -> bytes | None:
        """Return our signed answer to a message we received: made once and kept, since no two signatures are alike."""
        name = f"{row['partner']}/{row['jti']}.answer"
        held = await self._reads.envelope(name, "in", row["partner"])
        if held is not None and held["receipt"] is not None:
            kept: bytes = held["receipt"]
            return kept
        try:
            fresh = await self._receiver.answer_again(row["partner"], row["jti"])
        except Paused:
            # No receipt is signed before a partner has said that this log is the newest; the bundle tells the gap.
            return None

        def work(tx: Transaction) -> None:
            tx.envelopes.add(
                eid=name, partner=row["partner"], direction="in", at=self._clock(), manifest=b"",
                digests=[row["digest"]], leaf=None,
            )  # fmt: skip
            tx.envelopes.set_receipt(name, fresh)

        await self._store.write(work)
        return fresh

    async def _own_log(self, row: Row, sent: int | None) -> LogPart:
        numbers = {
            e["seq"]
            for e in await self._own_rows(row)
            if (found := entry.parse(e["data"])).typ in chain.IN_BUNDLE and found.event in {None, row["digest"]}
        }
        # Of the envelopes that carried it only the answered one is in the bundle, and so is its entry.
        if sent is not None:
            numbers.add(sent)
        wanted = sorted(numbers)
        size, text = await self._checkpoint(wanted)

        def prove(tx: Transaction) -> LogPart:
            there = [number for number in wanted if number < size]
            proved = tuple(Proved(number, tx.log.data(number), tx.log.proof(number, size)) for number in there)
            return LogPart(self._me, text, size, proved, _stamp(tx, size))

        return await self._store.write(prove)

    async def _checkpoint(self, wanted: Sequence[int]) -> tuple[int, str]:
        """Return the first cosigned checkpoint over all entries, else the first signed one: the same at each export.

        Where none may be signed now (protocol.md §6), the newest there is: what it does not reach is left out.
        """
        cosigned = await self._store.write(lambda tx: tx.witness.first_cosigned(wanted[-1]))
        if cosigned is not None:
            return cosigned.size, note.add_lines(cosigned.note, cosigned.lines)
        signed = await self._reads.checkpoint_over(wanted[-1])
        if signed is not None:
            return signed["size"], signed["note"]
        newest = await self._checkpoints.sign()
        if newest is None or newest.size <= wanted[0]:
            detail = (
                "our log is not signed so far yet: `gateway serve` signs it once a partner has answered it; "
                "`gateway doctor` names who is not reached"
            )
            raise Paused(detail)
        return newest.size, newest.note

    async def _cards(self, row: Row, signed: Sequence[bytes], logs: Sequence[LogPart]) -> tuple[CardPart, ...]:
        times = [at for at in (row["at"], row["received_at"], row["settled_at"]) if at is not None]
        texts = [text for log in logs for text in (log.checkpoint, log.stamp.checkpoint if log.stamp else "") if text]
        held = {party: await self._reads.cards(party) for party in sorted((self._me, row["partner"]))}
        return choose_cards(held, times, signed, texts)

    def _schema(self, event: bytes | None) -> bytes | None:
        """Return the schema an event names, in JCS: its SHA-256 is then the event's `schemadigest`."""
        found = read_event(event)
        if found is None or found.is_void:
            return None
        try:
            return rfc8785.dumps(self._catalogue.version(found.subject, found.schema_version).document)
        except UnknownSchemaRequested:
            log.warning("the schema of a message is not held", message=found.id)
            return None


def _is_about(data: bytes, row: Row, sender: str) -> bool:
    """Say whether an entry that names a message id is about this message: another sender may have used the same id."""
    try:
        found = entry.parse(data)
    except MalformedProof:
        return False
    ours: bool = row["direction"] == "out"
    if found.typ == "message.received":
        return not ours and found.seq == int(row["leaf"])
    if found.event is not None and not found.typ.startswith("attachment."):
        return bool(found.event == row["digest"])
    # Who is named without a digest of the message does it to one of its own.
    return ours if found.actor_role != "partner" else found.actor_sub == sender


def _stamp(tx: Transaction, size: int) -> StampPart | None:
    """Return the first timestamp over a checkpoint that holds ours of `size`: the same at each export."""
    found = tx.timestamps.first_from(size)
    if found is None:
        return None
    path = proof.consistency(tx.log.read_hashes, size, found.size) if size < found.size else []
    return StampPart(found.note, found.size, tuple(path), found.at, found.token)
