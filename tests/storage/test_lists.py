"""Lists go by our own order of arrival: a partner chooses ids and references, and no page drops or doubles a row."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event

from gateway.casework import lifecycle
from gateway.ports.cases import Case
from gateway.ports.common import Actor
from gateway.ports.messages import NewArrival, NewMessage
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.ids import CaseRef, EnvelopeId, MessageId, PartyId
from gateway.storage.queries import Queries
from gateway.storage.schema import upgrade
from gateway.storage.transaction import SqlTransaction

ME, PARTNERS = PartyId("id.imigrasi"), (PartyId("kh.gdi"), PartyId("kh.police"))
# Of the least and the greatest id there is, and of one in between: what would pin a row, bury it, or double it.
IDS = tuple(f"{head}-{tail:012x}" for head in ("00000000-0000-7000-8000", "01990000-0000-7000-8000",
                                               "ffffffff-ffff-7fff-bfff") for tail in range(3))  # fmt: skip
NOW = 1_790_000_000_000

arrivals = st.lists(
    st.tuples(st.sampled_from((None, *PARTNERS)), st.sampled_from(IDS), st.integers(0, 2)),
    unique_by=lambda one: one[:2], max_size=9,
)  # fmt: skip


class Here(Queries):
    """The questions of the API, asked of a database in memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine  # type: ignore[assignment]
        self._me = ME

    async def _all(self, statement: Any) -> Any:
        with self._engine.connect() as connection:  # type: ignore[attr-defined]
            return connection.execute(statement).mappings().all()

    async def _one(self, statement: Any) -> Any:
        return next(iter(await self._all(statement)), None)


def _made() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        upgrade(path)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode=DELETE")  # memory has no log beside it
        return path.read_bytes()


EMPTY = _made()


class Home:
    """A database in memory, with the writer's own rows and the readers' own questions."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.connection.deserialize(EMPTY)
        self.tx = SqlTransaction(self.connection, bytes)
        engine = create_engine("sqlite://", creator=lambda: self.connection)
        # Only asked: the rows are the writer's.
        event.listen(engine, "reset", lambda *_: None)
        self.reads = Here(engine)


def message(home: Home, number: int, partner: PartyId | None, jti: str, at: int) -> None:
    """Store one message, sent (`partner` None) or received, under the next entry of the log."""
    event = b'{"number":%d}' % number
    digest = leaf_hash(event)
    typ, actor = ("message.accepted", "acc") if partner is None else ("message.received", partner)
    leaf = home.tx.log.append(
        typ, actor=Actor(actor, "client"), obj=("message", jti), at=NOW + at, jti=jti, event=digest, outcome="accepted"
    )
    home.tx.log.seal_group()
    home.tx.log.group_committed()
    assert leaf == number
    if partner is None:
        home.tx.outbox.add([
            NewMessage(
                MessageId(jti), PARTNERS[0], "case.update", None, None, number + 1, "ROUTINE", 2, "H0", digest, "1.0.0",
                None, None, None, "acc", NOW + at, NOW + 10**9, number, event,
            )
        ])  # fmt: skip
    else:
        home.tx.inbox.add([
            NewArrival(
                partner, digest, jti, number + 1, None, None, "accepted", "case.update", "ROUTINE", "H0", "1.0.0", None,
                None, NOW, NOW + at, number, None, (), EnvelopeId("e"), event,
            )
        ])  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(arrivals, st.integers(1, 5))
def test_pages_of_messages_have_each_message_once_in_the_order_of_arrival(
    came: list[tuple[PartyId | None, str, int]], limit: int
) -> None:
    """Both directions, one id from several senders, equal times and times that run back."""
    home = Home()
    for number, one in enumerate(came):
        message(home, number, *one)

    async def read() -> list[Any]:
        seen: list[Any] = []
        before = None
        while page := await home.reads.messages(before=before, limit=limit):
            seen += page
            before = page[-1]["leaf"]
        return seen

    wanted = [(partner or PARTNERS[0], "out" if partner is None else "in", jti) for partner, jti, _ in reversed(came)]
    assert [(row["partner"], row["direction"], row["jti"]) for row in asyncio.run(read())] == wanted


@settings(max_examples=15, deadline=None)
@given(arrivals, st.integers(1, 5))
def test_pages_of_the_inbox_have_each_message_once(came: list[tuple[PartyId | None, str, int]], limit: int) -> None:
    """What partners sent, first to last, each with the body it came with."""
    home = Home()
    for number, one in enumerate(came):
        message(home, number, *one)

    async def read() -> list[Any]:
        seen: list[Any] = []
        after = 0
        while page := await home.reads.inbox(after, limit):
            for row in page:
                body = await home.reads.event(row["direction"], row["id"])
                assert body is not None
                assert [body[name] for name in ("partner", "jti", "digest")] == [
                    row[name] for name in ("partner", "jti", "digest")
                ]  # fmt: skip
            seen += page
            after = page[-1]["id"]
        return seen

    wanted = [(partner, jti) for partner, jti, _ in came if partner is not None]
    assert [(row["partner"], row["jti"]) for row in asyncio.run(read())] == wanted


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(PARTNERS), st.sampled_from(("XC-AA-2026-000000-0", "XC-ZZ-2026-999999-Z")),
                  st.integers(0, 1)),
        unique_by=lambda one: one[:2],
    ),
    st.integers(1, 3),
)  # fmt: skip
def test_pages_of_cases_have_each_case_once(came: list[tuple[PartyId, str, int]], limit: int) -> None:
    """One reference with two partners, changed in one millisecond: the last to come first."""
    home = Home()
    opened = Case(
        CaseRef("x"), PARTNERS[0], PARTNERS[0], lifecycle.opened(NOW), "ROUTINE", "H0", "H0", NOW, NOW
    )  # fmt: skip
    for partner, ref, at in came:
        home.tx.cases.save(replace(opened, ref=CaseRef(ref), partner=partner, opener=partner, updated_at=NOW + at))

    async def read() -> list[Any]:
        seen: list[Any] = []
        before = None
        while page := await home.reads.cases(before=before, limit=limit):
            seen += page
            before = (page[-1]["updated_at"], page[-1]["id"])
        return seen

    ordered = sorted(enumerate(came), key=lambda one: (one[1][2], one[0]), reverse=True)
    assert [(row["partner"], row["ref"]) for row in asyncio.run(read())] == [one[:2] for _, one in ordered]
