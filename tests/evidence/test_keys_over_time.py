"""Keys change, cards expire, keys are stolen: a signature is judged at the time the recipient logged."""

from __future__ import annotations

from dataclasses import replace

from gateway.evidence.bundle import write_bundle
from gateway.evidence.findings import LOG, MANIFEST, RECEIPT, WITNESS
from gateway.evidence.verify import verify_bundle
from tests.evidence.story import DAY_MS, START_MS, Story

HOUR_MS = 3_600_000


def faulty(story: Story) -> set[int]:
    """Return the steps with a fault."""
    return {fault.step for fault in verify_bundle(write_bundle(story.parts()), fingerprints=story.fingerprints).faults}


def with_cards(*, sender: list[dict[str, object]], recipient: list[dict[str, object]] | None = None) -> Story:
    """Return a story in which the parties published these cards, version by version."""
    story = Story(cards=False)
    for party, cards in ((story.id, sender), (story.kh, recipient or [{}])):
        for version, card in enumerate(cards, 1):
            party.card(version, **card)  # type: ignore[arg-type]
    return story


def test_before_a_rotation_the_old_key_counts_and_the_new_one_does_not() -> None:
    """`next` in the card in force: published, not yet in use."""
    cards: list[dict[str, object]] = [
        {"sig_1": {}, "sig_2": {"nbf_ms": START_MS + 7 * DAY_MS, "status": "next"}},
        {"issued": START_MS + 7 * DAY_MS, "sig_1": {"status": "retiring", "exp_ms": START_MS + 14 * DAY_MS},
         "sig_2": {"nbf_ms": START_MS + 7 * DAY_MS}},
    ]  # fmt: skip
    story = with_cards(sender=cards)
    assert faulty(story) == set()
    story.sent_with = "sig-2"
    assert faulty(story) == {MANIFEST}


def test_after_a_rotation_it_is_the_other_way_round() -> None:
    """The retired key is gone from the card in force at the logged time, although an older card still names it."""
    cards: list[dict[str, object]] = [
        {"issued": START_MS - 9 * DAY_MS, "sig_1": {}},
        {"issued": START_MS - 2 * DAY_MS, "sig_2": {}},
    ]
    story = with_cards(sender=cards)
    assert faulty(story) == {MANIFEST}
    story.sent_with = "sig-2"
    assert faulty(story) == set()


def test_what_came_before_a_rotation_stays_proved_after_it() -> None:
    """The key has retired, its exp has passed, the newest card no longer names it: judged then, not today."""
    cards: list[dict[str, object]] = [{"sig_1": {"exp_ms": START_MS + DAY_MS}},
                                      {"issued": START_MS + 30 * DAY_MS, "sig_2": {}}]  # fmt: skip
    assert faulty(with_cards(sender=cards, recipient=cards)) == set()


def test_after_a_card_expired_no_key_of_it_counts() -> None:
    """Cards end (protocol.md §2)."""
    story = with_cards(sender=[{"issued": START_MS - 80 * DAY_MS}])
    assert faulty(story) == {MANIFEST}


def test_a_key_of_a_card_issued_later_did_not_count_then() -> None:
    """No card was in force."""
    assert faulty(with_cards(sender=[{"issued": START_MS + DAY_MS}])) == {MANIFEST}


def revoked(at: int) -> list[dict[str, object]]:
    """Return the cards of a party whose key was revoked at a time."""
    gone = {"status": "revoked", "revoked_ms": at}
    return [{"sig_1": {}}, {"issued": at, "sig_1": gone, "sig_2": {}}]


def test_a_receipt_signed_after_the_revocation_is_nobodys_word() -> None:
    """It is the first of the two faults of a stolen key."""
    story = with_cards(sender=[{}], recipient=revoked(START_MS - HOUR_MS))
    assert faulty(story) == {RECEIPT}


def test_a_revocation_told_later_counts_from_its_own_time() -> None:
    """The card in force did not know yet; a later one says that the key was stolen before."""
    cards: list[dict[str, object]] = [
        {"sig_1": {}},
        {"issued": START_MS + HOUR_MS, "sig_1": {"status": "revoked", "revoked_ms": START_MS - HOUR_MS}, "sig_2": {}},
    ]
    assert faulty(with_cards(sender=[{}], recipient=cards)) == {RECEIPT}


