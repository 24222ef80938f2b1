"""A message in its case: evaluation (§7.2), closing (§6.1), assessments (§6.2), movements (§6.3); files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.casework import alerts, handling
from gateway.casework.lifecycle import CLOSING, CaseStatus
from gateway.casework.policies.facts import ALPHA3, Context
from gateway.casework.progress import (
    AlertStatus,
    Milestone,
    VictimStatus,
    advance_alert,
    advance_movement,
    advance_victim,
    movement_persons,
)
from gateway.casework.shapes import number, obj, rows, text, texts
from gateway.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB: Final = 1024 * 1024
MAX_FILES: Final = 20
MAX_FILES_BYTES: Final = 20 * MIB  # §3.8, all files of a message together
_STATUSES: Final = frozenset(status.value for status in VictimStatus)


def evaluation_gate(ctx: Context) -> Iterator[Finding]:
    """§7.2: the evaluation carries this type; an alert's subject is evaluated by itself as well. E-EVAL."""
    stated = obj(ctx.meta, "evaluation")
    fault = handling.gate(ctx.subject, text(stated, "source"), text(stated, "information"), "/meta/evaluation")
    if fault is not None:
        yield fault
    if ctx.subject == "subject.alert":
        own = obj(obj(ctx.data, "subject"), "personEvaluation")
        where = "/subject/personEvaluation"
        fault = handling.gate(ctx.subject, text(own, "source"), text(own, "information"), where)
        if fault is not None:
            yield fault


def urgent_question(ctx: Context) -> Iterator[Finding]:
    """4.3: who asks in haste says what delay would cost. E-SCHEMA."""
    hasty = ctx.message.urgency in ("FLASH", "URGENT")
    if ctx.subject == "info.request" and hasty and not text(ctx.data, "consequenceIfLate"):
        yield Finding("/consequenceIfLate", "needed when URGENT or FLASH", "E-SCHEMA")


def closing(ctx: Context) -> Iterator[Finding]:
    """§6.1: closing needs its reason and feedback, and nothing left open. E-STATE."""
    to, origin = text(ctx.data, "toStatus"), text(ctx.data, "fromStatus")
    if ctx.subject != "case.update" or to == origin:
        return
    if to in CLOSING:
        if ctx.codelists.find("closureReason", text(ctx.data, "reason") or "") is None:
            yield Finding("/reason", "closing needs a closure reason", "E-STATE")
        if not obj(ctx.data, "feedback"):
            yield Finding("/feedback", "closing needs feedback on the usefulness", "E-STATE")
        if ctx.case.open_movements:
            yield Finding("/toStatus", "a return movement is still open", "E-STATE")
        if ctx.case.unanswered_requests:
            yield Finding("/toStatus", "a request for information is unanswered", "E-STATE")
    if to == CaseStatus.DECLINED and not text(ctx.data, "reason"):
        yield Finding("/reason", "declining needs a reason", "E-STATE")


def assessment_course(ctx: Context) -> Iterator[Finding]:
    """§6.2: each body's opinion follows from its own earlier one, and nobody else's. E-STATE."""
    latest = dict(ctx.case.statuses)
    reviewed = text(obj(ctx.meta, "humanReview"), "role")
    for pointer, ref, assessment in ctx.assessments:
        status, body = text(assessment, "status"), text(assessment, "decisionMakingOrg")
        if ref is None or body is None or status is None or status not in _STATUSES:
            continue
        before = latest.get((ref, body))
        fault = advance_victim(
            VictimStatus(before) if before in _STATUSES and before is not None else None,
            VictimStatus(status),
            rationale=bool(text(assessment, "rationale")),
            second_officer=reviewed is not None and reviewed != text(assessment, "assessorRole"),
        )
        if fault is not None:
            yield Finding(pointer + fault.pointer, fault.reason, fault.code)
        latest[ref, body] = status


def movement_course(ctx: Context) -> Iterator[Finding]:
    """§6.3: each person's milestones follow one another; screened before their State is asked (P11). E-STATE."""
    if ctx.subject != "repatriation.movement":
        return
    everybody = movement_persons(ctx.data)
    latest: dict[str, str] = dict(ctx.case.milestones)
    for i, row in enumerate(rows(ctx.data, "milestones")):
        reached = text(row, "milestone")
        if reached is None or reached not in Milestone.__members__:
            continue
        for ref in texts(row, "personRefs") or everybody:
            before = latest.get(ref)
            fault = advance_movement(Milestone(before) if before else None, Milestone(reached))
            if fault is not None:
                yield Finding(f"/milestones/{i}/milestone", fault.reason, fault.code)
                break
            latest[ref] = reached


def alert_course(ctx: Context) -> Iterator[Finding]:
    """§6.4: a hit is answered to an alert that runs, not to one that expired or whose subject is a victim. E-STATE."""
    alert = ctx.case.alerts.get(ctx.message.in_reply_to or "")
    if alert is None:
        return
    statuses = [status for (ref, _), status in ctx.case.statuses.items() if ref == alert.ref]
    stands = alerts.now(alert, ctx.message.time_ms, statuses)
    fault = None if stands is AlertStatus.HIT else advance_alert(stands, AlertStatus.HIT)
    for i, answer in enumerate(rows(ctx.data, "answers")):
        if fault is not None and text(answer, "outcome") in alerts.HITS:
            yield Finding(f"/answers/{i}/outcome", fault.reason, fault.code)


def jurisdiction(ctx: Context) -> Iterator[Finding]:
    """Judge where a departure was postponed: at a checkpoint of the sender's own State. E-AUTHORITY."""
    code = text(ctx.data, "checkpoint")
    if (
        ctx.subject == "departure.deferral.notice"
        and code is not None
        and ALPHA3.get(code[:2].lower()) != ctx.sender_state
    ):
        yield Finding("/checkpoint", "a checkpoint of another State than the sender's", "E-AUTHORITY")


def p20_files(ctx: Context) -> Iterator[Finding]:
    """P20 and §3.8, as far as the message states them: number, size (E-SIZE) and media type (E-MEDIA) of files.

    The bytes are judged where they pass: `casework.media`.
    """
    files = rows(ctx.data, "attachments")
    if len(files) > MAX_FILES:
        yield Finding("/attachments", "more than 20 files", "E-SIZE")
    if sum(number(row, "byteLength") or 0 for row in files) > MAX_FILES_BYTES:
        yield Finding("/attachments", "more than 20 MiB together", "E-SIZE")
    for i, row in enumerate(files):
        listed = ctx.codelists.find("attachmentType", text(row, "attachmentType") or "")
        if listed is None:
            continue
        limit, media = listed.attributes.get("maxBytes"), listed.attributes.get("media")
        if isinstance(limit, int) and (number(row, "byteLength") or 0) > limit:
            yield Finding(f"/attachments/{i}/byteLength", "larger than this kind of file may be", "E-SIZE")
        if isinstance(media, list) and text(row, "mediaType") not in media:
            yield Finding(f"/attachments/{i}/mediaType", "not a media type of this kind of file", "E-MEDIA")
