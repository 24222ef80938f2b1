"""Periodic statistics: the figures of a period, as JSON, chart and page; figures brought in; the message to send."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from gateway.casework.dates import Span, span_of
from gateway.casework.figures import DIMENSIONS
from gateway.casework.statistics import grain
from gateway.ports.people import StoredAnswer
from gateway.primitives.times import format_ms
from gateway.protocol.ids import PartyId
from gateway.services.statistics import Question
from gateway.services.submit import Idempotency
from gateway.web.api import asking, render
from gateway.web.api.answering import answered, json_answer, page, tagged
from gateway.web.api.asking import refuse
from gateway.web.api.reference import preferred
from gateway.web.api.statistics_page import POLICY, Sheet
from gateway.web.api.statistics_page import page as html_page

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.casework.statistics import Figure
    from gateway.running import Gateway
    from gateway.services.statistics import Report
    from gateway.web.api.route import Call

CSV = "text/csv"
CSV_BYTES = 1024 * 1024
DRAFT_BYTES = 256 * 1024
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?")


class StatisticsOf:
    """The handlers of `/statistics`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._me = gateway.settings.me

    async def get(self, call: Call) -> web.Response:
        """GET /statistics: ours, suppressed, each figure with its sources; and what partners reported."""
        report = await self._gateway.statistics.report(self._question(call), call.account)
        shown = orjson.dumps(self._shown(report, self._language(call)))
        return tagged(call.request, shown, headers={"Vary": "Accept-Language"})

    async def get_chart(self, call: Call) -> web.Response:
        """GET /statistics/chart.svg: the totals as bars."""
        sheet = await self._sheet(call)
        return tagged(call.request, sheet.chart().encode(), media_type="image/svg+xml", headers=self._headers(sheet))

    async def get_page(self, call: Call) -> web.Response:
        """GET /statistics/page: chart and table for the bilateral meeting."""
        sheet = await self._sheet(call)
        headers = {"Content-Security-Policy": POLICY, **self._headers(sheet)}
        return tagged(call.request, html_page(sheet).encode(), media_type="text/html", headers=headers)

    async def post_draft(self, call: Call) -> web.Response:
        """POST /statistics/draft: the body of POST /messages that tells a partner; nothing is sent."""
        members = ("recipient", "from", "to", "by", "final", "extra")
        given = await asking.read_options(call.request, DRAFT_BYTES, members)
        recipient, by = given.get("recipient"), given.get("by", [])
        final, extra = given.get("final", False), given.get("extra", {})
        if not isinstance(recipient, str):
            raise refuse("recipient", "is a party such as kh.gdi")
        if not isinstance(by, list) or not all(isinstance(name, str) for name in by):
            raise refuse("by", "is a list of names")
        if not isinstance(final, bool) or not isinstance(extra, dict):
            raise refuse("final", "is true or false, and `extra` an object")
        question = Question(_period(given.get("from"), given.get("to")), tuple(by))
        self._gateway.rules.partner(PartyId(recipient))
        drafted = await self._gateway.statistics.draft(question, recipient, call.account, final=final, extra=extra)
        return json_answer(drafted)

    async def post_figures(self, call: Call) -> web.Response:
        """POST /statistics/figures: a CSV file, all of it or none."""
        request = call.request
        key = asking.idempotency_key(request)
        raw = await asking.read_body(request, CSV_BYTES, (CSV,))
        digest = sha256(raw).digest()
        stored, replayed = await self._gateway.figures.bring_in(
            raw, call.account, Idempotency("POST /statistics/figures", key, digest),
            lambda number, rows: StoredAnswer(digest, 201, orjson.dumps({"import": number, "rows": rows}), None),
        )  # fmt: skip
        return answered(stored, replayed=replayed)

    async def get_imports(self, call: Call) -> web.Response:
        """GET /statistics/imports: the files, newest first."""
        rows = await self._gateway.queries.imports()
        items = [
            {"import": row["number"], "at": format_ms(row["at"]), "account": row["account"],
             "withdrawn_at": render.time(row["withdrawn_at"])}
            for row in rows
        ]  # fmt: skip
        return page(call.request, items, None, more=False)

    async def post_withdrawn(self, call: Call) -> web.Response:
        """POST /statistics/imports/{number}/withdraw: its figures count no more."""
        text = call.request.match_info["number"]
        number = int(text) if text.isdecimal() and len(text) < 16 else 0
        await self._gateway.figures.withdraw(number, call.account)
        return json_answer({"import": number, "withdrawn": True})

    async def _sheet(self, call: Call) -> Sheet:
        report = await self._gateway.statistics.report(self._question(call), call.account)
        rules = self._gateway.rules
        return Sheet(report, self._me, rules.codelists, self._language(call), test=rules.environment == "test")

    def _question(self, call: Call) -> Question:
        query = call.request.query
        by = tuple(name for name in query.get("by", "").split(",") if name)
        if not set(by) <= set(DIMENSIONS):
            raise refuse("by", f"is one or two of {', '.join(DIMENSIONS)}, with a comma between")
        return Question(_period(query.get("from"), query.get("to")), by)

    def _language(self, call: Call) -> str:
        asked = asking.one_of(call.request, "language", ("en", "id", "km"))
        return asked or preferred(call.request.headers.get("Accept-Language", ""))

    def _headers(self, sheet: Sheet) -> dict[str, str]:
        return {"Content-Language": sheet.language, "Vary": "Accept-Language"}

    def _shown(self, report: Report, language: str) -> dict[str, Any]:
        period = report.question.period
        return {
            "period": {"from": period.first.isoformat(), "to": period.last.isoformat(),
                       "grain": grain(period.first, period.last)},
            "by": list(report.question.by),
            "definitions_version": report.definitions,
            "figures": [self._figure(f, report, language) for f in report.figures],
            "partners": [
                {"party": told.party, "messages": list(told.messages),
                 "figures": [self._figure(f, report, language) for f in told.figures]}
                for told in report.partners
            ],
            "left_out": [
                {"indicator": f.indicator, "from": f.span.first.isoformat(), "to": f.span.last.isoformat(),
                 "import": f.number, "row": f.line}
                for f in report.left_out
            ],
        }  # fmt: skip

    def _figure(self, figure: Figure, report: Report, language: str) -> dict[str, Any]:
        return {
            "indicator": figure.indicator,
            "label": self._gateway.rules.codelists.label("statIndicator", figure.indicator, language),
            "value": figure.value, "suppressed": figure.value is None, "qualifier": figure.qualifier,
            "breakdown": dict(figure.breakdown), "status": figure.status,
            "sources": [_source(origin, report) for origin in figure.sources],
        }  # fmt: skip


def _source(origin: str, report: Report) -> dict[str, Any]:
    brought = report.imported.get(origin)
    if brought is None:
        return {"message": origin, "import": None, "row": None, "label": None}
    return {"message": None, "import": brought.number, "row": brought.line, "label": brought.source}


def _period(first: object, last: object) -> Span:
    found: dict[str, Span] = {}
    for name, given in (("from", first), ("to", last)):
        span = span_of(given) if isinstance(given, str) and _DAY.fullmatch(given) else None
        if span is None:
            raise refuse(name, "is a month or a day: 2025-01, 2025-01-31")
        found[name] = span
    return Span(found["from"].first, found["to"].last)
