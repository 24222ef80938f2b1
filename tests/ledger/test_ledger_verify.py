"""The verifier: an untouched log passes; every kind of tampering is found, named and told apart."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import note, tiles, verify
from gateway.primitives import merkle

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ledger.conftest import MemoryLog

Files = dict[str, bytes]
LOG_KEY = note.NoteSigner.from_seed("id.imigrasi/bcx/log/1", note.ED25519, bytes(range(32))).key
WITNESS_KEY = note.NoteSigner.from_seed("kh.gdi/bcx/witness/1", note.COSIGNATURE, bytes(32)).key
OTHER_KEY = note.NoteSigner.from_seed("id.imigrasi/bcx/log/1", note.ED25519, b"\1" * 32).key


def _check(files: Files) -> verify.Report:
    return verify.verify_export(files.get, log_keys=[LOG_KEY], witness_keys=[WITNESS_KEY], paths=files)


def _edit(files: Files, path: str, change: Callable[[list[bytes]], object]) -> None:
    """Change a bundle's entries as a list."""
    entries = tiles.decode_bundle(files[path])
    change(entries)
    files[path] = tiles.encode_bundle(entries)


def _forge(at: int) -> Callable[[list[bytes]], object]:
    """Name another actor in one entry of a bundle."""
    return lambda entries: entries.__setitem__(at, entries[at].replace(b"kh.", b"xx."))


def _flip(files: Files, path: str, at: int) -> None:
    raw = bytearray(files[path])
    raw[at] ^= 1
    files[path] = bytes(raw)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_untouched_export_verifies(new_log: Callable[[], MemoryLog], size: int) -> None:
    """Any size, empty included; the report says what was checked and who cosigned."""
    log = new_log().append(size, batch=100)
    report = _check(log.export())
    assert report.faults == ()
    assert report.ok
    assert report.first_bad_index is None
    assert (report.origin, report.size, report.root) == (LOG_KEY.name, size, log.frontier.root())
    assert [one.witness for one in report.cosigned_by] == [WITNESS_KEY]


@pytest.mark.parametrize("now_ms", [None, 0])
def test_a_cosignature_of_the_future_is_nobodys_word(new_log: Callable[[], MemoryLog], now_ms: int | None) -> None:
    """Beyond two clocks' difference from now it is no cosignature; without a clock it is not judged."""
    files = new_log().append(3).export()
    report = verify.verify_export(
        files.get, log_keys=[LOG_KEY], witness_keys=[WITNESS_KEY], paths=files, now_ms=now_ms
    )  # fmt: skip
    assert (report.ok, bool(report.cosigned_by)) == (now_ms is None, now_ms is None)
    assert [fault.meaning for fault in report.faults] == ([] if now_ms is None else [verify.MADE_UP])


def test_when_a_cosignature_can_have_been_made() -> None:
    """From 120 s before the log's first entry to 120 s after now."""
    made = note.Cosignature(WITNESS_KEY, 10_000)
    for first, now, timely in (
        (10_120_000, 9_880_000, True), (10_120_001, 10_000_000, False), (0, 9_879_999, False), (None, None, True),
    ):  # fmt: skip
        assert made.timely(first, now) is timely


def test_export_with_three_levels_verifies_and_one_flip_is_named(new_log: Callable[[], MemoryLog]) -> None:
    """65,800 leaves: the first tile at level 2."""
    files = new_log().append(65_800, batch=5000).export()
    assert _check(files).faults == ()
    _edit(files, "tile/entries/200", _forge(3))
    [fault] = _check(files).faults
    assert (fault.index, fault.path) == (200 * 256 + 3, "tile/0/200")


def test_edited_entry_is_named_at_its_index_and_blamed(export_600: Files) -> None:
    """In a full tile and on the right edge; one edit, one fault."""
    for path, at, index in (("tile/entries/001", 44, 300), ("tile/entries/002.p/88", 87, 599)):
        files = dict(export_600)
        _edit(files, path, _forge(at))
        [fault] = _check(files).faults
        assert fault.index == index
        assert "entry was changed" in fault.meaning


