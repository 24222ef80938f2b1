"""Who sits at the server: without a token an operator, who reads no record; with one whoever it names, on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from gateway.cli.control import Client
from gateway.cli.failure import NOT_PERMITTED, USAGE, Refused, exit_code
from gateway.evidence import files as f
from gateway.evidence.container import read
from gateway.local import socket_path
from gateway.screening.pdf import rebuild
from tests.attachments.files import pdf
from tests.cli.terminal import run
from tests.cli.test_bulk import sheet_of_persons

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.terminal import Home, Pair, Result

API, CONTROL = "/api/v1", "/control/v1"
REFERRAL = "schemas/examples/case.referral/s1-sumarni.json"
NAME = "Sumarni"
WHY = "VICTIM_PROTECTION"
PURPOSE = ("--purpose", WHY)


class Person:
    """Somebody with an account, who acts by its token: in a file for a command, in a header on the control socket."""

    def __init__(self, home: Home, folder: Path, name: str, role: str) -> None:
        self.home = home
        made = Client(socket_path(home.path), served=True).post(f"{CONTROL}/users", {"name": name, "role": role})
        self.id, self.token = made["id"], made["token"]
        self.socket = Client(socket_path(home.path), served=True, token=self.token)
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
        self.socket = Client(socket_path(pair.a.path), served=True)
        self.officer = Person(pair.a, folder, "desk-officer", "officer")
        self.supervisor = Person(pair.a, folder, "desk-supervisor", "supervisor")
        self.auditor = Person(pair.a, folder, "desk-auditor", "auditor")
        (folder / "ticket.pdf").write_bytes(pdf())
        sent = pair.a.json("submit", REFERRAL, "--attach", f"{folder / 'ticket.pdf'};type=TICKET", "--wait")
        self.jti, self.case = sent["id"], sent["case"]
        self.file = self.entries(type="attachment.stored")[0]["object"]["id"]
        body, rows = sheet_of_persons(folder)
        self.sheet = pair.a.json("submit", str(body), "--rows", str(rows))["id"]

    def commands(self, folder: Path) -> dict[str, list[str]]:
        """Return the commands that show a record."""
        return {
            "event": ["message", "event", self.jti],
            "rows": ["message", "rows", self.sheet],
            "attachment": ["attachment", "get", self.file, str(folder / "file.pdf")],
            "evidence": ["evidence", "export", self.jti, str(folder / "whole.zip"), "--whole"],
            "name": ["case", "list", "-q", NAME],
        }

    def paths(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Return the same on the control socket, and the queries."""
        return {
            "event": (f"{API}/messages/{self.jti}/event", {}), "rows": (f"{API}/messages/{self.sheet}/rows", {}),
            "attachment": (f"{API}/attachments/{self.file}", {}),
            "evidence": (f"{API}/evidence/{self.jti}", {"redacted": "false"}), "name": (f"{API}/cases", {"q": NAME}),
        }  # fmt: skip

    def entries(self, **query: str) -> list[dict[str, Any]]:
        """Return the newest entries that fit."""
        found: list[dict[str, Any]] = self.socket.get(f"{API}/audit/entries", {"limit": "5", **query})["items"]
        return found

    def newest(self) -> dict[str, Any]:
        """Return the newest entry of what somebody read."""
        return next(iter(self.entries(reads="true")), {"index": None})


