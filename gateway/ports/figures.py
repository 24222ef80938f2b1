"""What is read out of messages for statistics and search, and figures brought in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from gateway.casework.counting import Amendment
    from gateway.casework.figures import Imported
    from gateway.casework.names import NameKey

Rows = Sequence[Mapping[str, Any]]
Direction = Literal["out", "in"]


@dataclass(frozen=True, slots=True)
class Unread:
    """A message that statistics and search have not read yet.

    `event` is None where its body was erased, or is not what was logged: `changed` then says in what, in a word.
    """

    direction: Direction
    id: int
    partner: str
    jti: str
    subject: str
    case_ref: str | None
    supersedes: str | None
    at: int
    digest: bytes
    event: bytes | None
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class Indexed:
    """What is kept of one message for statistics and search; `first` and `last` are the days it counts on."""

    direction: Direction
    partner: str
    jti: str
    case_ref: str | None
    at: int
    counts: str
    first: str | None
    last: str | None
    final: bool
    supersedes: str | None
    amendment: Amendment | None
    names: tuple[NameKey, ...]

    @property
    def counted(self) -> bool:
        """Whether statistics need it."""
        return bool(self.first or self.final or self.supersedes or self.amendment)


class Index(Protocol):
    """What was read out of messages for statistics and search."""

    def unread(self, direction: Direction, after: int, limit: int, most_bytes: int) -> Sequence[Unread]:
        """Return messages behind row `after`, in order: at most `limit`, of `most_bytes` unless one alone has more."""
        ...

    def add(self, rows: Sequence[Indexed], me: str) -> None:
        """Store rows; one that is there already stays, and of a message erased meanwhile nothing is kept."""
        ...

    def forget_names(self, direction: Direction, partner: str, jti: str) -> None:
        """Delete the search keys of a message that is gone, or that nobody reads any more."""
        ...

    def forget_counts(self, direction: Direction, partner: str, jti: str) -> None:
        """Empty what a message that is gone said of persons, one by one, for statistics."""
        ...


class Figures(Protocol):
    """Figures brought in from an authority's own statistics."""

    def add_import(self, figures: Sequence[Imported], *, at: int, account: str, digest: bytes) -> int:
        """Store the figures of one file; return the number of the import."""
        ...

    def edition(self) -> tuple[int | None, int]:
        """Return what changes with every import and every one withdrawn."""
        ...

    def count_held(self) -> int:
        """Return how many figures there are of imports that were not withdrawn."""
        ...

    def withdraw(self, number: int, at: int) -> bool:
        """Leave an import out from now on; False where there is none that counts."""
        ...