def test_deleted_entry_is_named_first(export_600: Files) -> None:
    """All that follow in the bundle have moved; the first bad index is the deleted one."""
    _edit(files := dict(export_600), "tile/entries/001", lambda entries: entries.pop(10))
    report = _check(files)
    assert report.first_bad_index == 266
    assert report.faults[0].index == 266
    assert {fault.path for fault in report.faults} == {"tile/entries/001", "tile/0/001"}


def test_swapped_entries_are_both_named(export_600: Files) -> None:
    """Each carries the other's number."""

    def swap(entries: list[bytes]) -> None:
        entries[5], entries[9] = entries[9], entries[5]

    _edit(files := dict(export_600), "tile/entries/000", swap)
    report = _check(files)
    assert {fault.index for fault in report.faults} == {5, 9}
    assert any("numbered otherwise" in fault.what for fault in report.faults)


def test_added_entry_is_found(export_600: Files) -> None:
    """One more at the end of a bundle."""
    _edit(files := dict(export_600), "tile/entries/000", lambda entries: entries.append(entries[0]))
    [fault] = _check(files).faults
    assert (fault.index, fault.what) == (256, "257 entries instead of 256")


def test_every_fault_is_listed_not_the_first(export_600: Files) -> None:
    """Three edits far apart, a flipped tile, a stray file."""
    files = dict(export_600)
    for at in (3, 200):
        _edit(files, "tile/entries/000", _forge(at))
    _flip(files, "tile/0/001", 32 * 7)
    _edit(files, "tile/entries/002.p/88", lambda e: e.__setitem__(1, b"{}"))
    files["tile/0/009"] = b""
    report = _check(files)
    assert [fault.index for fault in report.faults] == [3, 200, 263, 513, 513, None]
    assert report.faults[2].meaning.startswith("the tile was changed")
    assert report.faults[-1].path == "tile/0/009"


@pytest.mark.parametrize(("path", "index"), [("tile/0/001", 256 + 4), ("tile/0/002.p/88", 512 + 4)])
def test_flipped_hash_is_blamed_on_the_tile(export_600: Files, path: str, index: int) -> None:
    """The entries still lead to the signed root."""
    _flip(files := dict(export_600), path, 32 * 4)
    [fault] = _check(files).faults
    assert (fault.index, fault.path) == (index, path)
    assert fault.meaning.startswith("the tile was changed")


def test_flipped_hash_above_is_named_by_the_first_leaf_under_it(export_600: Files) -> None:
    """Level 1: one hash for 256 leaves."""
    _flip(files := dict(export_600), "tile/1/000.p/2", 32)
    [fault] = _check(files).faults
    assert (fault.index, fault.path) == (256, "tile/1/000.p/2")
    assert fault.meaning.startswith("the tile was changed")


def test_entry_changed_with_its_tiles_shows_at_the_root(export_600: Files) -> None:
    """An edit carried through every tile: nothing but the signature is left to contradict it."""
    files = dict(export_600)
    _edit(files, "tile/entries/000", _forge(7))
    leaves = [merkle.leaf_hash(data) for data in tiles.decode_bundle(files["tile/entries/000"])]
    files["tile/0/000"] = b"".join(leaves)
    halfway = _check(files)
    assert halfway.first_bad_index == 0
    assert "tiles of level 0" in halfway.faults[0].what
    files["tile/1/000.p/2"] = merkle.root(leaves) + files["tile/1/000.p/2"][32:]
    [fault] = _check(files).faults
    assert (fault.index, fault.path) == (None, "checkpoint")
    assert "rewritten" in fault.meaning


@pytest.mark.parametrize("path", ["tile/entries/001", "tile/0/001", "tile/1/000.p/2", "tile/0/002.p/88"])
def test_missing_file_is_named(export_600: Files, path: str) -> None:
    """Bundle, full tile, upper tile, partial tile; the rest is still checked."""
    files = dict(export_600)
    del files[path]
    [fault] = _check(files).faults
    assert (fault.path, fault.what) == (path, "missing")


