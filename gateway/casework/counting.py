"""What exchanged messages add to the statistics: persons, acts and answers, each on its day and from its message.

A message that another supersedes counts no more; a correction counts as if it had been right from the start;
what was sent about the wrong person does not count.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.casework import clocks
from gateway.casework.dates import age_range, parse_day
from gateway.casework.progress import VictimStatus
from gateway.casework.recordaction import EXPIRED
from gateway.casework.shapes import Json, number, obj, rows, text, texts, walk
from gateway.casework.statistics import Count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

Direction = Literal["out", "in"]

# An authority answers for its own acts; persons are counted whoever wrote of them.
_BY: Final[dict[str, Direction]] = {
    "DEPARTURES_DEFERRED": "out",
    "PASSPORTS_DEFERRED": "out",
    "REFERRALS_SENT": "out",
    "RFI_SENT": "out",
    "RFI_HIT": "in",
}
_REFERRALS: Final = frozenset(("case.referral", "victim.assistance.referral"))
_VICTIMS: Final = {
    VictimStatus.POSSIBLE.value: "PRESUMED_VICTIMS",
    VictimStatus.ACTUAL.value: "IDENTIFIED_VICTIMS",
}
_MILESTONES: Final = {
    "HANDED_OVER": "REPATRIATED",
    "TRAVEL_DOC_ISSUED": "SPLP_ISSUED",
    "EXIT_PERMIT": "EXIT_PERMITS",
}
_HITS: Final = frozenset(("HIT", "HIT_RESTRICTED", "PARTIAL"))
# Lower ends of list `ageGroup`.
_AGE_GROUPS: Final = ((45, "45+"), (35, "35-44"), (25, "25-34"), (18, "18-24"), (12, "12-17"), (0, "0-11"))


def is_ours(indicator: str, direction: Direction) -> bool:
    """Tell whether a count of a message we sent (`out`) or received (`in`) belongs in our own figures."""
    return _BY.get(indicator, direction) == direction


def counts_of(message_id: str, subject: str, data: Json, day: date) -> Iterator[Count]:
    """Yield what one exchanged message adds to the statistics; `day` is the message's."""
    if subject == "departure.deferral.notice":
        yield from _departures(message_id, data, day)
    elif subject == "passport.deferral.notice":
        on = parse_day(text(data, "deferredOn") or text(data, "periodTo")) or day
        where = _destination(data)
        yield Count("PASSPORTS_DEFERRED", on, number(data, "applicationsCount") or 0, message_id, where)
    elif subject in _REFERRALS:
        yield Count("REFERRALS_SENT", day, 1, message_id)
        yield from _victims(message_id, data, day)
    elif subject == "case.update":
        yield from _victims(message_id, data, day)
    elif subject == "info.request":
        yield Count("RFI_SENT", day, 1, message_id)
    elif subject == "info.response":
        if any(text(answer, "outcome") in _HITS for answer in rows(data, "answers")):
            yield Count("RFI_HIT", day, 1, message_id)
    elif subject == "repatriation.movement":
        yield from _milestones(message_id, data, day)


def _departures(message_id: str, data: Json, day: date) -> Iterator[Count]:
    on = parse_day(text(data, "deferredAt")) or day
    where = _destination(data)
    if (checkpoint := text(data, "checkpoint")) is not None:
        where["checkpoint"] = checkpoint
    yield Count("DEPARTURES_DEFERRED", on, number(data, "personsCount") or 0, message_id, where)
    for listed, dimension in (("ageGroups", "ageGroup"), ("sexes", "sex")):
        for row in rows(data, listed):
            if (code := text(row, dimension)) is not None:
                part = {**where, dimension: code}
                yield Count("DEPARTURES_DEFERRED", on, number(row, "count") or 0, message_id, part, part=dimension)


def _destination(data: Json) -> dict[str, str]:
    country = text(obj(data, "suspectedDestination"), "country")
    return {} if country is None else {"destination": country}


def _victims(message_id: str, data: Json, day: date) -> Iterator[Count]:
    found: dict[tuple[str, str], date] = {}
    contexts = [*rows(data, "victimContexts"), obj(data, "victimContext")]
    flat = [(text(c, "personRef"), a) for c in contexts for a in rows(c, "traffickingAssessments")]
    flat += [(text(a, "personRef"), a) for a in rows(data, "assessments")]
    person = text(obj(data, "person"), "personRef") or ""
    for ref, assessment in flat:
        indicator = _VICTIMS.get(text(assessment, "status") or "")
        if indicator is not None:
            found.setdefault((indicator, ref or person), parse_day(text(assessment, "decidedOn")) or day)
    about = _described(data, day) if found else {}
    for (indicator, ref), on in found.items():
        yield Count(indicator, on, 1, f"{message_id}#{ref}", about.get(ref, {}))


