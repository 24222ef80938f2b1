"""Rows and views as the JSON of the contract; the models of `gateway.web.api.models` describe the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from gateway.ledger import entry
from gateway.primitives import b64u
from gateway.primitives.merkle import leaf_hash
from gateway.primitives.times import format_ms
from gateway.protocol.ids import PartyId
from gateway.services.operate import steps_offered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.casework.clocks import Timed
    from gateway.casework.codelists import CodeList
    from gateway.casework.remembered import PersonState, RequestProgress
    from gateway.evidence.chain import Step as ChainStep
    from gateway.services.caseview import CaseView, Step
    from gateway.services.directory import Directory, KnownPartner
    from gateway.services.feed import Change
    from gateway.services.reconcile import Reconciliation
    from gateway.services.submit import Accepted

    Row = Mapping[str, Any]


def time(ms: int | None) -> str | None:
    """Return a time as the API writes it."""
    return None if ms is None else format_ms(ms)


def accepted(message: Accepted) -> dict[str, Any]:
    """Return the 202 of a message."""
    return {
        "id": message.jti, "case": message.case, "state": "queued", "recipient": message.recipient,
        "type": message.subject, "urgency": message.urgency, "handling": message.handling,
        "accepted_at": format_ms(message.created_at), "expires_at": format_ms(message.expires_at),
    }  # fmt: skip


def message(row: Row, me: str) -> dict[str, Any]:
    """Return a message as a list shows it."""
    out = row["direction"] == "out"
    waiting = out and row["state"] == "queued"
    return {
        "id": row["jti"],
        "direction": row["direction"],
        "sender": me if out else row["partner"],
        "recipient": row["partner"] if out else me,
        "type": row["subject"],
        "schema_version": row["schema_version"],
        "case": row["case_ref"],
        "case_seq": row["case_seq"],
        "stream_seq": row["stream_seq"],
        "urgency": row["urgency"],
        "handling": (row["handling"] or "").split(),
        "state": row["state"],
        # None while it is open: true once it is borne out, false once it was alarmed.
        "proved": True if row["proved_at"] else False if row["unproved"] else None,
        "held_for": row["held_for"],
        "accepted_at": format_ms(row["at"]),
        "expires_at": time(row["expires_at"]),
        "settled_at": time(row["settled_at"]) if out else None,
        "attempts_made": row["attempts"],
        "next_try": time(row["next_at"]) if waiting else None,
        "reason": row["reason"],
        "errors": orjson.loads(row["errors"]) if row["errors"] else [],
        "in_reply_to": row["in_reply_to"],
        "supersedes": row["supersedes"],
        "leaf": row["leaf"],
    }


def message_whole(row: Row, me: str, attempts: Sequence[Row], marks: Sequence[Row]) -> dict[str, Any]:
    """Return a message with its attempts, the facts of its receipt, what was erased, and what may be done to it."""
    out = row["direction"] == "out"
    tried = [
        {"at": format_ms(a["at"]), "envelope": a["eid"] or None, "result": a["result"], "reason": a["reason"],
         "next_try": time(a["next_at"])}
        for a in attempts
    ]  # fmt: skip
    answered = row["state"] in {"accepted", "rejected"}
    if answered and not tried:
        # The first attempt of a message that it settles needs no row of its own.
        tried.append({"at": format_ms(row["settled_at"]), "envelope": row["eid"], "result": "settled",
                      "reason": row["reason"], "next_try": None})  # fmt: skip
    receipt = {
        "status": row["state"],
        "received_at": time(row["received_at"]),
        "leaf": row["partner_leaf"],
        "envelope": row["eid"],
        "proved_at": time(row["proved_at"]),
        "unproved": row["unproved"],
    }
    return {
        **message(row, me),
        "envelope": row["eid"],
        "digest": b64u.encode(row["digest"]),
        "attempts": tried,
        "receipt": receipt if answered else None,
        "record": [
            {"part": m["part"], "mark": m["mark"], "reason": m["reason"], "by": m["by_jti"], "at": format_ms(m["at"])}
            for m in marks
        ],
        "actions": list(steps_offered(row["state"])) if out else [],
    }


def case(row: Row, now_ms: int) -> dict[str, Any]:
    """Return a case as a list shows it."""
    late_ack = row["acknowledged_at"] is None and (row["acknowledge_by"] or now_ms) < now_ms
    late_reply = row["replied_at"] is None and (row["reply_by"] or now_ms) < now_ms
    return {
        "case": row["ref"], "partner": row["partner"], "opener": row["opener"], "status": row["status"],
        "urgency": row["urgency"], "handling": row["handling"].split(), "opened_at": format_ms(row["opened_at"]),
        "updated_at": format_ms(row["updated_at"]),
        "clock": _clock(row, overdue=row["next_by"] is not None and (late_ack or late_reply)),
    }  # fmt: skip


def _clock(row: Row, *, overdue: bool) -> dict[str, Any]:
    return {
        "started_at": time(row["clock_from"]), "turn": row["next_by"], "acknowledge_by": time(row["acknowledge_by"]),
        "acknowledged_at": time(row["acknowledged_at"]), "reply_by": time(row["reply_by"]),
        "replied_at": time(row["replied_at"]), "overdue": overdue,
    }  # fmt: skip


def case_whole(view: CaseView, me: str, now_ms: int) -> dict[str, Any]:
    """Return a case with its next action, the moves open to us, and the timeline of both sides."""
    held = view.case
    turn = view.next_action
    row = {name: getattr(held, name) for name in (
        "ref", "partner", "opener", "urgency", "handling", "opened_at", "updated_at", "clock_from", "next_by",
        "acknowledge_by", "acknowledged_at", "reply_by", "replied_at",
    )}  # fmt: skip
    return {
        **case({**row, "status": held.lifecycle.status}, now_ms),
        "role": "opener" if held.opener == me else "recipient",
        "clocks": [_timed(timed, now_ms) for timed in held.clocks.timed],
        "progress": [_asked(request, me) for request in view.progress],
        "alerts": [
            {"message": alert.message, "status": alert.status, "valid_until": format_ms(alert.until_ms)}
            for alert in view.alerts
        ],
        "pending": [{"message": m.jti, "from": m.from_status, "to": m.to_status} for m in held.lifecycle.pending],
        "next_action": None
        if turn is None
        else {
            "party": turn.party,
            "ours": turn.party == me,
            "action": turn.action,
            "by": time(turn.by),
            "overdue": turn.by is not None and turn.by < now_ms,
        },
        "allowed": list(view.allowed),
        "timeline": [_step(step, me) for step in view.timeline],
        "missing": list(view.missing),
    }


def _timed(timed: Timed, now_ms: int) -> dict[str, Any]:
    clock = timed.clock
    return {
        "message": timed.message, "turn": timed.turn if timed.running else None, "started_at": format_ms(timed.from_ms),
        "acknowledge_by": format_ms(clock.ack_due_ms), "acknowledged_at": time(clock.acknowledged_at_ms),
        "reply_by": time(clock.reply_due_ms), "replied_at": time(clock.replied_at_ms),
        "overdue": clock.overdue(now_ms),
    }  # fmt: skip


def _asked(request: RequestProgress, me: str) -> dict[str, Any]:
    return {
        "message": request.jti, "ours": request.sender == me, "asked": len(request.rows), "answered": request.answered,
        "complete": request.complete, "summary": f"answered {request.answered} of {len(request.rows)}",
    }  # fmt: skip


def progress(requests: Sequence[RequestProgress], me: str) -> dict[str, Any]:
    """Return how far each request of a case is answered, row by row; not what was answered."""
    return {
        "requests": [
            _asked(request, me)
            | {"rows": [{"item": r.item, "answered": r.answered_by is not None, "answer": r.answered_by}
                        for r in request.rows]}
            for request in requests
        ]
    }  # fmt: skip


def person(state: PersonState) -> dict[str, Any]:
    """Return where one person of a case stands."""
    return {
        "person": state.ref, "status": state.status, "milestone": state.milestone,
        "opinions": [{"body": body, "status": status} for body, status in state.opinions],
    }  # fmt: skip


def _step(step: Step, me: str) -> dict[str, Any]:
    row = step.row
    return {
        "at": format_ms(row["at"]), "message": row["jti"], "direction": row["direction"],
        "party": me if row["direction"] == "out" else row["partner"], "type": row["subject"],
        "urgency": row["urgency"], "state": row["state"], "reason": row["reason"], "in_reply_to": row["in_reply_to"],
        "case_seq": row["case_seq"], "settled_at": time(row["settled_at"]),
        "move": {"from": step.move[0], "to": step.move[1]} if step.move else None,
    }  # fmt: skip


def change(found: Change) -> dict[str, Any]:
    """Return the data of one server-sent event."""
    return {
        "id": found.jti, "case": found.case, "type": found.subject, "state": found.state, "reason": found.reason,
        "at": format_ms(found.at),
    }  # fmt: skip


def log_entry(row: Row) -> dict[str, Any]:
    """Return one log entry: its members, and the leaf data whose hash is in the tree."""
    found = entry.parse(row["data"])
    return {
        "index": row["seq"], "at": format_ms(found.at_ms), "type": found.typ,
        "actor": {"sub": found.actor_sub, "role": found.actor_role},
        "object": {"kind": found.obj_kind, "id": found.obj_id}, "message": found.jti, "case": found.case,
        "event": None if found.event is None else b64u.encode(found.event), "outcome": found.outcome,
        "purpose": found.purpose, "basis": found.basis, "data": b64u.encode(row["data"]),
        "hash": b64u.encode(leaf_hash(row["data"])),
    }  # fmt: skip


LOG_COLUMNS = (
    "index", "at", "type", "actor", "role", "object_kind", "object", "message", "case", "event", "outcome", "purpose",
    "basis", "hash",
)  # fmt: skip


def log_columns(entries: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    """Return rendered entries as rows of a table, the names first."""
    return [LOG_COLUMNS, *(
        (e["index"], e["at"], e["type"], e["actor"]["sub"], e["actor"]["role"], e["object"]["kind"], e["object"]["id"],
         e["message"], e["case"], e["event"], e["outcome"], e["purpose"], e["basis"], e["hash"])
        for e in entries
    )]  # fmt: skip


def problem(row: Row) -> dict[str, Any]:
    """Return an error a caller got, in the form of an entry: it is beside the log, so it has no index and no hash."""
    return {
        "index": None, "at": format_ms(row["at"]), "type": "problem",
        "actor": {"sub": row["actor"], "role": row["role"]}, "object": {"kind": "request", "id": row["trace_id"]},
        "message": None, "case": None, "event": None, "outcome": f"{row['status']} {row['code']}",
        "purpose": f"{row['method']} {row['route']}", "basis": None, "data": None, "hash": None,
    }  # fmt: skip


def chain_step(step: ChainStep) -> dict[str, Any]:
    """Return one step of a message's evidence chain."""
    return {
        "at": format_ms(step.at_ms), "step": step.step, "log": step.party, "index": step.index, "role": step.role,
        "actor": step.actor, "outcome": step.outcome, "message": step.message,
    }  # fmt: skip


