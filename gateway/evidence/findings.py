"""What a verification finds: every fault with its step, its file, what is wrong, and what that means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

CONTAINER, LIST, CARDS, EVENT, MANIFEST, RECEIPT, LOG, WITNESS, OWN_LOG, SCHEMA, PAGES, STAMP = range(1, 13)

STEPS: Final = {
    CONTAINER: "the container",
    LIST: "the files",
    CARDS: "whose keys",
    EVENT: "the event",
    MANIFEST: "the manifest",
    RECEIPT: "the receipt",
    LOG: "the recipient's log",
    WITNESS: "who else vouches",
    OWN_LOG: "the sender's log",
    SCHEMA: "the schema",
    PAGES: "the page and the guide",
    STAMP: "the timestamp",
}
"""The steps of `docs/evidence.md` and of the guide in each bundle, by number."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: in which step, in which file, what, and its meaning in plain words."""

    step: int
    file: str
    what: str
    meaning: str


@dataclass(slots=True)
class Findings:
    """Collects faults; the steps that were done are noted, so that none can be left out unseen."""

    faults: list[Fault] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    def fault(self, step: int, file: str, what: str, meaning: str) -> None:
        """Note a fault. Names and texts of a made-up bundle reach a terminal: no control character goes with them."""
        self.done.add(step)
        self.faults.append(Fault(step, _printable(file), _printable(what), meaning))

    def check(self, step: int, holds: bool, file: str, what: str, meaning: str) -> bool:  # noqa: FBT001 - what holds is what the call is about
        """Note that a check was done, and a fault where it does not hold; return whether it does."""
        self.done.add(step)
        if not holds:
            self.fault(step, file, what, meaning)
        return holds


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
