"""Timestamps beside an export: each is over this log as it was then, or a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.ledger import note, tiles, verify
from gateway.ledger.stamps import Stamp, stamp_files
from gateway.ledger.timestamp import make_request
from gateway.primitives import merkle
from tests.support.tsa import OpensslAuthority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ledger.conftest import MemoryLog

Files = dict[str, bytes]
TOKEN, NOTE = "timestamp/300/token.tsr", "timestamp/300/checkpoint"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    """Make an authority."""
    return OpensslAuthority(tmp_path_factory.mktemp("tsa"))


def signed(log: MemoryLog, size: int, origin: str | None = None) -> str:
    """Return the checkpoint of the first `size` entries, under a key the auditor has never heard of."""
    old = note.NoteSigner.from_seed(origin or log.signer.key.name, note.ED25519, bytes(32))
    return note.sign_checkpoint(size, merkle.root([merkle.leaf_hash(one) for one in log.entries[:size]]), old)


def over(authority: OpensslAuthority, size: int, text: str) -> Files:
    """Have a checkpoint stamped; return the files."""
    return dict(stamp_files(size, text, authority.answer(make_request(text.encode())[0])))


@pytest.fixture(scope="module")
def kept(authority: OpensslAuthority) -> tuple[MemoryLog, Files]:
    """Return a log of 600 entries and its export, stamped at 300 and at 600."""
    from tests.ledger.conftest import MemoryLog

    log = MemoryLog().append(600, 100)
    hashes = [merkle.leaf_hash(one) for one in log.entries]

    def read(level: int, number: int) -> list[bytes]:
        if level == 0:
            return hashes[number << 8 : (number + 1) << 8]
        return list(tiles.split_hashes(log.tiles[level, number]))

    files = dict(tiles.export_files(600, lambda start, end: log.entries[start:end], read))
    files["checkpoint"] = note.sign_checkpoint(600, merkle.root(hashes), log.signer).encode()
    files |= over(authority, 300, signed(log, 300)) | over(authority, 600, signed(log, 600))
    return log, files


def judged(log: MemoryLog, files: Files, authority: OpensslAuthority | None = None) -> verify.Report:
    """Verify under the log's key of today."""
    given = authority.certificates if authority else ()
    return verify.verify_export(files.get, log_keys=[log.signer.key], paths=files, certificates=given)


def test_stamps_are_told_under_their_authority_only(kept: tuple[MemoryLog, Files], authority: OpensslAuthority) -> None:
    """Judged, they have times; without certificates they claim nothing; the log's old key is not asked."""
    log, files = kept
    assert judged(log, files).stamps == (Stamp(300, None), Stamp(600, None))
    report = judged(log, files, authority)
    assert report.faults == ()
    assert [stamp.size for stamp in report.stamps] == [300, 600]
    assert all(stamp.at_ms for stamp in report.stamps)


def test_another_authority_stamped_nothing(kept: tuple[MemoryLog, Files], tmp_path: Path) -> None:
    """Its certificates do not fit: both are faults."""
    log, files = kept
    report = judged(log, files, OpensslAuthority(tmp_path / "other"))
    assert [fault.path for fault in report.faults] == [NOTE, "timestamp/600/checkpoint"]


def changed(files: Files, path: str, at: int) -> Files:
    """Flip a bit."""
    raw = files[path]
    return {**files, path: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]}


BAD: dict[str, Callable[[MemoryLog, Files, OpensslAuthority], Files]] = {
    "a token gone": lambda _log, files, _a: {path: raw for path, raw in files.items() if path != TOKEN},
    "a checkpoint gone": lambda _log, files, _a: {path: raw for path, raw in files.items() if path != NOTE},
    "a changed signature": lambda _log, files, _a: changed(files, NOTE, len(files[NOTE]) - 20),
    "a changed size": lambda _log, files, _a: changed(files, NOTE, files[NOTE].index(b"300")),
    "tokens exchanged": lambda _log, files, _a: {**files, TOKEN: files["timestamp/600/token.tsr"]},
    "under another name": lambda _log, files, _a: {
        **files, "timestamp/301/checkpoint": files[NOTE], "timestamp/301/token.tsr": files[TOKEN],
    },
    "a larger log": lambda log, files, a: files | over(a, 700, signed(log, 600).replace("\n600\n", "\n700\n")),
    "another history": lambda log, files, a: files | over(
        a, 400, note.sign_checkpoint(400, bytes(32), log.signer),
    ),
    "a file of no stamp": lambda _log, files, _a: {**files, "timestamp/0300/token.tsr": files[TOKEN]},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_stamp_that_does_not_fit_is_a_fault(
    kept: tuple[MemoryLog, Files], authority: OpensslAuthority, name: str
) -> None:
    """Without any certificate already."""
    log, files = kept
    report = judged(log, BAD[name](log, dict(files), authority))
    assert report.faults
    assert all(fault.meaning for fault in report.faults)


def test_no_changed_byte_of_a_token_tells_another_time(
    kept: tuple[MemoryLog, Files], authority: OpensslAuthority
) -> None:
    """A fault, or the very same claim: RFC 5652 leaves versions and the name of the signature's algorithm unsigned."""
    log, files = kept
    small = {path: raw for path, raw in files.items() if not path.startswith("timestamp/600")}
    true = judged(log, small, authority).stamps
    reports = [judged(log, changed(small, TOKEN, at), authority) for at in range(0, len(small[TOKEN]), 37)]
    assert {report.stamps for report in reports if report.ok} <= {true}
    assert sum(report.ok for report in reports) <= 1