def partner(row: Row, directory: Directory) -> dict[str, Any]:
    """Return a partner with what we know of the link to it."""
    known: KnownPartner | None = directory.partners.get(PartyId(row["party"]))
    card = known.card if known is not None else None
    return {
        "party": row["party"],
        "name": card.name if card else None,
        "country": card.country if card else None,
        "state": row["state"],
        "endpoint": card.endpoint if card else None,
        "fingerprint": card.fingerprint if card else None,
        "card_version": card.version if card else None,
        "card_expires": time(card.expires_ms) if card else None,
        "enrolled_at": format_ms(row["enrolled_at"]),
        "contact_at": time(row["contact_at"]),
        "reachable": row["down_since"] is None,
        "down_since": time(row["down_since"]),
        "problem": row["problem"],
        "waiting": row["waiting"],
    }


def reconciliation(found: Reconciliation) -> dict[str, Any]:
    """Return what they hold, what we sent, and what differs."""
    return {
        "partner": found.partner, "at": format_ms(found.at), "agrees": found.agrees, "sent": found.sent,
        "held": found.held, "rejected": found.rejected, "voided": found.voided, "waiting": found.waiting,
        "differences": [
            {"stream_seq": d.seq, "message": d.jti, "fault": d.fault, "ours": d.ours, "theirs": d.theirs}
            for d in found.differences
        ],
        "more": found.more,
        "received": {"count": found.arrived, "highest": found.arrived_high,
                     "gaps": found.arrived_high - found.arrived},
    }  # fmt: skip


def code_list(held: CodeList, language: str) -> dict[str, Any]:
    """Return a code list with its labels in one language."""
    return {
        "list": held.name,
        "version": held.version,
        "closed": held.closed,
        "language": language,
        "codes": [
            {
                "code": code.code,
                "label": code.labels.get(language) or code.labels.get("en") or code.code,
                "valid_from": code.valid_from.isoformat() if code.valid_from else None,
                "valid_to": code.valid_to.isoformat() if code.valid_to else None,
                "disabled": code.disabled,
                "attributes": dict(code.attributes),
            }
            for code in held.codes.values()
        ],
    }