def test_missing_bundle_and_tile_are_bridged_by_the_tile_above(export_600: Files) -> None:
    """Two files gone, two faults: the rest still leads to the signed root."""
    files = {path: raw for path, raw in export_600.items() if not path.endswith("/001")}
    assert [(fault.path, fault.index) for fault in _check(files).faults] == [
        ("tile/entries/001", 256),
        ("tile/0/001", 256),
    ]


def test_truncated_log_is_named_where_it_ends(export_600: Files) -> None:
    """Everything from leaf 256 gone, the newer checkpoint left."""
    files = {path: raw for path, raw in export_600.items() if "/001" not in path and "/002" not in path}
    report = _check(files)
    assert report.first_bad_index == 256
    assert {fault.path for fault in report.faults if fault.index is not None} == {
        "tile/entries/001", "tile/entries/002.p/88", "tile/0/001", "tile/0/002.p/88",
    }  # fmt: skip


@pytest.mark.parametrize("cut", [1, 31, 32, 33, 8191])
def test_truncated_tile_is_named_at_the_cut(export_600: Files, cut: int) -> None:
    """The hashes before the cut are still used."""
    files = dict(export_600)
    files["tile/0/001"] = files["tile/0/001"][:-cut]
    [fault] = _check(files).faults
    assert fault.index == 256 + (8192 - cut) // 32


def test_truncated_bundle_is_named(export_600: Files) -> None:
    """Cut inside an entry: the bundle cannot be read; cut between two: the entries after it are missing."""
    files = dict(export_600)
    files["tile/entries/001"] = files["tile/entries/001"][:-5]
    assert _check(files).first_bad_index == 256
    files = dict(export_600)
    _edit(files, "tile/entries/001", lambda entries: entries.__delitem__(slice(200, None)))
    assert [fault.index for fault in _check(files).faults] == [456]


def test_checkpoint_missing_or_unreadable_is_the_only_thing_to_say(export_600: Files) -> None:
    """Without a size nothing can be checked."""
    files = dict(export_600)
    files["checkpoint"] = b"garbage"
    assert [fault.path for fault in _check(files).faults] == ["checkpoint"]
    del files["checkpoint"]
    assert [fault.what for fault in _check(files).faults] == ["missing"]
    assert _check({}).root is None


def test_checkpoint_of_another_key_is_a_fault_and_the_rest_is_still_checked(export_600: Files) -> None:
    """Wrong key given and an entry edited: both are told."""
    _edit(files := dict(export_600), "tile/entries/000", lambda e: e.__setitem__(7, b"{}"))
    report = verify.verify_export(files.get, log_keys=[OTHER_KEY])
    assert [fault.index for fault in report.faults] == [7, 7, None]
    assert report.cosigned_by == ()
    untouched = verify.verify_export(export_600.get, log_keys=[OTHER_KEY])
    assert [fault.path for fault in untouched.faults] == ["checkpoint"]


def test_no_keys_trust_nothing(export_600: Files) -> None:
    """Fails closed on empty."""
    assert not verify.verify_export(export_600.get, log_keys=[]).ok


def test_missing_cosignature_is_a_fault_only_where_a_witness_was_named(export_600: Files) -> None:
    """And a line nobody gave a key for is reported as unchecked."""
    bare = verify.verify_export(export_600.get, log_keys=[LOG_KEY])
    assert bare.ok
    assert bare.unknown == (WITNESS_KEY.name,)
    files = dict(export_600)
    body, lines = files["checkpoint"].decode().split("\n\n")
    files["checkpoint"] = (body + "\n\n" + lines.split("\n")[0] + "\n").encode()
    [fault] = _check(files).faults
    assert "cosigned" in fault.what


