"""Signed notes, checkpoints, cosignatures: golden bytes, what is refused, and the fuzz law."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedProof
from gateway.ledger import note
from gateway.primitives import b64u, merkle

LOG = note.NoteSigner.from_seed("id.imigrasi/bcx/log/1", note.ED25519, bytes(range(32)))
OTHER_LOG = note.NoteSigner.from_seed("id.imigrasi/bcx/log/2", note.ED25519, bytes(range(32)))
WITNESS = note.NoteSigner.from_seed("kh.gdi/bcx/witness/1", note.COSIGNATURE, bytes(32))
STRANGER = note.NoteSigner.from_seed("kh.gdi/bcx/witness/9", note.COSIGNATURE, b"\7" * 32)
ROOT = merkle.leaf_hash(b"one")
NOTE = note.sign_checkpoint(1, ROOT, LOG)
BODY = NOTE[: NOTE.rindex("\n\n") + 1]
TIME_S = 1_795_485_607
KEYS = [LOG.key], [WITNESS.key]


def _signed(body: str, signer: note.NoteSigner = LOG) -> str:
    packed = note.base64_line(signer.key.key_id + signer.sign(body.encode()))
    return f"{body}\n— {signer.key.name} {packed}\n"


def test_golden_checkpoint_and_cosignature_are_reproduced(golden: dict[str, Any]) -> None:
    """Keys, leaf hashes, root, checkpoint and cosignature, byte for byte."""
    private = golden["private"]
    log = note.NoteSigner.from_seed(golden["origin"], note.ED25519, b64u.decode(private["log_ed25519"]))
    name = note.NoteKey.parse(golden["witness_vkey"]).name
    witness = note.NoteSigner.from_seed(name, note.COSIGNATURE, b64u.decode(private["witness_ed25519"]))
    assert (log.key.vkey, witness.key.vkey) == (golden["log_vkey"], golden["witness_vkey"])
    leaves = [merkle.leaf_hash(data.encode()) for data in golden["leaf_data"]]
    assert [b64u.encode(leaf) for leaf in leaves] == golden["leaf_hash"]
    assert note.sign_checkpoint(len(leaves), merkle.root(leaves), log) == golden["checkpoint"]
    both = note.add_lines(golden["checkpoint"], golden["cosignature"])
    opened = note.open_checkpoint(both, [log.key], [witness.key])
    assert opened.note == both
    assert (opened.origin, opened.size, opened.root) == (golden["origin"], 3, b64u.decode(golden["root"]))
    [(_, time_s)] = opened.cosignatures
    assert note.cosign(opened.body, witness, time_s) == golden["cosignature"]


def test_golden_proofs_are_reproduced_and_verify(golden: dict[str, Any]) -> None:
    """Inclusion of each leaf, consistency from 2 to 3."""
    leaves = [b64u.decode(leaf) for leaf in golden["leaf_hash"]]
    root = b64u.decode(golden["root"])
    for index, path in enumerate(golden["inclusion_path"]):
        assert [b64u.encode(one) for one in merkle.inclusion_path(leaves, index)] == path
        assert merkle.verify_inclusion(leaves[index], index, 3, [b64u.decode(one) for one in path], root)
    proof = golden["consistency_2_to_3"]
    assert [b64u.encode(one) for one in merkle.consistency_path(leaves, 2)] == proof
    path = [b64u.decode(one) for one in proof]
    assert merkle.verify_consistency(2, 3, merkle.root(leaves[:2]), root, path)


def test_the_example_of_the_cosignature_specification_is_read() -> None:
    """The time 1679315147 out of the published example; its keys are not published."""
    line = (
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2o"
        "yin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    raw = base64.b64decode(line.split()[2])
    assert int.from_bytes(raw[4:12], "big") == 1679315147
    opened = note.open_checkpoint(NOTE + line, [LOG.key])
    assert opened.unknown == ("witness.example.com/w1",)


def test_a_note_of_the_go_library_is_opened() -> None:
    """The key and signature in the documentation of golang.org/x/mod/sumdb/note."""
    key = note.NoteKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    packed = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert key.accepts(text.encode(), base64.b64decode(packed)[4:])
    assert not key.accepts(text.encode() + b"\n", base64.b64decode(packed)[4:])
    assert base64.b64decode(packed)[:4] == key.key_id


def test_lines_of_unknown_keys_are_skipped_and_named() -> None:
    """A stranger's line, a line under a known name with another id, sixteen of each: still good."""
    extra = note.cosign(BODY, STRANGER, TIME_S) + f"— {WITNESS.key.name} {note.base64_line(bytes(80))}\n"
    opened = note.open_checkpoint(NOTE + extra * 16, *KEYS)
    assert opened.cosignatures == ()
    assert set(opened.unknown) == {STRANGER.key.name, WITNESS.key.name}
    assert opened.note == NOTE


