"""One pair that exchanges and one API, shared by a module; made in tests/api/conftest.py."""

from __future__ import annotations

from tests.api.conftest import api, log_lines, pair

__all__ = ["api", "log_lines", "pair"]
