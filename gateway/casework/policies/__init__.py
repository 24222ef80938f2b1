"""Policies P01 to P24 (§8) and the checks of §6, §7 and §10 that a schema cannot make, as one review.

The sender's gateway reviews before anything is stored or leaves, the receiver's again before it accepts: one
list, both sides. Every policy is one function over one `Context`; it yields findings with E- codes and JSON
Pointers into `data`, never values. Policies that need people or keys (P10, P15 to P17, P22, P23) are functions
beside the list, for the services that have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gateway.casework.policies import basis, content, course, keeping, people, protection, words
from gateway.casework.policies.facts import CaseFacts, Context, MessageFacts, TransferLookup
from gateway.errors import Finding

if TYPE_CHECKING:
    from gateway.casework.codelists import CodeLists

Policy = Callable[[Context], Iterator[Finding]]

# What a message says by itself: judged once, before anything stored is asked for.
ALONE: Final[tuple[Policy, ...]] = (
    basis.p02_transfer,
    basis.p24_environment,
    people.p04_child,
    people.p05_consent,
    protection.p12_threatened,
    protection.p13_officials,
    course.evaluation_gate,
    basis.p01_purpose,
    basis.p03_sensitive,
    people.p08_human_review,
    keeping.p14_retention,
    words.p18_small_cells,
    words.p19_attachments_nameless,
    words.p21_no_personal_text,
    course.p20_files,
    words.no_hit_no_data,
    words.hidden_characters,
    keeping.p22_subject_request,
    content.persons_hold,
    content.codes_in_force,
    content.dates_hold,
    content.rows_hold,
    course.urgent_question,
    course.jurisdiction,
)

# What depends on the case and on what was exchanged before: judged inside the transaction.
IN_CASE: Final[tuple[Policy, ...]] = (
    people.p07_non_punishment,
    people.p06_deferred_national,
    protection.p09_handling,
    words.p21_no_known_name,
    content.answers_add_up,
    content.references_hold,
    course.closing,
    course.assessment_course,
    course.movement_course,
)

POLICIES: Final[tuple[Policy, ...]] = (protection.p11_protection, *ALONE, *IN_CASE)

NOTHING_KNOWN: Final = CaseFacts()


def no_instrument(_code: str, _reference: str, _at_ms: int) -> bool:
    """Return False: the transfer look-up that ships, until the authorities configure an instrument (P02)."""
    return False


class Review:
    """One message under judgement: first by itself, then with what is known of its case."""

    def __init__(self, message: MessageFacts, *, codelists: CodeLists, transfer: TransferLookup) -> None:
        self.context = Context(message, NOTHING_KNOWN, transfer, codelists)

    @cached_property
    def alone(self) -> tuple[Finding, ...]:
        """Return what the message does wrong whatever is known of its case."""
        return tuple(finding for policy in ALONE for finding in policy(self.context))

    def within(self, case: CaseFacts) -> tuple[Finding, ...]:
        """Return every finding; empty when it may go.

        A protection finding stands alone: the other findings would tell more about whom it protects.
        """
        context = self.context.within(case)
        blocked = tuple(protection.p11_protection(context))
        if blocked:
            return blocked
        found = [*self.alone, *(finding for policy in IN_CASE for finding in policy(context))]
        return tuple(dict.fromkeys(found))

    def needed_handling(self, case: CaseFacts) -> tuple[str, ...]:
        """Return the least handling the message must have in its case (§7.1, P09)."""
        return protection.needed_handling(self.context.within(case))

    @property
    def prompts(self) -> tuple[Finding, ...]:
        """Return advice to the officer that refuses nothing (findings without a code)."""
        return tuple(people.p07_prompt(self.context))


def review(
    message: MessageFacts,
    *,
    codelists: CodeLists,
    case: CaseFacts = NOTHING_KNOWN,
    transfer: TransferLookup = no_instrument,
) -> tuple[Finding, ...]:
    """Judge a message by every policy; empty when it may go. The same on both sides but for `message.side`."""
    return Review(message, codelists=codelists, transfer=transfer).within(case)


def needed_handling(message: MessageFacts, *, codelists: CodeLists, case: CaseFacts = NOTHING_KNOWN) -> tuple[str, ...]:
    """Return the least handling the message must have, to show and to propose (§7.1, P09)."""
    return Review(message, codelists=codelists, transfer=no_instrument).needed_handling(case)


def prompts(message: MessageFacts, *, codelists: CodeLists) -> tuple[Finding, ...]:
    """Return advice to the officer that refuses nothing (findings without a code)."""
    return Review(message, codelists=codelists, transfer=no_instrument).prompts


__all__ = [
    "ALONE",
    "IN_CASE",
    "NOTHING_KNOWN",
    "POLICIES",
    "CaseFacts",
    "Context",
    "MessageFacts",
    "Policy",
    "Review",
    "TransferLookup",
    "needed_handling",
    "no_instrument",
    "prompts",
    "review",
]
