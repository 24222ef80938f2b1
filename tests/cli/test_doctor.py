"""`gateway doctor`: each precondition a line, with the fix; it changes nothing and asks only who is there."""

from __future__ import annotations

import shutil
import sqlite3
import time
import tomllib
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gateway.doctor import DAY_S, Check, examine
from tests.support.pair import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.terminal import Home, Pair


def by_name(checks: list[Check]) -> dict[str, Check]:
    """Return the checks by their names; of two alike the worse."""
    ranked = sorted(checks, key=lambda check: ("ok", "warn", "fail").index(check.state))
    return {check.check: check for check in ranked}


def contents(home: Path) -> dict[Path, int]:
    """Return when each file was changed; SQLite's own side files come with any reader."""
    files = (path for path in home.rglob("*") if path.is_file() and path.suffix not in {".db-wal", ".db-shm"})
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_sound_home_passes_and_nothing_is_changed(home: Home) -> None:
    """Exit 0; the transfer instrument of a test home is marked as one; no file is touched."""
    files = contents(home.path)
    found = home.run("doctor")
    lines = [line.split("\t") for line in found.out.splitlines()]
    assert {line[0] for line in lines} <= {"ok", "warn"}
    assert ["ok", "transfer instrument", "2 in force (TEST)", "-"] in lines
    assert contents(home.path) == files


def test_while_serve_runs_the_partners_clock_is_compared(pair: Pair) -> None:
    """The ports are ours then, and a signed ping tells the other clock."""
    checks = by_name([Check(**check) for check in pair.a.json("doctor")])
    assert checks["serve"].finding == "runs on this home"
    assert checks["partner kh.gdi clock"].state == "ok"
    assert "exchange.listen" not in checks
    assert pair.a.run("doctor", "--ready").code == 0


def test_ready_is_no_while_nobody_serves(home: Home) -> None:
    """What a container asks every few seconds."""
    home.env = {"GATEWAY__OPS__LISTEN": f"127.0.0.1:{free_port()}"}
    assert home.run("doctor", "--ready", code=1).out == "ready\tno\n"


def change_agreement(home: Path) -> None:
    """Take the transfer instruments away."""
    text = (home / "agreement.toml").read_text()
    (home / "agreement.toml").write_text(text.partition("[[transfer_instrument]]")[0])


def dead_letter(home: Path) -> None:
    """Tell of a partner that is down."""
    with closing(sqlite3.connect(home / "data" / "gateway.db")) as database:
        database.execute("UPDATE partners SET down_since = 1, problem = 'no connection'")
        database.commit()


def no_roots(home: Path) -> None:
    """Take the root keys away."""
    for path in (home / "keys").glob("root.*"):
        path.unlink()


def want_stamps(home: Path) -> None:
    """Set a timestamp authority without its certificates."""
    with (home / "gateway.toml").open("a") as file:
        file.write('\n[audit]\ntimestamp_url = "http://127.0.0.1:9/tsa"\n')


