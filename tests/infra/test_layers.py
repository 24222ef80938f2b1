"""The import law of the architecture, read from the source: arrows point down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "gateway"

PURE = {"protocol", "ledger", "registry", "casework"}
BOTTOM = {"errors", "primitives"}
# Pure compositions of the pure packages: they may join what those may not.
COMPOSED = {"evidence"}
BELOW_SERVICES = BOTTOM | PURE | COMPOSED | {"ports"}
SHARED = {"logs", "resources"}

# Each part of the gateway and the parts it may import beside itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "primitives": {"errors"},
    **dict.fromkeys(PURE, BOTTOM),
    **dict.fromkeys(COMPOSED, BOTTOM | {"protocol", "ledger", "registry"}),
    "ports": BOTTOM | PURE,
    "resources": {"errors"},
    "logs": BOTTOM,
    "settings": BOTTOM | {"protocol"},
    "config": BOTTOM | {"protocol", "settings"},
    "storage": BELOW_SERVICES | SHARED,
    "transport": BELOW_SERVICES | SHARED,
    "keyring": BELOW_SERVICES | SHARED,
    "screening": BELOW_SERVICES | SHARED,
    "services": BELOW_SERVICES | SHARED,
    "home": BELOW_SERVICES | SHARED | {"settings", "config", "keyring"},
    "inputs": BELOW_SERVICES | SHARED | {"settings"},
    "running": BELOW_SERVICES | SHARED | {"settings", "config", "keyring", "storage", "transport", "services"},
    "runtime": BELOW_SERVICES
    | SHARED
    | {"settings", "config", "keyring", "home", "inputs", "storage", "transport", "screening", "services", "running"},
    "web": BELOW_SERVICES | SHARED | {"settings", "config", "services", "running"},
    "local": BOTTOM,
    "serving": BELOW_SERVICES
    | SHARED
    | {"settings", "config", "keyring", "storage", "transport", "services", "running", "runtime", "web", "local"},
    "doctor": BELOW_SERVICES
    | SHARED
    | {"settings", "config", "keyring", "home", "storage", "transport", "services", "running", "runtime", "local"},
    "cli": BELOW_SERVICES
    | SHARED
    | {"settings", "config", "keyring", "home", "storage", "transport", "services", "running", "runtime", "web"}
    | {"local", "serving", "doctor", "inputs"},
}
# What would make a decision depend on more than its arguments.
IMPURE_MODULES = {
    *("asyncio", "aiohttp", "aiosqlite", "sqlalchemy", "socket", "ssl", "time", "random", "secrets", "os"),
}
IMPURE_CALLS = {"now", "utcnow", "today"}


def part_of(path: Path) -> str:
    """Return the top-level part a file of `gateway/` belongs to."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and dotted name of every import, those for type checking and inside functions too."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "gateway":
                found += [(node.lineno, f"gateway.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, module))
    return found


def broken_laws(source: str, part: str) -> list[str]:
    """Return what a file of `part` does against the law, one line each."""
    tree = ast.parse(source)
    faults: list[str] = []
    for line, name in imported(tree):
        top, _, rest = name.partition(".")
        if name.startswith("."):
            faults.append(f"{line}: relative import hides the layer")
        elif top == "gateway" and rest and rest != "__version__":
            target = rest.partition(".")[0]
            if target != part and target not in ALLOWED.get(part, set()):
                faults.append(f"{line}: {part} must not import {target}")
        elif part in PURE | COMPOSED | {"primitives"} and top in IMPURE_MODULES:
            faults.append(f"{line}: {part} is pure and must not import {top}")
    if part in PURE | COMPOSED | {"primitives"}:
        faults += [
            f"{node.lineno}: {part} is pure and must not ask for the time"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in IMPURE_CALLS
            and isinstance(node.value, ast.Name)
            and node.value.id in {"datetime", "date"}
        ]
    return faults


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_every_import_points_down(path: Path) -> None:
    """Arrows point down; pure parts know neither clock, chance nor network."""
    part = part_of(path)
    if part != "__init__":
        assert part in ALLOWED, f"{part} has no place in the layers"
        assert broken_laws(path.read_text("utf-8"), part) == []


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("protocol", "import asyncio"),
        ("ledger", "from time import time"),
        ("registry", "from gateway.casework import names"),
        ("casework", "from gateway import ports"),
        ("evidence", "from gateway.ports import Clock"),
        ("evidence", "import time"),
        ("primitives", "from datetime import datetime\nat = datetime.now()"),
        ("services", "def late():\n    from gateway.storage.store import Store"),
        ("keyring", "from gateway.transport.tls import ExchangeTls"),
        ("services", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gateway.web import app"),
        ("web", "import gateway.storage.tables"),
        ("protocol", "from . import ids"),
        ("runtime", "from gateway.cli import main"),
    ],
)
def test_the_law_sees_each_kind_of_breach(part: str, source: str) -> None:
    """The checker itself can fail: each forbidden import is found, however it is written."""
    assert len(broken_laws(source, part)) == 1


def test_a_lawful_file_passes() -> None:
    """Imports of lower layers and of other people's packages are no fault."""
    source = "import orjson\nfrom gateway.errors import Finding\nfrom gateway.primitives import b64u\n"
    assert broken_laws(source, "protocol") == []
