"""submit; message, case, queue."""

from __future__ import annotations

import json
import time
import uuid
from typing import Annotated, Any, Final

import typer

from gateway.cli import output
from gateway.cli.attach import read_attached, upload
from gateway.cli.common import (
    PurposeOption,
    SenderOption,
    YesOption,
    confirm,
    given,
    group,
    judge_code,
    note,
    read_input,
    verb,
)
from gateway.cli.control import API, CONTROL, PAGE_MOST, Client, gateway, segment
from gateway.cli.failure import FAILURE, Misused
from gateway.errors import MalformedRequest, NotFound
from gateway.protocol.reasons import CANCEL_REASONS

message = group("message", "Messages, sent and received.")
case = group("case", "Cases: where they stand, what comes next.")
queue = group("queue", "What waits to be sent, and what was given up.")

WAIT_STEP_S: Final = 0.1
OPEN: Final = frozenset({"queued", "sending"})
LIST_COLUMNS: Final = ("id", "direction", "state", "proved", "type", "case", "urgency", "accepted_at", "reason")
QUEUE_COLUMNS: Final = ("id", "state", "recipient", "type", "case", "urgency", "attempts_made", "next_try", "reason")
CASE_COLUMNS: Final = ("case", "status", "urgency", "partner", "turn", "due", "overdue", "updated_at")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A message id.")]
PartnerOption = Annotated[
    str | None, typer.Option(metavar="PARTY", help="With whom the case is, where several partners use its reference.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=PAGE_MOST, help="How many at most.")]
AllOption = Annotated[bool, typer.Option("--all", help="All that fit, page after page.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    verb(app, "submit")(submit)
    for noun in (message, case, queue):
        app.add_typer(noun)


def submit(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The JSON body of POST /messages; - for stdin.")],
    *,
    attach: Annotated[
        list[str] | None,
        typer.Option(metavar="F", help="A file to send with it, again for each: FILE or 'FILE;type=CODE;…'."),
    ] = None,
    subject: Annotated[str | None, typer.Option("--type", metavar="T", help="Type, over the file's.")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="CSV", help="The rows; `gateway schema template` gives the columns.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge it and send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer; exit 1 unless accepted.")] = False,
) -> None:
    """Accept a message for sending, durably; or say every place where it is wrong."""
    raw = read_input(file)
    over = {} if subject is None else {"type": subject}
    if rows is not None:
        try:
            over["rows"] = read_input(rows).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise MalformedRequest(f"{rows}: not UTF-8; save the CSV as UTF-8") from None
    files = [read_attached(text) for text in attach or ()]
    if over:
        raw = _with(raw, file, over)
    with gateway(working=wait) as reached:
        if files and dry_run:
            note("a dry run uploads nothing: the files are not judged")
        elif files:
            named = _body(raw, file).get("attachments") or []
            raw = _with(raw, file, {"attachments": [*named, *upload(reached, files)]})
        send(reached, raw, dry_run=dry_run, wait=wait)


def send(reached: Client, raw: bytes, *, dry_run: bool, wait: bool) -> None:
    """Submit the body of POST /messages and show what came of it; exit 1 where `wait` ends without acceptance."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    path = f"{API}/messages" + ("?dry_run=true" if dry_run else "")
    found: dict[str, Any] = json.loads(reached.raw("POST", path, raw, headers)[1])
    if wait and not dry_run:
        # Whoever stops waiting must know what it was.
        note(f"{found['id']} is accepted for sending; waiting for the answer")
        found = _settled(reached, found["id"])
    if dry_run:
        advised = json.loads(reached.raw("POST", f"{API}/messages/advice", raw, headers)[1])
        note(f"the least handling it must have: {' '.join(advised['handling'])}")
        for advice in advised["advice"]:
            note(f"advice: {advice['pointer']} {advice['reason']}")
    output.show(found)
    if not dry_run and not wait and not reached.served:
        note("it goes out when `gateway serve` runs; `gateway queue list` shows what waits")
    if wait and not dry_run and found["state"] != "accepted":
        raise typer.Exit(FAILURE)


def _body(raw: bytes, file: str) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise MalformedRequest(f"{file}: no JSON object; give the body of POST /messages")
    return found


def _with(raw: bytes, file: str, members: dict[str, Any]) -> bytes:
    return json.dumps(_body(raw, file) | members).encode()


def _settled(reached: Client, jti: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = reached.get(f"{API}/messages/{segment(jti)}")
        if found["state"] not in OPEN:
            return found
        time.sleep(WAIT_STEP_S)


@verb(message, "list")
def message_list(
    *,
    direction: Annotated[str | None, typer.Option(help="in or out.")] = None,
    state: Annotated[str | None, typer.Option(help="Such as queued, accepted or received.")] = None,
    of_case: Annotated[str | None, typer.Option("--case", metavar="REF", help="A case reference.")] = None,
    subject: Annotated[str | None, typer.Option("--type", metavar="T", help="A message type.")] = None,
    partner: Annotated[str | None, typer.Option(metavar="PARTY", help="Exchanged with one partner.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Such as 2026-11-24T00:00:00.000Z.")] = None,
    limit: LimitOption = 50,
    everything: AllOption = False,
) -> None:
    """List messages, newest first."""
    query = {
        "direction": direction, "state": state, "case": of_case, "type": subject, "partner": partner, "since": since,
        "limit": limit,
    }  # fmt: skip
    with gateway() as reached:
        found = reached.items(f"{API}/messages", query, everything=everything)
        output.show_rows(found, LIST_COLUMNS, empty="no such messages")


@verb(message, "show")
def message_show(jti: IdArgument, *, sender: SenderOption = None) -> None:
    """Show where a message stands, its attempts and the partner's answer; no case data."""
    with gateway() as reached:
        output.show(reached.get(f"{API}/messages/{segment(jti)}", {"sender": sender}))


@verb(message, "receipt")
def message_receipt(jti: IdArgument, *, sender: SenderOption = None) -> None:
    """Print the partner's receipt for a message of ours: the JWS as received."""
    with gateway() as reached:
        output.write_bytes(reached.get_bytes(f"{API}/messages/{segment(jti)}/receipt", {"sender": sender}))


@verb(message, "event")
def message_event(jti: IdArgument, *, purpose: PurposeOption = None, sender: SenderOption = None) -> None:
    """Print a record as its CloudEvent, for who may read it; the reading is in the audit log first."""
    _read(jti, "event", purpose, sender)


@verb(message, "rows")
def message_rows(jti: IdArgument, *, purpose: PurposeOption = None, sender: SenderOption = None) -> None:
    """Print the rows of a message as CSV, for who may read it; the reading is in the audit log first."""
    _read(jti, "rows", purpose, sender)


def _read(jti: str, part: str, purpose: str | None, sender: str | None) -> None:
    query = {"purpose": purpose, "sender": sender}
    with gateway() as reached:
        output.write_bytes(reached.get_bytes(f"{API}/messages/{segment(jti)}/{part}", query))


@verb(case, "list")
def case_list(
    *,
    text: Annotated[
        str | None, typer.Option("-q", "--q", metavar="TEXT", help="A reference or its beginning, or a person's name.")
    ] = None,
    status: Annotated[str | None, typer.Option(help="Such as RECEIVED.")] = None,
    urgency: Annotated[str | None, typer.Option(help="Such as FLASH.")] = None,
    partner: Annotated[str | None, typer.Option(metavar="PARTY", help="With one partner.")] = None,
    due_before: Annotated[str | None, typer.Option(metavar="TIME", help="A clock that runs out by then.")] = None,
    purpose: PurposeOption = None,
    limit: LimitOption = 50,
    everything: AllOption = False,
) -> None:
    """List cases, last changed first; by a name, the nearest first. That somebody searched is logged, not the name."""
    query = {
        "q": text, "status": status, "urgency": urgency, "partner": partner, "due_before": due_before, "limit": limit,
        "purpose": purpose,
    }  # fmt: skip
    with gateway() as reached:
        found = reached.items(f"{API}/cases", query, everything=everything)
    rows = found if given.output == "json" else [_with_due(row) for row in found]
    output.show_rows(rows, CASE_COLUMNS, empty="no such cases")


def _with_due(row: dict[str, Any]) -> dict[str, Any]:
    """Return a case with whose turn it is and until when: of its two clocks the one that runs out next."""
    clock = row["clock"]
    clocks = (("acknowledge_by", "acknowledged_at"), ("reply_by", "replied_at"))
    running = [clock[by] for by, done in clocks if clock[by] is not None and clock[done] is None]
    return {**row, "turn": clock["turn"], "due": min(running, default=None), "overdue": clock["overdue"]}


@verb(case, "show")
def case_show(
    ref: Annotated[str, typer.Argument(metavar="REF", help="Such as XC-ID-2026-000123-8.")],
    *,
    partner: PartnerOption = None,
) -> None:
    """Show where a case stands, who must act by when, and what was exchanged; no case data."""
    with gateway() as reached:
        output.show(reached.get(f"{API}/cases/{segment(ref)}", {"partner": partner}))


@verb(case, "progress")
def case_progress(
    ref: Annotated[str, typer.Argument(metavar="REF", help="Such as XC-KH-2026-000007-4.")],
    *,
    partner: PartnerOption = None,
) -> None:
    """Show how far each request is answered, person by person; not what was answered."""
    with gateway() as reached:
        found = reached.get(f"{API}/cases/{segment(ref)}/progress", {"partner": partner})
    if given.output == "json":
        output.dump(found)
        return
    for request in found["requests"]:
        note(f"{request['message']}: {request['summary']}" + (", complete" if request["complete"] else ""))
    rows = [{"request": r["message"], **row} for r in found["requests"] for row in r["rows"]]
    output.show_rows(rows, ("request", "item", "answered", "answer"), empty="nothing was asked in this case")


@verb(queue, "list")
def queue_list(
    *,
    state: Annotated[str | None, typer.Option(help="queued, sending, held or dead; all of them if absent.")] = None,
    partner: Annotated[str | None, typer.Option(metavar="PARTY", help="Towards one partner.")] = None,
    limit: LimitOption = PAGE_MOST,
    everything: AllOption = False,
) -> None:
    """List what waits and what was given up, in the order of acceptance."""
    with gateway() as reached:
        query = {"state": state, "partner": partner, "limit": limit}
        found = reached.items(f"{CONTROL}/queue", query, everything=everything)
        output.show_rows(found, QUEUE_COLUMNS, empty="nothing waits")


@verb(queue, "show")
def queue_show(jti: IdArgument, *, sender: SenderOption = None) -> None:
    """Show a message of ours with its attempts, and what may be done to it."""
    with gateway() as reached:
        found = reached.get(f"{API}/messages/{segment(jti)}", {"sender": sender})
    if found["direction"] != "out":
        raise NotFound("no such message of ours; `gateway queue list` shows those that wait")
    output.show(found)


@verb(queue, "retry")
def queue_retry(
    jti: Annotated[str | None, typer.Argument(metavar="[ID]", help="A message id.")] = None,
    *,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="All that waits since then.")] = None,
) -> None:
    """Try a message again now, or with --since all that waits: dead letters too, where their time is not over."""
    if (jti is None) == (since is None):
        raise Misused("give an ID, or --since TIME")
    with gateway() as reached:
        if jti is None:
            output.show(reached.post(f"{API}/messages/retry", {"since": since}))
        else:
            output.show(reached.post(f"{API}/messages/{segment(jti)}/retry"))


@verb(queue, "hold")
def queue_hold(jti: IdArgument) -> None:
    """Keep a queued message back, and what follows it in its case."""
    _step(jti, "hold")


@verb(queue, "release")
def queue_release(jti: IdArgument) -> None:
    """Let a held message go."""
    _step(jti, "release")


@verb(queue, "cancel")
def queue_cancel(
    jti: IdArgument,
    *,
    reason: Annotated[str | None, typer.Option(metavar="CODE", help=f"One of {', '.join(CANCEL_REASONS)}.")] = None,
    yes: YesOption = False,
) -> None:
    """Give a message up for good; the partner is told that its number stays unused."""
    if reason is not None:
        judge_code("--reason", reason, CANCEL_REASONS)
    confirm(f"Cancel {jti} for good?", yes=yes)
    _step(jti, "cancel", reason)


def _step(jti: str, step: str, reason: str | None = None) -> None:
    with gateway() as reached:
        output.show(reached.post(f"{API}/messages/{segment(jti)}/{step}", {"reason": reason} if reason else None))
