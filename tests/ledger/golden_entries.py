"""Golden cases of `messages/entries` (docs/protocol.md §13.2, §16.4), kept in `tests/vectors/entries-1.json`.

`python -m tests.ledger.golden_entries` writes them anew: the same bytes each time.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

from gateway.ledger import entry, note
from gateway.ledger.tiles import Edge, hash_refs
from gateway.primitives import b64u, merkle, times
from gateway.protocol.entries import LoggedEntry, write_answer, write_question
from gateway.protocol.ids import MessageId, uuid7
from tests.docs.pages import ROOT

FILE: Final = ROOT / "tests" / "vectors" / "entries-1.json"
SIZE: Final = 700
AT_MS: Final = times.parse_ms("2026-11-24T02:00:05.050Z")
LEAVES: Final = (3, 255, 256, 300, 511, 512, 699)
REFUSED: Final = 300
ABOUT: Final = (
    "The sender id.imigrasi holds `receipts` of kh.gdi: jti, event (b64u of its digest), status, leaf. It has sent "
    "`question` to POST messages/entries, where an honest kh.gdi answers `answer`. `checkpoint` is the one it "
    "cosigned, `tiles` what kh.gdi serves below log/ (b64u). Each case replaces answer, checkpoint or tiles; `proved` "
    "lists the messages whose entry is proved then, every other one is asked for by messages/{jti}. What stands in "
    "`refused_questions` is answered 400. All keys are test keys: the seeds are in `private`."
)


def _seeded(name: str) -> bytes:
    return sha256(f"entries-1 {name}".encode()).digest()


def _jti(leaf: int) -> MessageId:
    return MessageId(uuid7(AT_MS + leaf, lambda count: _seeded(f"jti {leaf}")[:count]))


def _data(leaf: int, **changes: Any) -> bytes:
    jti = _jti(leaf)
    said: dict[str, Any] = {
        "seq": leaf, "at_ms": AT_MS + leaf, "typ": "message.received", "actor_sub": "id.imigrasi",
        "actor_role": "partner", "obj_kind": "message", "obj_id": jti, "salt": _seeded(f"salt {leaf}")[:16], "jti": jti,
        "event": _seeded(f"event {leaf}"), "outcome": "rejected expired" if leaf == REFUSED else "accepted", **changes,
    }  # fmt: skip
    return entry.build(**said)


def _tiles(leaves: list[bytes]) -> dict[str, str]:
    edge, rows = Edge().grow(leaves)
    hashes = {(row.level, row.number): row.hashes for row in rows}
    hashes[0, len(leaves) >> 8] = b"".join(edge.partial[0])
    return {ref.path: b64u.encode(hashes[ref.level or 0, ref.number]) for ref in hash_refs(len(leaves))}


def _bent(tiles: dict[str, str], path: str, place: int, value: bytes) -> dict[str, str]:
    raw = b64u.decode(tiles[path])
    return {**tiles, path: b64u.encode(raw[: 32 * place] + value + raw[32 * place + 32 :])}


def make() -> dict[str, Any]:
    """Return the vectors."""
    leaves = [merkle.leaf_hash(_data(leaf)) for leaf in range(SIZE)]
    log = note.NoteSigner.from_seed("kh.gdi/bcx/log/1", note.ED25519, _seeded("log"))
    witness = note.NoteSigner.from_seed("id.imigrasi/bcx/witness/1", note.COSIGNATURE, _seeded("witness"))
    other = note.NoteSigner.from_seed("id.imigrasi/bcx/witness/1", note.COSIGNATURE, _seeded("another witness"))
    root = merkle.root(leaves)
    signed = note.sign_checkpoint(SIZE, root, log)
    body = note.checkpoint_body(log.key.name, SIZE, root)
    cosigned = note.add_lines(signed, note.cosign(body, witness, AT_MS // 1000))
    tiles = _tiles(leaves)
    asked = [_jti(leaf) for leaf in LEAVES]
    rows = [LoggedEntry(_jti(leaf), leaf, _data(leaf)) for leaf in LEAVES]
    whole = write_answer(rows).decode()

    def case(name: str, proved: tuple[int, ...], **changes: Any) -> dict[str, Any]:
        return {"name": name, **changes, "proved": [_jti(leaf) for leaf in proved]}

    def changed(leaf: int, shown: LoggedEntry) -> str:
        return write_answer([shown if row.leaf == leaf else row for row in rows]).decode()

    def but(*left: int) -> tuple[int, ...]:
        return tuple(leaf for leaf in LEAVES if leaf not in left)

    def lie(leaf: int, **changes: Any) -> str:
        return changed(leaf, LoggedEntry(_jti(leaf), leaf, _data(leaf, **changes)))

    forged = merkle.leaf_hash(_data(256, salt=bytes(16)))
    parsed = json.loads(whole)["entries"]

    def text(entries: Any, **more: Any) -> str:
        return json.dumps({"entries": entries, **more}, separators=(",", ":"))

    return {
        "about": ABOUT,
        "log": {
            "origin": log.key.name, "log_vkey": log.key.vkey, "witness_vkey": witness.key.vkey, "size": SIZE,
            "root": b64u.encode(root),
        },
        "private": {name: b64u.encode(_seeded(name)) for name in ("log", "witness")},
        "receipts": [
            {"jti": _jti(leaf), "event": b64u.encode(_seeded(f"event {leaf}")), "leaf": leaf,
             "status": "rejected" if leaf == REFUSED else "accepted"}
            for leaf in LEAVES
        ],
        "question": write_question(asked).decode(),
        "answer": whole,
        "checkpoint": cosigned,
        "tiles": tiles,
        "cases": [
            case("as it is", LEAVES),
            case("one left out", but(255), answer=text(parsed[:1] + parsed[2:])),
            case("nothing shown", (), answer=text([])),
            case("the entry of another message", but(255),
                 answer=changed(255, LoggedEntry(_jti(255), 255, _data(256)))),
            case("place and entry of another message", but(255),
                 answer=changed(255, LoggedEntry(_jti(255), 254, _data(254)))),
            case("an entry that is not in the log", but(255), answer=lie(255, salt=bytes(16))),
            case("another outcome, in an entry that is not in the log", but(300), answer=lie(300, outcome="accepted")),
            case("a leaf beyond the checkpoint", but(699),
                 answer=changed(699, LoggedEntry(_jti(699), 700, _data(699)))),
            case("a doubled message", (), answer=text(parsed[:2] + parsed[1:])),
            case("another order", (), answer=text(parsed[::-1])),
            case("a message that was not asked for", (), answer=text([*parsed, {**parsed[0], "jti": _jti(4)}])),
            case("a further member", (), answer=text(parsed, more=1)),
            case("a further member of an entry", (), answer=text([{**row, "proof": []} for row in parsed])),
            case("an entry over 4,096 bytes", (), answer=text([{**parsed[0], "entry": b64u.encode(bytes(4097))}])),
            case("padded base64", (), answer=text([{**row, "entry": row["entry"] + "="} for row in parsed])),
            case("a doubled member", (), answer='{"entries":[],' + whole[1:]),
            case("entry and tile forged alike", but(256, 300, 511), answer=lie(256, salt=bytes(16)),
                 tiles=_bent(tiles, "tile/0/001", 0, forged)),
            case("the tile above forged with it", (), answer=lie(256, salt=bytes(16)),
                 tiles=_bent(_bent(tiles, "tile/0/001", 0, forged), "tile/1/000.p/2", 1,
                             merkle.root([forged, *leaves[257:512]]))),
            case("a partial tile forged", (), tiles=_bent(tiles, "tile/0/002.p/188", 187, bytes(32))),
            case("a checkpoint that nobody cosigned", (), checkpoint=signed),
            case("a checkpoint that another witness cosigned", (),
                 checkpoint=note.add_lines(signed, note.cosign(body, other, AT_MS // 1000))),
            case("a checkpoint whose signature does not hold", (),
                 checkpoint=cosigned.replace(f"\n{SIZE}\n", f"\n{SIZE - 1}\n", 1)),
        ],
        "refused_questions": [
            {"name": "no JSON", "body": "{"},
            {"name": "a list", "body": "[]"},
            {"name": "without jtis", "body": "{}"},
            {"name": "a further member", "body": '{"jtis":[],"more":1}'},
            {"name": "a doubled member", "body": '{"jtis":[],"jtis":[]}'},
            {"name": "no list", "body": '{"jtis":{}}'},
            {"name": "a number", "body": '{"jtis":[1]}'},
            {"name": "an id in upper case", "body": json.dumps({"jtis": [_jti(3).upper()]})},
            {"name": "no UUIDv7", "body": '{"jtis":["01990000-0000-4000-8000-000000000001"]}'},
        ],
    }  # fmt: skip


def text() -> str:
    """Return the file."""
    return json.dumps(make(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
