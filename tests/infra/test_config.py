"""Settings: layers over one another, frozen, closed to unknown keys, explained in one line."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import load_settings, toml_text
from gateway.errors import ConfigurationError
from gateway.settings import Settings, parse_address

CONFIG = Path(__file__).resolve().parents[2] / "config"
PARTY = '[party]\nid = "id.imigrasi"\nname = "N"\ncountry = "ID"\nenvironment = "test"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with the least settings."""
    (tmp_path / "gateway.toml").write_text(PARTY)
    return tmp_path


def write_secret(home: Path, name: str, text: str, mode: int = 0o600) -> Path:
    """Write a secret file into the home."""
    (home / "secrets").mkdir(exist_ok=True)
    path = home / "secrets" / name
    path.write_text(text)
    path.chmod(mode)
    return path


def fault(home: Path, overrides: dict[str, Any] | None = None, environ: dict[str, str] | None = None) -> str:
    """Return the one-line reason why the settings are refused."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(home, overrides, environ or {})
    detail = refused.value.detail
    assert "\n" not in detail
    return detail


def test_defaults_are_those_of_the_shipped_file() -> None:
    """config/gateway.toml names every key there is, each with its real default."""
    shipped = tomllib.loads((CONFIG / "gateway.toml").read_text())
    party = shipped.pop("party")
    settings = Settings.model_validate({"home": "/h", "party": party})
    assert set(party) == set(type(settings.party).model_fields)
    assert shipped == settings.model_dump(exclude={"home", "party"})


def test_every_shipped_key_has_a_comment_above_it() -> None:
    """No key of config/gateway.toml stands without an explanation."""
    lines = (CONFIG / "gateway.toml").read_text().splitlines()
    pairs = itertools.pairwise(lines)
    bare = [line for above, line in pairs if " = " in line and line[0] != "#" and above[:1] != "#"]
    assert bare == []


@pytest.mark.parametrize(
    ("name", "party", "endpoint"),
    [
        ("id.imigrasi.toml", "id.imigrasi", "https://id:8443/bcx/v1"),
        ("kh.gdi.toml", "kh.gdi", "https://kh:8443/bcx/v1"),
    ],
)
def test_the_two_shipped_parties_load(tmp_path: Path, name: str, party: str, endpoint: str) -> None:
    """Both example files are valid settings as they stand."""
    (tmp_path / "gateway.toml").write_text((CONFIG / name).read_text())
    settings = load_settings(tmp_path, environ={})
    assert (settings.me, settings.exchange.url) == (party, endpoint)


def test_each_layer_wins_over_the_one_below(home: Path) -> None:
    """gateway.toml < secret files < environment < flags."""
    (home / "gateway.toml").write_text(
        PARTY + "[delivery]\nlinger_ms = 1\nprobe_every_s = 1\nrequest_timeout_s = 1\nenvelope_events_max = 1\n"
    )
    for field in ("probe_every_s", "request_timeout_s", "envelope_events_max"):
        write_secret(home, f"delivery__{field}", "2\n")
    environ = {
        "GATEWAY__DELIVERY__REQUEST_TIMEOUT_S": "3",
        "GATEWAY__DELIVERY__ENVELOPE_EVENTS_MAX": "3",
        "GATEWAY_HOME": "/elsewhere",
        "PATH": "/bin",
    }
    delivery = load_settings(home, {"delivery": {"envelope_events_max": 4}}, environ).delivery
    assert delivery.linger_ms == 1
    assert delivery.probe_every_s == 2
    assert delivery.request_timeout_s == 3
    assert delivery.envelope_events_max == 4
    assert delivery.default_expiry_days == 14


def test_settings_cannot_be_changed(home: Path) -> None:
    """A section and the whole are frozen."""
    settings = load_settings(home, environ={})
    with pytest.raises(ValidationError, match="frozen"):
        settings.delivery.linger_ms = 5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.audit = settings.audit  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[delivery]\nlinger_mss = 3\n",
            ["gateway.toml: delivery.linger_mss", "did you mean delivery.linger_ms?"],
        ),
        ("[delivery]\nxyzzy = 3\n", ["gateway.toml: delivery.xyzzy", "delivery has linger_ms"]),
        ("[deliverie]\nlinger_ms = 3\n", ["gateway.toml: deliverie", "did you mean delivery?"]),
        ("[xyzzy]\nlinger_ms = 3\n", ["gateway.toml: xyzzy", "the sections are party exchange"]),
        ('home = "/x"\n', ["gateway.toml: home: unknown setting"]),
        ("audit = 3\n", ["gateway.toml: audit", "under [audit]"]),
        (
            "[delivery]\nlinger_ms = 2000\n",
            ["gateway.toml: delivery.linger_ms", "less than or equal to 1000"],
        ),
        ('[delivery]\nlinger_ms = "soon"\n', ["gateway.toml: delivery.linger_ms", "integer"]),
        ("[delivery]\nprobe_every_s = 61\n", ["delivery.probe_every_s", "60"]),
        ("[delivery]\ndefault_expiry_days = 31\n", ["delivery.default_expiry_days", "30"]),
        ("[delivery]\nenvelope_events_max = 101\n", ["delivery.envelope_events_max", "100"]),
        ('[ops]\nlisten = "0.0.0.0:9"\n', ["gateway.toml: ops.listen", "loopback"]),
        ('[ops]\nlisten = "ops.example:9"\n', ["gateway.toml: ops.listen", "loopback"]),
        ('[api]\nlisten = "127.0.0.1"\n', ["gateway.toml: api.listen", "HOST:PORT"]),
        ('[api]\nlisten = "127.0.0.1:70000"\n', ["gateway.toml: api.listen", "HOST:PORT"]),
        ('[api]\nlisten = "::1:80"\n', ["gateway.toml: api.listen", "HOST:PORT"]),
        ('[api]\nurl = "http://h:1"\n', ["gateway.toml: api.url", "https://"]),
        ('[api]\nurl = "https://h:1/api"\n', ["gateway.toml: api.url", "must not have a path"]),
        ('[exchange]\nurl = "https://h:1"\n', ["gateway.toml: exchange.url", "include the path"]),
        ('[exchange]\nurl = "https://h:1/bcx/v1/"\n', ["gateway.toml: exchange.url", "slash"]),
        ('[exchange]\nurl = "https://u:p@h:1/bcx"\n', ["gateway.toml: exchange.url", "no user"]),
        ('[exchange]\nurl = "https://0.0.0.0:1/bcx"\n', ["gateway.toml: exchange.url", "reach"]),
        ('[exchange]\nurl = "https://h:x/bcx"\n', ["gateway.toml: exchange.url", "https address"]),
        (
            '[storage]\nurl = "postgresql://u:secret@db/x"\n',
            ["gateway.toml: storage.url", "SQLite only", "sqlite:///"],
        ),
        ('[storage]\nurl = "sqlite:///data/x.db?mode=ro"\n', ["gateway.toml: storage.url", "sqlite:///PATH"]),
        ("[audit]\nunwitnessed_stop_s = 60\n", ["gateway.toml: audit.unwitnessed_stop_s", "shorter"]),
        ("[audit]\nuntimestamped_alarm_s = 60\n", ["gateway.toml: audit.untimestamped_alarm_s", "longer"]),
        ("[audit]\nuntimestamped_stop_s = 60\n", ["gateway.toml: audit.untimestamped_stop_s", "shorter"]),
        ('[audit]\ntimestamp_url = "ftp://u:secret@h/"\n', ["gateway.toml: audit.timestamp_url", "must be empty"]),
        ('[api]\nlisten = "127.0.0.1:8443"\n', ["api.listen", "taken by exchange.listen"]),
        ("[party\n", ["gateway.toml: not valid TOML (at line 6"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_fix(home: Path, text: str, expected: list[str]) -> None:
    """Each fault names file and key and says what to do, and never repeats the value."""
    path = home / "gateway.toml"
    # TOML's top-level keys stand before the first table.
    path.write_text(PARTY + text if text.startswith("[") else text + PARTY)
    detail = fault(home)
    assert detail.startswith(str(home)) or "listen" in detail
    assert all(part in detail for part in expected), detail
    assert "secret" not in detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "party: is missing"),
        ('[party]\nid = "id.imigrasi"\nname = "N"\n', "party.country: is missing"),
        (PARTY.replace('"ID"', '"KH"'), "party.country: must be the State"),
        (PARTY.replace("id.imigrasi", "ID.IMIGRASI"), "party.id: not a party id"),
        (PARTY.replace('"N"', '"two\\nlines"'), "party.name: must be one line"),
        (PARTY.replace('"test"', '"staging"'), "party.environment: input should be 'prod' or 'test'"),
    ],
)
def test_a_party_must_be_whole(tmp_path: Path, text: str, expected: str) -> None:
    """The section that has no defaults is checked member by member."""
    (tmp_path / "gateway.toml").write_text(text)
    assert expected in fault(tmp_path)


def test_a_missing_home_says_how_to_make_one(tmp_path: Path) -> None:
    """Without a settings file the operator is told of `gateway init`."""
    assert "run `gateway init`" in fault(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    ["GATEWAY__DELIVERY__LINGER", "GATEWAY__NOPE__X", "GATEWAY__DELIVERY", "GATEWAY__A__B__C"],
)
def test_an_unknown_variable_is_named(home: Path, name: str) -> None:
    """A misspelt environment variable is an error, and is named as it was written."""
    assert fault(home, environ={name: "7"}).startswith(f"{name}: unknown setting; ")


def test_a_wrong_variable_is_named_not_the_file(home: Path) -> None:
    """The strongest layer that sets a key is the one to mend."""
    (home / "gateway.toml").write_text(PARTY + "[delivery]\nlinger_ms = 1\n")
    detail = fault(home, environ={"GATEWAY__DELIVERY__LINGER_MS": "-1"})
    assert detail.startswith("GATEWAY__DELIVERY__LINGER_MS: ")


def test_a_wrong_flag_is_named(home: Path) -> None:
    """Flags are the strongest layer."""
    assert fault(home, {"ops": {"listen": "8.8.8.8:1"}}).startswith("flag: ops.listen: ")


def test_a_secret_others_can_read_is_refused(home: Path) -> None:
    """A loose secret file stops the start; its content stays out of the message."""
    write_secret(home, "storage__url", "sqlite:///hush.db", 0o644)
    detail = fault(home)
    assert "chmod 600" in detail
    assert "hush" not in detail


def test_secrets_can_be_mounted_elsewhere(home: Path, tmp_path: Path) -> None:
    """GATEWAY_SECRETS names a folder such as an orchestrator mounts; hidden entries there are passed over."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "storage__url").write_text("sqlite:///data/other.db\n")
    (folder / "..data").write_text("x")
    settings = load_settings(home, environ={"GATEWAY_SECRETS": str(folder)})
    assert settings.database_path == home / "data/other.db"
    assert "GATEWAY_SECRETS" in fault(home, environ={"GATEWAY_SECRETS": str(tmp_path / "gone")})