def test_checkpoint_that_claims_too_much_does_not_keep_the_verifier_busy(export_600: Files) -> None:
    """2^62 leaves under a signature nobody trusts: a bounded search, then a word that it stopped."""
    files = dict(export_600)
    files["checkpoint"] = files["checkpoint"].replace(b"\n600\n", b"\n%d\n" % 2**62)
    report = _check(files)
    assert not report.ok
    assert any("not looked for" in fault.what for fault in report.faults)
    assert len(report.faults) < 2200


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_flipped_bit_in_any_file_is_found(export_600: Files, data: st.DataObject) -> None:
    """A file, a bit: always a fault; where it is in an entry or tile, the index is the one it touches."""
    files = dict(export_600)
    path = data.draw(st.sampled_from(sorted(files)))
    at = data.draw(st.integers(0, len(files[path]) * 8 - 1))
    raw = bytearray(files[path])
    raw[at // 8] ^= 1 << at % 8
    files[path] = bytes(raw)
    report = _check(files)
    assert not report.ok
    ref = tiles.parse_path(path)
    if ref is not None and ref.level is not None:
        expected = ref.start + at // 256 * 256**ref.level
        assert report.first_bad_index == expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["checkpoint", "tile/entries/000", "tile/0/000", "tile/1/000.p/2"]),
                       st.binary(max_size=9000)))  # fmt: skip
def test_noise_never_raises(export_600: Files, noise: Files) -> None:
    """The fuzz law: a report, whatever the files hold."""
    report = _check(export_600 | noise)
    assert report.ok == (export_600 | noise == export_600)


# --- the live log ---------------------------------------------------------------------------------


def _live(log: MemoryLog, **change: object) -> verify.Report:
    """Check a log as its database holds it: level 0 has full tiles only."""
    rows = dict(enumerate(log.entries)) | change.get("rows", {})  # type: ignore[operator]
    stored = log.tiles | change.get("tiles", {})  # type: ignore[operator]

    def read(level: int, number: int) -> list[bytes]:
        raw = stored.get((level, number))
        return tiles.split_hashes(raw) if raw else []

    return verify.verify_rows(
        log.checkpoints[-1] if log.checkpoints else None,
        [(seq, data) for seq, data in sorted(rows.items()) if data is not None],
        read,
        log_keys=[LOG_KEY],
        history=log.checkpoints[:-1],
    )


@pytest.fixture
def live(new_log: Callable[[], MemoryLog]) -> MemoryLog:
    """Give a log of 650 entries with checkpoints at 0, 10, 100, 255, 256, 257, 600; 50 follow the last."""
    log = new_log()
    for size in (0, 10, 100, 255, 256, 257, 600):
        log.append(size - len(log.entries), batch=13).sign()
    return log.append(50)


def test_untouched_live_log_verifies_and_counts_what_is_not_signed_yet(live: MemoryLog) -> None:
    """600 under the checkpoint, 50 after it."""
    report = _live(live)
    assert report.faults == ()
    assert (report.size, report.unsigned) == (600, 50)


@pytest.mark.parametrize("index", [0, 99, 255, 256, 511])
def test_edit_under_a_full_tile_is_named(live: MemoryLog, index: int) -> None:
    """One fault at its index, though earlier checkpoints disagree as well."""
    [fault] = _live(live, rows={index: live.entries[index].replace(b"kh.", b"xx.")}).faults
    assert fault.index == index
    assert "entry was changed" in fault.meaning


def test_edit_under_no_stored_hash_is_narrowed_by_earlier_checkpoints(
    new_log: Callable[[], MemoryLog],
) -> None:
    """A young log: no full tile yet; the entry lies between the checkpoints at 40 and 60."""
    log = new_log()
    for size in (20, 40, 60, 80):
        log.append(size - len(log.entries)).sign()
    [fault] = _live(log, rows={47: log.entries[47].replace(b"kh.", b"xx.")}).faults
    assert fault.index == 40
    assert "entries 40 to 59" in fault.what


def test_deleted_row_is_named(live: MemoryLog) -> None:
    """The gap, and nothing else: the others keep their numbers."""
    for index in (300, 599):
        [fault] = [one for one in _live(live, rows={index: None}).faults if one.index is not None]
        assert (fault.index, fault.what) == (index, f"entry {index}: missing")