def test_cosignature_is_opened_with_its_time_and_said_once() -> None:
    """The same line twice counts once."""
    line = note.cosign(BODY, WITNESS, TIME_S)
    opened = note.open_checkpoint(NOTE + line + line, *KEYS)
    assert opened.cosignatures == (note.Cosignature(WITNESS.key, TIME_S),)
    assert opened.note == NOTE + line


def test_extension_lines_are_signed_with_the_rest() -> None:
    """Opaque to us, part of the body for log and witness."""
    body = BODY + "extension 1\n"
    line = note.cosign(body, WITNESS, TIME_S)
    opened = note.open_checkpoint(_signed(body) + line, *KEYS)
    assert (opened.body, len(opened.cosignatures)) == (body, 1)
    with pytest.raises(MalformedProof):
        note.open_checkpoint(_signed(BODY) + line, *KEYS)


REFUSED: dict[str, str | bytes] = {
    "nothing": "",
    "only a body": BODY,
    "no signature": BODY + "\n",
    "no last newline": NOTE[:-1],
    "two blank lines": BODY + "\n\n" + NOTE.split("\n\n")[1],
    "carriage returns": NOTE.replace("\n", "\r\n"),
    "a tab in the body": _signed(BODY + "a\tb\n"),
    "not UTF-8": NOTE.encode() + b"\xff",
    "lone surrogate": NOTE + "\ud800",
    "hyphen for the dash": NOTE.replace("—", "-"),
    "line without a signature": NOTE + "— name\n",
    "line without a name": NOTE + f"—  {note.base64_line(bytes(68))}\n",
    "plus in a name": NOTE + f"— a+b {note.base64_line(bytes(68))}\n",
    "no-break space in a name": NOTE + f"— a\u00a0b {note.base64_line(bytes(68))}\n",
    "signature that is only a key id": NOTE + f"— a {note.base64_line(bytes(4))}\n",
    "unpadded signature": NOTE + f"— a {note.base64_line(bytes(68)).rstrip('=')}\n",
    "stray bits in a signature": NOTE + "— a " + note.base64_line(bytes(67))[:-2] + "B=\n",
    "65 signatures": NOTE + note.cosign(BODY, STRANGER, TIME_S) * 64,
    "larger than the limit": NOTE + f"— a {note.base64_line(bytes(200_000))}\n",
    "empty line in a checkpoint": _signed(BODY + "\next\n"),
    "two lines": _signed("id.imigrasi/bcx/log/1\n1\n"),
    "leading zero": _signed(BODY.replace("\n1\n", "\n01\n")),
    "negative size": _signed(BODY.replace("\n1\n", "\n-1\n")),
    "size with a space": _signed(BODY.replace("\n1\n", "\n 1\n")),
    "arabic digits": _signed(BODY.replace("\n1\n", "\n\u0661\n")),
    "size of 2^63": _signed(BODY.replace("\n1\n", f"\n{2**63}\n")),
    "endless size": _signed(BODY.replace("\n1\n", "\n" + "9" * 5000 + "\n")),
    "root of 31 bytes": _signed(BODY.replace(note.base64_line(ROOT), note.base64_line(ROOT[:31]))),
    "root of 33 bytes": _signed(BODY.replace(note.base64_line(ROOT), note.base64_line(ROOT + b"x"))),
    "root in base64url": _signed(BODY.replace(note.base64_line(ROOT), "-" * 43 + "=")),
    "another log's origin under this key": _signed(BODY.replace("log/1", "log/3")),
    "only a stranger has signed": _signed(BODY, OTHER_LOG),
    "size changed": NOTE.replace("\n1\n", "\n2\n"),
    "cosignature over another body": NOTE + note.cosign(BODY.replace("\n1\n", "\n2\n"), WITNESS, TIME_S),
    "cosignature cut short": NOTE + f"— {WITNESS.key.name} {note.base64_line(WITNESS.key.key_id + bytes(71))}\n",
    "cosignature with its time changed": NOTE + note.cosign(BODY, WITNESS, TIME_S).replace("ABrBO", "ABrBP", 1),
    "cosignature in the year 10^11": NOTE + note.cosign(BODY, WITNESS, 2**63),
    "witness key for a log": _signed(BODY, WITNESS),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: str | bytes) -> None:
    """MalformedProof, and the detail never quotes what was read."""
    with pytest.raises(MalformedProof) as refused:
        note.open_checkpoint(text, *KEYS)
    assert "imigrasi" not in refused.value.detail


