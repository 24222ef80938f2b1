"""Who sits at the server: without a token an operator, who reads no record; with one whoever it names, on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.evidence import files as f
from gateway.evidence.container import read
from tests.attachments.files import pdf
from tests.cli.terminal import run
from tests.cli.test_bulk import sheet_of_persons

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.terminal import Home, Pair, Result

REFERRAL = "schemas/examples/case.referral/s1-sumarni.json"
NAME = "Sumarni"
PURPOSE = ("--purpose", "VICTIM_PROTECTION")


class Person:
    """Somebody with an account, who acts by its token in a file."""

    def __init__(self, home: Home, folder: Path, name: str, role: str) -> None:
        self.home = home
        made = home.json("user", "add", name, "--role", role)
        [listed] = [row for row in home.json("user", "list") if row["name"] == name]
        self.id = listed["id"]
        self.token = made["token"]
        self.file = folder / f"{name}.token"
        self.file.write_text(self.token + "\n")
        self.file.chmod(0o600)

    def run(self, *args: str, code: int = 0) -> Result:
        """Run a command as this person."""
        return self.home.run(*args, "--token-file", str(self.file), code=code)


class Desk:
    """What the tests of this module share: messages with everything that can be read, and people."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.home = pair.a
        self.officer = Person(pair.a, folder, "desk-officer", "officer")
        self.supervisor = Person(pair.a, folder, "desk-supervisor", "supervisor")
        self.auditor = Person(pair.a, folder, "desk-auditor", "auditor")
        (folder / "ticket.pdf").write_bytes(pdf())
        sent = pair.a.json("submit", REFERRAL, "--attach", f"{folder / 'ticket.pdf'};type=TICKET", "--wait")
        self.jti, self.case = sent["id"], sent["case"]
        self.file = pair.a.json("audit", "search", "--type", "attachment.stored", "--limit", "1")[0]["object"]["id"]
        body, rows = sheet_of_persons(folder)
        self.sheet = pair.a.json("submit", str(body), "--rows", str(rows))["id"]

    def reading(self, folder: Path) -> dict[str, list[str]]:
        """Return the commands that show a record."""
        return {
            "event": ["message", "event", self.jti],
            "rows": ["message", "rows", self.sheet],
            "attachment": ["attachment", "get", self.file, str(folder / "file.pdf")],
            "evidence": ["evidence", "export", self.jti, str(folder / "whole.zip"), "--whole"],
            "name": ["case", "list", "-q", NAME],
        }

    def newest(self) -> dict[str, Any]:
        """Return the newest entry of what somebody read."""
        found: list[dict[str, Any]] = self.home.json("audit", "search", "--reads", "--limit", "1")
        return found[0] if found else {"index": None}


