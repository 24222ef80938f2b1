"""What the sender's lane finds in the outbox."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.ports.messages import NewMessage
from gateway.protocol.ids import CaseRef, MessageId, PartyId, uuid7

if TYPE_CHECKING:
    from gateway.ports.messages import Outbox
    from gateway.ports.store import Transaction
    from gateway.storage.store import SqliteStore

KH = PartyId("kh.gdi")


def message(outbox: Outbox, case: str | None, seq: int | None) -> NewMessage:
    """Return the next message towards kh.gdi."""
    return NewMessage(
        jti=MessageId(uuid7(1000, os.urandom)), recipient=KH, subject="x.y", case_ref=CaseRef(case) if case else None,
        case_seq=seq, stream_seq=outbox.next_stream_seq(KH), urgency="INFO", rank=2, handling="H1", digest=bytes(32),
        schema_version="1.0.0", in_reply_to=None, supersedes=None, effect=None, account="x", created_at=1000,
        expires_at=10**9, leaf=0, event=b"{}",
    )  # fmt: skip


async def test_a_long_case_behind_a_held_message_starves_nobody(store: SqliteStore) -> None:
    """More of it than a page of due messages holds: what may go is found behind all of it."""

    def work(tx: Transaction) -> list[int]:
        case = [message(tx.outbox, "C", seq) for seq in range(1, 201)]
        other = message(tx.outbox, None, None)
        tx.outbox.add([*case, other])
        tx.outbox.move(case[0].jti, "held", at=1000, held_for="operator")
        return [w.id for w in tx.outbox.due(KH, rank=2, now_ms=2000, limit=100)]

    assert await store.write(work) == [201]


async def test_messages_taken_back_count_their_attempt(store: SqliteStore) -> None:
    """A dead process may have sent them: before they are given up the partner is asked."""

    def work(tx: Transaction) -> int:
        one = message(tx.outbox, None, None)
        tx.outbox.add([one])
        tx.outbox.lease([1], eid="e", fence=1, lease_until=5000)
        assert tx.outbox.reclaim(2, 2000) == 1
        return tx.outbox.find([one.jti])[one.jti].attempts

    assert await store.write(work) == 1


async def test_voids_that_did_not_arrive_are_told_again(store: SqliteStore) -> None:
    """The number of a message given up stays due until a void that names it was accepted."""

    def work(tx: Transaction) -> tuple[int, int, int]:
        one = message(tx.outbox, None, None)
        tx.outbox.add([one])
        tx.outbox.move(one.jti, "dead", at=2000, void="due")
        first = len(tx.outbox.voids_due(KH, 10))
        tx.outbox.voids_told([one.jti], "void-1")
        told = len(tx.outbox.voids_due(KH, 10))
        tx.outbox.retell_voids("void-1")
        return first, told, len(tx.outbox.voids_due(KH, 10))

    assert await store.write(work) == (1, 0, 1)
