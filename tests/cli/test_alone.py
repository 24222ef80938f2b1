"""Commands on a home where no `serve` runs: the command opens it, acts, signs what it logged, and leaves."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from gateway import local
from gateway.storage.migrations import HEAD
from tests.attachments.files import jpeg
from tests.cli.terminal import Home, run

if TYPE_CHECKING:
    from pathlib import Path

REFERRAL = "schemas/examples/case.referral/s1-sumarni.json"


def test_a_message_waits_for_serve_and_an_operator_moves_it(home: Home) -> None:
    """Accepted durably with nobody running; held, cancelled, and logged; only the signature waits for the partner."""
    message = home.json("submit", "schemas/examples/case.referral/s1-sumarni.json")
    assert (message["state"], message["recipient"]) == ("queued", "kh.gdi")
    jti = message["id"]
    assert home.json("queue", "hold", jti)["held_for"] == "operator"
    assert "nothing was done" in home.run("queue", "cancel", jti, given="n\n", code=1).err
    assert "no such code" in home.run("queue", "cancel", jti, "--reason", "Sumarni is safe", "--yes", code=2).fault
    cancelled = home.json("queue", "cancel", jti, "--reason", "other", "--yes")
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "other")
    [entry] = home.json("audit", "search", "--type", "message.cancelled")
    assert (entry["message"], entry["outcome"]) == (jti, "other")
    # Its partner cannot be asked what it cosigned last: this home may be a restored backup, and signs nothing.
    assert home.json("audit", "verify")["size"] <= entry["index"]


def test_a_card_is_signed_where_the_root_keys_live(home: Home, tmp_path: Path) -> None:
    """The roots leave the home; a rotation asks for a card; it is signed elsewhere, without home or network."""
    vault = tmp_path / "vault"
    vault.mkdir(mode=0o700)
    for name in ("root.ed25519", "root.mldsa65"):
        (home.path / "keys" / name).rename(vault / name)
    with home.serve() as serving:
        plan = home.run("keys", "rotate", "--use", "sig", "--plan").out
        assert "becomes active" in plan
        assert "a new card is due" in home.run("keys", "rotate", "--use", "sig").err
        home.run("card", "export", "--unsigned", str(tmp_path / "payload.json"))
        signed = run("card", "sign", str(tmp_path / "payload.json"), "--keys", str(vault), cwd=tmp_path).out
        assert home.json("card", "adopt", _keep(tmp_path / "new.card", signed))["version"] == 2
        assert home.run("card", "export").out.strip() == signed.strip()
        statuses = {key["status"] for key in home.json("keys", "list") if key["use"] == "sig"}
        assert statuses == {"active", "next"}
        assert serving.stop() == 0


def test_a_backup_is_restored_and_the_old_database_kept(home: Home, tmp_path: Path) -> None:
    """What came after the backup is gone from the database and still there in the file kept beside it."""
    backup = tmp_path / "backup.db"
    home.run("db", "backup", str(backup))
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    home.run("client", "add", "late")
    restored = home.json("db", "restore", str(backup), "--yes")
    assert home.json("client", "list") == []
    assert restored["kept"].startswith(str(home.path / "data" / "gateway.db.before-"))


def test_the_migration_is_shown_before_it_runs(home: Home) -> None:
    """A dry run prints SQL for a database that is not there and makes none."""
    (home.path / "data" / "gateway.db").unlink()
    assert "CREATE TABLE outbox" in home.run("db", "upgrade", "--dry-run").out
    assert not (home.path / "data" / "gateway.db").exists()
    assert home.json("db", "upgrade") | {"database": ""} == {"database": "", "from": None, "revision": HEAD}


def test_no_trace_of_the_private_socket_is_left(home: Home, tmp_path: Path) -> None:
    """The socket of a command lives in a folder of its own and goes with it."""
    Home(home.path, {"TMPDIR": str(tmp_path)}).run("partner", "list")
    assert not list(tmp_path.glob("gateway-*"))
    assert not local.socket_path(home.path).exists()


def _keep(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_home_that_nobody_serves_takes_files_too(home: Home, tmp_path: Path) -> None:
    """They wait with their message; a dry run uploads nothing and says so."""
    scan = tmp_path / "scan.jpg"
    scan.write_bytes(jpeg())
    folder = home.path / "data" / "attachments"
    dry = home.run("submit", REFERRAL, "--attach", str(scan), "--dry-run")
    assert "uploads nothing" in dry.err
    assert not folder.exists()
    assert home.json("submit", REFERRAL, "--attach", str(scan))["state"] == "queued"
    assert len(list(folder.iterdir())) == 3  # the original, the copy, and the copy as it goes to the partner