def test_the_refused_table_starts_from_something_accepted() -> None:
    """Otherwise the table above would prove nothing."""
    assert note.open_checkpoint(_signed(BODY) + note.cosign(BODY, WITNESS, TIME_S), *KEYS).size == 1
    assert note.open_checkpoint(NOTE + note.cosign(BODY, STRANGER, TIME_S) * 63, *KEYS).size == 1
    assert note.cosign(BODY, WITNESS, TIME_S).count("ABrBO") == 1


def test_a_key_counts_only_in_the_role_it_is_given_for() -> None:
    """Another log's key among the witnesses, a witness's key among the logs: neither opens a checkpoint."""
    line = _signed(BODY, OTHER_LOG)
    for logs, witnesses in (([], [OTHER_LOG.key]), ([WITNESS.key], [OTHER_LOG.key]), ([OTHER_LOG.key], [])):
        with pytest.raises(MalformedProof):
            note.open_checkpoint(line, logs, witnesses)


def test_without_keys_nothing_opens() -> None:
    """Fails closed on empty."""
    with pytest.raises(MalformedProof):
        note.open_checkpoint(NOTE, [])


def test_any_flipped_bit_of_a_signed_note_is_refused_or_leaves_a_line_unknown() -> None:
    """Every bit of a cosigned checkpoint; only a renamed witness may go by, and then does not count."""
    whole = (NOTE + note.cosign(BODY, WITNESS, TIME_S)).encode()
    for at in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        try:
            opened = note.open_checkpoint(bytes(flipped), *KEYS)
        except MalformedProof:
            continue
        assert opened.cosignatures == ()
        assert len(opened.unknown) == 1
        assert opened.body == BODY


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200), st.integers(0, 400), st.integers(0, 20))
def test_noise_raises_malformed_proof_and_nothing_else(noise: bytes | str, at: int, gone: int) -> None:
    """Noise alone, and noise put into a good note, into a witness's answer, a vkey and added lines."""
    raw = noise.encode("utf-8", "surrogatepass") if isinstance(noise, str) else noise
    whole = NOTE.encode()
    for text in (noise, whole[:at] + raw + whole[at + gone :]):
        for attempt in (
            lambda text=text: note.open_checkpoint(text, *KEYS),
            lambda text=text: note.read_tree_head(text),
            lambda text=text: note.read_cosignatures(BODY, text, [WITNESS.key]),
            lambda text=text: note.add_lines(NOTE, text if isinstance(text, str) else text.decode("latin-1")),
            lambda text=text: note.NoteKey.parse(text if isinstance(text, str) else text.decode("latin-1")),
        ):
            try:
                attempt()
            except MalformedProof:
                continue


