"""Timestamps in bundles: judged under the authority's certificates, which come from outside as fingerprints do."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.evidence.bundle import write_bundle
from gateway.evidence.findings import CARDS, STAMP
from gateway.evidence.verify import verify_bundle
from gateway.services.gate import Gate
from gateway.services.timestamping import Timestamping
from gateway.transport.tsa import open_authority
from tests.cli.terminal import run
from tests.evidence.conftest import EXAMPLE, Exchange, export
from tests.evidence.story import Story, files_of
from tests.support.pair import example
from tests.support.tsa import OpensslAuthority, over_http

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.evidence.parts import Parts, StampPart
    from gateway.evidence.verify import Verdict

STORY = Story()
BASE = "log/id.imigrasi"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    """Make an authority."""
    return OpensslAuthority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def parts(authority: OpensslAuthority) -> Parts:
    """Return a true story whose sender has its log stamped."""
    found = STORY.parts()
    ours, theirs = found.logs
    return replace(found, logs=(STORY.stamp(STORY.id, ours, authority), theirs))


def changed(parts: Parts, change: Callable[[StampPart], StampPart]) -> bytes:
    """Return a bundle with another stamp."""
    ours, theirs = parts.logs
    assert ours.stamp is not None
    return write_bundle(replace(parts, logs=(replace(ours, stamp=change(ours.stamp)), theirs)))


def judged(raw: bytes, authority: OpensslAuthority | None) -> Verdict:
    """Verify, with the certificates of an authority or without."""
    given = authority.certificates if authority else ()
    return verify_bundle(raw, fingerprints=STORY.fingerprints, certificates=given)


def test_a_stamp_is_proved_under_its_authority_only(parts: Parts, authority: OpensslAuthority) -> None:
    """With its certificates it is said; without any it is a gap, and all else stands."""
    raw = write_bundle(parts)
    verdict = judged(raw, authority)
    assert verdict.faults == ()
    assert verdict.gaps == ()
    assert any("timestamp authority saw the log of id.imigrasi at 20" in said for said in verdict.proves)
    verdict = judged(raw, None)
    assert verdict.faults == ()
    assert verdict.gaps == ("timestamp-unjudged",)
    assert not any("timestamp" in said for said in verdict.proves)


def test_a_bundle_without_a_stamp_says_so_to_whoever_wants_one(authority: OpensslAuthority) -> None:
    """Certificates were given and there is nothing to judge by them: a gap; nobody else hears of it."""
    raw = write_bundle(STORY.parts())
    assert judged(raw, authority).gaps == ("no-timestamp",)
    assert judged(raw, None).gaps == ()


def test_a_stamp_over_the_same_checkpoint_needs_no_path(authority: OpensslAuthority) -> None:
    """The log did not grow between."""
    found = STORY.parts()
    ours, theirs = found.logs
    raw = write_bundle(replace(found, logs=(STORY.stamp(STORY.id, ours, authority, size=9), theirs)))
    assert judged(raw, authority).faults == ()


def test_what_is_wrong_with_a_stamp_is_found(
    parts: Parts, authority: OpensslAuthority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another authority, another time, another path, size, checkpoint or token, each made to fit the bundle."""
    other = OpensslAuthority(tmp_path_factory.mktemp("other"))
    foreign = STORY.stamp(STORY.id, parts.logs[0], other).stamp
    forked = Story.stamp(STORY, STORY.id, replace(parts.logs[0], entries=()), authority).stamp
    strange = STORY.stamp(STORY.kh, parts.logs[0], authority).stamp
    assert foreign is not None
    assert forked is not None
    assert strange is not None
    forgeries: dict[str, tuple[Callable[[StampPart], StampPart], str]] = {
        "another authority": (lambda _: foreign, "timestamp.tsr"),
        "a token of another checkpoint": (lambda one: replace(one, token=foreign.token), "timestamp.tsr"),
        "no token": (lambda one: replace(one, token=b""), "timestamp.tsr"),
        "another time": (lambda one: replace(one, at_ms=one.at_ms - 1000), "timestamp.json"),
        "another path": (lambda one: replace(one, path=one.path[:-1]), "timestamp.json"),
        "another size": (lambda one: replace(one, size=11), "timestamped"),
        "another history": (lambda _: forked, "timestamp.json"),
        "a log of somebody else": (lambda _: strange, "timestamped"),
    }
    for name, (change, file) in forgeries.items():
        verdict = judged(changed(parts, change), authority)
        assert {fault.step for fault in verdict.faults} == {STAMP}, name
        assert f"{BASE}/{file}" in {fault.file for fault in verdict.faults}, name
    for name in ("another path", "another size", "another history", "a log of somebody else"):
        assert not judged(changed(parts, forgeries[name][0]), None).ok, name


