"""Periodic statistics (4.14): computed when they are asked for, so that a changed case changes its figure.

What leaves here is suppressed (P18). What a partner is told is a message like any other, drafted here and submitted
by whoever may submit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from gateway.casework.counting import Referral, answered_in_time, corrected, counts_of, is_ours
from gateway.casework.dates import Span, day_of
from gateway.casework.figures import DIMENSIONS, compute, left_out, newest
from gateway.casework.shapes import obj, rows, text
from gateway.casework.statistics import MAX_DIMENSIONS, Count, Figure, edition, grain, revise, suppress
from gateway.errors import Clash, Finding, MalformedRequest, NotFound
from gateway.primitives import strictjson
from gateway.services.accounts import actor_of
from gateway.services.indexing import read_counts

if TYPE_CHECKING:
    from datetime import date

    from gateway.casework.codelists import CodeLists
    from gateway.casework.figures import Imported
    from gateway.ports.common import Clock
    from gateway.ports.people import Account
    from gateway.ports.store import Store
    from gateway.services.indexing import Indexer

Row = Mapping[str, Any]

SUBJECT = "stats.periodic"
INDICATORS = "statIndicator"
PURPOSE = "STATISTICS"
"""What figures are asked for is what they are."""
SLICE = 200
"""Messages counted before the loop is given back."""
LEGAL_BASIS = "BIL-LOI-2025-05-19"
"""The Letter of Intent: it names the exchange of information, and figures name nobody."""
EXTRA = ("outreach", "campaigns", "meetings", "contactRole")
"""What people add to a message beside the figures."""


class _Reads(Protocol):
    """The questions asked here."""

    async def tallies(self, first: str, last: str) -> Sequence[Row]: ...
    async def tally(self, direction: str, partner: str, jti: str) -> Row | None: ...
    async def final_answers(self, since: int) -> Sequence[Row]: ...
    async def imported(self, first: date, last: date) -> Sequence[Imported]: ...
    async def published(self, partner: str) -> Sequence[Row]: ...
    async def received(self) -> Sequence[Row]: ...
    async def event(self, direction: str, number: int) -> Row | None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """Which figures: of which days, broken down by what."""

    period: Span
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """What a partner reported of the same period."""

    party: str
    messages: Sequence[str]
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a period, safe to show; `imported` are the sources brought in, by their origin."""

    question: Question
    figures: Sequence[Figure]
    imported: Mapping[str, Imported]
    left_out: Sequence[Imported]
    partners: Sequence[Reported]
    definitions: str


