"""`gateway init`: everything `serve` needs, or nothing at all."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.config import load_settings
from gateway.errors import Clash, ConfigurationError
from gateway.home import InitOptions, hosts, init, open_home
from gateway.protocol.agreement import parse_agreement

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_485_605_000
OPTIONS = InitOptions("id.imigrasi", 'Direktorat "Jenderal" Imigrasi', "ID", "test")


def test_a_home_holds_all_that_serve_needs(tmp_path: Path) -> None:
    """Settings, agreement, keys and a private data folder, under a home only its owner enters."""
    home = tmp_path / "deep" / "home"
    settings, ring = init(home, OPTIONS, now_ms=NOW)
    assert sorted(path.name for path in home.iterdir()) == ["agreement.toml", "data", "gateway.toml", "keys"]
    assert {path.stat().st_mode & 0o077 for path in (home, *home.rglob("*"))} == {0}
    again, reopened = open_home(home, environ={})
    assert again == settings
    assert again.party.name == 'Direktorat "Jenderal" Imigrasi'
    assert reopened.public_keys() == ring.public_keys()
    assert settings.database_path.parent.is_dir()


def test_options_become_settings(tmp_path: Path) -> None:
    """Each option lands in its key; an address that is not given follows from its listener."""
    options = replace(
        OPTIONS,
        exchange_listen="0.0.0.0:9001",
        exchange_url="https://gw.example:9443/bcx/v1",
        api_listen="[::1]:9002",
        ops_listen="127.0.0.2:9003",
    )
    settings, ring = init(tmp_path / "home", options, now_ms=NOW)
    assert settings.exchange.listen == "0.0.0.0:9001"
    assert settings.exchange.url == "https://gw.example:9443/bcx/v1"
    assert settings.api.url == "https://[::1]:9002"
    assert settings.ops.address == ("127.0.0.2", 9003)
    assert hosts(settings) == ("gw.example", "::1")
    assert ring.renew_tls(NOW, hosts(settings)) == ()


def test_a_test_home_permits_the_two_authorities(tmp_path: Path) -> None:
    """The marked test agreement is written and reads back in `test`."""
    settings, _ = init(tmp_path / "home", OPTIONS, now_ms=NOW)
    text = settings.agreement_path.read_text()
    assert "TEST AGREEMENT" in text
    assert "kh.gdi" in text
    parse_agreement_text(text, "test")


def test_a_prod_home_gets_the_strict_agreement(tmp_path: Path) -> None:
    """Nothing of the test agreement reaches production."""
    settings, _ = init(tmp_path / "home", replace(OPTIONS, environment="prod"), now_ms=NOW)
    text = settings.agreement_path.read_text()
    assert "TEST AGREEMENT" not in text
    parse_agreement_text(text, "prod")


def parse_agreement_text(text: str, environment: str) -> None:
    """Read an agreement as `serve` will; raises where it is refused."""
    parse_agreement(tomllib.loads(text), environment=environment)


@pytest.mark.parametrize("name", ["gateway.toml", "agreement.toml", "keys", "data"])
def test_an_existing_home_is_never_touched(tmp_path: Path, name: str) -> None:
    """Part of a home is enough to refuse, and it is left as it was."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(Clash, match=f"{name} exists already"):
        init(tmp_path, OPTIONS, now_ms=NOW)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_an_empty_folder_may_become_a_home(tmp_path: Path) -> None:
    """A mounted volume exists before its home does; other files in it do not matter."""
    (tmp_path / "lost+found").mkdir()
    init(tmp_path, OPTIONS, now_ms=NOW)
    assert load_settings(tmp_path, environ={}).me == "id.imigrasi"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (replace(OPTIONS, country="KH"), r"party\.country"),
        (replace(OPTIONS, party="imigrasi"), r"party\.id"),
        (replace(OPTIONS, name=""), r"party\.name"),
        (replace(OPTIONS, name="a\nb"), r"party\.name"),
        (replace(OPTIONS, exchange_listen="0.0.0.0:8443"), r"exchange\.url"),
        (replace(OPTIONS, ops_listen="10.0.0.1:1"), r"ops\.listen"),
    ],
)
def test_a_wrong_option_leaves_nothing_behind(tmp_path: Path, options: InitOptions, reason: str) -> None:
    """The key is named and the folder is as it was."""
    with pytest.raises(ConfigurationError, match=reason):
        init(tmp_path / "home", options, now_ms=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the source of chance dries up, the next try finds a clean place."""
    drawn = iter([b"\x01" * 32, b"\x02" * 32])

    def entropy(_: int) -> bytes:
        return next(drawn)

    with pytest.raises(StopIteration):
        init(tmp_path / "home", OPTIONS, now_ms=NOW, entropy=entropy)
    assert list(tmp_path.iterdir()) == []
    init(tmp_path / "home", OPTIONS, now_ms=NOW, entropy=os.urandom)
