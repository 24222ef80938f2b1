"""The routes of the API: one line each, with the act a caller must be permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.casework.policies.basis import PURPOSES
from gateway.protocol.event import URGENCIES
from gateway.web.api import asking
from gateway.web.api.audit import FORMATS, WORD
from gateway.web.api.cases import STATUSES
from gateway.web.api.described import Models
from gateway.web.api.messages import CASE, STATES, STEPS, SUBJECT
from gateway.web.api.route import ETAG, PREFIX, Param, Route, anchored

if TYPE_CHECKING:
    import re

    from gateway.web.api.attachments import Attachments
    from gateway.web.api.audit import Audit
    from gateway.web.api.bulk import Bulk
    from gateway.web.api.cases import Cases
    from gateway.web.api.evidence import EvidenceOf
    from gateway.web.api.inbox import Inbox
    from gateway.web.api.messages import Messages
    from gateway.web.api.reference import Reference
    from gateway.web.api.schemas import Schemas
    from gateway.web.api.statistics import StatisticsOf

m = Models("gateway.web.api.models")
schemas = Models("gateway.web.api.models_schemas")
s = Models("gateway.web.api.models_statistics")
v = Models("gateway.web.api.models_views")

_TIME = {"type": "string", "examples": ["2026-11-24T02:00:00Z", "2026-11-24"]}

LIMIT = Param("limit", "items a page", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50})
SENDER = Param("sender", "whose message is meant, where several parties used its id: 409 asks for it")
CURSOR = Param("cursor", "`next_cursor` of the page before")
PARTNER = Param("partner", "with whom the case is, where several partners use its reference: 409 asks for it")
_PURPOSES = {"type": "string", "enum": sorted(frozenset().union(*PURPOSES.values()))}
PURPOSE = Param("purpose", "why it is read, a code of the list processingPurpose: kept in the audit log", _PURPOSES)
PURPOSE_HEADER = Param("Access-Purpose", "the same as `purpose`", _PURPOSES, "header")
KEY = Param(
    "Idempotency-Key", "new for each request, the same when it is repeated",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": anchored(asking.KEY.pattern)}, "header",
    required=True,
)  # fmt: skip


def _word(name: str, text: str, form: re.Pattern[str] | None = None) -> Param:
    return Param(name, text, {"type": "string"} | ({"pattern": anchored(form.pattern)} if form else {}))


def _code(name: str, text: str, codes: frozenset[str] | tuple[str, ...]) -> Param:
    return Param(name, text, {"type": "string", "enum": sorted(codes)})


def message_routes(of: Messages) -> list[Route]:
    """Return the routes of `/messages`."""
    path, tag = f"{PREFIX}/messages", "messages"
    read = ("message.read", "message.read-own")
    case = _word("case", "a case reference", CASE)
    return [
        Route(
            "POST", path, ("message.submit",), of.post, "Submit a message", tag, m.Accepted, m.MessageRequest, 202,
            params=(KEY, Param("dry_run", "judge it and accept nothing: 200, or the problem it would have been",
                               {"type": "boolean"})),
            problems=(400, 404, 409, 413, 415, 422, 429, 503),
            text="With `dry_run=true` no key is needed. It opens a case where the type does and `case` is absent.",
        ),
        Route(
            "POST", f"{path}/batch", ("message.submit",), of.post_batch, "Submit up to 100 messages", tag,
            m.BatchAccepted, m.BatchRequest, 202, params=(KEY,), problems=(400, 413, 415, 422, 429, 503),
        ),
        Route(
            "POST", f"{path}/advice", ("message.submit",), of.post_advice, "Show the handling a message must have",
            tag, m.Advice, m.MessageRequest, problems=(400, 404, 413, 415, 422),
            text="Computed from its type, its content, its files, its case and what it answers. `handling` may be "
                 "left out. Nothing is accepted.",
        ),
        Route(
            "POST", f"{path}/retry", ("queue.operate",), of.post_retry, "Try again what waits since then", tag,
            m.Retried, m.Since, problems=(400, 415, 503), keeps=True,
        ),
        Route(
            "GET", path, read, of.get_list, "List messages, newest first", tag, m.Messages,
            params=(_code("direction", "ours or theirs", ("in", "out")), _code("state", "where it stands", STATES),
                    case, _word("partner", "with whom it was exchanged"), _word("type", "a message type", SUBJECT),
                    Param("since", "accepted or received since", _TIME), CURSOR, LIMIT, ETAG),
            problems=(400,),
        ),
        Route(
            "GET", f"{path}/{{id}}", read, of.get, "Show a message with its attempts", tag, m.MessageWhole,
            params=(SENDER, ETAG), problems=(400, 404, 409),
        ),
        Route(
            "GET", f"{path}/{{id}}/event", ("event.read", "message.read-own"), of.get_event, "Read the event", tag,
            m.CloudEvent, media_type="application/cloudevents+json", params=(SENDER, PURPOSE, PURPOSE_HEADER, ETAG),
            problems=(400, 404, 409), text="The audit log has this reading before the answer leaves.",
        ),
        Route(
            "GET", f"{path}/{{id}}/receipt", read, of.get_receipt, "Fetch the partner's receipt", tag,
            m.SignedObject, media_type="application/jose+json", params=(SENDER, ETAG), problems=(400, 404, 409),
            text="The JWS as received.",
        ),
        *(
            Route(
                "POST", f"{path}/{{id}}/{step}", ("queue.operate",), of.post_step, f"{step.capitalize()} a message",
tag, m.MessageWhole, m.Reason, problems=(400, 404, 409, 415, 422, 503), keeps=True,
            )
            for step in STEPS
        ),
    ]  # fmt: skip


def attachment_routes(of: Attachments) -> list[Route]:
    """Return the routes of `/attachments`."""
    path, tag = f"{PREFIX}/attachments", "attachments"
    return [
        Route(
            "POST", path, ("message.submit",), of.post, "Upload a file for a message", tag, m.Attachment,
            m.AttachmentUpload, 201, params=(KEY,), problems=(400, 409, 413, 415, 422, 429, 503),
            body_type="multipart/form-data", keeps=True,
            text="The id goes into `attachments` of a message; unused uploads go after a day. An image is made anew "
                 "from its pixels, a PDF from its pages; what came is kept as a sealed original, `derivedFrom`.",
        ),
        Route(
            "GET", f"{path}/{{id}}", ("event.read", "message.read-own"), of.get, "Fetch a file", tag,
            media_type="application/octet-stream", problems=(400, 404, 409, 413, 416, 422, 429, 503),
            params=(PURPOSE, PURPOSE_HEADER, _word("partner", "whose id it is, where several parties use it"),
                    _word("original", "`true`: a PDF as it came, as evidence; needs a purpose"),
                    Param("Range", "one range, `bytes=N-`: 206", where="header"),
                    Param("If-Range", "its ETag, that a range is of the same file", where="header")),
            text="The audit log has this reading before the first byte leaves. A PDF from a partner is made anew "
                 "first: `Attachment-Form` says `made-anew`, and its digest is not the one the message names.",
        ),
    ]  # fmt: skip


def case_routes(of: Cases) -> list[Route]:
    """Return the routes of `/cases`."""
    path, tag, read = f"{PREFIX}/cases", "cases", ("case.read", "case.read-own")
    return [
        Route(
            "GET", path, read, of.get_list, "List cases, last changed first", tag, v.Cases,
            params=(_word("q", "a case reference or its beginning, or a person's name in any script: nearest first, "
                          "one page; the audit log has that somebody searched, without the name"), PURPOSE,
                    PURPOSE_HEADER, _code("status", "where it stands", STATUSES),
                    _code("urgency", "of the case", URGENCIES), _word("partner", "with whom the case is"),
                    Param("due_before", "a clock that runs out by then", _TIME), CURSOR, LIMIT, ETAG),
            problems=(400,),
        ),
        Route(
            "GET", f"{path}/{{ref}}", read, of.get, "Show a case: status, clocks, next action, timeline", tag,
            v.CaseWhole, params=(PARTNER, ETAG), problems=(400, 404, 409),
        ),
        Route(
            "GET", f"{path}/{{ref}}/progress", read, of.get_progress, "Show how far each request is answered", tag,
            v.Progress, params=(PARTNER, ETAG), problems=(400, 404, 409),
            text="Row by row, as `27 of 30`. What was answered is case data, and stands in the responses alone.",
        ),
        Route(
            "GET", f"{path}/{{ref}}/persons", ("event.read",), of.get_persons,
            "Show each person's assessments and way home", tag, v.Persons,
            params=(PARTNER, PURPOSE, PURPOSE_HEADER, ETAG), problems=(400, 404, 409),
            text="Case data: the audit log has this reading before the answer leaves.",
        ),
    ]  # fmt: skip


def bulk_routes(of: Bulk) -> list[Route]:
    """Return the routes of rows as CSV."""
    return [
        Route(
            "GET", f"{PREFIX}/templates/{{subject}}", ("reference.read",), of.get_template,
            "Fetch the CSV to fill in for the rows of a type", "messages", media_type="text/csv", params=(ETAG,),
            problems=(404,), text="Filled in, it is the member `rows` of POST /messages. Columns may be left out.",
        ),
        Route(
            "GET", f"{PREFIX}/messages/{{id}}/rows", ("event.read", "message.read-own"), of.get_rows,
            "Read the rows of a message as CSV", "messages", media_type="text/csv",
            params=(SENDER, PURPOSE, PURPOSE_HEADER, ETAG), problems=(400, 403, 404, 409),
            text="The audit log has this reading before the answer leaves.",
        ),
    ]  # fmt: skip


def inbox_routes(of: Inbox) -> list[Route]:
    """Return the routes that partner-agency systems follow."""
    tag = "inbox"
    return [
        Route(
            "GET", f"{PREFIX}/inbox", ("inbox.read",), of.get_inbox, "Receive events, in order", tag, m.Inbox,
            params=(Param("after", "`cursor` of the last item taken; absent: from the first"), LIMIT, PURPOSE,
                    PURPOSE_HEADER, ETAG),
            problems=(400,), text="The audit log has each reading before the answer leaves.",
        ),
        Route(
            "GET", f"{PREFIX}/events", ("message.read", "message.read-own"), of.get_events,
            "Follow changes of state", tag, media_type="text/event-stream",
            params=(Param("Last-Event-ID", "go on behind this event; absent: from now", where="header"),
                    Param("last_event_id", "the same, for those who cannot set a header")),
            problems=(400, 429, 503),
            text="One event a change: `id`, `event` (such as `message.settled`) and JSON `data` with id, case, type, "
                 "state, reason, at. No case data. A comment every 15 s.",
        ),
    ]  # fmt: skip


def reference_routes(of: Reference) -> list[Route]:
    """Return the routes of code lists and partners."""
    language = Param("Accept-Language", "en, id or km", where="header")
    return [
        Route("GET", f"{PREFIX}/codelists", ("reference.read",), of.get_codelists, "List code lists", "reference",
              v.CodeLists, params=(ETAG,)),
        Route("GET", f"{PREFIX}/codelists/{{list}}", ("reference.read",), of.get_codelist,
              "Show a code list: labels and validity", "reference", v.CodeList, params=(language, ETAG),
              problems=(404,)),
        Route("GET", f"{PREFIX}/partners", ("reference.read",), of.get_partners, "List partners", "reference",
              v.Partners, params=(ETAG,)),
        Route("GET", f"{PREFIX}/partners/{{party}}/reconcile", ("audit.read", "partner.operate"),
              of.get_reconciliation, "Compare what we sent with what they hold", "reference", v.Reconciliation,
              problems=(404, 502), text="Asks the partner, who answers under its signature."),
    ]  # fmt: skip


def schema_routes(of: Schemas) -> list[Route]:
    """Return the route that judges a schema; `/registry` has the others."""
    return [
        Route(
            "POST", f"{PREFIX}/schemas/check", ("schema.operate",), of.post_check,
            "What a schema would change, break and refuse", "reference", schemas.SchemaChecked, schemas.SchemaCheck,
            problems=(400, 404, 413, 415, 503),
            text="Registers nothing. The messages of its type of the last year are held against it: the answer has "
                 "counts and pointers, never a value. The audit log has who asked, before the answer leaves.",
        ),
    ]  # fmt: skip


def statistics_routes(of: StatisticsOf) -> list[Route]:
    """Return the routes of `/statistics`."""
    path, tag, read, bring = f"{PREFIX}/statistics", "statistics", ("statistics.read",), ("statistics.import",)
    month = {"type": "string", "examples": ["2025-01", "2025-01-31"]}
    asked = (
        Param("from", "first month or day", month, required=True),
        Param("to", "last month or day", month, required=True),
        _word("by", "one or two of sex, ageGroup, checkpoint, subdivision, destination, channel, with a comma between"),
        _code("language", "over Accept-Language", ("en", "id", "km")),
        Param("Accept-Language", "en, id or km", where="header"), ETAG,
    )  # fmt: skip
    small = "A cell of 1 to 9 persons is suppressed, and one more where it could be computed."
    return [
        Route("GET", path, read, of.get, "Compute the figures of a period", tag, s.StatisticsReport, params=asked,
              problems=(400,), text=f"From exchanged messages and imports, each figure with its sources. {small}"),
        Route("GET", f"{path}/chart.svg", read, of.get_chart, "Draw the figures", tag, media_type="image/svg+xml",
              params=asked, problems=(400,), text=small),
        Route("GET", f"{path}/page", read, of.get_page, "Show chart and table of both authorities", tag,
              media_type="text/html", params=asked, problems=(400,), text=small),
        Route("POST", f"{path}/draft", read, of.post_draft, "Draft the message that tells a partner", tag,
              m.MessageRequest, s.DraftRequest, problems=(400, 403, 404, 409, 413, 415),
              text="The body for POST /messages. Once a partner was told, only what changed, by `revisionOf`."),
        Route("POST", f"{path}/figures", bring, of.post_figures, "Bring figures in by CSV", tag, s.Imported,
              status=201, params=(KEY,), problems=(400, 413, 415, 422, 503), keeps=True,
              text="The body is `text/csv`: indicator, from, to, value, qualifier, status, sex, ageGroup, checkpoint, "
                   "subdivision, destination, channel, source. All rows or none; `errors` name row and column."),
        Route("GET", f"{path}/imports", read, of.get_imports, "List imports, newest first", tag, s.FigureImports,
              params=(ETAG,)),
        Route("POST", f"{path}/imports/{{number}}/withdraw", bring, of.post_withdrawn,
              "Leave an import out from now on", tag, s.Withdrawn, problems=(404, 503), keeps=True),
    ]  # fmt: skip


def audit_routes(of: Audit) -> list[Route]:
    """Return the routes of `/audit`."""
    path, tag, read = f"{PREFIX}/audit", "audit", ("audit.read",)
    number = {"type": "integer", "minimum": 0}
    return [
        Route(
            "GET", f"{path}/entries", read, of.get_entries, "Search the audit log, newest first", tag, v.LogEntries,
            params=(_word("type", "such as message.read", WORD),
                    Param("reads", "true: whatever somebody read of bodies: messages, files, evidence, persons, names "
                          "searched, figures", {"type": "boolean"}),
                    _word("actor", "opaque id", WORD),
                    _word("message", "its id", WORD), _word("case", "a case reference", CASE),
                    _word("object", "id of what it was done to; the trace_id of an error finds who got it", WORD),
                    _word("outcome", "such as rejected schema-invalid", WORD), Param("since", "from then on", _TIME),
                    Param("until", "before then", _TIME), _code("format", "of the page; json where absent", FORMATS),
                    CURSOR, LIMIT, ETAG),
            problems=(400,), text="With `format=csv` each page is text/csv; `Link` leads to the next.",
        ),
        Route("GET", f"{path}/checkpoint", read, of.get_checkpoint, "The newest signed checkpoint", tag, v.Checkpoint,
              params=(ETAG,), problems=(404,)),
        Route("GET", f"{path}/proof", read, of.get_proof, "Prove that an entry is in the log", tag, v.Proof,
              params=(Param("index", "number of the entry", number, required=True),
                      Param("size", "of the log; absent: the newest checkpoint's", number), ETAG),
              problems=(400, 404)),
    ]  # fmt: skip


def evidence_routes(of: EvidenceOf) -> list[Route]:
    """Return the routes of evidence."""
    tag = "audit"
    return [
        Route(
            "GET", f"{PREFIX}/audit/messages/{{id}}", ("message.read", "message.read-own"), of.get_chain,
            "What happened to a message, step by step", tag, v.Chain, params=(SENDER, ETAG), problems=(400, 404, 409),
            text="From the audit log: each step names its entry.",
        ),
        Route(
            "GET", f"{PREFIX}/evidence/{{id}}", ("evidence.export",), of.get_bundle, "Fetch the evidence of a message",
            tag, media_type="application/zip", problems=(400, 404, 409, 503),
            params=(SENDER, Param("redacted",
                                  "false: with the event, where you may read it; absent or true: its digest only",
                                  {"type": "boolean"}), PURPOSE, PURPOSE_HEADER, ETAG),
            text="A bundle `bcx-evidence/1`; `gateway evidence verify` checks it offline. The audit log has the export "
                 "before the answer leaves.",
        ),
    ]  # fmt: skip
