"""Which cards a bundle holds: enough to judge every key, and no more."""

from __future__ import annotations

from gateway.services.evidence_cards import choose_cards
from tests.evidence.story import DAY_MS, START_MS, Party, Story


def versions(story: Story, party: Party) -> list[int]:
    """Return the versions chosen of one party's cards."""
    parts = story.parts()
    held = {one.party: [card.raw for card in one.cards] for one in (story.id, story.kh)}
    texts = [log.checkpoint for log in parts.logs]
    chosen = choose_cards(held, [story.received_ms], [parts.manifest, parts.receipt or b""], texts)
    return [card.version for card in chosen if card.party == party.party]


def test_the_card_in_force_and_the_newest_are_chosen() -> None:
    """Those between say nothing about this message."""
    story = Story(cards=False)
    story.id.card()
    for version in range(1, 7):
        story.kh.card(version, issued=START_MS + (version - 3) * DAY_MS)
    assert versions(story, story.kh) == [3, 6]
    assert versions(story, story.id) == [1]


def test_no_card_is_chosen_twice_over() -> None:
    """One card is all of these at once."""
    story = Story()
    assert versions(story, story.kh) == [1]


def test_a_card_that_revokes_a_signing_key_is_chosen() -> None:
    """Later cards forget the key; the one that revoked it does not."""
    story = Story(cards=False)
    story.id.card()
    story.kh.card(1)
    story.kh.card(2, issued=START_MS + DAY_MS, sig_1={"status": "revoked", "revoked_ms": START_MS + DAY_MS}, sig_2={})
    for version in range(3, 6):
        story.kh.card(version, issued=START_MS + version * DAY_MS, sig_2={})
    assert versions(story, story.kh) == [1, 2, 5]


def test_the_first_card_with_the_key_of_a_checkpoint_is_chosen() -> None:
    """The log's key changed before the checkpoint was signed."""
    story = Story(cards=False)
    story.id.card()
    story.kh.card(1)
    for version in range(2, 5):
        story.kh.card(version, issued=START_MS + version * DAY_MS, log=2)
    story.kh.card(5, issued=START_MS + 9 * DAY_MS, log=3)
    assert versions(story, story.kh) == [1, 5]
    story.log_number = 2
    assert versions(story, story.kh) == [1, 2, 5]


def test_the_card_with_the_key_of_the_receipts_own_checkpoint_is_chosen() -> None:
    """The receipt shows a checkpoint from before the log's key changed; its log entry was proved after that."""
    story = Story(cards=False)
    story.id.card()
    story.kh.card(1, issued=START_MS - 3 * DAY_MS)
    story.kh.card(2, issued=START_MS - 2 * DAY_MS, log=2)
    story.kh.card(3, issued=START_MS - DAY_MS, log=2)
    before = story.parts().receipt
    story.log_number = 2
    parts = story.parts()
    held = {one.party: [card.raw for card in one.cards] for one in (story.id, story.kh)}
    texts = [log.checkpoint for log in parts.logs]
    for receipt, expected in ((parts.receipt, [3]), (before, [1, 3])):
        chosen = choose_cards(held, [story.received_ms], [parts.manifest, receipt or b""], texts)
        assert [card.version for card in chosen if card.party == "kh.gdi"] == expected