@pytest.fixture(scope="module")
def desk(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return them, once."""
    return Desk(pair, tmp_path_factory.mktemp("desk"))


def test_the_operator_at_the_server_reads_no_record(desk: Desk, tmp_path: Path) -> None:
    """Exit 4 with who may and how; nothing is shown or written, and that somebody tried is in the log."""
    before = desk.newest()["index"]
    for name, args in desk.reading(tmp_path).items():
        refused = desk.home.run(*args, *PURPOSE, code=4)
        assert "the role operator may not do this; " in refused.fault, name
        assert "supervisor may; give the token of one by GATEWAY_TOKEN or --token-file" in refused.fault, name
        assert refused.out == "", name
    assert list(tmp_path.iterdir()) == []
    assert desk.newest()["index"] == before
    assert desk.home.json("case", "list", "-q", desk.case[:9])  # a reference is no name


def test_whoever_may_read_reads_and_is_logged_as_themselves(desk: Desk, tmp_path: Path) -> None:
    """Each way, in one question: who, why, which message, which bytes; and the case of it."""
    reader = {"evidence": desk.supervisor}
    for name, args in desk.reading(tmp_path).items():
        who = reader.get(name, desk.officer)
        who.run(*args, *PURPOSE)
        entry = desk.newest()
        assert (entry["actor"]["sub"], entry["purpose"]) == (who.id, "VICTIM_PROTECTION"), name
        if name != "name":
            assert entry["message"] == (desk.sheet if name == "rows" else desk.jti), name
            assert entry["event"], name
    assert NAME.upper() in desk.officer.run("message", "event", desk.jti, *PURPOSE).out.upper()
    assert (tmp_path / "file.pdf").read_bytes() == pdf()
    assert f.EVENT in dict(read((tmp_path / "whole.zip").read_bytes()))
    assert (tmp_path / "whole.zip").stat().st_mode & 0o777 == 0o600
    desk.home.run("stats", "--from", "2025-01", "--to", "2025-04")
    assert (desk.newest()["outcome"], desk.newest()["actor"]["sub"]) == ("statistics", "local")


def test_a_record_is_read_for_a_reason(desk: Desk, tmp_path: Path) -> None:
    """Without a purpose, or with one in words: exit 2 with the codes, and nothing is read."""
    before = desk.newest()["index"]
    for stated in ([], ["--purpose", "curiosity"]):
        for args in desk.reading(tmp_path).values():
            refused = desk.supervisor.run(*args, *stated, code=2)
            assert "VICTIM_PROTECTION, IDENTITY_VERIFICATION" in refused.fault
    assert desk.newest()["index"] == before
    assert list(tmp_path.iterdir()) == []


def test_evidence_is_without_its_content_unless_asked_and_permitted(desk: Desk, tmp_path: Path) -> None:
    """What the operator and an auditor get has the digest; the auditor does not get more by asking."""
    desk.home.run("evidence", "export", desk.jti, str(tmp_path / "plain.zip"))
    desk.auditor.run("evidence", "export", desk.jti, str(tmp_path / "audited.zip"))
    for name in ("plain", "audited"):
        raw = (tmp_path / f"{name}.zip").read_bytes()
        assert f.EVENT not in dict(read(raw))
        assert NAME.upper().encode() not in raw.upper()
    entry = desk.newest()
    assert (entry["type"], entry["outcome"], entry["actor"]["sub"]) == (
        "evidence.exported",
        "redacted",
        desk.auditor.id,
    )
    desk.auditor.run("evidence", "export", desk.jti, str(tmp_path / "more.zip"), "--whole", *PURPOSE, code=4)
    assert not (tmp_path / "more.zip").exists()


def test_a_token_gives_its_owners_rights_and_no_others(desk: Desk, tmp_path: Path) -> None:
    """An officer at the server is no operator, an auditor exports the log as an auditor."""
    for args in (
        ["keys", "rotate", "--use", "log"], ["partner", "suspend", "kh.gdi", "--yes"], ["user", "list"],
        ["user", "add", "friend", "--role", "supervisor"], ["db", "backup", str(tmp_path / "copy.db")],
        ["audit", "search"], ["schema", "approve", "--all"], ["audit", "vouch", "--reason", "compared", "--yes"],
    ):  # fmt: skip
        assert "the role officer may not do this" in desk.officer.run(*args, code=4).fault, args
    desk.auditor.run("audit", "export", str(tmp_path / "log"))
    [entry] = desk.home.json("audit", "search", "--type", "audit.exported", "--limit", "1")
    assert entry["actor"] == {"sub": desk.auditor.id, "role": "auditor"}
    assert "friend" not in {row["name"] for row in desk.home.json("user", "list")}


def test_the_token_comes_by_file_or_environment_and_never_in_the_arguments(desk: Desk, tmp_path: Path) -> None:
    """A file others can read, an empty one, a token that names nobody: never the operator in its place."""
    args = ["--home", str(desk.home.path), "message", "event", desk.jti, *PURPOSE]
    assert run(*args, env={"GATEWAY_TOKEN": desk.officer.token}).out
    assert run("--token-file", str(desk.officer.file), *args).out
    both = {"GATEWAY_TOKEN": "bcx_wrong"}
    assert run(*args, "--token-file", str(desk.officer.file), env=both).out
    assert "unknown or revoked" in run(*args, env=both, code=4).fault
    assert run(*args, "--token", desk.officer.token, code=2).err
    for text in ("", "\n", "two words"):
        assert run(*args, env={"GATEWAY_TOKEN": text}, code=2).fault.startswith("error: GATEWAY_TOKEN: holds no token")
    loose, empty = tmp_path / "loose", tmp_path / "empty"
    loose.write_text(desk.officer.token)
    loose.chmod(0o640)
    empty.touch(0o600)
    told = {
        "readable by others": loose, "holds no token": empty, "is a directory": tmp_path,
        "no such file": tmp_path / "x",
    }  # fmt: skip
    for words, path in told.items():
        refused = run(*args, "--token-file", str(path), code=2)
        assert words in refused.fault
        assert desk.officer.token not in refused.err


def test_without_serve_it_is_the_same(home: Home, tmp_path: Path) -> None:
    """The command that opens the home itself asks the same guard and writes the same log."""
    jti = home.json("submit", REFERRAL)["id"]
    officer = Person(home, tmp_path, "sari", "officer")
    assert "--token-file" in home.run("message", "event", jti, *PURPOSE, code=4).fault
    event = json.loads(officer.run("message", "event", jti, *PURPOSE).out)
    assert event["id"] == jti
    [entry] = home.json("audit", "search", "--reads")
    assert (entry["actor"]["sub"], entry["message"], entry["purpose"]) == (officer.id, jti, "VICTIM_PROTECTION")
    home.run("evidence", "export", jti, str(tmp_path / "e.zip"), "--whole", *PURPOSE, code=4)
    assert not (tmp_path / "e.zip").exists()