def test_swapped_rows_are_named(live: MemoryLog) -> None:
    """Each says the other's number."""
    report = _live(live, rows={20: live.entries[30], 30: live.entries[20]})
    assert {fault.index for fault in report.faults} == {20, 30}


def test_truncated_table_is_named_where_it_ends(live: MemoryLog) -> None:
    """Rows 590 and later deleted: the checkpoint is ahead of them."""
    report = _live(live, rows=dict.fromkeys(range(590, 650)))
    assert report.first_bad_index == 590
    assert report.faults[0].what == "entry 590 to 599: missing"


def test_changed_tile_row_is_told_from_a_changed_entry(live: MemoryLog) -> None:
    """Level 0 and level 1, flipped and deleted."""
    flipped = b"\0" * 32 + live.tiles[0, 1][32:]
    [fault] = _live(live, tiles={(0, 1): flipped}).faults
    assert (fault.index, fault.path) == (256, "tile/0/001")
    assert fault.meaning.startswith("the tile was changed")
    [fault] = _live(live, tiles={(1, 0): live.tiles[1, 0][:32]}).faults
    assert (fault.index, fault.path) == (256, "tile/1/000.p/2")
    assert [one.index for one in _live(live, tiles={(0, 0): b""}).faults] == [0]


def test_rebuilt_log_with_a_new_signature_contradicts_its_earlier_checkpoints(
    new_log: Callable[[], MemoryLog],
) -> None:
    """Everything made anew and signed with the log's own key: the kept checkpoints name the range."""
    honest, forged = new_log(), new_log()
    for size in (20, 40, 60):
        honest.append(size - len(honest.entries)).sign()
    forged.entry = lambda seq: new_log().entry(seq).replace(b"m33", b"x33")  # type: ignore[method-assign]
    forged.append(60).sign()
    forged.checkpoints = [*honest.checkpoints[:2], *forged.checkpoints]
    report = _live(forged)
    assert report.first_bad_index == 20
    assert "checkpoint signed at size 40" in report.faults[0].what


def test_checkpoint_older_than_another_signed_one_is_a_fault(live: MemoryLog) -> None:
    """The log was cut back, rows and newest checkpoint with it, but an earlier note was kept."""
    live.checkpoints.append(live.checkpoints[2])
    report = _live(live)
    assert {fault.index for fault in report.faults} == {100}


def test_earlier_checkpoint_that_does_not_open_is_a_fault(live: MemoryLog) -> None:
    """A row of the checkpoints table was edited."""
    live.checkpoints[1] = live.checkpoints[1].replace("\n10\n", "\n11\n")
    [fault] = _live(live).faults
    assert (fault.index, fault.path) == (None, "checkpoint")


@pytest.mark.parametrize("index", [600, 620, 648])
def test_gap_or_disorder_after_the_checkpoint_is_found(live: MemoryLog, index: int) -> None:
    """Not signed yet, but numbered all the same."""
    for data in (None, live.entries[index + 1], b"{"):
        assert _live(live, rows={index: data}).first_bad_index == index


def test_log_without_a_checkpoint_says_so(new_log: Callable[[], MemoryLog]) -> None:
    """Nothing is signed, so nothing is vouched for."""
    [fault] = _live(new_log().append(3)).faults
    assert fault.path == "checkpoint"


def test_random_edits_are_all_named_at_their_first_index(live: MemoryLog) -> None:
    """Twenty logs with one to five random edits under full tiles, drawn from a fixed seed."""
    draw = random.Random(7)
    for _ in range(20):
        indexes = sorted(draw.sample(range(512), draw.randint(1, 5)))
        rows = {index: live.entries[index].replace(b"kh.", b"xx.") for index in indexes}
        report = _live(live, rows=rows)
        assert report.first_bad_index == indexes[0]
        named = {fault.index for fault in report.faults}
        assert all(index in named or index - 1 in indexes for index in indexes)
