"""Every shipped example passes the review, on both sides, in the order of its story."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.casework.handling import BY_SUBJECT, missing
from gateway.casework.policies import CaseFacts, keeping, needed_handling, review
from gateway.casework.policies.basis import PURPOSES
from gateway.casework.policies.content import references_hold
from tests.casework.casefile import SCHEMAS, codelists, codes, context, example_names, judge, message

MOVEMENTS = ("s8-departure", "s8-one-misses-the-transit", "s8-last-arrival-and-handover")
ALONE = [name for name in example_names() if not name.startswith("repatriation.movement/")]


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("name", ALONE)
def test_every_example_may_go(name: str, side: str) -> None:
    """No finding at the sender, none again at the receiver."""
    assert judge(message(name, side=side)) == ()


def test_the_movement_of_thirty_passes_in_its_order() -> None:
    """S8: each message starts from the milestones the earlier ones brought every person to."""
    reached: dict[str, str] = {}
    for name in MOVEMENTS:
        facts = message(f"repatriation.movement/{name}")
        assert judge(facts, CaseFacts(milestones=dict(reached))) == ()
        for row in facts.data["milestones"]:
            for ref in row.get("personRefs", facts.data["persons"]):
                reached[ref] = row["milestone"]
    assert set(reached.values()) >= {"HANDED_OVER"}


def test_the_later_movement_without_the_earlier_is_a_state_error() -> None:
    """ARRIVED or TRANSIT without DEPARTED is E-STATE (§4.10)."""
    assert codes(judge(message(f"repatriation.movement/{MOVEMENTS[1]}"))) == {"E-STATE"}


@pytest.mark.parametrize("subject", sorted(PURPOSES))
def test_policies_and_schemas_say_the_same(subject: str) -> None:
    """Least handling and retention classes stand in the schema and in the policy: one list, two readers."""
    schema = json.loads((SCHEMAS / subject / "1.0.0.json").read_bytes())
    assert set(schema["x-min-handling"]) - {"H0"} == BY_SUBJECT.get(subject, frozenset())
    assert set(schema["x-retention"]) == keeping.BY_SUBJECT[subject]


@pytest.mark.parametrize("name", example_names())
def test_the_needed_handling_is_shown(name: str) -> None:
    """What the form proposes is never more than what the example, accepted, carries."""
    facts = message(name)
    assert missing(facts.handling, needed_handling(facts, codelists=codelists())) == ()


def test_nothing_is_sent_without_an_instrument() -> None:
    """The shipped configuration knows no instrument: every example with personal data is E-TRANSFER."""
    refused = {n for n in example_names() if "E-TRANSFER" in codes(review(message(n), codelists=codelists()))}
    impersonal = {n for n in example_names() if not context(message(n)).personal}
    assert refused == set(example_names()) - impersonal
    assert {n.partition("/")[0] for n in impersonal} >= {"route.bulletin", "stats.periodic"}


def test_the_receiver_does_not_refuse_what_a_gap_may_hide() -> None:
    """A person only known from a message that never came is E-REF for the sender, and passes the receiver."""
    facts = message("case.update/s7-police-opinion")
    known = CaseFacts(known_persons=frozenset({"P-00000000-0000-4000-8000-000000000000"}))
    assert {f.code for f in references_hold(context(facts, known))} == {"E-REF"}
    assert list(references_hold(context(replace(facts, side="receiver"), known))) == []