def _described(data: Json, day: date) -> dict[str, dict[str, str]]:
    """Return sex and age group of each person described in the message, by personRef."""
    found: dict[str, dict[str, str]] = {}
    for _, _, value in walk(data):
        ref = text(value, "personRef")
        if ref is not None and "birth" in value:
            found[ref] = {"sex": text(value, "sex") or "U", "ageGroup": _age_group(obj(value, "birth"), day)}
    return found


def _age_group(birth: Json, day: date) -> str:
    ages = age_range(birth, day)
    groups = {next((code for least, code in _AGE_GROUPS if age >= least), "UNK") for age in ages or ()}
    return groups.pop() if len(groups) == 1 else "UNK"


def _milestones(message_id: str, data: Json, day: date) -> Iterator[Count]:
    for row in rows(data, "milestones"):
        indicator = _MILESTONES.get(text(row, "milestone") or "")
        if indicator is not None:
            for ref in texts(row, "personRefs") or texts(data, "persons"):
                yield Count(indicator, parse_day(text(row, "at")) or day, 1, f"{message_id}#{ref}")


# --- answers in time --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Referral:
    """A referral of ours that was taken in at `received_at` (ms)."""

    message_id: str
    case: str
    day: date
    urgency: str
    received_at: int
    reply_by: int | None


def answered_in_time(referrals: Iterable[Referral], finals: Iterable[tuple[str, int]]) -> Iterator[Count]:
    """Yield one count a referral whose first final answer came in time, on the referral's day.

    `finals`: case and time (ms) of the final answers received.
    """
    by_case: dict[str, list[int]] = {}
    for case, at in finals:
        by_case.setdefault(case, []).append(at)
    for referral in referrals:
        due = clocks.start(referral.urgency, referral.received_at, referral.reply_by).reply_due_ms
        first = min((at for at in by_case.get(referral.case, ()) if at >= referral.received_at), default=None)
        if first is not None and due is not None and first <= due:
            yield Count("REFERRALS_ANSWERED_IN_SLA", referral.day, 1, referral.message_id)


# --- what changes a message that was sent -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a `record.action` does to the counts of another message: corrects it, or takes out all or one person."""

    target: str
    kind: Literal["correct", "drop"]
    person: str | None = None


def amendment_of(subject: str, data: Json) -> Amendment | None:
    """Return how a message amends another, or None."""
    target = obj(data, "target")
    message_id = text(target, "messageId")
    if subject != "record.action" or message_id is None:
        return None
    action = text(data, "action")
    if action in ("CORRECT", "SUPPLEMENT") and rows(data, "changes"):
        return Amendment(message_id, "correct")
    if action == "WITHDRAW":
        return Amendment(message_id, "drop", text(target, "personRef"))
    # What was kept as long as it may be was true: figures do not shrink with the retention of cases.
    aged = text(data, "reason") == EXPIRED
    if action == "ERASE" and not aged and "attachmentId" not in target and not rows(target, "jsonPointers"):
        return Amendment(message_id, "drop", text(target, "personRef"))
    return None


def corrected(data: Json, changes: Sequence[Any]) -> Json:
    """Return a copy of `data` with the `changes` of a record.action made; a pointer to nowhere changes nothing."""
    found = deepcopy(data)
    for change in changes:
        pointer = text(change, "pointer")
        if pointer and isinstance(change, dict) and "newValue" in change:
            _put(found, [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]], change)
    return found


def _put(holder: Any, path: Sequence[str], change: Mapping[str, Any]) -> None:
    for step in path[:-1]:
        holder = _member(holder, step)
    if isinstance(holder, dict):
        holder[path[-1]] = change["newValue"]
    elif isinstance(holder, list) and path[-1].isdecimal() and int(path[-1]) < len(holder):
        holder[int(path[-1])] = change["newValue"]


def _member(holder: Any, step: str) -> Any:
    if isinstance(holder, list):
        return holder[int(step)] if step.isdecimal() and int(step) < len(holder) else None
    return holder.get(step) if isinstance(holder, dict) else None
