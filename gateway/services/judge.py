"""Judges the events of an envelope before anything stored is asked for: protocol.md §4.4, numbered as there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from gateway.casework.handling import unlisted
from gateway.errors import ClockSkew, Finding, LocalFault, NotAgreed, PartnerError, Refusal, SchemaInvalid
from gateway.logs import get_logger
from gateway.protocol import receipt
from gateway.protocol.event import Event, UnreadableEvent, check_addressing, check_clock, parse_event
from gateway.services.inspect import NOTHING, Inspected, Inspector

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.common import Clock
    from gateway.protocol.envelope import OpenedEnvelope
    from gateway.services.remember import Judgement
    from gateway.services.rules import Rules

log = get_logger()

# Events and bytes judged before the loop is given back: what a reader of the same loop may have to wait for.
SLICE = 20
SLICE_BYTES = 256 * 1024
# A line above this is judged in a thread: reading and refusing two megabytes takes a tenth of a second.
LARGE_BYTES = 64 * 1024
NO_FAULT = 99


@dataclass(frozen=True, slots=True)
class Judged:
    """An event with the first step it fails, if any, among those that need nothing stored."""

    digest: bytes
    line: bytes
    event: Event | None
    failed_at: int
    error: Refusal | None
    jti: str | None
    casework: Judgement | None = None
    attached: Inspected = NOTHING


class Judge:
    """`judge` tells of each event the first step it fails by itself, if any."""

    def __init__(self, rules: Rules, inspector: Inspector, clock: Clock, doubted: Callable[[int], bool]) -> None:
        self._rules = rules
        self._inspector = inspector
        self._clock = clock
        self._doubted = doubted

    async def judge(self, envelope: OpenedEnvelope) -> list[Judged]:
        """Do of steps (5) to (12) what needs nothing stored, for each event in its order."""
        judged: list[Judged] = []
        done = size = 0
        for line, digest in zip(envelope.events, envelope.digests, strict=True):
            if done >= SLICE or size >= SLICE_BYTES:
                await asyncio.sleep(0)
                done = size = 0
            if len(line) > LARGE_BYTES:
                item = await asyncio.to_thread(self._alone, line, digest, envelope)
            else:
                item = self._alone(line, digest, envelope)
            done, size = done + 1, size + len(line)
            judged.append(item if item.error or item.event is None else await self._with_attachments(item, item.event))
        return judged

    async def _with_attachments(self, item: Judged, event: Event) -> Judged:
        # (12) Attachments present and intact; files are read before the transaction, never in it.
        if "attachments" not in event.data:
            return item
        return replace(item, attached=await self._inspector.inspect(event))

    def _alone(self, line: bytes, digest: bytes, envelope: OpenedEnvelope) -> Judged:
        now = self._clock()
        rules = self._rules
        try:
            # (5) Strict JSON, required attributes, formats, size, case check character.
            event = parse_event(line, is_manifest=rules.catalogue.is_manifest)
        except UnreadableEvent as error:
            return Judged(digest, line, None, 5, Refusal.of(error), error.jti)
        step = 6
        casework: Judgement | None = None
        try:
            # (6) From whom and for whom.
            check_addressing(event, iss=envelope.iss, me=rules.me, environment=rules.environment)
            step = 8
            # (8) The two clocks.
            if self._doubted(envelope.iat_ms):
                raise ClockSkew("our clock is in doubt, and the sender's says another time")  # noqa: TRY301 - one handler turns every refusal of an event into its outcome
            check_clock(event, now_ms=now, manifest_iat_ms=envelope.iat_ms)
            if not event.is_void:
                step = 9
                # (9) Agreement before schema: a stranger must not probe schemas.
                refused = rules.agreement.permits(
                    event.source, rules.me, event.subject, event.urgency, event.handling, now
                )
                if refused is not None:
                    # A code that is on no list is told as such, also where the agreement names others.
                    strange = tuple(islice(unlisted(event.handling), receipt.MAX_FINDINGS))
                    raise NotAgreed(refused.reason, errors=strange or (refused,))  # noqa: TRY301 - one handler turns every refusal of an event into its outcome
                step = 10
                # (10) Known version and digest, then valid.
                schema = rules.catalogue.held(event)
                validator = rules.catalogue.validator(schema)
                if not validator.is_valid(event.data):
                    found = tuple(
                        Finding("/data" + f.pointer, f.reason, f.code)
                        for f in validator.findings(event.data, limit=receipt.MAX_FINDINGS)
                    )
                    raise SchemaInvalid("data breaks its schema", errors=found)  # noqa: TRY301 - one handler turns every refusal of an event into its outcome
                step = 11
                # (11) Casework policy, as far as the message alone tells; the rest inside the transaction.
                casework = rules.judge_inbound(event, schema)
        except PartnerError as error:
            # What is refused already needs no data any more: a hundred such must not be held at once.
            kept = event if event.is_void else replace(event, data={})
            return Judged(digest, line, kept, step, Refusal.of(error), event.id)
        except Exception:
            # A message that breaks a validator must not take down those it came with, nor be refused for it.
            log.exception("judging a message failed", message=event.id, step=step)
            return Judged(digest, line, event, step, Refusal(LocalFault, "judging it failed here"), event.id)
        return Judged(digest, line, event, NO_FAULT, None, event.id, casework)
