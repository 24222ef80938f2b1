"""Reads of messages: who sees which, and the log entry that precedes every look at case data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.casework.recordaction import MESSAGE, PART
from gateway.casework.remembered import persons
from gateway.errors import Clash, Finding, MalformedRequest, NotFound, NotPermitted, RecordChanged
from gateway.ports.common import Actor
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.event import VOID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.codelists import CodeLists
    from gateway.casework.remembered import PersonState, Record
    from gateway.ports.common import Clock
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction

    Row = Mapping[str, Any]

PURPOSES = "processingPurpose"
"""The code list a stated purpose comes from: free text could carry a name into the log."""
READS: Final = ("message.read", "attachment.read", "evidence.exported", "case.searched", "schema.tried")
"""The entries of everything that looks into bodies for somebody: who read what is one question."""
MOST_BYTES = 16 * 1024 * 1024
"""Of one page of the inbox: a page of manifests must not fill memory."""


class _Reads(Protocol):
    """The questions asked here."""

    async def under(self, jti: str, sender: str | None = None) -> Sequence[Row]: ...
    async def event(self, direction: str, number: int) -> Row | None: ...
    async def inbox(self, after: int, limit: int) -> Sequence[Row]: ...
    async def marks(self, jti: str, sender: str | None) -> Sequence[Row]: ...
    async def remembered(self, ref: str, partner: str, *, readable: bool = False) -> Sequence[Record]: ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """A received message with its place in the inbox; `event` is None where what is stored is not what was logged."""

    number: int
    row: Row
    event: bytes | None


class Reader:
    """`event` and `inbox` are the ways case data leaves for a caller."""

    def __init__(self, store: Store, reads: _Reads, codelists: CodeLists, clock: Clock) -> None:
        self._store = store
        self._reads = reads
        self._codelists = codelists
        self._clock = clock

    async def message(self, jti: str, owner: str | None, sender: str | None = None) -> Row:
        """Return what stands of a message. `owner` is the account a client is bound to, None for no bound.

        A message id is its sender's word: where partners used one of ours, ours is meant unless `sender` says whose.
        Raises NotFound, alike for what is unknown and what is another client's, and Clash where `sender` is needed.
        """
        rows = await self._reads.under(jti, sender)
        seen = [row for row in rows if row["subject"] != VOID and _seen_by(row, owner)]
        # A partner that chose an id of ours must not stand in its place.
        seen = [row for row in seen if row["direction"] == "out"] or seen
        if not seen:
            detail = "no such message; `gateway message list` or `GET /api/v1/messages` lists those you may see"
            raise NotFound(detail)
        if len(seen) > 1:
            names = ", ".join(sorted(row["partner"] for row in seen))
            detail = f"several partners used this message id: `sender` (`--sender`) says whose is meant, one of {names}"
            raise Clash(detail, errors=(Finding("/sender", detail, "E-REF"),))
        return seen[0]

    async def event(self, row: Row, account: Account, purpose: str | None) -> bytes:
        """Return the event of one message that `message` gave, after its reading is in the log.

        Raises NotFound, MalformedRequest, NotPermitted where its use is restricted, and RecordChanged.
        """
        judge_purpose(self._codelists, purpose)
        event = await self._body(row)
        await self._note([(row, event)], account, purpose)
        return event

    async def content(self, row: Row, purpose: str | None) -> bytes:
        """Return the event of a message for who logs its reading. Raises as `event` does."""
        judge_purpose(self._codelists, purpose)
        return await self._body(row)

    async def persons(self, case: Row, account: Account, purpose: str | None) -> Sequence[PersonState]:
        """Return where each person of a case stands, after this reading is in the log. Raises MalformedRequest."""
        judge_purpose(self._codelists, purpose)
        actor, now, ref = Actor(account.id, account.role), self._clock(), case["ref"]
        await self._store.write(
            lambda tx: tx.log.append(
                "message.read", actor=actor, obj=("case", ref), at=now, case=ref, outcome="persons", purpose=purpose
            )
        )
        return persons(await self._reads.remembered(ref, case["partner"], readable=True))

    async def inbox(
        self, after: int, limit: int, account: Account, purpose: str | None
    ) -> tuple[Sequence[Arrived], bool]:
        """Return received messages behind number `after` with their events, and whether more wait.

        One that was changed since it was logged is told of without its event: what came after it must not wait for it.
        """
        judge_purpose(self._codelists, purpose)
        rows = await self._reads.inbox(after, limit + 1)
        found: list[Arrived] = []
        size = 0
        for row in rows[:limit]:
            try:
                event: bytes | None = await self._body(row)
            except RecordChanged:
                event = None
            size += len(event or b"")
            if found and size > MOST_BYTES:
                break
            found.append(Arrived(row["id"], row, event))
        shown = [(item.row, item.event) for item in found if item.event is not None]
        await self._note(shown, account, purpose)
        return found, len(found) < len(rows)

    async def marks(self, row: Row) -> Sequence[Row]:
        """Return what record.action did to a message: erased, blocked or restricted, as a whole or in part."""
        return await self._reads.marks(row["jti"], row["partner"] if row["direction"] == "in" else None)

    async def _body(self, row: Row) -> bytes:
        held = await self._reads.event(row["direction"], row["id"])
        if held is not None:
            event: bytes = held["event"]
            return event
        marks = [mark for mark in await self.marks(row) if mark["part"] in {MESSAGE, PART}]
        if any(mark["mark"] == "restricted" for mark in marks):
            detail = "the use of this message is restricted: its sender must lift that (record.action UNRESTRICT)"
            raise NotPermitted(detail)
        # What is to be erased in part is blocked whole: bodies are not encrypted part by part yet.
        detail = "the case data of this message was erased, or is blocked because a part of it is to be erased"
        raise NotFound(detail)

    async def _note(self, read: Sequence[tuple[Row, bytes]], account: Account, purpose: str | None) -> None:
        """Commit one entry a message, with the digest of the bytes about to leave: nobody sees case data unseen."""
        if not read:
            return
        actor, now = Actor(account.id, account.role), self._clock()

        def work(tx: Transaction) -> None:
            for row, event in read:
                tx.log.append(
                    "message.read", actor=actor, obj=("message", row["jti"]), at=now, jti=row["jti"],
                    event=leaf_hash(event), case=row["case_ref"], purpose=purpose,
                )  # fmt: skip

        await self._store.write(work)


def judge_purpose(codelists: CodeLists, purpose: str | None) -> None:
    """Raise MalformedRequest unless a stated purpose is a code of its list."""
    if purpose is not None and codelists.find(PURPOSES, purpose) is None:
        held = codelists.get(PURPOSES)
        codes = ", ".join(held.codes) if held is not None else "none"
        detail = f"purpose is a code of the list {PURPOSES}: {codes}"
        raise MalformedRequest(detail, errors=(Finding("/purpose", detail, "E-CODE"),))


def _seen_by(row: Row, owner: str | None) -> bool:
    return owner is None or row["direction"] == "in" or row["account"] == owner
