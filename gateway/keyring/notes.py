"""The log and witness keys of a ring as C2SP signers, under the names protocol.md §6 gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ledger.note import COSIGNATURE, ED25519, NoteKey, NoteSigner

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gateway.keyring.files import FileKeyRing


def log_signers(keys: FileKeyRing, origin: str) -> list[NoteSigner]:
    """Return who signs checkpoints: the key in force, then retiring ones, so that an older card still verifies."""
    return [_signer(origin, ED25519, key) for key in keys.log_keys()]


def witness_signer(keys: FileKeyRing) -> NoteSigner:
    """Return who cosigns partners' checkpoints: one and the same whichever log of ours is the present one."""
    return _signer(f"{keys.party}/bcx/witness/1", COSIGNATURE, keys.witness_key())


def card_notes(keys: FileKeyRing, origin: str) -> dict[str, str]:
    """Return what the card says: `origin`, and the `log` and `witness` vkeys in force now."""
    return {
        "origin": origin,
        "log": log_signers(keys, origin)[0].key.vkey,
        "witness": witness_signer(keys).key.vkey,
    }


def _signer(name: str, algorithm: int, key: Ed25519PrivateKey) -> NoteSigner:
    return NoteSigner(NoteKey(name, algorithm, key.public_key().public_bytes_raw()), key.sign)
