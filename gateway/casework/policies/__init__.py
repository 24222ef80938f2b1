"""Policies P01 to P24 (§8) and the checks of §6, §7 and §10 that a schema cannot make, as one review.

The sender's gateway reviews before anything is stored or leaves, the receiver's again before it accepts: one
list, both sides. Every policy is one function over one `Context`; it yields findings with E- codes and JSON
Pointers into `data`, never values. Policies that need people or keys (P10, P15 to P17, P22, P23) are functions
beside the list, for the services that have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from gateway.casework.policies import basis, content, course, keeping, people, protection, words
from gateway.casework.policies.facts import CaseFacts, Context, MessageFacts, TransferLookup
from gateway.errors import Finding

if TYPE_CHECKING:
    from gateway.casework.codelists import CodeLists

Policy = Callable[[Context], Iterator[Finding]]

# Protection first: where it speaks, nothing else may be learnt from the answer.
POLICIES: Final[tuple[Policy, ...]] = (
    protection.p11_protection,
    basis.p02_transfer,
    basis.p24_environment,
    people.p07_non_punishment,
    people.p06_deferred_national,
    people.p04_child,
    people.p05_consent,
    protection.p12_threatened,
    protection.p13_officials,
    protection.p09_handling,
    course.evaluation_gate,
    basis.p01_purpose,
    basis.p03_sensitive,
    people.p08_human_review,
    keeping.p14_retention,
    words.p18_small_cells,
    words.p19_attachments_nameless,
    course.p20_files,
    words.p21_no_personal_text,
    words.no_hit_no_data,
    words.hidden_characters,
    keeping.p22_subject_request,
    content.persons_hold,
    content.codes_in_force,
    content.dates_hold,
    content.counts_hold,
    content.references_hold,
    course.urgent_question,
    course.closing,
    course.assessment_course,
    course.movement_course,
    course.jurisdiction,
)

NOTHING_KNOWN: Final = CaseFacts()


def no_instrument(_code: str, _reference: str, _at_ms: int) -> bool:
    """Return False: the transfer look-up that ships, until the authorities configure an instrument (P02)."""
    return False


def review(
    message: MessageFacts,
    *,
    codelists: CodeLists,
    case: CaseFacts = NOTHING_KNOWN,
    transfer: TransferLookup = no_instrument,
) -> tuple[Finding, ...]:
    """Judge a message by every policy; empty when it may go. The same on both sides but for `message.side`.

    A protection finding stands alone: the other findings would tell more about whom it protects.
    """
    context = Context(message, case, transfer, codelists)
    blocked = tuple(POLICIES[0](context))
    if blocked:
        return blocked
    found = [finding for policy in POLICIES[1:] for finding in policy(context)]
    return tuple(dict.fromkeys(found))


def needed_handling(message: MessageFacts, *, codelists: CodeLists, case: CaseFacts = NOTHING_KNOWN) -> tuple[str, ...]:
    """Return the least handling the message must have, to show and to propose (§7.1, P09)."""
    return protection.needed_handling(Context(message, case, no_instrument, codelists))


def prompts(message: MessageFacts, *, codelists: CodeLists, case: CaseFacts = NOTHING_KNOWN) -> tuple[Finding, ...]:
    """Return advice to the officer that refuses nothing (findings without a code)."""
    return tuple(people.p07_prompt(Context(message, case, no_instrument, codelists)))


__all__ = [
    "NOTHING_KNOWN",
    "POLICIES",
    "CaseFacts",
    "Context",
    "MessageFacts",
    "Policy",
    "TransferLookup",
    "needed_handling",
    "no_instrument",
    "prompts",
    "review",
]
