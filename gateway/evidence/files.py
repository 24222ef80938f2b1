"""Parts to files and back (`docs/evidence.md` has the format in words).

Laws:
1. One set of parts has one set of files, byte for byte; `read_parts(write_files(p)) == p`.
2. JSON files are written one way (`canonical`): a reader that reads one writes it again and compares.
3. Reading judges form only. What is ill-formed is a `MalformedProof` naming the file; trust is `verify`'s part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import MalformedProof
from gateway.evidence.parts import FORMAT, CardPart, LogPart, Parts, Proved, StampPart
from gateway.primitives import b64u, strictjson, times
from gateway.protocol.members import MESSAGE_ID, PARTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LISTING: Final = "manifest.json"
EVENT: Final = "event.json"
PLACE: Final = "envelope/place.json"
MANIFEST: Final = "envelope/manifest.jws"
RECEIPT: Final = "receipt.jws"
SCHEMA: Final = "schema.json"
PAGE: Final = "report.html"
GUIDE: Final = "VERIFY.md"
_CARD: Final = re.compile(r"cards/([a-z]{2}\.[a-z0-9-]{1,40})-([1-9][0-9]{0,15})\.jws")
LOG_ROLES: Final = {
    "checkpoint": "checkpoint", "entries.json": "log entries", "timestamped": "stamped checkpoint",
    "timestamp.json": "place of the timestamp", "timestamp.tsr": "timestamp",
}  # fmt: skip
_LOG: Final = re.compile(rf"log/([a-z]{{2}}\.[a-z0-9-]{{1,40}})/({'|'.join(map(re.escape, LOG_ROLES))})")
ROLES: Final = {
    EVENT: "event", PLACE: "place of the event", MANIFEST: "manifest", RECEIPT: "receipt", SCHEMA: "schema",
    PAGE: "page", GUIDE: "guide",
}  # fmt: skip
PARTS_MOST: Final = 200
MAX_NUMBER: Final = 2**53 - 1

Files = Mapping[str, bytes]


def canonical(value: Any) -> bytes:
    """Return JSON as every file of a bundle has it: two blanks a level, members as given, a last newline, ASCII."""
    return json.dumps(value, indent=2).encode("ascii") + b"\n"


def role_of(path: str) -> str | None:
    """Return what a file is, or None for one that no bundle has."""
    if path in ROLES:
        return ROLES[path]
    if _CARD.fullmatch(path):
        return "card"
    log = _LOG.fullmatch(path)
    return LOG_ROLES[log[2]] if log else None


def card_path(card: CardPart) -> str:
    """Return the path of a card."""
    return f"cards/{card.party}-{card.version}.jws"


def log_path(party: str, name: str) -> str:
    """Return the path of a file of one party's log."""
    return f"log/{party}/{name}"


# --- writing ----------------------------------------------------------------------------------------


def write_files(parts: Parts) -> dict[str, bytes]:
    """Return the files that hold the parts, by path; list, page and guide come on top."""
    files: dict[str, bytes | None] = {
        EVENT: parts.event,
        PLACE: canonical({
            "v": 1, "digest": b64u.encode(parts.digest), "index": parts.place, "size": parts.count,
            "path": [b64u.encode(node) for node in parts.path],
        }),
        MANIFEST: parts.manifest,
        RECEIPT: parts.receipt,
        SCHEMA: parts.schema,
    }  # fmt: skip
    files |= {card_path(card): card.jws for card in parts.cards}
    for log in parts.logs:
        files[log_path(log.party, "checkpoint")] = log.checkpoint.encode()
        files[log_path(log.party, "entries.json")] = canonical({
            "v": 1, "size": log.size,
            "entries": [
                {"index": one.index, "data": b64u.encode(one.data), "path": [b64u.encode(node) for node in one.path]}
                for one in log.entries
            ],
        })  # fmt: skip
        if log.stamp is not None:
            files |= _stamp_files(log.party, log.stamp)
    return {path: content for path, content in sorted(files.items()) if content is not None}


def _stamp_files(party: str, stamp: StampPart) -> dict[str, bytes]:
    return {
        log_path(party, "timestamped"): stamp.checkpoint.encode(),
        log_path(party, "timestamp.tsr"): stamp.token,
        log_path(party, "timestamp.json"): canonical({
            "v": 1, "at": times.format_ms(stamp.at_ms), "size": stamp.size,
            "path": [b64u.encode(node) for node in stamp.path],
        }),
    }  # fmt: skip


def write_listing(parts: Parts, files: Files) -> bytes:
    """Return `manifest.json`: what the bundle is about, and every other file with its role and SHA-256."""
    return canonical({
        "format": FORMAT,
        "message": parts.message,
        "sender": parts.sender,
        "recipient": parts.recipient,
        "exporter": parts.exporter,
        "redacted": parts.event is None,
        "files": [
            {
                "path": path, "role": role_of(path) or "unknown", "bytes": len(content),
                "sha256": sha256(content).hexdigest(),
            }
            for path, content in sorted(files.items())
        ],
    })  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------


def read_listing(raw: bytes) -> dict[str, Any]:
    """Read `manifest.json`. Raises MalformedProof where it is not of this format."""
    found = _object(raw, LISTING)
    if found.get("format") != FORMAT:
        raise MalformedProof(f"{LISTING}: not {FORMAT}")
    names = ("message", "sender", "recipient", "exporter")
    if not all(isinstance(found.get(name), str) for name in names) or not isinstance(found.get("redacted"), bool):
        raise MalformedProof(f"{LISTING}: lacks a member, or one is ill-formed")
    if MESSAGE_ID.fullmatch(found["message"]) is None or not all(PARTY.fullmatch(found[n]) for n in names[1:]):
        raise MalformedProof(f"{LISTING}: names no message or no party")
    rows = found.get("files")
    if not isinstance(rows, list) or len(rows) > PARTS_MOST or not all(_is_row(row) for row in rows):
        raise MalformedProof(f"{LISTING}: files is not a list of path, role, bytes and sha256")
    return found


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) for name in ("path", "role", "sha256"))
        and type(row.get("bytes")) is int
    )


