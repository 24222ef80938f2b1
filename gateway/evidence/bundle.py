"""A bundle from its parts: files, page, guide, list, container, in this order and always the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence import container
from gateway.evidence.facts import read_facts
from gateway.evidence.files import GUIDE, LISTING, PAGE, write_files, write_listing
from gateway.evidence.guide import write_guide
from gateway.evidence.page import write_page

if TYPE_CHECKING:
    from gateway.evidence.facts import Facts
    from gateway.evidence.parts import Parts


def write_bundle(parts: Parts) -> bytes:
    """Return the zip, format `bcx-evidence/1`. The same parts give the same bytes, anywhere and always."""
    files = write_files(parts)
    files |= write_pages(parts, files, read_facts(parts))
    listed = {LISTING: write_listing(parts, files), **dict(sorted(files.items()))}
    return container.write(listed.items())


def write_pages(parts: Parts, files: dict[str, bytes], facts: Facts) -> dict[str, bytes]:
    """Return page and guide over the files that hold the parts, with what was read from them."""
    return {PAGE: write_page(parts, facts), GUIDE: write_guide(parts, facts, files)}
