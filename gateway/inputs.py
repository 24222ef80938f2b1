"""Reads the files that a start needs beside settings and keys: agreement, code lists, schemas."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from gateway.casework.codelists import CodeLists
from gateway.errors import ConfigurationError, RequestError
from gateway.protocol.agreement import Agreement, parse_agreement
from gateway.registry.subject import SchemaVersion, load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.settings import Settings


def read_agreement(settings: Settings) -> Agreement:
    """Read `agreement.toml` of the home. Raises ConfigurationError naming file, key and fix."""
    path = settings.agreement_path
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        detail = f"{path}: not found; copy config/agreement.toml there and fill it in"
        raise ConfigurationError(detail) from None
    except OSError as error:
        detail = f"{path}: {error.strerror}; make it readable for the gateway's user"
        raise ConfigurationError(detail) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        detail = f"{path}: not valid TOML ({type(error).__name__}); correct it, `gateway config check` tells"
        raise ConfigurationError(detail) from None
    return parse_agreement(found, environment=settings.party.environment, name=str(path))


def read_codelists(folder: Path) -> tuple[CodeLists, dict[str, frozenset[str]]]:
    """Read the code lists; return them, and the codes by `name@version` as validators want them."""
    lists = CodeLists.load({path.stem: path.read_bytes() for path in sorted((folder / "codelists").glob("*.json"))})
    by_name = ((lists.get(name), name) for name in lists.names())
    return lists, {f"{name}@{held.version}": frozenset(held.codes) for held, name in by_name if held is not None}


def read_schemas(folder: Path, held: Mapping[tuple[str, str], bytes]) -> list[SchemaVersion]:
    """Read `<folder>/<subject>/<semver>.json`, but for what is `held` byte for byte: linting it took most of a start.

    Raises ConfigurationError naming the file at fault.
    """
    found: list[SchemaVersion] = []
    for path in sorted(folder.glob("*.*/[0-9]*.json")) if folder.is_dir() else ():
        raw = path.read_bytes()
        if held.get((path.parent.name, path.stem)) == raw:
            continue
        try:
            found.append(load_schema(raw, subject=path.parent.name, version=path.stem))
        except RequestError as error:
            places = "; ".join(f"{f.pointer or '/'} {f.reason}" for f in error.errors[:3])
            detail = f"{path}: {error.detail} {places}; correct the file or remove it"
            raise ConfigurationError(detail) from None
    return found
