"""What a person does to a queued message: hold, release, retry, cancel. The table of states decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import Clash, NotFound
from gateway.ledger.standing import Basis
from gateway.ports.common import Actor, Clock
from gateway.protocol.event import VOID
from gateway.protocol.reasons import CANCEL_REASONS
from gateway.protocol.states import State, Step, advance, allowed
from gateway.services.coded import judge_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.messages import Sent
    from gateway.ports.people import Account
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import MessageId, PartyId
    from gateway.services.giveup import GiveUp

_OFFER = {
    Step.HOLD: "only a queued message can be held",
    Step.RELEASE: "only a held message can be released",
    Step.RETRY: "only a queued or dead message can be tried again",
    Step.CANCEL: "only a queued, held or dead message can be cancelled; one on its way may already be accepted",
}
_LOGGED = {Step.HOLD: "message.held", Step.RELEASE: "message.released"}


@dataclass(frozen=True, slots=True)
class Operated:
    """What stands of the message now."""

    jti: MessageId
    state: str


class Operator:
    """The queue as an operator works it."""

    def __init__(self, store: Store, give_up: GiveUp, clock: Clock) -> None:
        self._store = store
        self._give_up = give_up
        self._clock = clock
        self._listeners: list[Callable[[PartyId], None]] = []
        self._retry_listeners: list[Callable[[PartyId], None]] = []

    def on_moved(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(recipient)` after each commit: its lane has something to look at."""
        self._listeners.append(listener)

    def on_retried(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(recipient)` after each commit: a person wants it tried now, whatever the back-off."""
        self._retry_listeners.append(listener)

    async def perform(self, step: Step, jti: str, account: Account, reason: str | None = None) -> Operated:
        """Do one step to one message; `reason` is a code of CANCEL_REASONS.

        Raises NotFound, UnknownCode, or Clash naming what its state allows.
        """
        if reason is not None:
            judge_code("reason", reason, CANCEL_REASONS)
        row, state = await self._store.write(lambda tx: self._perform(tx, step, jti, account, reason))
        self._tell(step, row, state)
        return Operated(row.jti, state)

    async def retry_since(self, since_ms: int, account: Account) -> int:
        """Make every message of ours that waits and was accepted since then due now; return how many.

        Dead letters go too, as long as their time is not over and the partner was not told of them.
        """

        def work(tx: Transaction) -> list[tuple[Sent, State]]:
            return [
                self._perform(tx, Step.RETRY, row.jti, account, None)
                for row in tx.outbox.find(tx.outbox.retriable(since_ms, self._clock())).values()
                if row.subject != VOID
            ]

        moved = await self._store.write(work)
        for row, state in moved:
            self._tell(Step.RETRY, row, state)
        return len(moved)

    def _perform(
        self, tx: Transaction, step: Step, jti: str, account: Account, reason: str | None
    ) -> tuple[Sent, State]:
        row = tx.outbox.find([jti]).get(jti)
        if row is None or row.subject == VOID:
            detail = "no such message of ours; `gateway queue list` shows those that wait"
            raise NotFound(detail)
        state, now = State(row.state), self._clock()
        if not allowed(state, step):
            detail = f"the message is {state}: {_OFFER[step]}"
            raise Clash(detail)
        if step is Step.RETRY and (row.expires_at <= now or row.void == "told"):
            detail = "the message expired or was given up: submit it again as a new one"
            raise Clash(detail)
        actor = Actor(account.id, account.role)
        if step is Step.CANCEL:
            self._give_up.drop(tx, row, Step.CANCEL, reason or "cancelled", actor)
            return row, State.CANCELLED
        after = advance(state, step)
        case = self._give_up.take_back(tx, row) if state is State.DEAD else None
        tx.outbox.move(row.jti, after, at=now, held_for="operator" if step is Step.HOLD else None)
        if step in _LOGGED:
            tx.log.append(_LOGGED[step], actor=actor, obj=("message", row.jti), at=now, jti=row.jti,
                          event=row.digest, case=row.case_ref)  # fmt: skip
        elif state is State.DEAD:
            tx.log.append("message.released", actor=actor, obj=("message", row.jti), at=now, jti=row.jti,
                          event=row.digest, case=row.case_ref, outcome="retried",
                          basis=Basis(case=case).text())  # fmt: skip
        return row, after

    def _tell(self, step: Step, row: Sent, state: State) -> None:
        if state is State.CANCELLED and State(row.state) is not State.DEAD:
            self._give_up.dropped(1)
        elif state is State.QUEUED and State(row.state) is State.DEAD:
            self._give_up.dropped(-1)
        for listener in (*self._listeners, *(self._retry_listeners if step is Step.RETRY else ())):
            listener(row.recipient)


def steps_offered(state: str) -> Sequence[str]:
    """Return what a person may do to a message in this state."""
    return [step.value for step in (Step.HOLD, Step.RELEASE, Step.RETRY, Step.CANCEL) if allowed(State(state), step)]
