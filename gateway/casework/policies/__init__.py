"""Policies P01 to P24 (§8) and the checks of §6, §7 and §10 that a schema cannot make, as one review.

The sender's gateway reviews before anything is stored or leaves, the receiver's again before it accepts: one
list, both sides. Every policy is one function over one `Context`; it yields findings with E- codes and JSON
Pointers into `data`, never values. Policies that need people or keys (P10, P15 to P17, P22, P23) are functions
beside the list, for the services that have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

from gateway.casework.policies import basis, content, course, keeping, people, protection, words
from gateway.casework.policies.facts import PERSONS, REFERRING, CaseFacts, Context, MessageFacts, TransferLookup
from gateway.errors import Finding

if TYPE_CHECKING:
    from gateway.casework.codelists import CodeLists

Policy = Callable[[Context], Iterator[Finding]]

# What the attributes of any message say, of whatever type: judged once, and what it finds stands alone.
ATTRIBUTES: Final[tuple[Policy, ...]] = (protection.handling_listed,)

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
    words.english_texts,
    keeping.p22_subject_request,
    content.persons_hold,
    content.codes_in_force,
    content.dates_hold,
    content.size_holds,
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
    content.answers_fit,
    content.references_hold,
    course.closing,
    course.assessment_course,
    course.movement_course,
    course.alert_course,
)

# What it finds stands alone.
FIRST: Final[tuple[Policy, ...]] = (protection.p11_protection,)
POLICIES: Final[tuple[Policy, ...]] = (*ATTRIBUTES, *FIRST, *ALONE, *IN_CASE)

# The members by which a policy can be broken at all, of `data`, its `meta` or its persons; one that is not here is
# asked of every message. Most messages have few of them, and the rest of the list would look at each for nothing.
WOKEN_BY: Final[dict[Policy, frozenset[str]]] = {
    protection.p11_protection: PERSONS | REFERRING | {"riskAssessment", "answers"},
    protection.p12_threatened: frozenset(("riskFlags", "riskAssessment", "familyTracing")),
    protection.p13_officials: frozenset(("riskFlags", "riskAssessment")),
    basis.p24_environment: frozenset(("documents", "claimedDocument", "nationalities", "travelDocs", "results")),
    people.p04_child: frozenset(("isMinor", "birth")),
    people.p05_consent: frozenset(("role",)),
    people.p06_deferred_national: PERSONS,
    people.p07_non_punishment: frozenset(("personRef",)),
    words.p18_small_cells: frozenset(("figures",)),
    words.p19_attachments_nameless: frozenset(("attachments",)),
    words.no_hit_no_data: frozenset(("answers",)),
    keeping.p22_subject_request: frozenset(("subjectRequest",)),
    content.persons_hold: frozenset(
        ("names", "contacts", "birth", "documents", "claimedDocument", "travelDocs", "searchKeys")
    ),
    content.codes_in_force: content.DATED_CODES,
    content.dates_hold: content.DATES,
    content.rows_hold: frozenset(("items", "manifest", "results", "declaredCount", "group", "personsCount")),
    content.references_hold: content.REFERENCES,
    course.p20_files: frozenset(("attachments",)),
    course.jurisdiction: frozenset(("checkpoint",)),
    course.assessment_course: frozenset(("victimContexts", "victimContext", "assessments")),
    course.movement_course: frozenset(("milestones",)),
    course.closing: frozenset(("toStatus", "fromStatus")),
}
_WAKING: Final = frozenset().union(*WOKEN_BY.values())

NOTHING_KNOWN: Final = CaseFacts()


def no_instrument(_code: str, _reference: str, _at_ms: int) -> bool:
    """Return False: the transfer look-up that ships, until the authorities configure an instrument (P02)."""
    return False


@lru_cache(maxsize=1024)
def _awake(policies: tuple[Policy, ...], present: frozenset[str]) -> tuple[Policy, ...]:
    return tuple(p for p in policies if p not in WOKEN_BY or not WOKEN_BY[p].isdisjoint(present))


def awake(policies: tuple[Policy, ...], ctx: Context) -> tuple[Policy, ...]:
    """Return those of the policies that this message could break."""
    return _awake(policies, ctx.named & _WAKING)


class Review:
    """One message under judgement: first by itself, then with what is known of its case."""

    def __init__(self, message: MessageFacts, *, codelists: CodeLists, transfer: TransferLookup) -> None:
        self.context = Context(message, NOTHING_KNOWN, transfer, codelists)

    @cached_property
    def attributes(self) -> tuple[Finding, ...]:
        """Return what is wrong with the message before its type is looked at."""
        return tuple(finding for policy in ATTRIBUTES for finding in policy(self.context))

    @cached_property
    def alone(self) -> tuple[Finding, ...]:
        """Return what the message does wrong whatever is known of its case."""
        return self.attributes or tuple(
            finding for policy in awake(ALONE, self.context) for finding in policy(self.context)
        )

    def within(self, case: CaseFacts) -> tuple[Finding, ...]:
        """Return every finding; empty when it may go.

        Those of the attributes stand alone: what an unlisted code restricts, nobody can judge. So does a protection
        finding: the others would tell more about whom it protects.
        """
        if self.attributes:
            return self.attributes
        context = self.context.within(case)
        blocked = tuple(finding for policy in awake(FIRST, context) for finding in policy(context))
        if blocked:
            return blocked
        found = [*self.alone, *(finding for policy in awake(IN_CASE, context) for finding in policy(context))]
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
    "ATTRIBUTES",
    "FIRST",
    "IN_CASE",
    "NOTHING_KNOWN",
    "POLICIES",
    "WOKEN_BY",
    "CaseFacts",
    "Context",
    "MessageFacts",
    "Policy",
    "Review",
    "TransferLookup",
    "awake",
    "needed_handling",
    "no_instrument",
    "prompts",
    "review",
]
