"""Everything that joins our log with our partners': put together once, started and stopped together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import NotFound
from gateway.ledger import tiles
from gateway.protocol.entries import write_answer
from gateway.services.cosigning import Cosigning
from gateway.services.guard import Guard
from gateway.services.proving import Prover
from gateway.services.renewal import Renewal
from gateway.services.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from gateway.ledger.note import NoteSigner
    from gateway.ports.common import Clock, FaultPoint
    from gateway.ports.partner import Links
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import MessageId, PartyId
    from gateway.services.checkpoints import Checkpointer
    from gateway.services.contact import Contacts
    from gateway.services.directory import Directory
    from gateway.services.disputes import Disputes
    from gateway.services.gate import Gate


class LogSide:
    """Our log as a partner may read it: checkpoint, tiles of hashes, and the entries of its own messages alone."""

    def __init__(self, store: Store, checkpoints: Checkpointer, cosigning: Cosigning) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._cosigning = cosigning

    def checkpoint(self) -> str:
        """Return our newest cosigned checkpoint, cosignatures included. Raises NotFound before the first."""
        found = self._cosigning.published
        if found is None:
            raise NotFound("no checkpoint is signed yet")
        return found.note

    async def tile(self, path: str) -> bytes:
        """Return the hashes of `tile/<L>/<N>[.p/<W>]`. Raises NotFound: bundles of entries are not for partners."""
        ref, latest = tiles.parse_path(path), self._checkpoints.latest
        if ref is None or ref.level is None or latest is None or not tiles.exists(ref, latest.size):
            raise NotFound("the log has no such tile")
        level, number, width = ref.level, ref.number, ref.width

        def read(tx: Transaction) -> bytes:
            return b"".join(tx.log.read_hashes(level, number)[:width])

        return await self._store.write(read)

    async def entries(self, party: PartyId, jtis: Sequence[MessageId]) -> bytes:
        """Return what the log holds of the answers a partner got to these messages: `messages/entries`."""
        found = await self._store.write(lambda tx: tx.inbox.entries(party, jtis))
        return write_answer(found[jti] for jti in jtis if jti in found)


class Witnessing:
    """The gate, the question at the start, the witness, its clients, and the proofs of receipts."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        contacts: Contacts,
        checkpoints: Checkpointer,
        disputes: Disputes,
        gate: Gate,
        clock: Clock,
        *,
        links: Links,
        log_signers: Callable[[], Sequence[NoteSigner]],
        witness_signer: Callable[[], NoteSigner],
        alarm_s: int,
        stop_s: int,
        busy: Callable[[], bool],
        fault: FaultPoint | None,
    ) -> None:
        self.gate = gate
        self.disputes = disputes
        self._checkpoints = checkpoints
        self.guard = Guard(
            store, directory, checkpoints, gate, clock, log_keys=lambda: [signer.key for signer in log_signers()]
        )
        self.witness = Witness(store, directory, contacts, disputes, witness_signer, clock, fault)
        self.cosigning = Cosigning(
            store, directory, contacts, checkpoints, self.guard, gate, clock, links=links, alarm_s=alarm_s,
            stop_s=stop_s,
        )  # fmt: skip
        self.prover = Prover(store, directory, contacts, disputes, clock, links=links, late_s=alarm_s, busy=busy)
        self.renewal = Renewal(store, directory, gate, clock, log_signers()[0].key.name)
        self.cosigning.before_exchange(self.renewal)
        self.log = LogSide(store, checkpoints, self.cosigning)
        self.witness.on_witnessed(self.prover.witnessed)

    async def load(self) -> None:
        """Read what earlier processes stored, and close the gate where a partner must be asked first."""
        await self.disputes.load()
        await self._checkpoints.load()
        await self.cosigning.load()
        await self.guard.begin()
        await self.renewal.begin()

    def follow(self) -> None:
        """Have tasks for exactly the partners that are active now."""
        self.guard.follow()
        self.renewal.follow()
        self.cosigning.follow()
        self.prover.follow()

    def watch(self) -> Coroutine[Any, Any, None]:
        """Return the job that watches the age of what is not cosigned."""
        return self.cosigning.watch()

    async def stop(self) -> None:
        """Stop every task."""
        await self.cosigning.stop()
        await self.prover.stop()
