"""Golden cases of `messages/entries`, judged twice: by ours, and by a second reading of docs/protocol.md §16.4."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.errors import MalformedProof
from gateway.ledger import note
from gateway.ports.log import Unproved
from gateway.ports.partner import Reply
from gateway.primitives import b64u
from gateway.protocol import members
from gateway.protocol.entries import MAX_JTIS, read_answer, read_question, write_question
from gateway.protocol.ids import MessageId
from gateway.services.partnerlog import Tiles
from gateway.services.proving import hold
from tests.ledger import golden_entries

if TYPE_CHECKING:
    from gateway.ports.partner import PartnerLink

GOLDEN: dict[str, Any] = json.loads(golden_entries.FILE.read_text("utf-8"))
CASES = {case["name"]: {**GOLDEN, **case} for case in GOLDEN["cases"]}


def test_the_file_is_what_its_maker_writes() -> None:
    """Question, answer, entries, tiles and notes are made by our own writers, byte for byte."""
    assert golden_entries.FILE.read_text("utf-8") == golden_entries.text()
    asked = [receipt["jti"] for receipt in GOLDEN["receipts"]]
    assert read_question(GOLDEN["question"].encode()) == asked
    assert list(read_answer(GOLDEN["answer"].encode(), asked)) == asked


@pytest.mark.parametrize("name", CASES)
def test_ours_proves_what_the_vectors_say(name: str) -> None:
    """The prover's own steps, over the tiles of the case."""
    assert asyncio.run(_ours(CASES[name])) == CASES[name]["proved"]


async def _ours(case: dict[str, Any]) -> list[str]:
    class Link:
        async def get_log(self, path: str) -> Reply:
            return Reply(200, "application/octet-stream", b64u.decode(case["tiles"][path]), None)

    link: PartnerLink = Link()  # type: ignore[assignment]
    rows = [
        Unproved(place, MessageId(r["jti"]), b64u.decode(r["event"]), r["status"], r["leaf"])
        for place, r in enumerate(case["receipts"])
    ]
    proved: list[int] = []
    try:
        log, witness = (note.NoteKey.parse(case["log"][name]) for name in ("log_vkey", "witness_vkey"))
        head = note.open_checkpoint(case["checkpoint"], [log], [witness])
        if head.cosignatures:
            shown = read_answer(case["answer"].encode(), [row.jti for row in rows])
            await hold(Tiles(link, head.size, head.root, OrderedDict(), 0), rows, shown, proved)
    except MalformedProof:
        pass
    return [rows[place].jti for place in proved]


# --- the second reading: hashlib, json and an Ed25519 verifier ------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_second_reading_proves_the_same(name: str) -> None:
    """From the page alone: notes, tiles, leaves and the words of an entry."""
    case = CASES[name]
    root, size = _cosigned(case)
    proved = [jti for jti in _shown(case) if root is not None and _stands(case, jti, root, size)]
    assert proved == case["proved"]


def _cosigned(case: dict[str, Any]) -> tuple[bytes | None, int]:
    body, _, lines = case["checkpoint"].partition("\n\n")
    body += "\n"
    size, root = int(body.split("\n")[1]), b64decode(body.split("\n")[2])
    held = {"log_vkey": False, "witness_vkey": False}
    for line in lines.splitlines():
        _, name, signature = line.split(" ")
        raw = b64decode(signature)
        for which in held:
            vkey = case["log"][which]
            key_name, key_id, key = vkey.split("+", 2)
            if key_name != name or bytes.fromhex(key_id) != raw[:4]:
                continue
            said = body.encode()
            if which == "witness_vkey":
                said = b"cosignature/v1\ntime %d\n" % int.from_bytes(raw[4:12], "big") + said
            try:
                Ed25519PublicKey.from_public_bytes(b64decode(key)[1:]).verify(raw[-64:], said)
            except InvalidSignature:
                continue
            held[which] = True
    return root if all(held.values()) else None, size


def _unb64u(text: str) -> bytes:
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != text or len(raw) > 4096:
        raise ValueError
    return raw


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def _shown(case: dict[str, Any]) -> dict[str, tuple[int, bytes]]:
    """Return the entries of the answer, none where it is not as §13.2 has it."""
    try:
        answer = json.loads(case["answer"], object_pairs_hook=_once)
        rows = answer["entries"]
        if set(answer) != {"entries"} or any(set(row) != {"jti", "leaf", "entry"} for row in rows):
            return {}
        found = {row["jti"]: (row["leaf"], _unb64u(row["entry"])) for row in rows}
    except ValueError:
        return {}
    asked = json.loads(case["question"])["jtis"]
    in_order = [jti for jti in asked if jti in found]
    return found if in_order == [row["jti"] for row in rows] else {}


def _tree(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + _tree(leaves[:split]) + _tree(leaves[split:])).digest()


def _tile(case: dict[str, Any], path: str) -> list[bytes]:
    raw = urlsafe_b64decode(case["tiles"][path] + "=" * (-len(case["tiles"][path]) % 4))
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]


def _stands(case: dict[str, Any], jti: str, root: bytes, size: int) -> bool:
    receipt = next(r for r in case["receipts"] if r["jti"] == jti)
    leaf, data = _shown(case)[jti]
    tile, width = leaf // 256, size % 256
    edge = _tile(case, f"tile/0/{size // 256:03d}.p/{width}")
    above = _tile(case, f"tile/1/000.p/{size // 256}")
    # 512 leaves are one complete subtree, its two halves the tiles; what is on the edge is the rest of the tree.
    if leaf != receipt["leaf"] or sha256(b"\1" + _tree(above) + _tree(edge)).digest() != root:
        return False
    if tile < size // 256:
        leaves = _tile(case, f"tile/0/{tile:03d}")
        if _tree(leaves) != above[tile]:
            return False
    else:
        leaves = edge
    said = json.loads(data)
    return (
        leaves[leaf % 256] == sha256(b"\0" + data).digest()
        and (said["typ"], said["jti"], said["event"], said["seq"])
        == ("message.received", jti, receipt["event"], receipt["leaf"])
        and said["outcome"].split(" ")[0] == receipt["status"]
    )


# --- questions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", GOLDEN["refused_questions"], ids=lambda refused: refused["name"])
def test_a_question_that_is_none_is_refused_with_its_place(refused: dict[str, str]) -> None:
    """Strict JSON, exactly `jtis`, each of them a message id."""
    with pytest.raises(members.Unfit):
        read_question(refused["body"].encode())


def test_a_question_names_a_thousand_messages_at_most() -> None:
    """A thousand fit; one more is refused."""
    jti = MessageId(GOLDEN["receipts"][0]["jti"])
    assert len(read_question(write_question([jti] * MAX_JTIS))) == MAX_JTIS
    with pytest.raises(members.Unfit):
        read_question(write_question([jti] * (MAX_JTIS + 1)))