CASES: dict[str, tuple[Callable[[Path], object], float, str, str, str]] = {
    "a clock of long ago": (lambda _: None, -20 * 365 * DAY_S, "clock", "fail", "set the clock"),
    "an old card": (lambda _: None, 80 * DAY_S, "card", "warn", "gateway serve"),
    "an expired card of the partner": (lambda _: None, 91 * DAY_S, "partner kh.gdi", "fail", "newer card"),
    "certificates that end soon": (lambda _: None, 27 * DAY_S, "certificate exchange server", "warn", "renews it"),
    "expired certificates": (lambda _: None, 31 * DAY_S, "certificate exchange client", "fail", "--use tls"),
    "keys that end soon": (lambda _: None, 350 * DAY_S, "keys", "warn", "keys rotate"),
    "keys that have ended": (lambda _: None, 366 * DAY_S, "keys", "fail", "keys rotate --use sig"),
    "no transfer instrument": (change_agreement, 0, "transfer instrument", "warn", "[[transfer_instrument]]"),
    "no agreement": (lambda h: (h / "agreement.toml").unlink(), 0, "agreement", "fail", "copy config/agreement.toml"),
    "a partner that is down": (dead_letter, 0, "partner kh.gdi", "warn", "gateway partner ping kh.gdi"),
    "keys others can read": (lambda h: (h / "keys").chmod(0o755), 0, "keys", "fail", "chmod 700"),
    "a home others can enter": (lambda h: h.chmod(0o755), 0, "home", "warn", "chmod 700"),
    "no certificate": (lambda h: (h / "keys" / "api.pem").unlink(), 0, "certificate api", "fail", "--use tls"),
    "no data folder": (lambda h: shutil.rmtree(h / "data"), 0, "data folder", "fail", "make it writable"),
    "a new home": (lambda h: (h / "data" / "gateway.db").unlink(), 0, "database", "warn", "gateway serve"),
    "a timestamp authority without certificates": (want_stamps, 0, "timestamps", "fail", "timestamp_url"),
    "no settings": (lambda h: (h / "gateway.toml").unlink(), 0, "settings", "fail", "gateway init"),
    "root keys offline": (no_roots, 0, "root keys", "ok", "card sign"),
}


@pytest.mark.parametrize(("damage", "later_s", "check", "state", "fix"), CASES.values(), ids=CASES)
def test_each_fault_is_found_and_its_fix_named(
    home: Home, damage: Callable[[Path], object], later_s: float, check: str, state: str, fix: str
) -> None:
    """What fails and what only warns is decided by whether the gateway can work."""
    damage(home.path)
    found = by_name(examine(home.path, now_s=time.time() + later_s))[check]
    assert found.state == state
    assert fix in (found.fix or "")


def test_root_keys_in_a_production_home_are_warned_of(home: Home) -> None:
    """Whoever takes the home could make itself this party for ever."""
    file = home.path / "gateway.toml"
    file.write_text(file.read_text().replace('environment = "test"', 'environment = "prod"'))
    assert tomllib.loads(file.read_text())["party"]["environment"] == "prod"
    found = by_name(examine(home.path))["root keys"]
    assert found.state == "warn"
    assert "root.ed25519" in (found.fix or "")


def test_tokens_that_end_are_told_of_30_and_7_days_before(home: Home) -> None:
    """By their own issue, not the account's: a system that is refused one morning sends nothing more."""
    home.run("client", "add", "border-system")
    home.run("user", "add", "sari", "--role", "officer")
    home.run("user", "add", "gone", "--role", "officer")
    home.run("user", "disable", "gone", "--yes")

    def looked(days: float) -> dict[str, Check]:
        return {
            name: check
            for name, check in by_name(examine(home.path, now_s=time.time() + days * DAY_S)).items()
            if "token" in name
        }

    assert looked(334.5)["tokens"].state == "ok"
    for days, words in ((336, "ends in 28 days"), (359, "ends in 5 days, within a week"), (366, "expired")):
        found = looked(days)
        assert set(found) == {"token of client border-system", "token of user sari"}
        for check in found.values():
            assert (check.state, words in check.finding) == ("warn", True)
        assert "`gateway user reset sari" in (found["token of user sari"].fix or "")
    with closing(sqlite3.connect(home.path / "data" / "gateway.db")) as database:
        database.execute("UPDATE accounts SET created_at = 1")
        database.commit()
    assert looked(334.5)["tokens"].state == "ok"


@pytest.mark.parametrize(("skew", "state"), [(90_000, "fail"), (-3, "ok"), (None, "warn")])
def test_clocks_that_run_apart_are_found_before_messages_are_deferred(home: Home, skew: int | None, state: str) -> None:
    """The two clocks may differ by two minutes; the doctor speaks at one."""
    assert by_name(examine(home.path, lambda _party: skew))["partner kh.gdi clock"].state == state
