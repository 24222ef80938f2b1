"""The log's rows: numbered as units run, undone with them, the same after every restart."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import Clash
from gateway.ledger.note import ED25519, NoteKey, NoteSigner, sign_checkpoint
from gateway.ledger.verify import verify_rows
from gateway.ports.common import Actor
from gateway.ports.log import SignedCheckpoint
from gateway.primitives import merkle
from gateway.storage.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.ports.store import Transaction

GATEWAY = Actor("gateway", "system")
ORIGIN = "kh.gdi/bcx/log/1"
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNER = NoteSigner(NoteKey(ORIGIN, ED25519, _KEY.public_key().public_bytes_raw()), _KEY.sign)


def growing(count: int, fails: bool = False) -> Callable[[Transaction], int]:
    """Return a unit that logs `count` entries, and may fail after them."""

    def unit(tx: Transaction) -> int:
        for _ in range(count):
            tx.log.append("config.changed", actor=GATEWAY, obj=("settings", "x"), at=1)
        if fails:
            raise Clash
        return tx.log.head()[0]

    return unit


def signing(tx: Transaction) -> SignedCheckpoint:
    """Sign the head."""
    size, root = tx.log.head()
    fresh = SignedCheckpoint(size, root, sign_checkpoint(size, root, SIGNER), 1)
    tx.log.add_checkpoint(fresh)
    return fresh


async def verified(store: SqliteStore) -> int:
    """Verify the whole log as the auditor does; return its size."""
    history = [row[0] for row in store._connection.execute("SELECT note FROM checkpoints ORDER BY size")]
    rows = store._connection.execute("SELECT seq, data FROM entries ORDER BY seq").fetchall()
    report = verify_rows(
        history[-1], rows, await store.write(lambda tx: tx.log.read_hashes), log_keys=[SIGNER.key], history=history[:-1]
    )  # type: ignore[attr-defined]
    assert report.faults == ()
    return report.size


@pytest.mark.parametrize("seed", range(6))
async def test_a_log_that_grows_fails_and_restarts_verifies(tmp_path: Path, seed: int) -> None:
    """Random groups across tile borders, units that fail among them, the process started anew in between."""
    chance, expected = random.Random(seed), 0
    path = tmp_path / "data" / "gateway.db"
    for _ in range(4):
        store = SqliteStore.open(path)
        for _ in range(6):
            units = [(chance.choice((0, 1, 3, 40, 257)), chance.random() < 0.3) for _ in range(chance.randint(1, 6))]
            await asyncio.gather(*(store.write(growing(*unit)) for unit in units), return_exceptions=True)
            expected += sum(count for count, fails in units if not fails)
            if expected and chance.random() < 0.7:
                head = await store.write(lambda tx: (tx.log.head(), tx.log.last_checkpoint()))
                if head[1] is None or head[1].size < head[0][0]:
                    await store.write(signing)
        assert (await store.write(lambda tx: tx.log.head()))[0] == expected
        if (await store.write(lambda tx: tx.log.last_checkpoint())) is not None:
            await verified(store)
        await store.close()


async def test_every_leaf_is_proved_in_every_later_size(store: SqliteStore) -> None:
    """The paths of the store hold against roots made anew from the leaves."""
    await store.write(growing(300))
    leaves = [merkle.leaf_hash(row[0]) for row in store._connection.execute("SELECT data FROM entries ORDER BY seq")]
    for size in (1, 2, 255, 256, 257, 300):
        root = merkle.root(leaves[:size])
        for seq in {0, size // 2, size - 1}:
            path = await store.write(lambda tx, seq=seq, size=size: tx.log.proof(seq, size))  # type: ignore[misc]
            assert merkle.verify_inclusion(leaves[seq], seq, size, list(path), root)


async def test_a_size_is_signed_once(store: SqliteStore) -> None:
    """Two roots under one size would be a fork: the table itself refuses a second."""
    await store.write(growing(3))
    await store.write(signing)
    with pytest.raises(sqlite3.IntegrityError):
        await store.write(signing)
    assert await verified(store) == 3


async def test_an_edited_entry_is_found(store: SqliteStore) -> None:
    """What the verifier says of a clean log means something."""
    await store.write(growing(10))
    await store.write(signing)
    store._connection.execute(
        "UPDATE entries SET data = CAST(replace(data, 'settings', 'sattings') AS BLOB) WHERE seq = 4"
    )
    with pytest.raises(AssertionError):
        await verified(store)
