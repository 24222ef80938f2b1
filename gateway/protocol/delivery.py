"""Decisions of the sender: what goes into the next envelope, what an answer means, when to try again.

Synchronous and without effects: time and chance come in, a decision goes out (protocol.md §5, §7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MAX_EVENTS = 100
"""Events an envelope holds (protocol.md §4.3)."""

MAX_EVENT_BYTES_AN_ENVELOPE = 15 * 1024 * 1024
"""Below the 16 MiB of plaintext in protocol.md §4.5: the manifest line goes in too."""

RANKS = {"FLASH": 0, "URGENT": 1}
OTHER_RANK = 2

# Places of a full envelope kept for each lower rank that waits: FLASH goes first and starves nobody.
RESERVED_PLACES = 10

TURN_EVERY = 10
"""So many envelopes, and one begins with what FLASH would keep waiting."""

CEILING_S = {"FLASH": 30, "URGENT": 120, "PRIORITY": 600}
OTHER_CEILING_S = 900
FIRST_DELAY_S = 1.0
MAX_RETRY_AFTER_S = 3600
"""What a partner's Retry-After or retryAfter counts for at most."""

PROBE_EVERY_S = 60
"""While a partner is down it is tried at least this often, one probe at a time."""

PERSISTENT_SIZE_STATUSES = frozenset({400, 408, 413, 415, 500})
"""Answers that a smaller envelope may not get: one poison message must not stop its neighbours."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that still has to move, as far as choosing needs it."""

    id: int
    case_ref: str | None
    case_seq: int | None
    state: str
    next_at: int
    expires_at: int
    size: int


def rank(urgency: str) -> int:
    """Return the lane of an urgency: 0 goes before 1 before 2."""
    return RANKS.get(urgency, OTHER_RANK)


