"""What the records of a case say together, where both parties named one id or each other's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.casework.remembered import Record, gather, progress

OURS, THEIRS = "id.imigrasi", "kh.gdi"


def record(sender: str, jti: str, at: int, supersedes: str | None = None, **facts: Any) -> Record:
    """Return the record of one message."""
    return Record(sender, jti, at, supersedes, orjson.dumps(facts).decode())


def answers(to: str, *items: str) -> dict[str, Any]:
    """Return the facts of a final response."""
    return {"to": to, "final": True, "rows": [[item, True] for item in items]}


@pytest.mark.parametrize(("sender", "waiting"), [(OURS, 0), (THEIRS, 1)])
def test_a_request_is_replaced_by_its_sender_alone(sender: str, waiting: int) -> None:
    """A partner that names ours as what its own message stands in for leaves us waiting, as we are."""
    held = [record(OURS, "asked", 1, asked=["1"]), record(sender, "other", 2, "asked", refs=["P"])]
    assert gather(held, in_case=True).unanswered_requests == waiting


@pytest.mark.parametrize(("sender", "waiting"), [(OURS, 1), (THEIRS, 0)])
def test_a_request_is_answered_by_the_other_party(sender: str, waiting: int) -> None:
    """Nobody answers their own."""
    held = [record(OURS, "asked", 1, asked=["1"]), record(sender, "answer", 2, answers=answers("asked", "1"))]
    assert gather(held, in_case=True).unanswered_requests == waiting
    [request] = progress(held)
    assert (request.answered, request.complete) == ((0, False) if waiting else (1, True))


def test_two_requests_of_one_id_are_answered_apart() -> None:
    """As older gateways may hold them: each party's request by the other's response."""
    held = [
        record(OURS, "same", 1, asked=["1"]), record(THEIRS, "same", 2, asked=["a", "b"]),
        record(THEIRS, "answer", 3, answers=answers("same", "1")),
    ]  # fmt: skip
    assert gather(held, in_case=True).unanswered_requests == 1
    assert [(r.sender, r.answered, r.complete) for r in progress(held)] == [(OURS, 1, True), (THEIRS, 0, False)]
