"""The contract's table of commands, the global options, and what is common to all commands."""

from __future__ import annotations

import subprocess
import time

import pytest
import typer.main

from gateway import errors
from gateway.cli import failure
from gateway.cli.main import app
from tests.cli.terminal import GATEWAY, ROOT, Home, environment, run

COMMANDS = {
    "init": {"--party", "--name", "--country", "--environment", "--exchange-listen", "--exchange-url", "--api-listen",
             "--api-url", "--ops-listen"},
    "serve": set(),
    "doctor": set(),
    "config show": set(),
    "config check": set(),
    "card export": {"FILE"},
    "card fingerprint": set(),
    "card sign": {"FILE"},
    "partner add": {"FILE", "--fingerprint"},
    "partner list": set(),
    "partner show": {"PARTY"},
    "partner suspend": {"PARTY", "--yes"},
    "partner resume": {"PARTY"},
    "partner ping": {"PARTY"},
    "keys list": set(),
    "keys rotate": {"--use", "--plan"},
    "keys revoke": {"KID", "--reason", "--yes"},
    "submit": {"FILE", "--type", "--rows", "--dry-run", "--wait"},
    "message list": set(),
    "message show": {"ID"},
    "message receipt": {"ID"},
    "message rows": {"ID"},
    "case list": set(),
    "case show": {"REF"},
    "case progress": {"REF"},
    "queue list": set(),
    "queue show": {"ID"},
    "queue retry": {"ID", "--since"},
    "queue hold": {"ID"},
    "queue release": {"ID"},
    "queue cancel": {"ID", "--reason", "--yes"},
    "schema list": set(),
    "schema show": {"SUBJECT", "VERSION"},
    "schema template": {"SUBJECT"},
    "schema check": {"FILE"},
    "schema register": {"FILE"},
    "schema approve": {"SUBJECT", "VERSION", "--all"},
    "schema diff": {"SUBJECT"},
    "audit prove": {"INDEX", "FILE", "--vkey"},
    "audit verify": {"DIR", "--vkey", "--tsa"},
    "audit export": {"DIR"},
    "audit search": set(),
    "audit reconcile": {"PARTNER"},
    "audit vouch": {"--reason", "--yes"},
    "clock show": set(),
    "clock confirm": {"--yes"},
    "user add": {"NAME", "--role"},
    "user list": set(),
    "user disable": {"NAME", "--yes"},
    "user reset": {"NAME", "--overlap", "--yes"},
    "client add": {"NAME", "--role"},
    "client list": set(),
    "client reset": {"NAME", "--overlap", "--yes"},
    "client revoke": {"NAME", "--yes"},
    "db upgrade": {"--dry-run"},
    "db backup": {"FILE"},
    "db restore": {"FILE", "--yes"},
    "demo": {"--exit"},
}  # fmt: skip
GLOBALS = {"--home", "-o", "--no-color"}
HELP_LIMIT_S = 1.0


def words(command: str) -> set[str]:
    """Return the options and arguments of a command, arguments without brackets."""
    found = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]  # type: ignore[attr-defined]
    given = {option for param in found.params for option in (*param.opts, *param.secondary_opts)}
    return given | {(param.metavar or "").strip("[]").partition("|")[0] for param in found.params}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_contract_names_every_command_and_its_options(command: str) -> None:
    """Users' scripts rely on these names; each command takes the global options too."""
    assert COMMANDS[command] | GLOBALS <= words(command)


def test_help_comes_at_once_and_lists_the_nouns() -> None:
    """Nobody waits for a database library to read a help page."""
    started = time.perf_counter()
    shown = run("--help").out
    assert time.perf_counter() - started < HELP_LIMIT_S
    assert {"init", "serve", "partner", "queue", "audit"} <= set(shown.split())


def test_heavy_libraries_are_not_loaded_for_help() -> None:
    """What the start of a command must not pay for stays out of the modules' heads."""
    code = "import sys, gateway.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [GATEWAY[0], "-c", code], capture_output=True, text=True, check=True, env=environment(), cwd=ROOT
    ).stdout.split()
    assert not {"sqlalchemy", "aiohttp", "cryptography", "pydantic", "jsonschema_rs"} & set(loaded)