def test_a_stamp_over_another_log_of_the_same_party_says_nothing(authority: OpensslAuthority) -> None:
    """A log that was lost goes on as the next one: a stamp over that is none over this, even where the leaves agree."""
    story = Story()
    story.id.card(2, issued=story.sent_ms, log=2, origin=2)
    parts = story.parts()
    ours, theirs = parts.logs
    verdict = judged(write_bundle(replace(parts, logs=(story.stamp(story.id, ours, authority), theirs))), authority)
    assert verdict.faults == ()
    other = story.stamp(story.id, ours, authority, origin=2)
    verdict = judged(write_bundle(replace(parts, logs=(other, theirs))), authority)
    assert {(fault.step, fault.file) for fault in verdict.faults} == {(STAMP, f"{BASE}/timestamp.json")}


@pytest.mark.parametrize("name", ["timestamped", "timestamp.json", "timestamp.tsr"])
def test_no_byte_of_a_stamp_can_be_changed_unseen(parts: Parts, authority: OpensslAuthority, name: str) -> None:
    """One bit of every 29th byte of its three files, whether anybody judges the token or not."""
    raw = write_bundle(parts)
    content = files_of(raw)[f"{BASE}/{name}"]
    start = raw.index(content)
    for at in range(start, start + len(content), 29):
        bad = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert not judged(bad, authority).ok
        assert not judged(bad, None).ok


def test_openssl_verifies_it_by_the_guide(parts: Parts, authority: OpensslAuthority, tmp_path: Path) -> None:
    """The commands of `VERIFY.md` are run as they stand there; the page tells the same time."""
    files = files_of(write_bundle(parts))
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "TSA.pem").write_bytes(authority.root.read_bytes())
    commands = [line.strip() for line in files["VERIFY.md"].decode().splitlines() if "openssl ts" in line]
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Verification: OK" in done.stdout + done.stderr
    for language in ("Stamped at (UTC)", "Dicap waktu"):
        assert language in files["report.html"].decode()


def test_the_command_takes_the_certificates(parts: Parts, authority: OpensslAuthority, tmp_path: Path) -> None:
    """`--tsa FILE.pem`: proved; what is no certificate is told."""
    path = tmp_path / "bundle.zip"
    path.write_bytes(write_bundle(parts))
    given = [text for one in STORY.fingerprints for text in ("--fingerprint", one)]
    found = run("evidence", "verify", str(path), *given, "--tsa", str(authority.root))
    assert "proved: the timestamp authority saw the log of id.imigrasi" in found.out
    assert "nobody judged it" in run("evidence", "verify", str(path), *given).out
    assert "--tsa" in run("evidence", "verify", str(path), *given, "--tsa", str(path), code=2).fault
    shown = run("evidence", "verify", str(path), "--tsa", str(authority.root), "-o", "json", code=3).json
    assert {fault["step"] for fault in shown["faults"]} == {CARDS}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_exported_bundle_holds_the_first_stamp_over_it(
    exchange: Exchange, authority: OpensslAuthority
) -> None:
    """Of a real exchange: nothing before the log was stamped, then the stamp, and the same one for ever."""
    pair = exchange.pair
    assert f"{BASE}/timestamp.tsr" not in files_of(await export(pair.a, exchange.jti))
    g = pair.a.gateway
    async with over_http(authority) as url:
        for _ in range(2):
            [sent] = await pair.a.submit(example(EXAMPLE))
            await pair.settle()
            timestamping = Timestamping(
                g.store, g.checkpoints, g.witnessing.cosigning.covering, open_authority(url, authority.root), Gate(),
                g.clock, every_s=1, alarm_s=60, stop_s=60,
            )  # fmt: skip
            await timestamping.load()
            await timestamping._stamp()
            made = await g.store.write(lambda tx: tx.timestamps.newest())
    first = await export(pair.a, exchange.jti)
    verdict = verify_bundle(first, fingerprints=exchange.fingerprints, certificates=authority.certificates)
    assert verdict.faults == ()
    assert verdict.parts is not None
    [ours] = [log for log in verdict.parts.logs if log.party == "id.imigrasi"]
    assert ours.stamp is not None
    assert made is not None
    assert ours.size < ours.stamp.size < made.size
    assert await export(pair.a, exchange.jti) == first
    later = files_of(await export(pair.a, sent.jti))
    assert later[f"{BASE}/timestamped"] == made.note.encode()
