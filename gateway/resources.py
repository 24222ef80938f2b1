"""Finds the shipped `schemas/` and `config/`, in an installed wheel or in a source tree."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

_PACKAGE: Final = Path(__file__).resolve().parent


def schemas_path() -> Path:
    """Return the folder of shipped schemas, code lists and examples."""
    return _shipped("schemas")


def config_path() -> Path:
    """Return the folder of shipped configuration: commented settings, two parties, the strict agreement."""
    return _shipped("config")


def _shipped(name: str) -> Path:
    for folder in (_PACKAGE / "data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigurationError(f"{name}: not found beside the package; install the gateway again")
