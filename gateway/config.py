"""Reads the effective settings: `gateway.toml` < secret files < environment < flags.

Laws:
1. Unknown keys are errors in every layer: a misspelt limit must not fall back to its default in silence.
2. Settings are frozen once read; nothing in the process changes them.
3. A fault is one line: where it is set, which key, what to do. Values are never repeated: they may be secret.

The home directory (`GATEWAY_HOME` or `--home`) anchors every relative path.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import ValidationError

from gateway.errors import ConfigurationError
from gateway.settings import Address, Section, Settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["ENV_HOME", "SETTINGS_FILE", "Address", "Settings", "load_settings", "toml_text"]

SETTINGS_FILE: Final = "gateway.toml"
SECRETS_FOLDER: Final = "secrets"
ENV_PREFIX: Final = "GATEWAY__"
ENV_HOME: Final = "GATEWAY_HOME"
ENV_SECRETS: Final = "GATEWAY_SECRETS"


class _Layer(NamedTuple):
    """One place settings come from: `values` by section and field, `where` leads to them."""

    values: Mapping[str, Any]
    where: str
    env_style: bool = False

    def name(self, path: tuple[str, ...]) -> str:
        """Name the key `path` the way it is written in this layer."""
        return f"{self.where}{'__'.join(path).upper()}" if self.env_style else f"{self.where}: {'.'.join(path)}"


def load_settings(
    home: Path, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Read the layers over one another and check the result.

    `overrides` are the flags, nested like the file: `{"ops": {"listen": "127.0.0.1:0"}}`.
    Raises ConfigurationError whose detail is one line: where, which key, and the fix.
    """
    home = home.absolute()
    layers = (  # strongest first
        _Layer(overrides or {}, "flag"),
        _Layer(_read_environment(environ), ENV_PREFIX, env_style=True),
        _Layer(_read_secrets(home, environ), "secret file"),
        _Layer(_read_toml(home / SETTINGS_FILE), str(home / SETTINGS_FILE)),
    )

    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        _lay_over(merged, layer)
    try:
        settings = Settings.model_validate({**merged, "home": home})
    except ValidationError as refused:
        raise ConfigurationError(_explain(refused.errors(include_input=False)[0], layers)) from None
    _check_together(settings, layers)
    return settings


def _check_together(settings: Settings, layers: tuple[_Layer, ...]) -> None:
    def refuse(path: tuple[str, ...], fix: str) -> None:
        raise ConfigurationError(f"{_where(path, layers)}: {fix}")

    if settings.party.country.lower() != settings.party.id[:2]:
        refuse(("party", "country"), "must be the State that party.id begins with")
    if settings.audit.unwitnessed_stop_s < settings.audit.unwitnessed_alarm_s:
        refuse(("audit", "unwitnessed_stop_s"), "must not be shorter than audit.unwitnessed_alarm_s")
    if settings.audit.untimestamped_alarm_s <= settings.audit.timestamp_every_s:
        refuse(("audit", "untimestamped_alarm_s"), "must be longer than audit.timestamp_every_s")
    if settings.audit.untimestamped_stop_s < settings.audit.untimestamped_alarm_s:
        refuse(("audit", "untimestamped_stop_s"), "must not be shorter than audit.untimestamped_alarm_s")
    listeners = {
        "exchange": settings.exchange.address,
        "api": settings.api.address,
        "ops": settings.ops.address,
    }
    seen: dict[Address, str] = {}
    for section, address in listeners.items():
        if address.port and address in seen:
            refuse((section, "listen"), f"is taken by {seen[address]}.listen; choose another port")
        seen[address] = section


def _lay_over(merged: dict[str, Any], layer: _Layer) -> None:
    for section, fields in layer.values.items():
        if section not in _sections():
            raise ConfigurationError(f"{layer.name((section,))}: unknown setting; {_suggest((section,))}")
        if not isinstance(fields, Mapping):
            raise ConfigurationError(f"{layer.name((section,))}: is a section; write its settings under [{section}]")
        merged[section] = merged.get(section, {}) | dict(fields)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: not found; run `gateway init`, or name the home by --home or {ENV_HOME}"
        ) from None
    except (OSError, UnicodeDecodeError) as why:
        raise _unreadable(path, why) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        place = re.search(r"\(at .*\)", str(why))
        raise ConfigurationError(
            f"{path}: not valid TOML {place.group() if place else ''}; correct that line"
        ) from None


def _unreadable(path: Path, why: OSError | UnicodeDecodeError) -> ConfigurationError:
    reason = (why.strerror or "") if isinstance(why, OSError) else "not UTF-8"
    return ConfigurationError(f"{path}: cannot be read ({reason}); mend what stands there or its permissions")


def _nest(flat: Mapping[tuple[str, ...], str], name: Callable[[tuple[str, ...]], str]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, text in flat.items():
        if len(path) != 2 or path[0] not in _sections():
            raise ConfigurationError(f"{name(path)}: unknown setting; {_suggest(path)}")
        nested.setdefault(path[0], {})[path[1]] = text
    return nested


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    flat = {
        tuple(key[len(ENV_PREFIX) :].lower().split("__")): value
        for key, value in environ.items()
        if key.startswith(ENV_PREFIX)
    }
    return _nest(flat, lambda path: ENV_PREFIX + "__".join(path).upper())


def _read_secrets(home: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Read files named `section__field` in `secrets/` of the home or the folder GATEWAY_SECRETS names."""
    named = environ.get(ENV_SECRETS)
    folder = path = Path(named) if named else home / SECRETS_FOLDER
    flat: dict[tuple[str, ...], str] = {}
    try:
        if not folder.is_dir():
            if named:
                raise ConfigurationError(f"{ENV_SECRETS}: {folder} is not a folder; create it or unset the variable")
            return {}
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue  # orchestrators keep `..data` links beside the files they mount
            if not named and path.stat().st_mode & 0o077:
                raise ConfigurationError(f"{path}: readable by others; run `chmod 600 {path}`")
            flat[tuple(path.name.lower().split("__"))] = path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as why:
        raise _unreadable(path, why) from None
    return _nest(flat, lambda key: f"{folder / '__'.join(key)}")


# --- explaining faults ----------------------------------------------------------------------------


def _sections() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found[name] = list(field.annotation.model_fields)
    return found


def _suggest(path: tuple[str, ...]) -> str:
    sections = _sections()
    every = [f"{section}.{field}" for section, fields in sections.items() for field in fields]
    near = difflib.get_close_matches(".".join(path), every if len(path) > 1 else sections, 1, 0.6)
    if near:
        return f"did you mean {near[0]}?"
    if path[0] in sections:
        return f"remove it; {path[0]} has {', '.join(sections[path[0]])}"
    return f"remove it; the sections are {' '.join(sections)}"


def _where(path: tuple[str, ...], layers: tuple[_Layer, ...]) -> str:
    for layer in layers:
        value: Any = layer.values
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            return layer.name(path)
    return layers[-1].name(path)


def _explain(error: ErrorDetails, layers: tuple[_Layer, ...]) -> str:
    path = tuple(str(step) for step in error["loc"])[:2]
    where = _where(path, layers)
    match error["type"]:
        case "extra_forbidden":
            return f"{where}: unknown setting; {_suggest(path)}"
        case "missing":
            return f"{where}: is missing; add it"
        case "value_error":
            return f"{where}: {error['ctx']['error']}"
        case _:
            return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}; change it"


def toml_text(value: str) -> str:
    """Write a one-line string as TOML: for printable text JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=False)
