"""Metrics in Prometheus' text form: numbers and codes, never an id of a person, message or case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from gateway.ports.room import Level

PAUSES = ("start", "behind", "renewed", "unwitnessed", "untimestamped")
DOUBTS = ("jump", "start", "gap")
URGENCIES = ("FLASH", "URGENT", "PRIORITY", "ROUTINE", "INFO")


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in one urgency: how many messages, and since when the oldest (ms)."""

    count: int
    oldest_at: int


class Metrics:
    """Every metric of one gateway process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        reg = self.registry
        self._depth = Gauge("gateway_queue_messages", "Messages that wait for their end", ["urgency"], registry=reg)
        self._oldest = Gauge("gateway_queue_oldest_age_seconds", "Age of the oldest of them", ["urgency"], registry=reg)
        self._dead = Gauge("gateway_dead_letters", "Messages given up undelivered", registry=reg)
        self._attempts = Counter("gateway_attempts", "Messages sent, by what came of it", ["result"], registry=reg)
        self._outcomes = Counter("gateway_outcomes", "Final answers", ["direction", "status"], registry=reg)
        self._commit = Histogram(
            "gateway_commit_units",
            "Units of work in one durable commit",
            buckets=(1, 2, 5, 10, 20, 50, 100, 500),
            registry=reg,
        )
        self._commit_s = Histogram(
            "gateway_commit_seconds",
            "Time of one durable commit",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 5),
            registry=reg,
        )
        self._requests = Histogram(
            "gateway_request_seconds", "Requests by listener, route template and status",
            ["listener", "route", "status"],
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10), registry=reg,
        )  # fmt: skip
        self._log_size = Gauge(
            "gateway_log_entries", "Entries of the audit log under the newest checkpoint", registry=reg
        )
        self._unwitnessed = Gauge(
            "gateway_log_unwitnessed_seconds", "Age of the oldest entry that no partner has cosigned", registry=reg
        )
        self._unstamped = Gauge(
            "gateway_log_untimestamped_seconds", "Age of the oldest entry under no timestamp", registry=reg
        )
        self._paused = Gauge(
            "gateway_exchange_paused", "1 while nothing is exchanged with partners", ["cause"], registry=reg
        )
        self._clock = Gauge(
            "gateway_clock_doubt", "1 while nothing is given up, for a doubt about the clock", ["doubt"], registry=reg
        )
        self._clock_off = Gauge(
            "gateway_clock_off_seconds", "How far the clock is from where it was expected", registry=reg
        )
        self._wal = Gauge("gateway_wal_bytes", "Size of the journal beside the database", registry=reg)
        self._free = Gauge("gateway_disk_free_bytes", "Free on the data volume", registry=reg)
        self._full = Gauge("gateway_full", "1 while nothing new is taken for want of room", registry=reg)
        self._refused = Counter(
            "gateway_refused", "Connections and bodies that a cap ended", ["listener", "cap"], registry=reg
        )
        self._up = Gauge(
            "gateway_partner_up", "1 while the last attempt reached the partner", ["partner"], registry=reg
        )

    def attempt(self, result: str, count: int) -> None:
        """Count messages of one attempt."""
        self._attempts.labels(result).inc(count)

    def outcome(self, direction: str, status: str, count: int) -> None:
        """Count final answers, ours (`in`) and the partners' (`out`)."""
        if count:
            self._outcomes.labels(direction, status).inc(count)

    def commit(self, units: int, seconds: float) -> None:
        """Observe one durable commit."""
        self._commit.observe(units)
        self._commit_s.observe(seconds)

    def refuse(self, listener: str, cap: str) -> None:
        """Count a connection or body that was ended by a cap."""
        self._refused.labels(listener, cap).inc()

    def request(self, listener: str, route: str, status: int, seconds: float) -> None:
        """Observe one request."""
        self._requests.labels(listener, route, str(status)).observe(seconds)

    def text(
        self, depth: Mapping[str, Depth], dead: int, log_size: int, partners: Mapping[str, bool], now_ms: int,
        unwitnessed_ms: int = 0, paused: str | None = None, untimestamped_ms: int = 0,
        clock: str | None = None, clock_off_ms: int = 0, room: Level | None = None, *, full: bool = False,
    ) -> bytes:  # fmt: skip
        """Return the exposition, with what is true now; `paused` is a cause of `services.gate`.

        `clock` is a doubt of `protocol.trustedtime`.
        """
        for urgency in URGENCIES:
            found = depth.get(urgency)
            self._depth.labels(urgency).set(found.count if found else 0)
            self._oldest.labels(urgency).set(max(0, now_ms - found.oldest_at) / 1000 if found else 0)
        self._dead.set(dead)
        self._log_size.set(log_size)
        self._unwitnessed.set(unwitnessed_ms / 1000)
        self._unstamped.set(untimestamped_ms / 1000)
        for cause in PAUSES:
            self._paused.labels(cause).set(cause == paused)
        for doubt in DOUBTS:
            self._clock.labels(doubt).set(doubt == clock)
        self._clock_off.set(clock_off_ms / 1000)
        if room is not None:
            self._wal.set(room.wal)
            self._free.set(room.free)
        self._full.set(full)
        for partner, up in partners.items():
            self._up.labels(partner).set(up)
        return generate_latest(self.registry)


Timer = Callable[[], float]