def test_the_version_is_told() -> None:
    """`--version` needs no home."""
    assert run("--version").out.startswith("gateway ")


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["nothing"], "nothing"),
        (["partner", "drop"], "drop"),
        (["queue", "list", "--stat", "dead"], "--stat"),
        (["keys", "rotate", "--use", "tree"], "tree"),
        (["partner", "list", "-o", "xml"], "xml"),
        (["partner", "show"], "PARTY"),
    ],
)
def test_a_misspelt_command_is_usage(args: list[str], names: str) -> None:
    """Exit 2, and the word at fault is named."""
    assert names in run(*args, code=failure.USAGE).err


def test_without_a_home_the_way_to_name_one_is_told() -> None:
    """Exit 2 with the option and the variable."""
    assert run("partner", "list", code=failure.USAGE).fault == (
        "error: no home is named; give --home DIR, or set GATEWAY_HOME"
    )


def test_global_options_stand_before_the_noun_or_after_the_verb(home: Home) -> None:
    """Both places mean the same; the variable names the home too; the one after the verb wins."""
    where = str(home.path)
    plain = run("config", "show", "--home", where).out
    assert plain == run("--home", where, "config", "show").out
    assert plain == run("config", "show", env={"GATEWAY_HOME": where}).out
    assert plain == run("--home", "/nowhere", "config", "show", "--home", where).out
    assert run("-o", "json", "--home", where, "config", "show").json["party"]["id"] == "id.imigrasi"
    assert run("config", "show", "--home", where, "-o", "json").json["party"]["id"] == "id.imigrasi"


def test_a_pipe_gets_tabs_and_a_table_has_headings(home: Home) -> None:
    """Scripts cut columns; `-o table` is for eyes; without colour when asked so."""
    piped = home.run("partner", "list").out
    assert piped.split("\t")[:2] == ["kh.gdi", "active"]
    table = home.run("partner", "list", "-o", "table", "--no-color").out
    assert table.startswith("PARTY ")
    assert "\x1b" not in table


CODES = [
    (errors.NotFound("x"), 5),
    (errors.Unauthenticated("x"), 4),
    (errors.NotPermitted("x"), 4),
    (errors.Clash("x"), 6),
    (errors.TransportError("x"), 7),
    (errors.ConfigurationError("x"), 2),
    (errors.LedgerError("x"), 3),
    (failure.VerificationFailed("x"), 3),
    (errors.MalformedCard("x"), 3),
    (errors.MalformedRequest("x"), 1),
    (errors.StorageUnavailable("x"), 1),
    (failure.Refused({"code": "not-found"}, 404), 5),
    (failure.Refused({"code": "not-permitted"}, 403), 4),
    (failure.Refused({"code": "conflict"}, 409), 6),
    (failure.Refused({"code": "unreachable"}, 502), 7),
    (failure.Refused({"code": "log-damaged"}, 500), 3),
    (failure.Refused({"code": "schema-invalid"}, 422), 1),
    (KeyboardInterrupt(), 130),
    (ValueError("x"), 1),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: getattr(value, "slug", str(value)))
def test_each_error_has_the_exit_code_of_the_contract(error: BaseException, code: int) -> None:
    """Raised here or answered over the socket, the same fault gives the same code."""
    assert failure.exit_code(error) == code


def test_an_error_shows_each_finding_once() -> None:
    """Pointer, reason and code a line; a finding that says what the detail says is not repeated."""
    two = (errors.Finding("/a", "is missing"), errors.Finding("/b", "is no date", "E-DATE"))
    assert failure.lines(errors.SchemaViolation("2 places", errors=two)) == [
        "error: 2 places",
        "  /a: is missing",
        "  /b: is no date [E-DATE]",
    ]
    same = (errors.Finding("/name", "this name is taken"),)
    assert failure.lines(errors.Clash("this name is taken", errors=same)) == ["error: this name is taken"]
