"""Signed notes, checkpoints and cosignatures.

C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1; protocol.md §6. Bytes in, a
verified `Checkpoint` or `MalformedProof` out, nothing else. Lines of keys we were not given are skipped,
as the format demands; a bad signature of a key we were given refuses the whole note.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import MalformedProof
from gateway.primitives.ed25519 import low_order_ed25519
from gateway.primitives.merkle import HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

CLOCK_TOLERANCE_MS: Final = 120_000  # two clocks may differ by this much

MAX_NOTE_BYTES = 256 * 1024  # 16 post-quantum lines of 5 kB, in base64, fit twice
MAX_SIGNATURES = 64  # verifiers must take 16; without a bound a note is work for nothing
MAX_SIZE = 2**63 - 1

_PREFIX = "— "
_KEY_BYTES, _SIGNATURE_BYTES, _TIME_BYTES = 32, 64, 8
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


def unbase64(text: str, what: str) -> bytes:
    """Return the bytes of standard base64 in its one canonical spelling. Raises MalformedProof."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise MalformedProof(f"{what} is not base64") from exc
    # Stray bits and odd padding would give one signature many spellings.
    if base64.b64encode(raw).decode() != text:
        raise MalformedProof(f"{what} is not canonical base64")
    return raw


def base64_line(raw: bytes) -> str:
    """Return standard base64, padded, as notes and proof lines carry it."""
    return base64.b64encode(raw).decode()


def _valid_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A verifier key. `algorithm` is the signature type byte: 0x01 a log, 0x04 a witness."""

    name: str
    algorithm: int
    public: bytes
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if not _valid_name(self.name) or _CONTROL.search(self.name) or "\n" in self.name:
            raise MalformedProof("a key name is not empty and has neither spaces nor a plus")
        if self.algorithm not in {ED25519, COSIGNATURE}:
            raise MalformedProof("the key is neither a log's (0x01) nor a witness's (0x04)")
        if len(self.public) != _KEY_BYTES or low_order_ed25519(self.public):
            raise MalformedProof("the key is not a usable Ed25519 key")
        try:
            name = self.name.encode()
        except UnicodeEncodeError as exc:
            raise MalformedProof("a key name is UTF-8") from exc
        digest = sha256(name + b"\n" + bytes((self.algorithm,)) + self.public).digest()
        object.__setattr__(self, "key_id", digest[:4])

    @classmethod
    def parse(cls, vkey: str) -> NoteKey:
        """Read `name+hex(keyID)+base64(type ‖ key)`. Raises MalformedProof."""
        parts = vkey.split("+", 2)  # standard base64 may hold a plus itself
        if len(parts) != 3 or not _KEY_ID.fullmatch(parts[1]):
            raise MalformedProof("a verifier key reads name+keyid+key")
        raw = unbase64(parts[2], "the verifier key")
        key = cls(parts[0], raw[0] if raw else 0, raw[1:])
        if key.key_id.hex() != parts[1]:
            raise MalformedProof("the verifier key and its id differ: a mistyped key")
        return key

    @property
    def vkey(self) -> str:
        """Return the text form that `parse` reads."""
        packed = base64.b64encode(bytes((self.algorithm,)) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{packed}"

    def accepts(self, body: bytes, signature: bytes) -> bool:
        """Tell whether `signature` (what follows the key id) is this key's over the note `body`."""
        if self.algorithm == COSIGNATURE:
            if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES:
                return False
            time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
            if time_s > MAX_SIZE:
                return False
            body, signature = _cosigned(body, time_s), signature[_TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, body)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A key that signs notes; `sign` is raw Ed25519, so that a key in hardware fits too."""

    key: NoteKey
    sign: Callable[[bytes], bytes] = field(repr=False)

    @classmethod
    def from_seed(cls, name: str, algorithm: int, seed: bytes) -> NoteSigner:
        """Return the signer of a 32-byte Ed25519 seed; `algorithm` is ED25519 or COSIGNATURE."""
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(NoteKey(name, algorithm, private.public_key().public_bytes_raw()), private.sign)


class Cosignature(NamedTuple):
    """A witness's word that at `time_s` (seconds since the epoch) this was the largest tree it had seen."""

    witness: NoteKey
    time_s: int

    def timely(self, first_ms: int | None, now_ms: int | None) -> bool:
        """Tell whether it can have been made after the log's first entry and before now, as two clocks go.

        A time that is made up would keep a stolen key's signatures good, or say that nobody looked since. None: not
        known, not judged.
        """
        at = self.time_s * 1000
        early = first_ms is not None and at < first_ms - CLOCK_TOLERANCE_MS
        return not early and (now_ms is None or at <= now_ms + CLOCK_TOLERANCE_MS)