def read_parts(files: Files, listing: Mapping[str, Any], faults: list[tuple[str, str]]) -> Parts | None:
    """Return the parts that can be read; (file, fault) of each that cannot go to `faults`.

    None where the place is missing, or the manifest of an envelope: there is nothing to check a message against.
    """
    logs = tuple(
        log
        for party in sorted({found[1] for found in map(_LOG.fullmatch, files) if found})
        if (log := _tried(lambda party=party: _read_log(files, party), log_path(party, ""), faults)) is not None
    )
    cards = tuple(
        CardPart(found[1], int(found[2]), files[found[0]]) for found in map(_CARD.fullmatch, sorted(files)) if found
    )
    place = _tried(lambda: _read_place(_needed(files, PLACE)), PLACE, faults)
    if place is None:
        return None
    digest, index, size, path = place
    # Of no envelope: the message was never sent, and only its sender's log speaks of it.
    manifest = files.get(MANIFEST) if size == 0 else _tried(lambda: _needed(files, MANIFEST), MANIFEST, faults)
    if size and manifest is None:
        return None
    return Parts(
        message=listing["message"], sender=listing["sender"], recipient=listing["recipient"],
        exporter=listing["exporter"], event=files.get(EVENT), digest=digest, place=index, count=size, path=path,
        manifest=manifest, receipt=files.get(RECEIPT), cards=cards, logs=logs, schema=files.get(SCHEMA),
    )  # fmt: skip


def _tried(read: Any, path: str, faults: list[tuple[str, str]]) -> Any:
    try:
        return read()
    except MalformedProof as fault:
        faults.append((path, fault.detail))
        return None


def _needed(files: Files, path: str) -> bytes:
    if path not in files:
        raise MalformedProof("missing")
    return files[path]


def _read_place(raw: bytes) -> tuple[bytes, int, int, tuple[bytes, ...]]:
    found = _object(raw, PLACE)
    [digest] = _hashes([found.get("digest")], PLACE)
    return digest, _number(found, "index", PLACE), _number(found, "size", PLACE), _hashes(found.get("path"), PLACE)


def _read_log(files: Files, party: str) -> LogPart:
    path = log_path(party, "entries.json")
    found = _object(_needed(files, path), path)
    rows = found.get("entries")
    if not isinstance(rows, list) or len(rows) > PARTS_MOST or not all(isinstance(row, dict) for row in rows):
        raise MalformedProof(f"{path}: entries is not a list of objects")
    return LogPart(
        party=party,
        checkpoint=_text(_needed(files, log_path(party, "checkpoint"))),
        size=_number(found, "size", path),
        entries=tuple(
            Proved(_number(row, "index", path), _octets(row.get("data"), path), _hashes(row.get("path"), path))
            for row in rows
        ),
        stamp=_read_stamp(files, party),
    )


def _read_stamp(files: Files, party: str) -> StampPart | None:
    names = ("timestamped", "timestamp.json", "timestamp.tsr")
    if not any(log_path(party, name) in files for name in names):
        return None
    checkpoint, place, token = (_needed(files, log_path(party, name)) for name in names)
    path = log_path(party, "timestamp.json")
    found = _object(place, path)
    return StampPart(
        checkpoint=_text(checkpoint), size=_number(found, "size", path), path=_hashes(found.get("path"), path),
        at_ms=_time(found.get("at"), path), token=token,
    )  # fmt: skip


def _object(raw: bytes, path: str) -> dict[str, Any]:
    try:
        found = strictjson.loads(raw)
    except strictjson.NotStrict as fault:
        raise MalformedProof(f"{path}: not strict JSON: {fault}") from None
    if not isinstance(found, dict):
        raise MalformedProof(f"{path}: not an object")
    if path != LISTING and found.get("v") != 1:
        raise MalformedProof(f"{path}: not version 1")
    return found


def _number(found: Mapping[str, Any], name: str, path: str) -> int:
    value = found.get(name)
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise MalformedProof(f"{path}: {name} is not a number")
    return value


def _time(value: object, path: str) -> int:
    try:
        return times.parse_ms(value if isinstance(value, str) else "")
    except ValueError:
        raise MalformedProof(f"{path}: at is not a time") from None


def _octets(value: object, path: str) -> bytes:
    try:
        return b64u.decode(value) if isinstance(value, str) else b64u.decode("!")
    except ValueError:
        raise MalformedProof(f"{path}: a value is not base64url") from None


def _hashes(values: object, path: str) -> tuple[bytes, ...]:
    if not isinstance(values, list) or len(values) > PARTS_MOST:
        raise MalformedProof(f"{path}: a path is a list of hashes")
    found = tuple(_octets(value, path) for value in values)
    if any(len(one) != 32 for one in found):
        raise MalformedProof(f"{path}: a hash is 32 bytes")
    return found


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedProof("a checkpoint is UTF-8") from None


def unlisted(listing: Mapping[str, Any], files: Iterable[str]) -> Sequence[str]:
    """Return files that are there and not in the list."""
    listed = {row["path"] for row in listing["files"]}
    return [path for path in files if path not in listed and path != LISTING]