@pytest.fixture(scope="module")
def desk(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return them, once."""
    return Desk(pair, tmp_path_factory.mktemp("desk"))


def refused(by: Client, path: str, query: dict[str, str] | None = None, body: object = None) -> Refused:
    """Return with what the control socket refuses a call."""
    with pytest.raises(Refused) as caught:
        by.raw("GET", f"{path}?{urlencode(query or {})}") if body is None else by.post(path, body)
    return caught.value


def test_the_operator_at_the_server_reads_no_record(desk: Desk, tmp_path: Path) -> None:
    """Exit 4 with who may and how; nothing is shown or written, on the socket neither."""
    before = desk.newest()["index"]
    for name, (path, query) in desk.paths().items():
        error = refused(desk.socket, path, {**query, "purpose": WHY})
        assert exit_code(error) == NOT_PERMITTED, name
        assert "the role operator may not do this; " in error.detail, name
        assert "supervisor may; give the token of one by GATEWAY_TOKEN or --token-file" in error.detail, name
    for name in ("event", "evidence"):
        told = desk.home.run(*desk.commands(tmp_path)[name], *PURPOSE, code=4)
        assert "--token-file" in told.fault
        assert told.out == ""
    assert list(tmp_path.iterdir()) == []
    assert desk.newest()["index"] == before
    assert desk.socket.get(f"{API}/cases", {"q": desk.case[:9]})["items"]  # a reference is no name


def test_whoever_may_read_reads_and_is_logged_as_themselves(desk: Desk, tmp_path: Path) -> None:
    """Each way, in one question: who, why, which message, which bytes; and the case of it."""
    shown = {}
    for name, args in desk.commands(tmp_path).items():
        who = desk.supervisor if name == "evidence" else desk.officer
        shown[name] = who.run(*args, *PURPOSE).out
        entry = desk.newest()
        assert (entry["actor"]["sub"], entry["purpose"]) == (who.id, WHY), name
        if name != "name":
            assert entry["message"] == (desk.sheet if name == "rows" else desk.jti), name
            assert entry["event"], name
    assert NAME.upper() in shown["event"].upper()
    assert (tmp_path / "file.pdf").read_bytes() == rebuild(pdf())
    assert f.EVENT in dict(read((tmp_path / "whole.zip").read_bytes()))
    assert (tmp_path / "whole.zip").stat().st_mode & 0o777 == 0o600
    desk.socket.get(f"{API}/statistics", {"from": "2025-01", "to": "2025-04"})
    assert (desk.newest()["outcome"], desk.newest()["actor"]["sub"]) == ("statistics", "local")
    assert desk.home.json("audit", "search", "--reads", "--limit", "1") == [desk.newest()]


def test_a_record_is_read_for_a_reason(desk: Desk) -> None:
    """Without a purpose, or with one in words: exit 2 with the codes, and nothing is read."""
    before = desk.newest()["index"]
    for stated in ({}, {"purpose": "curiosity"}):
        for path, query in desk.paths().values():
            error = refused(desk.supervisor.socket, path, {**query, **stated})
            assert exit_code(error) == USAGE
            assert "VICTIM_PROTECTION, IDENTITY_VERIFICATION" in error.detail
    assert "VICTIM_PROTECTION" in desk.officer.run("message", "event", desk.jti, code=2).fault
    assert desk.newest()["index"] == before


def test_evidence_is_without_its_content_unless_asked_and_permitted(desk: Desk, tmp_path: Path) -> None:
    """What the operator and an auditor get has the digest; the auditor does not get more by asking."""
    desk.home.run("evidence", "export", desk.jti, str(tmp_path / "plain.zip"))
    bundles = [(tmp_path / "plain.zip").read_bytes(), desk.auditor.socket.get_bytes(f"{API}/evidence/{desk.jti}")]
    for raw in bundles:
        assert f.EVENT not in dict(read(raw))
        assert NAME.upper().encode() not in raw.upper()
    entry = desk.newest()
    assert (entry["type"], entry["outcome"], entry["actor"]["sub"]) == (
        "evidence.exported",
        "redacted",
        desk.auditor.id,
    )
    path, query = desk.paths()["evidence"]
    assert "supervisor may" in refused(desk.auditor.socket, path, {**query, "purpose": WHY}).detail


def test_a_token_gives_its_owners_rights_and_no_others(desk: Desk, tmp_path: Path) -> None:
    """An officer at the server is no operator, an auditor exports the log as an auditor."""
    acts: dict[str, object] = {
        f"{CONTROL}/keys/rotate": {"use": "log"}, f"{CONTROL}/partners/kh.gdi/suspend": {},
        f"{CONTROL}/users": {"name": "friend", "role": "supervisor"}, f"{CONTROL}/clients/x/reset": {},
        f"{CONTROL}/backups": {"path": str(tmp_path / "copy.db")}, f"{CONTROL}/schemas/approve": {"all": True},
        f"{CONTROL}/log/vouched": {"reason": "compared"}, f"{CONTROL}/log/exports": {},
        f"{API}/messages/{desk.jti}/retry": {},
    }  # fmt: skip
    for path, body in acts.items():
        assert "the role officer may not do this" in refused(desk.officer.socket, path, body=body).detail, path
    assert "the role officer may not do this" in desk.officer.run("user", "list", code=4).fault
    desk.auditor.run("audit", "export", str(tmp_path / "log"))
    [entry, *_] = desk.entries(type="audit.exported")
    assert entry["actor"] == {"sub": desk.auditor.id, "role": "auditor"}
    assert not (tmp_path / "copy.db").exists()


def test_the_token_comes_by_file_or_environment_and_never_in_the_arguments(desk: Desk, tmp_path: Path) -> None:
    """A file others can read, an empty one, a token that names nobody: never the operator in its place."""
    args = ["--home", str(desk.home.path), "message", "show", desk.jti]
    assert run(*args, env={"GATEWAY_TOKEN": desk.officer.token}).out
    both = {"GATEWAY_TOKEN": "bcx_wrong"}
    assert run("--token-file", str(desk.officer.file), *args, env=both).out
    assert "unknown or revoked" in run(*args, env=both, code=4).fault
    assert run(*args, "--token", desk.officer.token, code=2).err
    assert run(*args, env={"GATEWAY_TOKEN": "\n"}, code=2).fault.startswith("error: GATEWAY_TOKEN: holds no token")
    loose, empty = tmp_path / "loose", tmp_path / "empty"
    loose.write_text(desk.officer.token)
    loose.chmod(0o640)
    empty.touch(0o600)
    for words, path in {"readable by others": loose, "holds no token": empty, "is a directory": tmp_path}.items():
        told = run(*args, "--token-file", str(path), code=2)
        assert words in told.fault
        assert desk.officer.token not in told.err