def test_after_a_revocation_a_receipt_stands_with_an_earlier_cosignature() -> None:
    """A witness saw the entry before the key was revoked."""
    story = with_cards(sender=[{}], recipient=revoked(START_MS + HOUR_MS))
    assert faulty(story) == set()


def test_after_a_revocation_a_later_cosignature_saves_nothing() -> None:
    """Signed with the stolen key afterwards and dated back: the witness's time is the one the thief cannot write."""
    story = with_cards(sender=[{}], recipient=revoked(START_MS + HOUR_MS))
    story.cosigned_s = (START_MS + HOUR_MS) // 1000
    assert faulty(story) == {WITNESS}


def test_after_a_revocation_a_cosignature_from_before_the_entry_saves_nothing() -> None:
    """Nobody saw an entry before it was made: whoever helps a thief may date back, but not so far and be believed."""
    story = with_cards(sender=[{}], recipient=revoked(START_MS + HOUR_MS))
    assert faulty(story) == set()
    story.cosigned_s = (START_MS - HOUR_MS) // 1000
    assert faulty(story) == {WITNESS}


def test_a_cosignature_from_the_future_is_a_fault_for_who_has_a_clock() -> None:
    """120 s of difference between two clocks are nothing; more is nobody's word."""
    story = with_cards(sender=[{}])
    story.cosigned_s = START_MS // 1000
    raw = write_bundle(story.parts())
    for now_ms, fine in ((None, True), (START_MS - 120_000, True), (START_MS - 122_000, False)):
        verdict = verify_bundle(raw, fingerprints=story.fingerprints, now_ms=now_ms)
        assert all("not yet" not in fault.what for fault in verdict.faults) is fine


def test_after_a_revocation_no_cosignature_saves_nothing_either() -> None:
    """The recipient's log vouches for itself only."""
    story = with_cards(sender=[{}], recipient=revoked(START_MS + HOUR_MS))
    story.cosigned_s = None
    assert faulty(story) == {WITNESS}


def test_the_same_holds_for_the_key_of_the_sender() -> None:
    """A manifest signed with a key that was stolen later."""
    story = with_cards(sender=revoked(START_MS + HOUR_MS))
    assert faulty(story) == set()
    story.cosigned_s = None
    assert faulty(story) == {WITNESS}


def test_a_revocation_that_later_cards_forget_is_remembered() -> None:
    """The card after next no longer names the key: the one between still says it."""
    cards = [*revoked(START_MS + HOUR_MS), {"issued": START_MS + 40 * DAY_MS, "sig_2": {}}]
    story = with_cards(sender=[{}], recipient=cards)
    story.cosigned_s = None
    assert faulty(story) == {WITNESS}


def test_a_log_key_that_changed_leaves_old_proofs_good() -> None:
    """A checkpoint under the key of an earlier card, and one under that of a later card: both are the log's."""
    cards: list[dict[str, object]] = [{"log": 1}, {"issued": START_MS + DAY_MS, "log": 2}]
    story = with_cards(sender=cards, recipient=cards)
    assert faulty(story) == set()
    story.log_number = 2
    assert faulty(story) == set()
    story.log_number = 3
    assert faulty(story) == {RECEIPT, LOG}


def test_without_the_recipients_entry_its_receipt_tells_the_time() -> None:
    """`receivedAt` is signed by the recipient; `iat` of the manifest is the sender's own word."""
    story = with_cards(sender=[{"sig_1": {"exp_ms": START_MS + 40}}])
    parts = story.parts()
    for logs in (parts.logs, parts.logs[:1]):
        found = verify_bundle(write_bundle(replace(parts, logs=logs)), fingerprints=story.fingerprints)
        assert {fault.step for fault in found.faults} == {MANIFEST}


def test_a_receipt_is_judged_when_its_receiver_logged_it() -> None:
    """Settled long after the key had expired: signed in time, as it says itself, and that alone nobody believes."""
    story = Story()
    story.settled_ms = START_MS + 70 * DAY_MS
    assert faulty(story) == {RECEIPT}
