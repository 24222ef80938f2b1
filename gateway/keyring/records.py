"""The life of a key: `next` → `active` → `retiring` → gone, or `revoked`; decided here, performed by `files`.

Laws:
1. At most one record of a use is `active`, at most one is `next`.
2. A `next` key is published PUBLISH_AHEAD_DAYS before it becomes `active` (protocol.md §2).
3. Signing moves to a new key SETTLE_DAYS after it became active: by then every partner has fetched the card
   that says so, daily as the protocol asks, and none meets a signature it cannot judge yet.
4. An encryption key opens what was sealed to it until the last possible expiry and a week, unless revoked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from gateway.errors import Clash
from gateway.primitives.times import format_ms, parse_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.protocol.ids import Kid

KeyUse = Literal["sig", "enc", "log", "witness"]
KeyStatus = Literal["next", "active", "retiring", "revoked"]

DAY_MS: Final = 86_400_000
LIFE_DAYS: Final = 365
PUBLISH_AHEAD_DAYS: Final = 7
SETTLE_DAYS: Final = 2
RETIRE_DAYS: Final = {
    "sig": 7,  # envelopes under way, and a partner that was down for a few days
    "enc": 37,  # protocol.md §4.1: an event lives 30 d at most; §2: and 7 d more
    "log": 30,
    "witness": 30,
}
WARN_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key, or one signing pair: its public JWKs (with `kid`, `alg`, `use`), status and validity."""

    use: KeyUse
    number: int
    public: tuple[dict[str, str], ...]
    status: KeyStatus
    nbf_ms: int
    exp_ms: int
    revoked_ms: int | None = None

    @property
    def name(self) -> str:
        """The stem of its files: `sig-1`."""
        return f"{self.use}-{self.number}"

    @property
    def kids(self) -> tuple[Kid, ...]:
        """The key ids it carries."""
        return tuple(cast("Kid", jwk["kid"]) for jwk in self.public)

    def counts(self, now_ms: int) -> bool:
        """Tell whether its signatures, or sealing to it, count at `now_ms` (protocol.md §2)."""
        return self.nbf_ms <= now_ms < self.exp_ms and self.status in {"active", "retiring"}

    def card_members(self) -> list[dict[str, Any]]:
        """Return the members of a party card's `keys` for this record."""
        times = {"nbf": format_ms(self.nbf_ms), "exp": format_ms(self.exp_ms), "status": self.status}
        if self.revoked_ms is not None:
            times["revoked"] = format_ms(self.revoked_ms)
        return [{**jwk, **times} for jwk in self.public]

    def as_dict(self) -> dict[str, Any]:
        """Return the form kept in `keys.json`."""
        return {"use": self.use, "number": self.number, "keys": self.card_members()}


def read_record(value: Any) -> KeyRecord:
    """Read one record of `keys.json`; ValueError, KeyError or TypeError when it is damaged."""
    members = value["keys"]
    first = members[0]
    record = KeyRecord(
        use=value["use"],
        number=value["number"],
        public=tuple(
            {key: text for key, text in jwk.items() if key not in {"nbf", "exp", "status", "revoked"}}
            for jwk in members
        ),
        status=first["status"],
        nbf_ms=parse_ms(first["nbf"]),
        exp_ms=parse_ms(first["exp"]),
        revoked_ms=parse_ms(first["revoked"]) if "revoked" in first else None,
    )
    if record.use not in get_args(KeyUse) or record.status not in get_args(KeyStatus):
        raise ValueError("unknown use or status")
    if record.as_dict() != value:
        raise ValueError("members disagree")
    return record


def find(records: Sequence[KeyRecord], use: KeyUse, status: KeyStatus) -> KeyRecord | None:
    """Return the record of a use in a status: for `retiring` and `revoked` the newest."""
    found = [record for record in records if record.use == use and record.status == status]
    return max(found, key=lambda record: record.number, default=None)


def next_number(records: Sequence[KeyRecord], use: KeyUse, highest_ever: int) -> int:
    """Return a number no key of this use ever had: file names are never used twice."""
    return max([highest_ever, *(record.number for record in records if record.use == use)]) + 1


def signing_record(records: Sequence[KeyRecord], now_ms: int) -> KeyRecord | None:
    """Choose the pair to sign with: the newest that counts and that partners had time to learn (law 3)."""
    counting = [record for record in records if record.use == "sig" and record.counts(now_ms)]
    known = [record for record in counting if record.nbf_ms + SETTLE_DAYS * DAY_MS <= now_ms]
    return max(known or counting, key=lambda record: record.nbf_ms, default=None)


def may_open(record: KeyRecord) -> bool:
    """Tell whether an encryption key may decrypt; a revoked one may not, so that senders fetch the card."""
    return record.use == "enc" and record.status != "revoked"


