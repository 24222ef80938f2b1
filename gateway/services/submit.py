"""Accepts messages for sending: everything that can be refused is refused here, before a number is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import (
    AgreementRefuses,
    Finding,
    IdempotencyKeyReused,
    NotFound,
    PolicyViolation,
    Refusal,
    RequestError,
    SchemaViolation,
    TooLarge,
    TooManyRequests,
)
from gateway.ledger.standing import Basis
from gateway.ports.common import Actor, Clock, Entropy
from gateway.ports.messages import NewMessage
from gateway.ports.people import Account, StoredAnswer
from gateway.primitives import strictjson
from gateway.primitives.merkle import leaf_hash
from gateway.protocol import delivery
from gateway.protocol.event import (
    MAX_EVENT_BYTES,
    MAX_LIFETIME_MS,
    MAX_MANIFEST_EVENT_BYTES,
    EventDraft,
    build_event,
)
from gateway.protocol.ids import CaseRef, MessageId, PartyId, Subject, parse_case_ref
from gateway.services.accounts import owner_of
from gateway.services.casefile import CaseFile, CaseMessage, handling_of, inherit
from gateway.services.fresh_ids import fresh_id
from gateway.services.records import Records
from gateway.services.remember import CaseMemory
from gateway.services.tabulate import located, with_rows

if TYPE_CHECKING:
    from gateway.casework.tabular import Table
    from gateway.ports.cases import Case
    from gateway.ports.store import Store, Transaction
    from gateway.registry.subject import SchemaVersion
    from gateway.services.complete import Completer
    from gateway.services.remember import Judgement
    from gateway.services.request import SubmitRequest
    from gateway.services.rules import Rules

T = TypeVar("T")

SALT_BYTES = 16
# Messages of a batch judged before the loop is given back: what a reader of the same loop may have to wait for.
SLICE = 20
# A body above this is read, and its messages are judged, in a thread: two megabytes of faults take half a second.
LARGE_BYTES = 128 * 1024
# Room for attributes around `data`: a data object near the limit must not make an event over it.
ATTRIBUTES_BYTES = 4096
# All that a manifest of 500 persons may have wrong: whoever mends it must not be told by the hundred. The messages
# of one request share it: a hundred of them must not be told of a million faults.
MOST_FINDINGS = 10_000


@dataclass(frozen=True, slots=True)
class Idempotency:
    """How a creating POST names itself, so that its repetition changes nothing."""

    route: str
    key: str
    request: bytes
    """SHA-256 of the body."""
    many: bool = False
    """A batch: a refused request keeps its place in the answer and stops no other."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that will be sent."""

    jti: MessageId
    recipient: PartyId
    subject: str
    case: CaseRef | None
    urgency: str
    handling: tuple[str, ...]
    schema_version: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Advice:
    """What an officer is shown before a message is sent: its least handling, and findings without a code."""

    handling: tuple[str, ...]
    prompts: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Ready:
    request: SubmitRequest
    schema: SchemaVersion
    urgency: str
    data: Mapping[str, Any]
    data_json: bytes
    judged: Judgement
    table: Table | None
    now_ms: int
    expires_at: int


Write = Callable[[Sequence[Accepted | Refusal]], StoredAnswer]


async def aside(work: Callable[[], T], *, large: bool) -> T:
    """Return what `work` returns, done in a thread where what it works on is large: the loop has others to serve."""
    return await asyncio.to_thread(work) if large else work()


