"""The queue over SQLite, driven by hypothesis against a model: whatever happens in whatever order, its laws hold."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from gateway.ports.messages import Claimed, NewMessage, Settled
from gateway.protocol import delivery
from gateway.protocol.ids import CaseRef, MessageId, PartyId, uuid7
from gateway.protocol.states import ANSWERED, OPEN, State, Step, advance, allowed
from gateway.storage.outbox import OutboxRows
from gateway.storage.schema import upgrade

if TYPE_CHECKING:
    from gateway.protocol.delivery import Waiting

KH = PartyId("kh.gdi")
LIFE_MS = 1_000_000
LIMIT = 3
LEASE_MS = 30_000


@lru_cache
def migrated() -> bytes:
    """Return an empty database of today's revision: migrating one for each story would take longer than the story."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        upgrade(path)
        return path.read_bytes()


class Queue(RuleBasedStateMachine):
    """One sender's outbox towards one partner, with a model of every message beside it."""

    messages = Bundle("messages")

    @initialize()
    def empty(self) -> None:
        """Start with an empty database."""
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "gateway.db"
        path.write_bytes(migrated())
        self.db = sqlite3.connect(path, isolation_level=None)
        self.rows = OutboxRows(self.db)
        self.now, self.fence = 1_000_000, 1
        self.model: dict[str, State] = {}
        self.due_at: dict[str, int] = {}
        self.dies_at: dict[str, int] = {}
        self.place: dict[str, tuple[str, int]] = {}
        self.flying: list[Claimed] = []
        self.cases: dict[str, int] = {}

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "db"):
            self.db.close()
            self.folder.cleanup()

    def _move(self, jti: str, step: Step) -> None:
        self.model[jti] = advance(self.model[jti], step)

    # --- what happens ---

    @rule(target=messages, case=st.sampled_from([None, "A", "B"]), urgency=st.sampled_from(["FLASH", "INFO", "INFO"]),
          life=st.sampled_from([LIFE_MS, 50]))  # fmt: skip
    def accept(self, case: str | None, urgency: str, life: int) -> str:
        """Accept a message."""
        jti, seq = uuid7(self.now, os.urandom), None
        if case is not None:
            seq = self.cases[case] = self.cases.get(case, 0) + 1
            self.place[jti] = (case, seq)
        self.rows.add([
            NewMessage(
                jti=MessageId(jti), recipient=KH, subject="x.y", case_ref=CaseRef(case) if case else None, case_seq=seq,
                stream_seq=self.rows.next_stream_seq(KH), urgency=urgency, rank=delivery.rank(urgency), handling="H1",
                digest=bytes(32), schema_version="1.0.0", in_reply_to=None, supersedes=None, effect=None, account="x",
                created_at=self.now, expires_at=self.now + life, leaf=0, event=b"{}",
            )
        ])  # fmt: skip
        self.model[jti], self.due_at[jti], self.dies_at[jti] = State.QUEUED, self.now, self.now + life
        return jti

    @rule(limit=st.sampled_from([1, LIMIT]))
    def claim(self, limit: int) -> None:
        """Fill an envelope as the lane does, one at a time, and check what it chose."""
        if self.flying:
            return
        lanes = [self.rows.due(KH, rank=rank, now_ms=self.now, limit=limit) for rank in range(3)]
        by_case: dict[str, list[Waiting]] = {}
        for message in self.rows.open_in_cases(KH, ["A", "B"]):
            by_case.setdefault(message.case_ref or "", []).append(message)
        ids = delivery.fill(lanes, by_case, now_ms=self.now, limit=limit)
        self.flying = list(self.rows.claimed(ids)) if ids else []
        self.leased_until = self.now + LEASE_MS
        self.rows.lease(ids, eid="e", fence=self.fence, lease_until=self.leased_until)
        chosen = [m.jti for m in self.flying]
        assert len(chosen) <= limit
        assert bool(chosen) == any(self._may_go(jti) for jti in self.model)
        for at, jti in enumerate(chosen):
            assert self._ready(jti)
            assert all(other in chosen[:at] for other in self._before(jti))
            self._move(jti, Step.CLAIM)

    def _ready(self, jti: str) -> bool:
        return self.model[jti] is State.QUEUED and self.due_at[jti] <= self.now < self.dies_at[jti]

    def _before(self, jti: str) -> list[str]:
        """Return what is open before it in its case."""
        if jti not in self.place:
            return []
        case, seq = self.place[jti]
        return [other for other, (c, s) in self.place.items() if c == case and s < seq and self.model[other] in OPEN]

    def _may_go(self, jti: str) -> bool:
        return self._ready(jti) and all(self._ready(other) for other in self._before(jti))

    @rule(accepted=st.booleans())
    def answer(self, accepted: bool) -> None:
        """Record a receipt for all that is on its way."""
        state = "accepted" if accepted else "rejected"
        self.rows.settle([(m.jti, Settled(state, self.now, self.now, 1, None, ())) for m in self.flying], "e")  # type: ignore[arg-type]
        for m in self.flying:
            self._move(m.jti, Step.ACCEPT if accepted else Step.REJECT)
        self.flying = []

    @rule(wait=st.integers(0, 200))
    def fail(self, wait: int) -> None:
        """Put all back, to be tried later."""
        self.rows.requeue([(m.jti, self.now + wait, "x") for m in self.flying], fence=self.fence)
        for m in self.flying:
            self._move(m.jti, Step.PUT_BACK)
            self.due_at[m.jti] = self.now + wait
        self.flying = []

    @rule()
    def die(self) -> None:
        """Lose the process: the next one takes everything back at once, and an old lease moves nothing."""
        old, self.fence = self.fence, self.fence + 1
        assert self.rows.reclaim(self.fence, self.now) == len(self.flying)
        self.rows.requeue([(m.jti, self.now + 10**9, "late") for m in self.flying], fence=old)
        for m in self.flying:
            self._move(m.jti, Step.PUT_BACK)
            self.due_at[m.jti] = self.now
        self.flying = []

    @rule(held=st.sampled_from([-1, 0, 1]), by=st.sampled_from([-1, 1, -LEASE_MS - 1]))
    def stop_renewing(self, held: int, by: int) -> None:
        """Lose the holder while nobody starts: its lease ends, by a clock that was put back too; not before."""
        if not self.flying:
            return
        ended = by != -1
        at = self.leased_until + by
        assert self.rows.take_back(PartyId("xx.other"), at, longest_ms=LEASE_MS) == 0
        assert self.rows.take_back(KH, at, longest_ms=LEASE_MS) == (len(self.flying) if ended else 0)
        if not ended:
            return
        if held >= 0:
            # Late as it is, what the holder was told is a fact; whatever else it says moves nothing.
            self.rows.requeue([(m.jti, self.now + 10**9, "late") for m in self.flying], fence=self.fence)
        if held == 1:
            self.rows.settle([(m.jti, Settled("accepted", self.now, self.now, 1, None, ())) for m in self.flying], "e")
        for m in self.flying:
            self._move(m.jti, Step.PUT_BACK)
            self.due_at[m.jti] = at
            if held == 1:
                self._move(m.jti, Step.ACCEPT)
        self.flying = []

    @rule(jti=messages, step=st.sampled_from([Step.HOLD, Step.RELEASE, Step.CANCEL, Step.RETRY]))
    def operate(self, jti: str, step: Step) -> None:
        """Do what a person may do."""
        if not allowed(self.model[jti], step):
            return
        self._move(jti, step)
        state = self.model[jti]
        self.rows.move(MessageId(jti), state, at=self.now, void="due" if state is State.CANCELLED else None)
        self.due_at[jti] = self.now

    @rule(by=st.integers(1, 300))
    def wait(self, by: int) -> None:
        """Let time pass; what expires is given up, unless it is on its way."""
        self.now += by
        for row in self.rows.overdue(KH, self.now, 1000):
            assert self.dies_at[row.jti] <= self.now
            self._move(row.jti, Step.GIVE_UP)
            self.rows.move(row.jti, State.DEAD, at=self.now, reason="expired", void="due")

    # --- what always holds ---

    @invariant()
    def the_table_is_the_model(self) -> None:
        """Every message is where the moves of the table led it, and none is gone."""
        if not hasattr(self, "db"):
            return
        held = self.rows.find(list(self.model))
        assert {jti: State(row.state) for jti, row in held.items()} == self.model
        assert self.rows.open_count() == sum(state in OPEN for state in self.model.values())
        assert sorted(row.stream_seq for row in held.values()) == list(range(1, len(held) + 1))
        for jti, row in held.items():
            given_up = self.model[jti] in {State.DEAD, State.CANCELLED}
            assert (row.void == "due") == given_up
            assert not (given_up and self.model[jti] in ANSWERED)

    @invariant()
    def whoever_sleeps_is_woken_in_time(self) -> None:
        """Look again when the next message that is not due yet becomes due: sooner would spin, later would stall."""
        if not hasattr(self, "db"):
            return
        later = [self.due_at[j] for j, s in self.model.items() if s is State.QUEUED and self.due_at[j] > self.now]
        assert self.rows.next_due(KH, self.now) == min(later, default=None)


Queue.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_the_queue_keeps_its_laws = Queue.TestCase