class UnknownSigner(MalformedProof):
    """No key that was given has signed the checkpoint: nothing is known of it, not even that it was changed."""


class _Line(NamedTuple):
    name: str
    key_id: bytes
    signature: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint under at least one trusted log key.

    `body` is the signed text with its last newline; `note` it and the signature lines that verified;
    `logs` the log keys that signed; `unknown` the names on the lines left out, which nobody checked.
    """

    origin: str
    size: int
    root: bytes
    body: str
    note: str
    logs: tuple[NoteKey, ...]
    cosignatures: tuple[Cosignature, ...]
    unknown: tuple[str, ...]


class TreeHead(NamedTuple):
    """What a checkpoint's body says, whoever signed it: for messages about it, not for trust."""

    origin: str
    size: int
    root: bytes


def _cosigned(body: bytes, time_s: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % time_s + body


def _split(note: str | bytes) -> tuple[str, str]:
    """Return (body, signature lines) of a well-formed note, each ending in a newline."""
    try:
        raw = note.encode() if isinstance(note, str) else note
        text = raw.decode()
    except UnicodeError as exc:
        raise MalformedProof("a note is UTF-8") from exc
    if len(raw) > MAX_NOTE_BYTES:
        raise MalformedProof("the note is larger than 256 KiB")
    if _CONTROL.search(text):
        raise MalformedProof("a note holds no control character but the newline")
    at = text.rfind("\n\n")
    if at < 0 or len(text) == at + 2 or not text.endswith("\n"):
        raise MalformedProof("a note is a text, a blank line and signature lines")
    return text[: at + 1], text[at + 2 :]


def _lines(text: str) -> list[_Line]:
    """Return the signature lines in `text`, which ends in a newline."""
    rows = text.split("\n")[:-1]
    if len(rows) > MAX_SIGNATURES:
        raise MalformedProof("the note has more than 64 signatures")
    found: list[_Line] = []
    for row in rows:
        name, gap, packed = row.removeprefix(_PREFIX).partition(" ")
        if not row.startswith(_PREFIX) or not gap or not _valid_name(name):
            raise MalformedProof("a signature line reads dash, name, base64")
        raw = unbase64(packed, "a signature")
        if len(raw) <= 4:
            raise MalformedProof("a signature is longer than its key id")
        found.append(_Line(name, raw[:4], raw[4:], row + "\n"))
    return found


def _verified(
    body: str, lines: Iterable[_Line], keys: Iterable[NoteKey]
) -> tuple[list[tuple[NoteKey, _Line]], list[_Line]]:
    """Sort lines into those of `keys`, verified and once each, and those of others."""
    trusted = {(key.name, key.key_id): key for key in keys}
    good: dict[NoteKey, _Line] = {}
    unknown: list[_Line] = []
    for line in lines:
        key = trusted.get((line.name, line.key_id))
        if key is None:
            unknown.append(line)
        elif not key.accepts(body.encode(), line.signature):
            raise MalformedProof("a signature of a key we trust does not verify")
        else:
            good.setdefault(key, line)
    return list(good.items()), unknown


def _tree_head(body: str) -> TreeHead:
    lines = body.split("\n")[:-1]
    if len(lines) < 3 or not all(lines):
        raise MalformedProof("a checkpoint has an origin, a size, a root and no empty line")
    if not _SIZE.fullmatch(lines[1]) or int(lines[1]) > MAX_SIZE:
        raise MalformedProof("the size is a decimal number without leading zeros")
    root = unbase64(lines[2], "the root")
    if len(root) != HASH_BYTES:
        raise MalformedProof("the root is 32 bytes")
    return TreeHead(lines[0], int(lines[1]), root)


def read_tree_head(note: str | bytes) -> TreeHead:
    """Return what a checkpoint says **without checking any signature**. Raises MalformedProof."""
    body, lines = _split(note)
    _lines(lines)
    return _tree_head(body)


def checkpoint_body(origin: str, size: int, root: bytes) -> str:
    """Return the text a log signs. Raises ValueError for what no checkpoint can say."""
    if not origin or "\n" in origin or not 0 <= size <= MAX_SIZE or len(root) != HASH_BYTES:
        raise ValueError("a checkpoint needs an origin of one line, a size and a root of 32 bytes")
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def _signature_line(key: NoteKey, signature: bytes) -> str:
    return f"{_PREFIX}{key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


def sign_checkpoint(size: int, root: bytes, signer: NoteSigner, *more: NoteSigner) -> str:
    """Return the checkpoint note of the log `signer` speaks for: its key name is the origin.

    `more` are older keys of the same log, each of which adds its line.

    Raises ValueError for a witness key: one key must not sign in both roles.
    """
    signers = (signer, *more)
    if any(one.key.algorithm != ED25519 or one.key.name != signer.key.name for one in signers):
        raise ValueError("a checkpoint is signed with a log key, or several of one log")
    body = checkpoint_body(signer.key.name, size, root)
    lines = (_signature_line(one.key, one.sign(body.encode())) for one in signers)
    return f"{body}\n{''.join(lines)}"


def cosign(body: str, signer: NoteSigner, now_s: int) -> str:
    """Return the witness's cosignature line over a checkpoint's `body` at `now_s` (seconds, whole).

    Raises ValueError for a log key.
    """
    if signer.key.algorithm != COSIGNATURE:
        raise ValueError("a cosignature is made with a witness key")
    signature = signer.sign(_cosigned(body.encode(), now_s))
    return _signature_line(signer.key, now_s.to_bytes(_TIME_BYTES, "big") + signature)


def open_checkpoint(note: str | bytes, log_keys: Sequence[NoteKey], witness_keys: Sequence[NoteKey] = ()) -> Checkpoint:
    """Verify a checkpoint under keys given beforehand.

    A log key counts only for the origin it is named after, so that no log can speak for another. Fails
    closed without keys. Raises MalformedProof.
    """
    body, text = _split(note)
    head = _tree_head(body)
    logs = [key for key in log_keys if key.algorithm == ED25519 and key.name == head.origin]
    witnesses = [key for key in witness_keys if key.algorithm == COSIGNATURE]
    good, unknown = _verified(body, _lines(text), [*logs, *witnesses])
    signed = tuple(key for key, _ in good if key.algorithm == ED25519)
    if not signed:
        raise UnknownSigner("no trusted key of this log has signed the checkpoint")
    return Checkpoint(
        *head,
        body=body,
        note=body + "\n" + "".join(line.text for _, line in good),
        logs=signed,
        cosignatures=_cosignatures(good),
        unknown=tuple(line.name for line in unknown),
    )


def _cosignatures(good: Iterable[tuple[NoteKey, _Line]]) -> tuple[Cosignature, ...]:
    return tuple(
        Cosignature(key, int.from_bytes(line.signature[:_TIME_BYTES], "big"))
        for key, line in good
        if key.algorithm == COSIGNATURE
    )


def names_signer(note: str, key: NoteKey) -> bool:
    """Tell whether a line of the note claims to be of this key, without opening it."""
    # The key id begins the signature: 30 of its 32 bits are in five letters.
    return f"{_PREFIX}{key.name} {base64.b64encode(key.key_id).decode()[:5]}" in note


def read_cosignatures(
    body: str, answer: str | bytes, witness_keys: Sequence[NoteKey]
) -> tuple[str, tuple[Cosignature, ...]]:
    """Return the lines of a witness's answer that verify over `body`, and what they say.

    Lines of unknown keys are dropped (tlog-witness: MUST ignore); none left is a refusal. Raises
    MalformedProof.
    """
    _, text = _split(body.encode() + b"\n" + (answer.encode() if isinstance(answer, str) else answer))
    witnesses = [key for key in witness_keys if key.algorithm == COSIGNATURE]
    good, _ = _verified(body, _lines(text), witnesses)
    if not good:
        raise MalformedProof("no witness we know has cosigned this")
    return "".join(line.text for _, line in good), _cosignatures(good)


def add_lines(note: str, lines: str) -> str:
    """Return the note with signature lines added; a newer line of the same key replaces the older.

    Nothing is verified here: pass what `read_cosignatures` returned. Raises MalformedProof.
    """
    body, text = _split(note)
    _, added = _split(f"{body}\n{lines}")
    merged = {(line.name, line.key_id): line.text for line in [*_lines(text), *_lines(added)]}
    return f"{body}\n{''.join(merged.values())}"