class Submitter:
    """`submit` is the one way a message of ours comes to be."""

    def __init__(
        self, store: Store, rules: Rules, cases: CaseFile, completer: Completer, clock: Clock, entropy: Entropy, *,
        most_unanswered: int, default_lifetime_ms: int, may_take: Callable[[], None],
    ) -> None:  # fmt: skip
        self._completer = completer
        self._store = store
        self._rules = rules
        self._cases = cases
        self._clock = clock
        self._entropy = entropy
        self._most_unanswered = most_unanswered
        self._default_lifetime_ms = default_lifetime_ms
        self._memory = CaseMemory(rules.me)
        self._may_take = may_take
        self._records = Records(rules.me)
        self._listeners: list[Callable[[PartyId], None]] = []
        self.unanswered = 0

    def on_accepted(self, listener: Callable[[PartyId], None]) -> None:
        """Call `listener(recipient)` after each commit that accepted messages."""
        self._listeners.append(listener)

    def answered(self, count: int) -> None:
        """Take messages that came to their end out of the bound."""
        self.unanswered = max(0, self.unanswered - count)

    async def check(self, request: SubmitRequest, account: Account, *, large: bool = False) -> None:
        """Raise what `submit` would raise, and accept nothing: the dry run."""
        request = await self._completer.preview(request, account)
        ready = await aside(partial(self._prepare, request), large=large)

        def work(tx: Transaction) -> None:
            self._judge_links(tx, request, account)
            self._judge_case(tx, ready, MessageId(""), account)

        await self._store.write(work)

    async def advise(self, request: SubmitRequest, account: Account, *, large: bool = False) -> Advice:
        """Return the least handling a message must have, with the files it names, and advice that refuses nothing."""
        request = await self._completer.preview(request, account)
        ready = await aside(partial(self._prepare, request), large=large)

        def work(tx: Transaction) -> Advice:
            case = None
            if request.case is not None:
                case = self._cases.shared(tx, request.case, request.recipient, owner_of(account))
            records = tx.memory.of_case(case.partner, case.ref) if case is not None else ()
            known = self._memory.known(tx, ready.judged, case, records, owner_of(account))
            return Advice(*self._rules.advice(ready.judged, known))

        return await self._store.write(work)

    async def submit(
        self,
        requests: Sequence[SubmitRequest | Refusal],
        account: Account,
        idempotency: Idempotency,
        answer: Write,
        *,
        traceparent: str | None = None,
        large: bool = False,
    ) -> tuple[StoredAnswer, bool]:
        """Accept messages, all in one transaction, and store their answer beside them.

        `answer` writes the results, in order, into the answer that a repetition of the same key gets.
        Returns it and whether it is such a repetition. A request that cannot be accepted raises its
        RequestError; in a batch it keeps its place in the results. `large`: the body was, and is judged in a thread.
        """
        self._may_take()
        if self.unanswered + len(requests) > self._most_unanswered:
            detail = "too many messages wait for an answer; see `gateway queue list`"
            raise TooManyRequests(detail, retry_after_s=30)
        prepared: list[_Ready | Refusal] = []
        left = MOST_FINDINGS
        for place, request in enumerate(requests):
            if place and place % SLICE == 0:
                await asyncio.sleep(0)
            completed = await self._completer.complete(request, account)
            found = await aside(partial(self._try_prepare, completed, left), large=large)
            if isinstance(found, Refusal):
                left = max(1, left - len(found.errors))
            prepared.append(found)
        stored, results = await self._store.write(
            lambda tx: self._commit(tx, prepared, account, idempotency, answer, traceparent)
        )
        if results is None:
            return stored, True
        accepted = [result for result in results if isinstance(result, Accepted)]
        self.unanswered += len(accepted)
        for recipient in {result.recipient for result in accepted}:
            for listener in self._listeners:
                listener(recipient)
        return stored, False

    def _commit(
        self,
        tx: Transaction,
        prepared: Sequence[_Ready | Refusal],
        account: Account,
        idempotency: Idempotency,
        answer: Write,
        traceparent: str | None,
    ) -> tuple[StoredAnswer, Sequence[Accepted | Refusal] | None]:
        """Return the answer and its results; None instead of results for a repetition."""
        self._may_take()  # again: the partner's word may have come while files were fetched
        stored = tx.answers.find(account.id, idempotency.route, idempotency.key)
        if stored is not None:
            if stored.request != idempotency.request:
                detail = "take a new Idempotency-Key for a new request"
                raise IdempotencyKeyReused(detail)
            return stored, None
        results: list[Accepted | Refusal] = []
        messages: list[NewMessage] = []
        for ready in prepared:
            try:
                if isinstance(ready, Refusal):
                    raise ready.error()
                message, accepted = self._accept(tx, ready, account, traceparent)
            except RequestError as error:
                if not idempotency.many:
                    raise
                results.append(Refusal.of(error))
            else:
                messages.append(message)
                results.append(accepted)
        tx.outbox.add(messages)
        stored = answer(results)
        tx.answers.add(account.id, idempotency.route, idempotency.key, stored, self._clock())
        return stored, results

    def _try_prepare(self, request: SubmitRequest | Refusal, most_findings: int) -> _Ready | Refusal:
        if isinstance(request, Refusal):
            return request
        try:
            return self._prepare(request, most_findings)
        except RequestError as error:
            return Refusal.of(error)

    def _prepare(self, request: SubmitRequest, most_findings: int = MOST_FINDINGS) -> _Ready:
        now = self._clock()
        partner = self._rules.partner(request.recipient)
        schema = self._rules.catalogue.usable(request.subject, partner.card)
        given, table = with_rows(request, schema, self._entropy)
        data = self._rules.completed(given, now)
        urgency = request.urgency or self._rules.urgency(request.subject, data, schema)
        validator = self._rules.catalogue.validator(schema)
        if not validator.is_valid(data):
            faults = validator.findings(data, most_findings)
            found = located(table, (Finding("/data" + f.pointer, f.reason, f.code) for f in faults))
            raise SchemaViolation(f"{len(found)} place(s) in data break {schema.urn}", errors=found)
        refused = self._rules.agreement.permits(
            self._rules.me, partner.party, request.subject, urgency, request.handling, now
        )
        if refused is not None:
            raise AgreementRefuses(refused.reason, errors=(refused,))
        if self._rules.agreement.needs_release(self._rules.me, partner.party, request.subject, now):
            detail = "the agreement asks for release by a second person, which this gateway does not offer yet"
            raise AgreementRefuses(detail, errors=(Finding("/type", detail),))
        judged = self._rules.judge_outbound(request, schema, data, urgency, partner.party, now)
        data_json = strictjson.dumps(data)
        most = MAX_MANIFEST_EVENT_BYTES if schema.is_manifest else MAX_EVENT_BYTES
        if len(data_json) + ATTRIBUTES_BYTES > most:
            detail = f"the message is over {most // 1024} KiB"
            raise TooLarge(detail, errors=(Finding("/data", detail, "E-SIZE"),))
        return _Ready(request, schema, urgency, data, data_json, judged, table, now, self._expiry(request, now))

    def _expiry(self, request: SubmitRequest, now: int) -> int:
        if request.expires_at is None:
            return now + self._default_lifetime_ms
        if not now < request.expires_at <= now + MAX_LIFETIME_MS:
            detail = "expires_at lies after now, by 30 days at most"
            raise SchemaViolation(detail, errors=(Finding("/expires_at", detail, "E-DATE"),))
        return request.expires_at

    def _judge_case(
        self, tx: Transaction, ready: _Ready, jti: MessageId, account: Account
    ) -> tuple[Case | None, CaseMessage] | None:
        request = ready.request
        rule = ready.schema.case_rule
        message = CaseMessage(
            jti, request.subject, ready.schema.opens_case, self._rules.me, ready.urgency, request.handling,
            ready.now_ms, ready.data, request.in_reply_to,
        )  # fmt: skip
        if request.case is None:
            if rule == "required":
                detail = f"{request.subject} belongs to a case: give its reference in `case`"
                raise SchemaViolation(detail, errors=(Finding("/case", detail, "E-REF"),))
            self._judge_casework(tx, ready, None, account)
            return (None, message) if ready.schema.opens_case else None
        if rule == "none":
            detail = f"{request.subject} belongs to no case: leave `case` out"
            raise SchemaViolation(detail, errors=(Finding("/case", detail, "E-REF"),))
        try:
            parse_case_ref(request.case)
        except ValueError as error:
            raise SchemaViolation(str(error), errors=(Finding("/case", str(error), "E-REF"),)) from None
        case = self._cases.shared(tx, request.case, request.recipient, owner_of(account))
        self._judge_casework(tx, ready, case, account)
        self._cases.propose(case, message)
        return case, message

    def _judge_casework(self, tx: Transaction, ready: _Ready, case: Case | None, account: Account) -> None:
        self._records.judge(tx, ready.request.subject, ready.data)
        records = tx.memory.of_case(case.partner, case.ref) if case is not None else ()
        known = self._memory.known(tx, ready.judged, case, records, owner_of(account))
        found = located(ready.table, self._rules.refusals(ready.judged, known))
        if found:
            raise PolicyViolation(f"{len(found)} rule(s) of casework refuse this message", errors=found)

    def _accept(
        self, tx: Transaction, ready: _Ready, account: Account, traceparent: str | None
    ) -> tuple[NewMessage, Accepted]:
        request, now = ready.request, ready.now_ms
        jti = fresh_id(tx, now, self._entropy)
        self._judge_links(tx, request, account)
        placed = self._judge_case(tx, ready, jti, account)
        case_ref: CaseRef | None = None
        case_seq: int | None = None
        effect: str | None = None
        row: bytes | None = None
        if placed is not None:
            case, message = placed
            if case is None:
                ref = self._cases.allot(tx, request.recipient, now)
                case = self._cases.open(ref, request.recipient, self._rules.me, message, now)
            case.sent += 1
            inherit(case, request.handling)
            effect = strictjson.dumps(asdict(message.effect)).decode()
            case_ref, case_seq = case.ref, case.sent
            row = tx.cases.save(case)
        self._memory.keep(tx, ready.judged, jti=jti, case=case_ref, supersedes=request.supersedes)
        stream_seq = tx.outbox.next_stream_seq(request.recipient)
        event = build_event(
            EventDraft(
                id=jti, source=self._rules.me, subject=Subject(request.subject), case=case_ref, time_ms=now,
                expiry_ms=ready.expires_at, schema_version=ready.schema.version, schema_digest=ready.schema.digest,
                recipient=request.recipient, environment=self._rules.environment, stream_seq=stream_seq,
                case_seq=case_seq, urgency=ready.urgency, handling=request.handling,
                in_reply_to=request.in_reply_to, supersedes=request.supersedes, traceparent=traceparent,
                salt=self._entropy(SALT_BYTES),
            ),
            ready.data_json,
        )  # fmt: skip
        digest = leaf_hash(event)
        leaf = tx.log.append(
            "message.accepted", actor=Actor(account.id, account.role), obj=("message", jti), at=now, jti=jti,
            event=digest, case=case_ref, basis=Basis(case=row).text(),
        )  # fmt: skip
        accepted = Accepted(
            jti, request.recipient, request.subject, case_ref, ready.urgency, request.handling, ready.schema.version,
            now, ready.expires_at,
        )  # fmt: skip
        stored = NewMessage(
            jti=jti, recipient=request.recipient, subject=request.subject, case_ref=case_ref, case_seq=case_seq,
            stream_seq=stream_seq, urgency=ready.urgency, rank=delivery.rank(ready.urgency),
            handling=" ".join(request.handling), digest=digest, schema_version=ready.schema.version,
            in_reply_to=request.in_reply_to, supersedes=request.supersedes, effect=effect,
            account=account.id, created_at=now,
            expires_at=ready.expires_at, leaf=leaf, event=event,
            not_before=self._enclosed(tx, request, jti, now) if request.attachments else None,
        )  # fmt: skip
        return stored, accepted

    def _enclosed(self, tx: Transaction, request: SubmitRequest, jti: MessageId, now: int) -> int | None:
        """Note which files go with a message; return when it may go by itself where some are not there yet."""
        tx.attachments.enclose(jti, self._rules.me, request.attachments)
        # Their arrival sets it free at once.
        waits = tx.attachments.undelivered(request.recipient, request.attachments)
        return now + delivery.MAX_RETRY_AFTER_S * 1000 if waits else None

    def _judge_links(self, tx: Transaction, request: SubmitRequest, account: Account) -> None:
        owner = owner_of(account)
        for pointer, other in (("/in_reply_to", request.in_reply_to), ("/supersedes", request.supersedes)):
            if other is None:
                continue
            answered = handling_of(tx, request.recipient, other, owner)
            if answered is None:
                detail = "no such message was exchanged with the recipient"
                raise NotFound(detail, errors=(Finding(pointer, "unknown message", "E-REF"),))
            # What a reply inherits, casework tells (P09).
            weaker = self._rules.weaker_than(request.handling, answered) if pointer == "/supersedes" else None
            if weaker is not None:
                raise PolicyViolation(weaker.reason, errors=(weaker,))
