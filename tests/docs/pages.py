"""Reads the lists that documentation and code share: `<!-- list: NAME -->` … `<!-- end -->`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    """Return a page of the repository."""
    return (ROOT / name).read_text("utf-8")


def listed(name: str, title: str, kind: str = "list") -> str:
    """Return the text of one list, or one `output`, of a page."""
    found = re.search(rf"<!-- {kind}: {re.escape(title)} -->\n(.*?)<!-- end -->", page(name), re.DOTALL)
    assert found, f"{name} has no {kind} {title}"
    return found[1]


def rows(name: str, title: str) -> list[list[str]]:
    """Return the cells of a list that is a table, without its head."""
    lines = [line for line in listed(name, title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def words(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)