def add_next(records: Sequence[KeyRecord], fresh: KeyRecord, now_ms: int) -> tuple[KeyRecord, ...]:
    """Announce `fresh` for later. Raises Clash while another waits."""
    waiting = find(records, fresh.use, "next")
    if waiting is not None:
        raise Clash(
            f"a new {fresh.use} key already waits and becomes active at {format_ms(waiting.nbf_ms)}; "
            f"publish the card and wait, or revoke {waiting.kids[0]}"
        )
    start = now_ms + PUBLISH_AHEAD_DAYS * DAY_MS
    return (*records, replace(fresh, status="next", nbf_ms=start, exp_ms=start + LIFE_DAYS * DAY_MS))


def switch_now(records: Sequence[KeyRecord], fresh: KeyRecord, now_ms: int) -> tuple[KeyRecord, ...]:
    """Make `fresh` active at once and retire the active one."""
    retired = tuple(_retire(record, now_ms) if record.use == fresh.use else record for record in records)
    return (
        *retired,
        replace(fresh, status="active", nbf_ms=now_ms, exp_ms=now_ms + LIFE_DAYS * DAY_MS),
    )


def advance(records: Sequence[KeyRecord], now_ms: int) -> tuple[KeyRecord, ...]:
    """Move every record whose time has come; records that are gone are left out."""
    result: list[KeyRecord] = list(records)
    for use in get_args(KeyUse):
        waiting = find(result, use, "next")
        if waiting is not None and waiting.nbf_ms <= now_ms:
            result = [_retire(record, now_ms) if record.use == use else record for record in result]
            result = [replace(waiting, status="active") if record.name == waiting.name else record for record in result]
    return tuple(record for record in result if record.status in {"next", "active"} or now_ms < record.exp_ms)


def revoke(records: Sequence[KeyRecord], revoked: KeyRecord, now_ms: int) -> tuple[KeyRecord, ...]:
    """Mark a record revoked from `now_ms`; a waiting key takes an active one's place at once."""
    waiting = find(records, revoked.use, "next")
    result: list[KeyRecord] = []
    for record in records:
        if record.name == revoked.name:
            result.append(replace(record, status="revoked", revoked_ms=now_ms))
        elif waiting is not None and record.name == waiting.name and revoked.status == "active":
            result.append(replace(record, status="active", nbf_ms=now_ms))
        else:
            result.append(record)
    return tuple(result)


def warnings(records: Sequence[KeyRecord], now_ms: int) -> list[str]:
    """Name what an operator should do about the keys, one line each."""
    found: list[str] = []
    for use in get_args(KeyUse):
        active = find(records, use, "active")
        if active is None or active.exp_ms <= now_ms:
            found.append(f"no valid {use} key; run `gateway keys rotate --use {use}`")
        elif active.exp_ms - now_ms < WARN_DAYS * DAY_MS and find(records, use, "next") is None:
            days = (active.exp_ms - now_ms) // DAY_MS
            found.append(f"the {use} key expires in {days} days; run `gateway keys rotate --use {use}`")
    return found


def plan(records: Sequence[KeyRecord], use: KeyUse | Literal["tls"], now_ms: int) -> list[str]:
    """Say what `rotate` would do now and what follows when, one step a line."""
    if use == "tls":
        return [
            f"{format_ms(now_ms)}: new exchange and API certificates from the same CA; connections stay up",
            "partners and clients need to do nothing: they pin the CA",
        ]
    active, waiting = find(records, use, "active"), find(records, use, "next")
    if waiting is not None:
        return [
            f"nothing now: {waiting.name} waits already",
            f"{format_ms(waiting.nbf_ms)}: {waiting.name} becomes active",
        ]
    gone = RETIRE_DAYS[use] * DAY_MS
    if use in {"log", "witness"} or active is None or active.exp_ms <= now_ms:
        steps = [f"{format_ms(now_ms)}: a new {use} key is active at once", "publish the card"]
        return steps if active is None else [*steps, f"{format_ms(now_ms + gone)}: {active.name} is erased"]
    start = now_ms + PUBLISH_AHEAD_DAYS * DAY_MS
    steps = [
        f"{format_ms(now_ms)}: a new {use} key is made as next; publish the card",
        f"{format_ms(start)}: it becomes active and {active.name} retires; publish the card",
    ]
    if use == "sig":
        steps.append(f"{format_ms(start + SETTLE_DAYS * DAY_MS)}: signing moves to it")
    return [*steps, f"{format_ms(start + gone)}: {active.name} is erased"]


def _retire(record: KeyRecord, now_ms: int) -> KeyRecord:
    if record.status != "active":
        return record
    end = now_ms + RETIRE_DAYS[record.use] * DAY_MS
    # An encryption key must outlive its own `exp`: what was sealed on its last day may come 30 days later.
    return replace(record, status="retiring", exp_ms=end if record.use == "enc" else min(record.exp_ms, end))
