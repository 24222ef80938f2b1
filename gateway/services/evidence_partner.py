"""The partner's log entry of a message of ours: asked for once, proved under a cosigned checkpoint, kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from gateway.errors import GatewayError, MalformedProof, PartnerError, TransportError
from gateway.evidence.files import canonical
from gateway.evidence.parts import LogPart, Proved
from gateway.ledger import proof
from gateway.ledger.note import NoteKey, open_checkpoint, read_tree_head
from gateway.logs import get_logger
from gateway.primitives import b64u, merkle, strictjson
from gateway.protocol.card import read_card
from gateway.protocol.receipt import read_receipt
from gateway.services.partnerlog import Tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.ledger.note import Checkpoint
    from gateway.ports.common import Clock
    from gateway.ports.partner import Links, PartnerLink
    from gateway.ports.store import Store, Transaction
    from gateway.protocol.ids import PartyId
    from gateway.services.directory import Directory

    Row = Mapping[str, Any]

log = get_logger()

TEXT_MOST: Final = 64 * 1024


class _Reads(Protocol):
    """The questions asked here."""

    async def envelope(self, eid: str, direction: str, partner: str) -> Row | None: ...
    async def cards(self, party: str) -> Sequence[bytes]: ...


class _Keys(NamedTuple):
    """Every key the partner's log, and our witness, ever had: what was cosigned stays so when keys change."""

    logs: Sequence[NoteKey]
    witnesses: Sequence[NoteKey]

    def open(self, text: str | bytes) -> Checkpoint:
        """Return a checkpoint of the partner's log. Raises MalformedProof."""
        return open_checkpoint(text, self.logs, self.witnesses)

    def cosigned(self, part: LogPart) -> bool:
        """Say whether our witness cosigned it."""
        try:
            return bool(self.open(part.checkpoint).cosignatures)
        except MalformedProof:
            return False

    def judge(self, part: LogPart) -> None:
        """Raise MalformedProof unless the entry is under the checkpoint."""
        head = self.open(part.checkpoint)
        [one] = part.entries
        if not merkle.verify_inclusion(merkle.leaf_hash(one.data), one.index, head.size, one.path, head.root):
            raise MalformedProof("the partner's proof does not lead to its checkpoint")


class PartnerEntries:
    """`part` gives what the partner wrote down of a message of ours, with the best proof there is."""

    def __init__(
        self, store: Store, reads: _Reads, directory: Directory,
        links: Links, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._reads = reads
        self._directory = directory
        self._links = links
        self._clock = clock

    async def part(self, row: Row) -> Sequence[LogPart]:
        """Return the part of the partner's log, or nothing: an export must not fail because the partner is away.

        What is cosigned is kept for good and never asked for again; until then each export asks once more.
        """
        name = f"{row['jti']}.entry"
        held = await self._reads.envelope(name, "out", row["partner"])
        kept = _read_kept(row["partner"], held["receipt"]) if held is not None and held["receipt"] else None
        keys = await self._keys(row["partner"])
        if kept is not None and keys.cosigned(kept):
            return [kept]
        try:
            fresh = await self._fetch(row, keys)
        except (TransportError, PartnerError) as error:
            log.warning("the partner's log entry is not to be had", partner=row["partner"], detail=error.detail)
            return [kept] if kept is not None else []
        if kept is not None and not keys.cosigned(fresh):
            return [kept]
        await self._store.write(lambda tx: self._keep(tx, name, row, fresh))
        return [fresh]

    def _keep(self, tx: Transaction, name: str, row: Row, part: LogPart) -> None:
        [one] = part.entries
        held = canonical({
            "checkpoint": part.checkpoint, "index": one.index, "data": b64u.encode(one.data),
            "path": [b64u.encode(node) for node in one.path],
        })  # fmt: skip
        tx.envelopes.add(
            eid=name, partner=row["partner"], direction="out", at=self._clock(), manifest=b"", digests=[row["digest"]],
            leaf=None,
        )  # fmt: skip
        tx.envelopes.set_receipt(name, held)

    async def _keys(self, party: str) -> _Keys:
        theirs = map(read_card, await self._reads.cards(party))
        ours = map(read_card, await self._reads.cards(self._directory.me))
        return _Keys(
            [NoteKey.parse(vkey) for vkey in dict.fromkeys(card.log_vkey for card in theirs)],
            [NoteKey.parse(vkey) for vkey in dict.fromkeys(card.witness_vkey for card in ours)],
        )

    async def _fetch(self, row: Row, keys: _Keys) -> LogPart:
        """Ask what was logged, and prove it. Raises TransportError or PartnerError."""
        party: PartyId = row["partner"]
        async with self._links(party) as link:
            reply = await link.get_message(row["jti"])
            if reply.status != 200:
                detail = f"the partner answers {reply.status}"
                raise TransportError(detail)
            answer = read_receipt(
                reply.body, iss=party, aud=self._directory.me, eid=None, manifest_sha256=None, digests=None,
                key_for=lambda kid, alg: self._directory.verify_key(party, kid, alg),
            )  # fmt: skip
            [outcome] = answer.outcomes
            if outcome.event != row["digest"] or outcome.entry is None or outcome.leaf is None or outcome.proof is None:
                raise MalformedProof("the partner shows no log entry of this message")
            plain = LogPart(
                party, answer.checkpoint, read_tree_head(answer.checkpoint).size,
                (Proved(outcome.leaf, outcome.entry, outcome.proof),),
            )  # fmt: skip
            keys.judge(plain)
            try:
                return await self._cosigned(link, plain, keys)
            except (TransportError, PartnerError, GatewayError, ValueError) as error:
                log.info("no cosigned checkpoint of the partner over this entry yet", partner=party, why=str(error))
                return plain

    async def _cosigned(self, link: PartnerLink, plain: LogPart, keys: _Keys) -> LogPart:
        """Prove the entry again, out of the partner's tiles, under the checkpoint of its log that we cosigned."""
        reply = await link.get_log("checkpoint")
        if reply.status != 200 or len(reply.body) > TEXT_MOST:
            detail = f"its log answers {reply.status}"
            raise TransportError(detail)
        head = keys.open(reply.body)
        [one] = plain.entries
        if not head.cosignatures or head.size <= one.index:
            raise MalformedProof("it is not cosigned, or does not reach the entry")
        tiles = Tiles(link, head.size, head.root, OrderedDict(), 0)
        await tiles.ground(proof.needs_inclusion(one.index, head.size))
        path = proof.inclusion(tiles.read, one.index, head.size)
        found = LogPart(plain.party, head.note, head.size, (Proved(one.index, one.data, tuple(path)),))
        keys.judge(found)
        return found


def _read_kept(party: str, raw: bytes) -> LogPart:
    found = strictjson.loads(raw)
    path = tuple(map(b64u.decode, found["path"]))
    one = Proved(found["index"], b64u.decode(found["data"]), path)
    return LogPart(party, found["checkpoint"], read_tree_head(found["checkpoint"]).size, (one,))
