"""Another program that keeps an old snapshot of a database open, as a forgotten shell does."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

CODE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM state").fetchone(), flush=True)
sys.stdin.read()
"""


async def reading(path: Path) -> Process:
    """Start it; it reads until its stdin is closed."""
    pipe = asyncio.subprocess.PIPE
    found = await asyncio.create_subprocess_exec(sys.executable, "-c", CODE, str(path), stdin=pipe, stdout=pipe)
    assert found.stdout is not None
    await found.stdout.readline()
    return found
