"""The witness and the log on the exchange listener, over real mutual TLS: each answer as C2SP words it."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from gateway.keyring.notes import log_signers
from gateway.ledger import note
from gateway.ledger.tiles import hash_refs, split_hashes
from gateway.ledger.witness import format_request, origin_id
from gateway.primitives import merkle
from tests.support.pair import TEST_OPERATOR, Pair, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.ports.partner import PartnerLink, Reply

LEAVES = [merkle.leaf_hash(b"%d" % at) for at in range(300)]
OTHERS = [*LEAVES[:2], merkle.leaf_hash(b"changed"), *LEAVES[3:]]


class Desk:
    """kh.gdi as a witness, and id.imigrasi's keys in the hands of the test: its gateway does not work here."""

    def __init__(self, pair: Pair, link: PartnerLink) -> None:
        self.pair = pair
        self.link = link
        self.signer = log_signers(pair.a.keys, pair.a.settings.log_origin)[0]

    def note(self, size: int, leaves: list[bytes] = LEAVES, signer: note.NoteSigner | None = None) -> str:
        """Sign a head."""
        return note.sign_checkpoint(size, merkle.root(leaves[:size]), signer or self.signer)

    async def add(self, old: int, size: int, leaves: list[bytes] = LEAVES) -> Reply:
        """Submit a head with its proof."""
        proof = merkle.consistency_path(leaves[:size], old) if 0 < old < size else []
        return await self.link.add_checkpoint(format_request(old, proof, self.note(size, leaves)))

    async def witnessed(self) -> tuple[int, str] | None:
        """Return what the witness holds on disk."""
        return await self.pair.b.gateway.store.write(
            lambda tx: next(((w.size, w.note) for w in [tx.witness.witnessed(self.signer.key.name)] if w), None)
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Two enrolled gateways that listen; neither works by itself."""
    pair = Pair(tmp_path)
    for side in pair.sides:
        await side.open()
        await side.listen()
    await pair.a.enrol(pair.b)
    await pair.b.enrol(pair.a)
    try:
        async with pair.a.gateway.link(pair.b.gateway.directory.me) as link:
            yield Desk(pair, link)
    finally:
        for side in pair.sides:
            await side.close()


async def test_growth_is_cosigned_and_shown(desk: Desk) -> None:
    """200 with one line under the card's witness key; then it is what GET gives; the witness's log does not grow."""
    grown = await desk.pair.b.gateway.store.write(lambda tx: tx.log.head()[0])
    key = note.NoteKey.parse(desk.pair.b.gateway.directory.mine.witness_vkey)
    for old, size in ((0, 5), (5, 256), (256, 256), (256, 300)):
        reply = await desk.add(old, size)
        assert (reply.status, reply.media_type) == (200, "text/plain")
        body = desk.note(size).partition("\n\n")[0] + "\n"
        lines, found = note.read_cosignatures(body, reply.body, [key])
        assert (lines.encode(), [one.witness for one in found]) == (reply.body, [key])
        assert await desk.witnessed() == (size, desk.note(size))
        shown = await desk.link.get_witnessed(sha256(desk.signer.key.name.encode()).hexdigest())
        head = note.open_checkpoint(shown.body, [desk.signer.key], [key])
        assert (shown.status, head.size, len(head.cosignatures)) == (200, size, 1)
    assert await desk.pair.b.gateway.store.write(lambda tx: tx.log.head()[0]) == grown


HASH = b"A" * 43 + b"=\n"


def _stranger(name: str) -> note.NoteSigner:
    return note.NoteSigner.from_seed(name, note.ED25519, bytes(32))


REFUSALS: dict[str, tuple[Callable[[Desk], bytes], int, bytes, str]] = {
    "not a request": (lambda _: b"old 5\n", 400, b"", ""),
    "not UTF-8": (lambda _: b"old 0\n\n\xff", 400, b"", ""),
    "64 lines of proof": (lambda d: b"old 5\n" + HASH * 64 + b"\n" + d.note(20).encode(), 400, b"", ""),
    "an old size beyond the new": (lambda d: format_request(20, [], d.note(10)), 400, b"", ""),
    "another log": (
        lambda d: format_request(0, [], d.note(3, signer=_stranger("id.imigrasi/bcx/log/2"))), 404, b"", "",
    ),
    "a key that is not the log's": (
        lambda d: format_request(10, [], d.note(10, signer=_stranger(d.signer.key.name))), 403, b"", "",
    ),
    "another idea of what we hold": (lambda d: format_request(5, [], d.note(20)), 409, b"10\n", "text/x.tlog.size"),
    "a log that was cut back": (lambda d: format_request(5, [], d.note(5)), 409, b"10\n", "text/x.tlog.size"),
    "a proof that does not hold": (lambda d: format_request(10, [bytes(32)], d.note(20)), 422, b"", ""),
    "no proof": (lambda d: format_request(10, [], d.note(20)), 422, b"", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
async def test_each_refusal_is_as_tlog_witness_words_it(desk: Desk, name: str) -> None:
    """Status, body and type; and what is held stays held."""
    body, status, said, media_type = REFUSALS[name]
    assert (await desk.add(0, 10)).status == 200
    reply = await desk.link.add_checkpoint(body(desk))
    assert (reply.status, reply.body) == (status, said)
    if media_type:
        assert reply.media_type == media_type
    assert await desk.witnessed() == (10, desk.note(10))


async def test_a_second_root_for_one_size_ends_it(desk: Desk) -> None:
    """A bare 409; both notes are kept; from then on 403, and the party is a stranger."""
    assert (await desk.add(0, 10)).status == 200
    reply = await desk.add(10, 10, OTHERS)
    assert (reply.status, reply.body) == (409, b"")
    b = desk.pair.b.gateway
    [kept] = await b.store.write(lambda tx: tx.witness.disputes(desk.pair.a.gateway.directory.me))
    assert (kept.reason, kept.held, kept.shown) == ("fork", desk.note(10), desk.note(10, OTHERS))
    assert (await desk.add(10, 20)).status == 403
    assert not b.directory.partners[desk.pair.a.gateway.directory.me].active
    alarms = await b.queries.entries(typ="audit.alarm", limit=10)
    assert [row["outcome"] for row in alarms] == ["fork 10 10"]


async def test_overlapping_requests_never_roll_the_record_back(desk: Desk) -> None:
    """Fifty at once, from the same size to different ones: one is cosigned, the others are told of it."""
    assert (await desk.add(0, 10)).status == 200
    replies = await asyncio.gather(*(desk.add(10, 11 + at) for at in range(50)))
    granted = [at for at, reply in enumerate(replies) if reply.status == 200]
    assert len(granted) == 1
    size = 11 + granted[0]
    assert {(r.status, r.body) for at, r in enumerate(replies) if at not in granted} == {(409, b"%d\n" % size)}
    assert await desk.witnessed() == (size, desk.note(size))


async def test_what_was_never_cosigned_is_not_found(desk: Desk) -> None:
    """404 for an unknown log and for what is no id."""
    for name in (origin_id("id.imigrasi/bcx/log/1"), "00" * 32, "0" * 10, "..%2fcard"):
        assert (await desk.link.get_witnessed(name)).status == 404


async def test_too_large_a_body_is_not_read_to_its_end(desk: Desk) -> None:
    """413, and the witness goes on."""
    assert (await desk.link.add_checkpoint(b"old 0\n\n" + b"x" * 1_000_000)).status == 413
    assert (await desk.add(0, 10)).status == 200


async def test_the_log_is_served_as_tiles_that_lead_to_its_checkpoint(desk: Desk) -> None:
    """Every hash tile at its exact width; entry bundles, and what is no tile, are not for partners."""
    a, b = desk.pair.a, desk.pair.b
    await b.gateway.witnessing.guard.vouch(TEST_OPERATOR, "other")
    await b.submit(*[example("info.request/telephone-three-numbers") for _ in range(100)])
    await b.submit(*[example("info.request/telephone-three-numbers") for _ in range(100)])
    await b.submit(*[example("info.request/telephone-three-numbers") for _ in range(100)])
    await b.gateway.checkpoints.sign()
    reply = await desk.link.get_log("checkpoint")
    head = note.open_checkpoint(reply.body, [note.NoteKey.parse(b.gateway.directory.mine.log_vkey)])
    assert (reply.status, head.size > 300) == (200, True)
    level_0: list[bytes] = []
    for ref in hash_refs(head.size):
        tile = await desk.link.get_log(ref.path)
        assert (tile.status, len(tile.body)) == (200, 32 * ref.width)
        if ref.level == 0:
            level_0 += split_hashes(tile.body)
    assert merkle.root(level_0) == head.root
    for path in ("tile/entries/000", "tile/entries/000.p/1", "tile/0/001", "tile/0/000.p/256", "tile/9/000", "tile/x"):
        assert (await desk.link.get_log(path)).status == 404
    assert a.gateway.witnessing.gate.closed is None


async def test_a_working_pair_over_tls_proves_its_messages(tmp_path: Path) -> None:
    """The whole of it once over real connections: accepted, cosigned both ways, proved."""
    async with Pair(tmp_path) as pair:
        await pair.a.submit(example("case.referral/s1-sumarni"))
        await pair.settle()
        async with asyncio.timeout(20):
            while True:
                [row] = await pair.a.gateway.queries.messages(limit=1)
                if row["proved_at"]:
                    break
                await asyncio.sleep(0.1)
        assert row["unproved"] is None
        for side in pair.sides:
            assert side.gateway.witnessing.cosigning.cosigned_size
