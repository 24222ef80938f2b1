"""A real clamd with one local signature: no download, and ready in a moment."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.doctor import examine
from gateway.errors import PolicyViolation, StorageUnavailable
from gateway.home import open_home
from gateway.ports.common import Actor
from gateway.running import World
from gateway.runtime import open_gateway
from gateway.screening.clamd import Clamd
from tests.attachments.parties import ID, KH, NAME, attached, ciphertext, entry, pieces
from tests.support.hostile import Author, filled
from tests.support.link import post_envelope, two_homes

if TYPE_CHECKING:
    from collections.abc import Iterator

VIRUS = b"%PDF-1.4 harmless but signed: GATEWAY-TEST-VIRUS"
LIMIT_BYTES = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def clamd() -> Iterator[Path]:
    """Run clamd until the module is done; return its socket. Its user may not enter pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="clamd-") as made:
        folder = Path(made)
        (folder / "local.ndb").write_text(f"Gateway.Test:0:*:{b'GATEWAY-TEST-VIRUS'.hex()}\n")
        socket = folder / "clamd.sock"
        (folder / "clamd.conf").write_text(
            f"LocalSocket {socket}\nDatabaseDirectory {folder}\nForeground yes\nLogFile {folder}/log\n"
            f"StreamMaxLength {LIMIT_BYTES}\nUser {_user()}\n"
        )
        with subprocess.Popen(["/usr/sbin/clamd", "-c", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL) as run:
            try:
                while not socket.exists():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        run.wait(0.01)
                    assert run.returncode is None, (folder / "log").read_text()
                yield socket
            finally:
                run.terminate()


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


async def test_a_file_is_clean_or_it_is_not(clamd: Path) -> None:
    """Wherever in its pieces the mark stands."""
    scanner = Clamd(str(clamd))
    assert await scanner.scan(pieces(b"x" * 100_000, 1000)) is True
    assert await scanner.scan(pieces(b"")) is True
    assert await scanner.scan(pieces(b"x" * 50_000 + VIRUS + b"x" * 50_000, 999)) is False


async def test_what_is_not_scanned_is_not_taken(clamd: Path, tmp_path: Path) -> None:
    """Nobody there, or a file over clamd's own limit: 503, and try again."""
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await Clamd(str(tmp_path / "nobody")).scan(pieces(b"x"))
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await Clamd("127.0.0.1:1").scan(pieces(b"x"))
    with pytest.raises(StorageUnavailable, match="StreamMaxLength"):
        await Clamd(str(clamd)).scan(pieces(bytes(LIMIT_BYTES + 100_000)))


async def test_neither_side_takes_an_infected_file(clamd: Path) -> None:
    """Not from a caller, not from a partner; while the scanner is gone nothing is taken, and nothing refused."""
    sender, home, now = two_homes()
    author = Author(sender, KH, lambda: now)
    sealed = ciphertext(VIRUS)
    data = filled("case.referral/s1-sumarni") | {"attachments": [entry(VIRUS, sealed)]}
    for scanner, problem in ((clamd.with_name("nobody"), "local-fault"), (clamd, "attachment-invalid")):
        settings, keys = open_home(home, {"limits": {"virus_scanner": str(scanner)}}, environ={})
        async with open_gateway(settings, keys, World(clock=lambda: now)) as gateway:
            await gateway.witnessing.guard.vouch(Actor("local", "operator"), "other")
            await gateway.checkpoints.sign()
            await gateway.attachments.deposits.put(ID, NAME, len(sealed), pieces(sealed))
            letter = author.letter(author.event(data=data))
            [outcome] = author.read((await post_envelope(gateway, ID, letter.sealed.jwe)).body, letter).outcomes
            assert outcome.problem == problem
            with pytest.raises(StorageUnavailable if scanner is not clamd else PolicyViolation):
                await attached(gateway, VIRUS)
            await gateway.store.write(lambda tx: tx.attachments.drop_transfer("in", ID, NAME))


def test_doctor_asks_the_scanner(clamd: Path) -> None:
    """None is named, it answers, nobody is there."""
    _, home, _ = two_homes()
    seen = []
    for scanner in ("", str(clamd), str(clamd.with_name("nobody")), "127.0.0.1:1"):
        with (home / "gateway.toml").open("a", encoding="utf-8") as settings:
            settings.write(f'[limits]\nvirus_scanner = "{scanner}"\n')
        [check] = [check for check in examine(home) if check.check == "virus scanner"]
        seen.append(check.state)
        text = (home / "gateway.toml").read_text("utf-8")
        (home / "gateway.toml").write_text(text[: text.index("[limits]")], "utf-8")
    assert seen == ["ok", "ok", "fail", "fail"]