def test_a_witness_answer_yields_only_lines_that_verify() -> None:
    """Strangers' lines fall away; what is left can be added to the checkpoint."""
    line = note.cosign(BODY, WITNESS, TIME_S)
    lines, said = note.read_cosignatures(BODY, note.cosign(BODY, STRANGER, TIME_S) + line, [WITNESS.key])
    assert lines == line
    assert [one.time_s for one in said] == [TIME_S]
    assert note.open_checkpoint(note.add_lines(NOTE, lines), *KEYS).cosignatures == said


@pytest.mark.parametrize(
    "answer",
    ["", "200 OK", note.cosign(BODY, STRANGER, TIME_S), note.cosign(BODY + "x\n", WITNESS, TIME_S), "\n\n"],
)
def test_a_witness_answer_without_a_good_line_is_refused(answer: str) -> None:
    """Garbage, a stranger, another body."""
    with pytest.raises(MalformedProof):
        note.read_cosignatures(BODY, answer, [WITNESS.key])


def test_a_newer_cosignature_replaces_the_older() -> None:
    """A checkpoint cosigned again and again must not grow."""
    once = note.add_lines(NOTE, note.cosign(BODY, WITNESS, TIME_S))
    twice = note.add_lines(once, note.cosign(BODY, WITNESS, TIME_S + 60))
    assert len(twice) == len(once)
    assert note.open_checkpoint(twice, *KEYS).cosignatures[0].time_s == TIME_S + 60


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a",
        "a+b+c",
        LOG.key.vkey[:-1],
        LOG.key.vkey + "=",
        LOG.key.vkey.replace("/1+", "/2+"),
        "+00000000+AQ==",
        LOG.key.vkey.upper(),
        f"a b+{LOG.key.key_id.hex()}+AQ==",
        f"a+{LOG.key.key_id.hex()}+",
        "a+0000000g+AQ==",
    ],
)
def test_mistyped_verifier_key_is_refused(vkey: str) -> None:
    """Its id is there to catch that."""
    with pytest.raises(MalformedProof):
        note.NoteKey.parse(vkey)


def test_verifier_key_survives_a_round_trip() -> None:
    """Both roles; a plus inside the base64 too."""
    for seed in range(40):
        for algorithm in (note.ED25519, note.COSIGNATURE):
            key = note.NoteSigner.from_seed("a.b/c", algorithm, bytes((seed,)) * 32).key
            assert note.NoteKey.parse(key.vkey) == key


@pytest.mark.parametrize("algorithm", [0, 2, 3, 5, 6, 255])
def test_other_key_types_are_refused(algorithm: int) -> None:
    """One algorithm for each role, from the profile and never from the note."""
    with pytest.raises(MalformedProof):
        note.NoteKey("name", algorithm, LOG.key.public)


def test_low_order_keys_are_refused() -> None:
    """Identity, minus one, both of order 4 and of order 8 in either sign: anyone could sign for them."""
    order_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    negated = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    p = 2**255 - 19
    points = [order_8, negated, *(y.to_bytes(32, "little") for y in (0, 1, p - 1, p, p + 1))]
    for point in points:
        for sign in (0, 0x80):
            with pytest.raises(MalformedProof):
                note.NoteKey("name", note.ED25519, point[:31] + bytes((point[31] | sign,)))


def test_keys_sign_only_in_their_own_role() -> None:
    """A log key must not cosign, a witness key must not sign a checkpoint."""
    with pytest.raises(ValueError, match="log key"):
        note.sign_checkpoint(1, ROOT, WITNESS)
    with pytest.raises(ValueError, match="witness key"):
        note.cosign(BODY, LOG, TIME_S)


@pytest.mark.parametrize(("origin", "size", "root"), [("", 1, ROOT), ("a\nb", 1, ROOT), ("a", -1, ROOT), ("a", 1, b"")])
def test_what_no_checkpoint_can_say_is_not_signed(origin: str, size: int, root: bytes) -> None:
    """The writer holds to the reader's rules."""
    with pytest.raises(ValueError, match="checkpoint"):
        note.checkpoint_body(origin, size, root)
