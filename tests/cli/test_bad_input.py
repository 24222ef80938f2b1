"""Whatever is wrong, the user gets one line: where, what, and what to do; the right exit code; never a traceback."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.cli.terminal import GATEWAY, ROOT, Home, environment, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFERRAL = json.loads((ROOT / "schemas/examples/case.referral/s1-sumarni.json").read_text("utf-8"))
UUID = "01890a5d-ac96-774b-bcce-b302099a8057"

# Given on stdin to a command of a served home: exit code, and what the user reads.
ON_STDIN = {
    "text that is no JSON": (["submit", "-"], "{nope", 1, "the body is not strict JSON"),
    "a member twice": (["submit", "-"], '{"type":"a","type":"b"}', 1, "not strict JSON"),
    "a list": (["submit", "-"], "[]", 1, "the body is a JSON object"),
    "nothing": (["submit", "-"], "", 1, "not strict JSON"),
    "no data": (["submit", "-"], json.dumps({**REFERRAL, "data": None}), 1, "/data: is missing"),
    "an unknown partner": (["submit", "-"], json.dumps({**REFERRAL, "recipient": "xx.none"}), 5, "gateway partner"),
    "an unknown type": (["submit", "-"], json.dumps({**REFERRAL, "type": "no.such"}), 1, "gateway schema list"),
    "an attachment": (["submit", "-"], json.dumps({**REFERRAL, "attachments": ["x"]}), 1, "/attachments"),
    "a wrong code": (["submit", "-"], json.dumps({**REFERRAL, "urgency": "SOON"}), 1, "/urgency: is one of FLASH"),
    "data that breaks its schema": (["submit", "-"], json.dumps({**REFERRAL, "data": {}}), 1, "/data"),
    "a card that is none": (["partner", "add", "-"], "hello", 1, "cannot be enrolled"),
    "a card in another script": (["partner", "add", "-"], "ខ្មែរ", 1, "`gateway card export`"),
    "a schema that is no JSON": (["schema", "register", "-"], "{", 1, "not strict JSON"),
    "a schema with a foreign $ref": (
        ["schema", "register", "-"],
        '{"$id":"urn:bcx:schema:note.bad:1.0.0","$ref":"file:///etc/passwd"}', 1, "/$ref",
    ),
    "a schema without a name": (["schema", "check", "-"], "{}", 1, "/$id"),
}  # fmt: skip


@pytest.mark.parametrize(("args", "given", "code", "says"), ON_STDIN.values(), ids=ON_STDIN)
def test_bad_documents_are_named_by_place_and_reason(
    served: Home, args: list[str], given: str, code: int, says: str
) -> None:
    """The pointer or the rule, never the value; nothing is accepted."""
    refused = served.run(*args, given=given, code=code)
    assert refused.fault
    assert says in refused.err
    assert refused.out == ""


UNKNOWN = {
    "message show": (["message", "show", UUID], 5),
    "message receipt": (["message", "receipt", UUID], 5),
    "no message id": (["message", "show", "x"], 5),
    "case show": (["case", "show", "XC-ID-2026-000123-8"], 5),
    "queue hold": (["queue", "hold", UUID], 5),
    "queue cancel": (["queue", "cancel", UUID, "--yes"], 5),
    "partner show": (["partner", "show", "xx.none"], 5),
    "partner ping": (["partner", "ping", "xx.none"], 5),
    "partner with a slash": (["partner", "suspend", "../xx", "--yes"], 5),
    "schema show": (["schema", "show", "no.such"], 5),
    "schema version": (["schema", "show", "case.referral", "9.9.9"], 5),
    "schema approve": (["schema", "approve", "no.such", "1.0.0"], 5),
    "keys revoke": (["keys", "revoke", "abc", "--reason", "superseded", "--yes"], 5),
    "a reason that is none": (["keys", "revoke", "abc", "--reason", "x", "--yes"], 2),
    "user disable": (["user", "disable", "nobody", "--yes"], 5),
    "client revoke": (["client", "revoke", "nobody", "--yes"], 5),
    "reconcile": (["audit", "reconcile", "xx.none"], 5),
    "a role nobody has": (["user", "add", "x", "--role", "king"], 2),
    "a name with a space": (["client", "add", "a b"], 2),
    "a time that is none": (["message", "list", "--since", "yesterday"], 2),
    "a state that is none": (["queue", "list", "--state", "lost"], 2),
    "retry without saying what": (["queue", "retry"], 2),
    "retry both ways": (["queue", "retry", UUID, "--since", "2026-01-01"], 2),
    "approve without saying what": (["schema", "approve"], 2),
    "serve twice": (["serve"], 2),
    "init twice": (["init", "--party", "id.imigrasi", "--name", "x", "--country", "ID"], 6),
    "restore while it runs": (["db", "restore", "BACKUP", "--yes"], 6),
    "upgrade while it runs": (["db", "upgrade"], 6),
    "a file that is not there": (["submit", "/nowhere/x.json"], 2),
    "an export that is not there": (["audit", "verify", "/nowhere"], 2),
    "a key that is none": (["audit", "verify", "--vkey", "nonsense"], 2),
    "a backup that is none": (["db", "restore", str(ROOT / "pyproject.toml"), "--yes"], 2),
    "a backup that is a folder": (["db", "restore", str(ROOT), "--yes"], 2),
}


@pytest.mark.parametrize(("args", "code"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_unknown_or_impossible_is_told_with_its_code(
    served: Home, tmp_path: Path, args: list[str], code: int
) -> None:
    """Not found is 5, conflict 6, usage 2, refused 1."""
    if "BACKUP" in args:
        shutil.copyfile(served.path / "data" / "gateway.db", tmp_path / "copy.db")
        args = [str(tmp_path / "copy.db") if word == "BACKUP" else word for word in args]
    refused = served.run(*args, code=code)
    assert len(refused.fault) > len("error: ")
    assert refused.out == ""


def append(text: str) -> Callable[[Path], None]:
    """Return what adds a line to the settings."""

    def change(home: Path) -> None:
        with (home / "gateway.toml").open("a") as file:
            file.write(text)

    return change


def nothing(_home: Path) -> None:
    """Leave the home as it is: the environment is what is wrong."""


def newer_database(home: Path) -> None:
    """Make the database one of a gateway to come."""
    with closing(sqlite3.connect(home / "data" / "gateway.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()


def put_a_folder(name: str) -> Callable[[Path], None]:
    """Return what puts a folder where a file belongs."""

    def change(home: Path) -> None:
        (home / name).unlink()
        (home / name).mkdir()

    return change


def write_secret(home: Path, content: bytes) -> None:
    """Lay a secret file over the settings."""
    (home / "secrets").mkdir()
    path = home / "secrets" / "audit__log_number"
    path.write_bytes(content)
    path.chmod(0o600)


DAMAGED: dict[str, tuple[Callable[[Path], object], dict[str, str], list[str]]] = {
    "an unknown setting": (append("\nlog_levl = 1\n"), {}, ["gateway.toml", "ops.log_levl", "did you mean"]),
    "settings that are no TOML": (append("\n[[["), {}, ["gateway.toml", "not valid TOML", "correct that line"]),
    "a wrong number": (nothing, {"GATEWAY__DELIVERY__LINGER_MS": "soon"}, ["GATEWAY__DELIVERY__LINGER_MS"]),
    "an unknown variable": (nothing, {"GATEWAY__OPS__LEVEL": "info"}, ["GATEWAY__OPS__LEVEL", "unknown setting"]),
    "no settings": (lambda home: (home / "gateway.toml").unlink(), {}, ["gateway.toml", "gateway init"]),
    "no keys": (lambda home: shutil.rmtree(home / "keys"), {}, ["keys", "restore it from the backup"]),
    "a damaged key": (lambda home: (home / "keys" / "enc-1.xwing").write_bytes(b"x"), {}, ["enc-1.xwing", "damaged"]),
    "keys open to others": (lambda home: (home / "keys").chmod(0o755), {}, ["keys", "chmod 700"]),
    "no agreement": (lambda home: (home / "agreement.toml").unlink(), {}, ["agreement.toml", "not found"]),
    "an agreement that is no TOML": (
        lambda home: (home / "agreement.toml").write_text("a ="), {}, ["agreement.toml", "not valid TOML"],
    ),
    "a database that is none": (
        lambda home: (home / "data" / "gateway.db").write_text("hello " * 4000), {},
        ["gateway.db", "gateway db restore"],
    ),
    "a database of a newer gateway": (newer_database, {}, ["gateway.db", "revision 9999", "start the newer gateway"]),
    "a folder that cannot be one": (
        nothing, {"GATEWAY__STORAGE__URL": "sqlite:///gateway.toml/x.db"}, ["gateway.toml", "make the data folder"],
    ),
    "settings that are a folder": (put_a_folder("gateway.toml"), {}, ["gateway.toml: cannot be read", "mend"]),
    "a database that is a folder": (put_a_folder("data/gateway.db"), {}, ["gateway.db: is a folder", "db restore"]),
    "an agreement that is a folder": (put_a_folder("agreement.toml"), {}, ["agreement.toml"]),
    "a secret that is no text": (
        lambda home: write_secret(home, b"\xff"), {}, ["audit__log_number: cannot be read (not UTF-8)"],
    ),
    "a home that is a file": (lambda home: (shutil.rmtree(home), home.write_text("x")), {}, ["gateway.toml"]),
    "a home that is a loop": (lambda home: (shutil.rmtree(home), home.symlink_to(home)), {}, ["gateway.toml"]),
    "a home that is none": (shutil.rmtree, {}, ["gateway.toml: not found", "gateway init"]),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "env", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_home_stops_the_start_with_the_fix(
    home: Home, damage: Callable[[Path], object], env: dict[str, str], says: list[str]
) -> None:
    """Exit 2 and one line that names file or variable, key and fix."""
    damage(home.path)
    home.env = env
    refused = home.run("serve", code=2)
    for words in says:
        assert words in refused.fault


IMPOSSIBLE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "init in a file": (
        lambda at: at.write_text("x"),
        ["init", "--party", "id.imigrasi", "--name", "x", "--country", "ID"],
    ),
    "init in a loop": (
        lambda at: at.symlink_to(at),
        ["init", "--party", "id.imigrasi", "--name", "x", "--country", "ID"],
    ),
    "a name too long for a file": (lambda _: None, ["config", "show"]),
    "a command under a file": (lambda at: at.write_text("x"), ["partner", "list"]),
    "doctor under a file": (lambda at: at.write_text("x"), ["doctor"]),
}


@pytest.mark.parametrize(("make", "args"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_home_that_cannot_be_is_no_fault_of_ours(
    tmp_path: Path, make: Callable[[Path], object], args: list[str]
) -> None:
    """Exit 2, or a failed check of the doctor: which path, what is wrong with it, what to do."""
    at = tmp_path / "at"
    make(at)
    where = at if args[0] == "init" else (tmp_path / ("y" * 300) if "show" in args else at / "below")
    told = run("--home", str(where), *args, code=1 if args == ["doctor"] else 2)
    said = told.err + told.out
    assert str(where)[:200] in said
    assert "a fault of the gateway's own" not in said
    assert "; " in said or "\t" in said


@pytest.mark.parametrize("args", [["audit", "verify"], ["db", "upgrade"], ["doctor"]], ids=" ".join)
def test_a_database_that_is_a_folder_is_told_by_those_that_read_it_themselves(home: Home, args: list[str]) -> None:
    """They do not go through `serve`, and say the same."""
    put_a_folder("data/gateway.db")(home.path)
    told = home.run(*args, code=1 if args == ["doctor"] else 2)
    assert "is a folder" in told.err + told.out


def test_a_command_that_opens_the_home_itself_says_the_same(home: Home) -> None:
    """The fault of a hosted gateway reaches the user as that of `serve` does."""
    (home.path / "keys" / "enc-1.xwing").write_bytes(b"x")
    assert home.run("partner", "list", code=2).err == home.run("serve", code=2).err


@pytest.mark.parametrize("listener", ["exchange", "api", "ops"])
def test_a_port_in_use_is_named(home: Home, listener: str) -> None:
    """Which listener, which address, what to do; whoever holds the port keeps it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        free = dict.fromkeys(("EXCHANGE", "API", "OPS"), "127.0.0.1:0") | {listener.upper(): taken}
        home.env = {f"GATEWAY__{name}__LISTEN": address for name, address in free.items()}
        refused = home.run("serve", code=2)
        assert refused.fault == (
            f"error: {listener}.listen {taken}: the port is in use; stop what uses it, or choose another"
        )