def test_an_unknown_secret_file_is_an_error(home: Path) -> None:
    """A misspelt secret must not fall back to a default."""
    write_secret(home, "storage__urll", "x")
    assert "did you mean storage.url?" in fault(home)


def test_paths_hang_on_the_home(home: Path) -> None:
    """Relative storage lies in the home, four slashes leave it."""
    assert load_settings(home, environ={}).database_path == home / "data/gateway.db"
    absolute = load_settings(home, {"storage": {"url": "sqlite:////var/lib/g.db"}}, {})
    assert absolute.database_path == Path("/var/lib/g.db")


def test_shown_settings_hold_every_key(home: Path) -> None:
    """`config show` gives all that is in force as plain JSON types."""
    shown = load_settings(home, environ={}).redacted()
    assert shown["home"] == str(home)
    assert shown["exchange"] == {"listen": "127.0.0.1:8443", "url": "https://127.0.0.1:8443/bcx/v1"}
    assert set(shown) == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:8443", "::1", 8443),
        ("gw-1.example:65535", "gw-1.example", 65535),
    ],
)
def test_addresses_are_read(text: str, host: str, port: int) -> None:
    """IPv4, IPv6 in brackets and names, with a port."""
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize("name", ['He said "hi"', "ក្រសួង", "back\\slash", "a'b"])
def test_a_name_survives_being_written_as_toml(name: str) -> None:
    """Whatever is printable comes back as it was."""
    assert tomllib.loads(f"x = {toml_text(name)}")["x"] == name