def fill(
    lanes: Sequence[Sequence[Waiting]],
    open_by_case: Mapping[str, Sequence[Waiting]],
    *,
    now_ms: int,
    limit: int = MAX_EVENTS,
    max_bytes: int = MAX_EVENT_BYTES_AN_ENVELOPE,
) -> list[int]:
    """Choose the ids of the next envelope, in sending order.

    `lanes` are the due messages by rank, oldest first; `open_by_case` everything of their cases that
    still has to move, by `caseseq`. A message goes only together with, and after, what comes before it
    in its case; where that waits for a person, an answer or a later time, so does the message.
    """
    chosen: dict[int, None] = {}
    used = 0
    for place, lane in enumerate(lanes):
        reserved = sum(min(RESERVED_PLACES, len(lower)) for lower in lanes[place + 1 :])
        room = max(limit - reserved, limit // 2)
        for message in lane:
            if message.id in chosen:
                continue
            needed = _with_predecessors(message, open_by_case, now_ms)
            if needed is None:
                continue
            fresh = [item for item in needed if item.id not in chosen]
            size = sum(item.size for item in fresh)
            # A single message always goes, however large: its own limit is protocol.md §4.5's.
            if chosen and (len(chosen) + len(fresh) > room or used + size > max_bytes):
                break
            if not chosen:
                fresh = _first_part(fresh, limit, max_bytes)
                size = sum(item.size for item in fresh)
            chosen.update(dict.fromkeys(item.id for item in fresh))
            used += size
    return list(chosen)


def in_turn(lanes: Sequence[Sequence[Waiting]], number: int) -> Sequence[Sequence[Waiting]]:
    """Return the lanes for the envelope of this number: one in ten begins with a lower rank, each in its turn.

    Reserved places help nobody where an envelope holds few messages or its bytes are used up by the first lane.
    """
    lower = [lane for lane in lanes[1:] if lane]
    if number % TURN_EVERY or not lower:
        return lanes
    return [lower[number // TURN_EVERY % len(lower)][:1], *lanes]


def _first_part(items: list[Waiting], limit: int, max_bytes: int) -> list[Waiting]:
    """Return how much of one case fits an envelope by itself: what comes first, one message at least."""
    used = 0
    for count, item in enumerate(items[:limit]):
        used += item.size
        if count and used > max_bytes:
            return items[:count]
    return items[:limit]


def _with_predecessors(
    message: Waiting, open_by_case: Mapping[str, Sequence[Waiting]], now_ms: int
) -> list[Waiting] | None:
    if message.case_ref is None or message.case_seq is None:
        return [message]
    needed = []
    for other in open_by_case.get(message.case_ref, ()):
        if other.case_seq is None or other.case_seq >= message.case_seq:
            continue
        if other.state != "queued" or other.next_at > now_ms or other.expires_at <= now_ms:
            return None
        needed.append(other)
    needed.append(message)
    return needed


def delay_ms(urgency: str, attempts: int, draw: Callable[[], float]) -> int:
    """Return the wait before attempt `attempts + 1`: exponential, factor 2, full jitter, from 1 s.

    `draw` gives a number in [0, 1). Full jitter: a fleet that failed together does not return together.
    """
    ceiling = CEILING_S.get(urgency, OTHER_CEILING_S)
    # 2^30 s is past every ceiling; the exponent is bounded so that a large count cannot overflow.
    span = min(float(ceiling), FIRST_DELAY_S * 2 ** min(attempts, 30))
    return int(span * draw() * 1000)


def retry_at(now_ms: int, urgency: str, attempts: int, retry_after_s: int | None, draw: Callable[[], float]) -> int:
    """Return when a message is due again; a partner's Retry-After counts up to an hour."""
    wait = delay_ms(urgency, attempts, draw)
    if retry_after_s is not None:
        wait = max(wait, min(max(retry_after_s, 0), MAX_RETRY_AFTER_S) * 1000)
    return now_ms + wait


def probe_at(now_ms: int, failures: int, urgencies: Iterable[str], draw: Callable[[], float]) -> int:
    """Return when a partner that is down is tried again: as its most urgent message asks, 60 s at most."""
    ceiling = min((CEILING_S.get(urgency, OTHER_CEILING_S) for urgency in urgencies), default=PROBE_EVERY_S)
    span = min(float(ceiling), float(PROBE_EVERY_S), FIRST_DELAY_S * 2 ** min(failures, 30))
    return now_ms + int(span * draw() * 1000)


# --- what an answer means ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReceiptClaimed:
    """Looks like a receipt: verify it. Only its signatures make it one."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """No signed answer: the outcome of every message in the envelope is unknown.

    `refresh_card`: the partner does not know the key we sealed to. `smaller`: try fewer events at once.
    `retry_after_s`: the whole partner asks for a pause.
    """

    result: Literal["refused", "unreachable", "unverified"]
    reason: str
    refresh_card: bool = False
    smaller: bool = False
    retry_after_s: int | None = None


RECEIPT_MEDIA_TYPE = "application/jose+json"
PROBLEM_CODES = frozenset({
    "malformed-envelope", "unsupported-profile", "wrong-recipient", "authentication-failed", "unknown-key",
    "unknown-party", "too-large", "unsupported-media-type", "storage-unavailable", "draining", "too-many-requests",
    "slow-body", "headers-too-large",
})  # fmt: skip


def judge_reply(
    status: int, media_type: str, problem: str | None, retry_after_s: int | None
) -> ReceiptClaimed | FailedAttempt:
    """Say what an HTTP answer to an envelope means before any signature is checked.

    `problem` is the code of an unsigned problem+json, or None. Only a signature ends a message: nothing
    here does. Unknown codes are not repeated into our records: a partner could put a name there.
    """
    if status == 200 and media_type == RECEIPT_MEDIA_TYPE:
        return ReceiptClaimed()
    if status == 200:
        return FailedAttempt("unverified", "answered 200 without a receipt")
    code = problem if problem in PROBLEM_CODES else f"http-{status}"
    return FailedAttempt(
        "refused",
        code,
        refresh_card=problem in {"unknown-key", "authentication-failed"},
        smaller=status in PERSISTENT_SIZE_STATUSES and problem != "unknown-key",
        retry_after_s=retry_after_s if status in {429, 503} else None,
    )