class Statistics:
    """Computes figures, and drafts the message that tells a partner."""

    def __init__(self, store: Store, reads: _Reads, indexer: Indexer, codelists: CodeLists, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._reads = reads
        self._indexer = indexer
        self._codelists = codelists

    @property
    def definitions(self) -> str:
        """The version of the indicators' definitions: that of their code list."""
        held = self._codelists.get(INDICATORS)
        return held.version if held is not None else "0.0.0"

    async def report(self, question: Question, account: Account) -> Report:
        """Return the figures of a period, ours and what partners reported, after this reading is in the log.

        Raises MalformedRequest.
        """
        judge(question)
        imported = newest(await self._imported(question.period))
        report = Report(
            question, suppress(await self._figures(question, imported)), {f.origin: f for f in imported},
            left_out(imported, question.period), await self._reported(question.period), self.definitions,
        )  # fmt: skip
        await self._note(question, account)
        return report

    async def _imported(self, period: Span) -> Sequence[Imported]:
        return await self._reads.imported(period.first, period.last)

    async def draft(
        self, question: Question, recipient: str, account: Account, *, final: bool, extra: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the body of POST /messages that tells a partner the figures, or what changed since it was told.

        This reading is in the log first.

        Raises MalformedRequest; NotFound without a figure; Clash where the partner was told all of it.
        """
        judge(question)
        if not extra.keys() <= set(EXTRA):
            detail = f"beside the figures a message has {', '.join(EXTRA)}"
            raise MalformedRequest(detail, errors=(Finding("/extra", detail),))
        counted = await self._figures(question, newest(await self._imported(question.period)))
        told = await self._edition(await self._reads.published(recipient), question.period)
        found = suppress(counted, [p.figure for p in edition(told)])
        if final:
            found = [replace(figure, status="FINAL") for figure in found]
        if not found and not told:
            detail = "there are no figures for this period; `gateway stats import` brings figures in"
            raise NotFound(detail)
        sent = revise(edition(told), found, question.by)
        if not sent:
            detail = f"nothing has changed since message {told[-1][0]}, which carried these figures"
            raise Clash(detail)
        await self._note(question, account)
        return {
            "recipient": recipient,
            "type": SUBJECT,
            "handling": ["H0"],
            "data": {
                "meta": {
                    "purpose": PURPOSE,
                    "legalBasis": [LEGAL_BASIS],
                    "transferBasis": {"code": "NO_PERSONAL_DATA"},
                    "retention": {"class": "RC-AG"},
                },
                "period": _period(question.period),
                "figures": [figure.as_data() for figure in sent],
                **extra,
                "definitionsVersion": self.definitions,
            },
        }

    async def _note(self, question: Question, account: Account) -> None:
        """Log who had bodies counted, of which days: what a figure tells of few is case data too."""
        obj = ("period", f"{question.period.first.isoformat()}/{question.period.last.isoformat()}")
        actor, now = actor_of(account), self._clock()
        await self._store.write(
            lambda tx: tx.log.append(
                "message.read", actor=actor, obj=obj, at=now, purpose=PURPOSE, outcome="statistics"
            )
        )  # fmt: skip

    async def _figures(self, question: Question, imported: Sequence[Imported]) -> list[Figure]:
        await self._indexer.catch_up()
        period = question.period
        tallies = await self._reads.tallies(period.first.isoformat(), period.last.isoformat())
        counts, referrals = await self._counts(tallies)
        answers = await self._reads.final_answers(min((r.received_at for r in referrals), default=0))
        finals = [(_case_of(row), row["at"]) for row in answers]
        return compute([*counts, *answered_in_time(referrals, finals)], imported, period, question.by)

    async def _counts(self, tallies: Sequence[Row]) -> tuple[list[Count], list[Referral]]:
        """Return what the messages add that stand, as they were amended, and our referrals among them."""
        # A party changes its own messages only: whose a message is, is part of what is changed.
        gone = {(*_whose(row), row["supersedes"]) for row in tallies if row["supersedes"]}
        gone |= {(*_whose(row), row["target"]) for row in tallies if row["amends"] == "drop" and not row["person"]}
        persons = {(*_whose(row), f"{row['target']}#{row['person']}") for row in tallies if row["person"]}
        amended: dict[tuple[str, str, str], list[Row]] = {}
        for row in tallies:
            if row["amends"] == "correct":
                amended.setdefault((*_whose(row), row["target"]), []).append(row)
        counts: list[Count] = []
        referrals: list[Referral] = []
        standing = {(*_whose(row), row["jti"]): row for row in tallies if row["counts"] != "[]"}
        for key in amended.keys() - standing.keys():
            # A correction may bring a message into the period that was counted outside it.
            late = await self._reads.tally(*key)
            if late is not None:
                standing[key] = late
        for done, (key, row) in enumerate(standing.items()):
            if done % SLICE == 0:
                await asyncio.sleep(0)
            if key in gone:
                continue
            found = await self._corrected(row, amended[key]) if key in amended else read_counts(row["counts"])
            counts += [
                c for c in found if is_ours(c.indicator, row["direction"]) and (*key[:2], c.source) not in persons
            ]
            referrals += _referral(row, found)
        return counts, referrals

    async def _corrected(self, row: Row, actions: Sequence[Row]) -> list[Count]:
        event = await self._reads.event(row["direction"], row["number"])
        if event is None:
            return read_counts(row["counts"])
        body = strictjson.loads(event["event"])
        data = body["data"]
        for action in actions:
            held = await self._reads.event(action["direction"], action["number"])
            changes = {} if held is None else strictjson.loads(held["event"])["data"]
            data = corrected(data, rows(changes, "changes"))
        subject = body["type"].removeprefix("bcx.")
        return list(counts_of(row["jti"], subject, data, day_of(row["at"])))

    async def _reported(self, period: Span) -> list[Reported]:
        by_party: dict[str, list[Row]] = {}
        for row in await self._reads.received():
            by_party.setdefault(row["partner"], []).append(row)
        found: list[Reported] = []
        for party, held in sorted(by_party.items()):
            messages = await self._edition(held, period)
            if messages:
                figures = [replace(p.figure, sources=(p.message_id,)) for p in edition(messages)]
                found.append(Reported(party, [jti for jti, _ in messages], figures))
        return found

    async def _edition(self, messages: Sequence[Row], period: Span) -> list[tuple[str, dict[str, Any]]]:
        """Return id and data of those statistics that are of this very period, in the order given."""
        found: list[tuple[str, dict[str, Any]]] = []
        for message in messages:
            event = await self._reads.event(message["direction"], message["id"])
            data = {} if event is None else strictjson.loads(event["event"])["data"]
            told = obj(data, "period")
            if (text(told, "from"), text(told, "to")) == (period.first.isoformat(), period.last.isoformat()):
                found.append((message["jti"], data))
        return found


def judge(question: Question) -> None:
    """Raise MalformedRequest for a question that has no answer."""
    if question.period.last < question.period.first:
        detail = "`to` is not before `from`"
        raise MalformedRequest(detail, errors=(Finding("/to", detail),))
    if not set(question.by) <= set(DIMENSIONS) or len(question.by) > MAX_DIMENSIONS:
        detail = f"`by` is at most {MAX_DIMENSIONS} of {', '.join(DIMENSIONS)}"
        raise MalformedRequest(detail, errors=(Finding("/by", detail),))


def _period(period: Span) -> dict[str, str]:
    return {
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "grain": grain(period.first, period.last),
    }


def _whose(row: Row) -> tuple[str, str]:
    return row["direction"], row["partner"]


def _case_of(row: Row) -> str:
    # Partners of one State may use one reference.
    return f"{row['partner']} {row['case_ref']}"


def _referral(row: Row, counts: Sequence[Count]) -> list[Referral]:
    if row["direction"] != "out" or row.get("received_at") is None or row["case_ref"] is None:
        return []
    days = [count.day for count in counts if count.indicator == "REFERRALS_SENT"]
    effect = orjson.loads(row["effect"]) if row["effect"] else {}
    return [
        Referral(row["jti"], _case_of(row), day, row["urgency"], row["received_at"], effect.get("reply_by"))
        for day in days
    ]
