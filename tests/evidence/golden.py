"""Bundles as the format `bcx-evidence/1` has them, kept in `tests/vectors`: what a court holds must verify for ever.

`python -m tests.evidence.golden` writes them anew. After a release that is no remedy: whoever changes the words of
page or guide makes a format of its own, and keeps the words of this one for the bundles that have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.evidence.bundle import write_bundle
from tests.docs.pages import ROOT
from tests.evidence.story import Story, unsent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.evidence.parts import Parts

FOLDER: Final = ROOT / "tests" / "vectors"
GOLDEN: Final[dict[str, Callable[[], Parts]]] = {
    "evidence-1-accepted.zip": lambda: Story().parts(),
    "evidence-1-unsent.zip": lambda: unsent(Story()),
}


def main() -> None:
    """Write them."""
    for name, parts in GOLDEN.items():
        (FOLDER / name).write_bytes(write_bundle(parts()))


if __name__ == "__main__":
    main()
