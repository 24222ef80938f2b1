"""A store in a fresh file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.storage.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Open a store."""
    opened = SqliteStore.open(tmp_path / "data" / "gateway.db")
    yield opened
    await opened.close()
