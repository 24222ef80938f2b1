"""The witness's answers, as C2SP tlog-witness v1.0.0 words them: one row a case."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedProof
from gateway.ledger import note, witness
from gateway.ledger.witness import Answer, Evidence, Witnessed
from gateway.primitives import merkle

ORIGIN = "id.imigrasi/bcx/log/1"
LOG = note.NoteSigner.from_seed(ORIGIN, note.ED25519, bytes(range(32)))
THIEF = note.NoteSigner.from_seed(ORIGIN, note.ED25519, b"\5" * 32)
WITNESS = note.NoteSigner.from_seed("kh.gdi/bcx/witness/1", note.COSIGNATURE, bytes(32))
TRUSTED = {ORIGIN: [LOG.key]}
LEAVES = [merkle.leaf_hash(bytes((at,))) for at in range(20)]
REBUILT = [LEAVES[0], merkle.leaf_hash(b"changed"), *LEAVES[2:]]


def _note(size: int, leaves: list[bytes] = LEAVES, signer: note.NoteSigner = LOG) -> str:
    return note.sign_checkpoint(size, merkle.root(leaves[:size]), signer)


def _ask(old: int, size: int, leaves: list[bytes] = LEAVES, signer: note.NoteSigner = LOG) -> bytes:
    proof = merkle.consistency_path(leaves[:size], old) if 0 < old <= size else []
    return witness.format_request(old, proof, _note(size, leaves, signer))


def _held(size: int, *, forked: bool = False) -> Witnessed:
    return Witnessed(size, merkle.root(LEAVES[:size]), _note(size), forked)


class Case(NamedTuple):
    """A request, what is stored for its origin, and the answer due."""

    body: bytes
    stored: Witnessed | None
    expected: Answer


def _granted(size: int) -> Answer:
    return Answer(200, record=_held(size))


def _told(size: int, evidence: Evidence | None = None) -> Answer:
    return Answer(409, f"{size}\n", "text/x.tlog.size", evidence=evidence)


CASES = {
    "the first checkpoint of a log": Case(_ask(0, 5), None, _granted(5)),
    "the first checkpoint, of an empty log": Case(_ask(0, 0), None, _granted(0)),
    "growth": Case(_ask(5, 12), _held(5), _granted(12)),
    "growth from an empty tree": Case(_ask(0, 3), _held(0), _granted(3)),
    "growth from a power of two": Case(_ask(8, 20), _held(8), _granted(20)),
    "the same again": Case(_ask(5, 5), _held(5), _granted(5)),
    "an origin we do not watch": Case(
        witness.format_request(0, [], _note(5, signer=replace(LOG, key=note.NoteKey("x/log", 1, LOG.key.public)))),
        None,
        Answer(404),
    ),
    "another key under the log's name": Case(_ask(5, 12, signer=THIEF), _held(5), Answer(403)),
    "a fork by another key is no evidence": Case(_ask(5, 5, REBUILT, THIEF), _held(5), Answer(403)),
    "a log that has forked before": Case(_ask(5, 12), _held(5, forked=True), Answer(403)),
    "old above the checkpoint": Case(witness.format_request(12, [], _note(5)), _held(12), Answer(400)),
    "old below what we hold": Case(_ask(5, 12), _held(8), _told(8)),
    "old above what we hold": Case(_ask(8, 12), _held(5), _told(5)),
    "old zero when we hold something": Case(_ask(0, 12), _held(5), _told(5)),
    "old something when we hold nothing": Case(_ask(5, 12), None, _told(0)),
    "a checkpoint we have passed": Case(_ask(3, 5), _held(8), _told(8)),
    "same size, other root": Case(_ask(5, 5, REBUILT), _held(5), Answer(409, evidence=Evidence.FORK)),
    "same size, other root, another old": Case(_ask(0, 5, REBUILT), _held(5), _told(5, Evidence.FORK)),
    "an empty tree with a root of its own": Case(
        witness.format_request(0, [], note.sign_checkpoint(0, LEAVES[0], LOG)),
        None,
        Answer(409, evidence=Evidence.FORK),
    ),
    "a rebuilt log that has grown": Case(_ask(5, 12, REBUILT), _held(5), Answer(422, evidence=Evidence.BAD_PROOF)),
    "a proof cut short": Case(
        witness.format_request(5, merkle.consistency_path(LEAVES[:12], 5)[:-1], _note(12)),
        _held(5),
        Answer(422, evidence=Evidence.BAD_PROOF),
    ),
    "a proof from nothing that is not empty": Case(
        witness.format_request(0, [LEAVES[0]], _note(5)), None, Answer(422, evidence=Evidence.BAD_PROOF)
    ),
    "a proof between equal sizes that is not empty": Case(
        witness.format_request(5, [LEAVES[0]], _note(5)), _held(5), Answer(422, evidence=Evidence.BAD_PROOF)
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_answer(case: Case) -> None:
    """Status, body, content type, what to store, what to keep as evidence."""
    request = witness.parse_request(case.body)
    assert witness.decide(request, case.stored, TRUSTED) == case.expected


def test_accepted_checkpoint_is_cosigned_so_that_anyone_can_check() -> None:
    """The line of a 200 opens under the witness key, with its time; unknown lines are not kept."""
    stranger = f"— somebody {note.base64_line(bytes(70))}\n"
    body = _ask(5, 12) + stranger.encode()
    answer = witness.grant(witness.decide(witness.parse_request(body), _held(5), TRUSTED), WITNESS, 1_795_485_607)
    assert answer.status == 200
    assert answer.record is not None
    assert "somebody" not in answer.record.note
    opened = note.open_checkpoint(answer.record.note + answer.body, [LOG.key], [WITNESS.key])
    assert (opened.size, opened.cosignatures) == (12, (note.Cosignature(WITNESS.key, 1_795_485_607),))


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.expected.status != 200])
def test_refusal_is_never_signed_and_stores_nothing(case: Case) -> None:
    """Whatever the refusal."""
    answer = witness.decide(witness.parse_request(case.body), case.stored, TRUSTED)
    assert answer.record is None
    with pytest.raises(ValueError, match="only an accepted"):
        witness.grant(answer, WITNESS, 1)


@pytest.mark.parametrize("keys", [{}, {ORIGIN: []}, {ORIGIN: [WITNESS.key]}])
def test_without_a_log_key_nothing_is_cosigned(keys: dict[str, list[note.NoteKey]]) -> None:
    """No origin: 404; an origin without a usable key: 403."""
    answer = witness.decide(witness.parse_request(_ask(0, 5)), None, keys)
    assert answer == Answer(403 if keys else 404)


def test_a_log_with_two_keys_may_sign_with_either() -> None:
    """While its key rotates."""
    keys = {ORIGIN: [THIEF.key, LOG.key]}
    assert witness.decide(witness.parse_request(_ask(0, 5)), None, keys).status == 200


GOOD = _ask(5, 12)
PROOF_LINE = GOOD.split(b"\n")[1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"old 5\n",
        b"old 5\n\n",
        GOOD[4:],
        GOOD.replace(b"old 5", b"old 05"),
        GOOD.replace(b"old 5", b"old"),
        GOOD.replace(b"old 5", b"old -5"),
        GOOD.replace(b"old 5", b"Old 5"),
        GOOD.replace(b"old 5", b"old 5 "),
        GOOD.replace(b"old 5", b"old 9223372036854775808"),
        GOOD.replace(PROOF_LINE, PROOF_LINE[:-1]),
        GOOD.replace(PROOF_LINE, b""),
        GOOD.replace(PROOF_LINE, PROOF_LINE + b" "),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(PROOF_LINE, PROOF_LINE[:-2] + b"/="),
        GOOD.replace(PROOF_LINE, b"-" * 43 + b"="),
        GOOD.replace(PROOF_LINE, b"AAAA"),
        GOOD.replace(b"\n12\n", b"\n012\n"),
        GOOD.replace("—".encode(), b"-"),
        GOOD[:-1],
        b"old 5\n" + (PROOF_LINE + b"\n") * 64 + b"\n" + _note(12).encode(),
        GOOD + b"\xff",
    ],
)
def test_malformed_request(body: bytes) -> None:
    """What answers 400 before anything is looked up."""
    with pytest.raises(MalformedProof):
        witness.parse_request(body)


def test_63_proof_lines_are_read() -> None:
    """The most a client may send; one more is refused when written, too."""
    body = witness.format_request(5, [LEAVES[0]] * 63, _note(12))
    assert len(witness.parse_request(body).proof) == 63
    with pytest.raises(ValueError, match="63"):
        witness.format_request(5, [LEAVES[0]] * 64, _note(12))


def test_request_is_written_as_the_specification_shows_it() -> None:
    """Old size, proof lines, an empty line, the checkpoint."""
    lines = _ask(5, 12).decode().split("\n")
    assert lines[0] == "old 5"
    blank = lines.index("")
    assert [len(line) for line in lines[1:blank]] == [44] * len(merkle.consistency_path(LEAVES[:12], 5))
    assert lines[blank + 1 : blank + 3] == [ORIGIN, "12"]


def test_origin_is_looked_up_by_its_sha256() -> None:
    """As in `witness/<hex sha256(origin)>/checkpoint`; the value is `printf … | sha256sum`."""
    assert witness.origin_id("kh.gdi/bcx/log/1") == ("849242e18e5314fb7589097c623ace8cab5750b623771ce8748b7de23b47b872")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD)), st.binary(max_size=12), st.integers(0, 12))
def test_a_request_changed_anywhere_is_malformed_or_refused_or_says_the_same(at: int, put: bytes, gone: int) -> None:
    """The fuzz law; and no change of a request makes the witness vouch for another tree."""
    try:
        request = witness.parse_request(GOOD[:at] + put + GOOD[at + gone :])
    except MalformedProof:
        return
    answer = witness.decide(request, _held(5), TRUSTED)
    assert answer.status in {403, 404, 400, 409, 422} or answer.record == _held(12)


def test_a_whole_history_is_cosigned_step_by_step_and_never_backwards() -> None:
    """A log grows from 0 to 20; replaying any older request is told the size and changes nothing."""
    stored: Witnessed | None = None
    bodies = [_ask(at, at + 1) for at in range(20)]
    for at, body in enumerate(bodies):
        answer = witness.decide(witness.parse_request(body), stored, TRUSTED)
        assert answer.record == _held(at + 1)
        stored = answer.record
    for body in bodies:
        assert witness.decide(witness.parse_request(body), stored, TRUSTED) == _told(20)