def test_a_folder_that_cannot_be_written_is_named(served: Home, tmp_path: Path) -> None:
    """An export or backup goes where there is room for it, or says why not; a full folder is not overwritten."""
    under_a_file = tmp_path / "file" / "below"
    (tmp_path / "file").write_text("x")
    assert str(under_a_file) in served.run("audit", "export", str(under_a_file), code=2).fault
    assert "the backup could not be written" in served.run("db", "backup", str(under_a_file), code=1).fault
    assert "not an empty folder" in served.run("audit", "export", str(tmp_path), code=6).fault
    assert str(under_a_file) in served.run("card", "export", str(under_a_file), code=2).fault


@pytest.mark.parametrize("args", [["Imigrasi"], ["id.imigrasi", "--ops-listen", "0.0.0.0:1"]], ids=["party", "ops"])
def test_a_wrong_option_of_init_leaves_no_home(tmp_path: Path, args: list[str]) -> None:
    """Nothing half-made stays behind."""
    refused = run("--home", str(tmp_path / "h"), "init", "--party", *args, "--name", "x", "--country", "ID", code=2)
    assert refused.fault
    assert not (tmp_path / "h").exists()


def test_a_reader_who_has_enough_is_no_error(served: Home) -> None:
    """`gateway … | head -1`."""
    with subprocess.Popen(
        [*GATEWAY, "--home", str(served.path), "schema", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(),
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(30) == 0
