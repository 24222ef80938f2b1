"""What `gateway init` makes: a home with everything `serve` needs.

gateway.toml     who we are and where we listen; the commented list of all keys is config/gateway.toml
agreement.toml   who may send what; `test` gets a marked test agreement, `prod` one that permits nothing yet
keys/            0700, see gateway.keyring.files
data/            0700; the store makes its database there
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.config import SETTINGS_FILE, Settings, load_settings, toml_text
from gateway.errors import Clash, ConfigurationError
from gateway.keyring import disk
from gateway.keyring.files import FileKeyRing, Hosts, create_keys, open_keys
from gateway.protocol.agreement import test_agreement
from gateway.protocol.ids import PartyId
from gateway.resources import config_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

AGREEMENT_FILE: Final = "agreement.toml"
KEYS_FOLDER: Final = "keys"
DATA_FOLDER: Final = "data"
# The two authorities of this exchange: a test home can talk to the other one without further papers.
TEST_PARTIES: Final = (PartyId("id.imigrasi"), PartyId("kh.gdi"))


@dataclass(frozen=True, slots=True)
class InitOptions:
    """The options of `gateway init`; None leaves the default of `config/gateway.toml`."""

    party: str
    name: str
    country: str
    environment: Literal["prod", "test"] = "prod"
    exchange_listen: str | None = None
    exchange_url: str | None = None
    api_listen: str | None = None
    api_url: str | None = None
    ops_listen: str | None = None

    def sections(self) -> dict[str, dict[str, str]]:
        """Return the settings to write, by section; an address not given follows from its listener."""
        exchange_listen = self.exchange_listen or "127.0.0.1:8443"
        api_listen = self.api_listen or "127.0.0.1:8444"
        return {
            "party": {
                "id": self.party,
                "name": self.name,
                "country": self.country,
                "environment": self.environment,
            },
            "exchange": {
                "listen": exchange_listen,
                "url": self.exchange_url or f"https://{exchange_listen}/bcx/v1",
            },
            "api": {"listen": api_listen, "url": self.api_url or f"https://{api_listen}"},
            "ops": {"listen": self.ops_listen or "127.0.0.1:8445"},
        }


def init(
    home: Path, options: InitOptions, *, now_ms: int, entropy: Callable[[int], bytes] = os.urandom
) -> tuple[Settings, FileKeyRing]:
    """Make the home of a new party.

    Raises Clash where a home exists already, ConfigurationError where an option is wrong; then nothing is
    left behind. `gateway.toml` comes last: a folder with it is whole.
    """
    home = home.absolute()
    taken = [home / name for name in (SETTINGS_FILE, AGREEMENT_FILE, KEYS_FOLDER, DATA_FOLDER)]
    for path in taken:
        if path.exists():
            raise Clash(f"{path} exists already; choose another --home, or move that one away first")
    new_folder = not home.exists()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        (home / SETTINGS_FILE).write_text(_settings_text(options.sections()), "utf-8")
        settings = load_settings(home, environ={})
        (home / SETTINGS_FILE).unlink()
        ring = create_keys(home / KEYS_FOLDER, settings.me, hosts(settings), now_ms=now_ms, entropy=entropy)
        disk.make_folder(home / DATA_FOLDER)
        disk.write_private(home / AGREEMENT_FILE, _agreement(settings).encode())
        disk.write_private(home / SETTINGS_FILE, _settings_text(options.sections()).encode())
    except BaseException:
        for path in taken:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if new_folder:
            home.rmdir()
        raise
    return settings, ring


def open_home(
    home: Path, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Settings, FileKeyRing]:
    """Read settings and keys of an existing home. Raises ConfigurationError with the fix."""
    settings = load_settings(home, overrides, environ)
    return settings, open_keys(settings.keys_path, settings.me)


def hosts(settings: Settings) -> Hosts:
    """Return the hosts the two server certificates must answer to."""
    return Hosts(settings.exchange.host, settings.api.host)


def _agreement(settings: Settings) -> str:
    if settings.party.environment == "test":
        return test_agreement(settings.me, *(party for party in TEST_PARTIES if party != settings.me))
    path = config_path() / AGREEMENT_FILE
    try:
        return path.read_text("utf-8")
    except OSError:
        raise ConfigurationError(f"{path}: cannot be read; install the gateway again") from None


def _settings_text(sections: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["# Settings of this gateway. `gateway config show` lists all that can be set, with what is in force."]
    for section, fields in sections.items():
        lines += ["", f"[{section}]", *(f"{key} = {toml_text(value)}" for key, value in fields.items())]
    return "\n".join(lines) + "\n"
