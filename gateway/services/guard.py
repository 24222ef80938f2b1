"""Asks partners at the start whether our log is still the one they cosigned last (protocol.md §6).

A restored backup would sign a second history, and receipts that its own log no longer holds; so would whoever
rebuilt the log. Until a partner has answered, or an operator has vouched on record, no checkpoint and no
receipt is signed; a partner that cosigned more than we have, or something else, makes us read-only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.errors import LedgerError, MalformedProof, MalformedRequest
from gateway.ledger import note, proof
from gateway.ledger.note import read_tree_head
from gateway.ledger.witness import origin_id
from gateway.logs import get_logger
from gateway.ports.common import SYSTEM
from gateway.primitives import strictjson, times
from gateway.protocol.reasons import VOUCH_REASONS
from gateway.services.coded import judge_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ledger.note import Checkpoint
    from gateway.ports.common import Actor, Clock
    from gateway.ports.partner import PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.directory import Directory
    from gateway.services.gate import Gate

log = get_logger()

STATE: Final = "guard"
"""The name under which `state` keeps what was found; empty where all is well.

JSON of reason, at, size (of this log before the start at which it was found) and, where a partner showed it, partner
and its checkpoint.
"""

DAMAGED = "this log does not lead to the checkpoint we signed last; run `gateway audit verify`, restore a backup"
WAITING = "no partner has said yet which checkpoint of ours it cosigned last; `gateway doctor` names who is not reached"


class Guard:
    """`ask` puts the question to one partner; `vouch` is an operator's word instead."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        checkpoints: Checkpointer,
        gate: Gate,
        clock: Clock,
        *,
        log_keys: Callable[[], Sequence[note.NoteKey]],
    ) -> None:
        """Take `log_keys`: the keys our checkpoints are, or until lately were, signed with."""
        self._store = store
        self._directory = directory
        self._checkpoints = checkpoints
        self._gate = gate
        self._clock = clock
        self._log_keys = log_keys
        self._answered: set[PartyId] = set()
        self._size = 0

    async def begin(self) -> None:
        """Close the gate where there is a partner to ask. Called once, when the home is opened.

        What a partner has shown once holds for every start: its checkpoint bears our own signature.
        """
        self._size, fault = await self._store.write(self._look_back)
        if fault is not None:
            self._gate.close("behind", fault)
            log.error("this log is not the newest of ours: read-only", reason=fault)
        elif any(known.active for known in self._directory.partners.values()):
            self._gate.close("start", WAITING)
        else:
            await self._settled()

    def follow(self) -> None:
        """Look at the partners again: with nobody left to ask there is nothing to wait for."""
        if not any(known.active for known in self._directory.partners.values()):
            self._gate.open("start")

    def asked(self, party: PartyId) -> bool:
        """Tell whether a partner has answered since the start."""
        return party in self._answered

    async def ask(self, party: PartyId, link: PartnerLink) -> bool:
        """Ask one partner; return whether it answered. Raises TransportError where it is not reached."""
        keys = self._log_keys()
        reply = await link.get_witnessed(origin_id(keys[0].name))
        if reply.status == 404:
            await self._store.write(lambda tx: self._forgot(tx, party))
        elif reply.status != 200:
            return False
        else:
            try:
                # Our own signature is what convinces: a partner could invent a cosignature, but not that.
                theirs = note.open_checkpoint(reply.body, keys)
            except MalformedProof as error:
                log.warning("partner shows no checkpoint of ours", partner=party, detail=error.detail)
                return False
            fault = await self._store.write(lambda tx: _compare(tx, theirs.size, theirs.root))
            if fault is not None:
                await self._behind(party, theirs, fault)
                self._answered.add(party)
                return True
        if self._gate.closed != "behind":
            await self._settled()
            await self._open()
        self._answered.add(party)
        return True

    async def vouch(self, actor: Actor, reason: str) -> None:
        """Take an operator's word that this log is the newest, where no partner can be asked. It is logged.

        `reason` is a code of VOUCH_REASONS. Raises UnknownCode for another, MalformedRequest where a partner has shown
        that the log is not the newest.
        """
        judge_code("reason", reason, VOUCH_REASONS)
        if self._gate.closed == "behind":
            raise MalformedRequest(
                "a partner holds a checkpoint this log does not lead to; restore the newest database"
            )

        def work(tx: Transaction) -> None:
            tx.log.append("config.changed", actor=actor, obj=("guard", "vouched"), at=self._clock(),
                          outcome=reason)  # fmt: skip

        await self._store.write(work)
        await self._open()

    async def _open(self) -> None:
        if self._gate.closed == "start":
            self._gate.clear()
            await self._checkpoints.sign()
            self._gate.open("start")

    def _forgot(self, tx: Transaction, party: PartyId) -> None:
        size, newest = tx.witness.cosigned_by(party), tx.witness.newest_cosigned()
        if size is None or newest is None or read_tree_head(newest.note).origin != self._log_keys()[0].name:
            return  # the first start, of this log or under this name: nothing of it was cosigned there
        log.error("a witness lost its memory", partner=party, size=size)
        self._alarm(tx, party, f"witness forgot {size}")

    async def _behind(self, party: PartyId, theirs: Checkpoint, fault: str) -> None:
        reason = (
            f"{party} cosigned a checkpoint of ours at size {theirs.size} that this log {fault}: a restored backup or "
            "a changed log; stop, and restore the newest database"
        )
        found = {"reason": reason, "partner": party, "checkpoint": theirs.note}

        def work(tx: Transaction) -> None:
            self._keep(tx, found, ("party", party), f"behind {theirs.size}")

        # Closed before it is written down: not even a full disk lets this log be signed.
        self._gate.close("behind", reason)
        log.error("this log is not the one a partner cosigned", partner=party, size=theirs.size, reason=fault)
        await self._store.write(work)

    def _look_back(self, tx: Transaction) -> tuple[int, str | None]:
        """Return the size of this log, and why it is not the newest of ours where that is known already."""
        size = tx.log.head()[0]
        if not _same_past(tx):
            self._keep(tx, {"reason": DAMAGED}, ("log", self._log_keys()[0].name), "damaged")
            return size, DAMAGED
        held = strictjson.loads((tx.state.get(STATE) or "{}").encode())
        if "checkpoint" not in held:
            return size, None
        theirs = read_tree_head(held["checkpoint"])
        # A log that goes on under another name is another log: its number was raised because this one is lost.
        behind = theirs.origin == self._log_keys()[0].name and _compare(tx, theirs.size, theirs.root) is not None
        return size, held["reason"] if behind else None

    def _keep(self, tx: Transaction, found: dict[str, Any], obj: tuple[str, str], outcome: str) -> None:
        """Keep what was found, and alarm it once."""
        if not tx.state.get(STATE):
            more = {"at": times.format_ms(self._clock()), "size": self._size or tx.log.head()[0]}
            tx.state.put(STATE, strictjson.dumps({**found, **more}).decode())
            tx.log.append("audit.alarm", actor=SYSTEM, obj=obj, at=self._clock(), outcome=outcome)

    async def _settled(self) -> None:
        def work(tx: Transaction) -> None:
            if tx.state.get(STATE):
                tx.state.put(STATE, "")

        await self._store.write(work)

    def _alarm(self, tx: Transaction, party: PartyId, outcome: str) -> None:
        tx.log.append("audit.alarm", actor=SYSTEM, obj=("party", party), at=self._clock(), outcome=outcome)


def _same_past(tx: Transaction) -> bool:
    last = tx.log.last_checkpoint()
    if last is None:
        return True
    try:
        return proof.root(tx.log.read_hashes, last.size) == last.root
    except LedgerError:
        return False


def _compare(tx: Transaction, size: int, root: bytes) -> str | None:
    """Return in what our log differs from a checkpoint under our own signature, or None."""
    if size > tx.log.head()[0]:
        return "does not reach"
    try:
        same = size == 0 or proof.root(tx.log.read_hashes, size) == root
    except LedgerError:
        same = False
    return None if same else "contradicts"
