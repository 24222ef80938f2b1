"""Two gateways change every key they sign with; what was proved before stays proved after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence.verify import verify_bundle
from gateway.runtime import wall_clock
from tests.evidence.conftest import cosigned, export, fingerprints
from tests.evidence.story import files_of
from tests.support.pair import TEST_OPERATOR, Pair, example

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.evidence.verify import Verdict
    from tests.support.pair import Side

DAY_MS = 86_400_000


class Calendar:
    """The clock of both gateways; it starts 20 days ago, so that certificates made then are good today."""

    def __init__(self) -> None:
        self.behind_ms = 20 * DAY_MS

    def __call__(self) -> int:
        """Return the time now."""
        return wall_clock() - self.behind_ms

    def go_on(self, days: int) -> None:
        """Let days pass."""
        self.behind_ms -= days * DAY_MS


async def accepted(pair: Pair) -> str:
    """Have a message accepted and both logs cosigned; return its id."""
    [sent] = await pair.a.submit(example("case.referral/site-without-names"))
    await pair.settle()
    for side in pair.sides:
        await cosigned(side)
    return sent.jti


async def rotate(pair: Pair, calendar: Calendar) -> None:
    """Change the signing pair and the log key of both sides, and let the time pass that this takes."""
    for side in pair.sides:
        await side.gateway.keyroom.rotate("sig", TEST_OPERATOR)
        await side.gateway.keyroom.rotate("log", TEST_OPERATOR)
    await fetch_cards(pair, calendar)
    calendar.go_on(7)
    for side in pair.sides:
        await side.gateway.keyroom.advance()
    await fetch_cards(pair, calendar)
    calendar.go_on(3)


async def fetch_cards(pair: Pair, calendar: Calendar) -> None:
    """Have each side take the card of the other."""
    calendar.behind_ms -= 61_000
    for side, other in ((pair.a, pair.b), (pair.b, pair.a)):
        await side.gateway.contacts.take_card(other.gateway.directory.me, other.gateway.directory.mine)


def cards_in(raw: bytes) -> set[str]:
    """Return the cards of a bundle."""
    return {path for path in files_of(raw) if path.startswith("cards/")}


async def judged(pair: Pair, side: Side, jti: str) -> Verdict:
    """Export and verify."""
    return verify_bundle(await export(side, jti), fingerprints=fingerprints(pair))


async def test_bundles_from_before_and_after_a_rotation_are_good(tmp_path: Path) -> None:
    """Signing pairs and log keys of both sides; each message from each side, exported before and after."""
    calendar = Calendar()
    async with Pair(tmp_path, clock=calendar) as pair:
        before = await accepted(pair)
        old = await export(pair.a, before)
        assert verify_bundle(old, fingerprints=fingerprints(pair)).ok
        await rotate(pair, calendar)
        after = await accepted(pair)
        for side in pair.sides:
            for jti in (before, after):
                verdict = await judged(pair, side, jti)
                assert verdict.faults == (), (side.party, jti == before)
                assert verdict.gaps == ()
        # The bundle from before needs nothing of what came later.
        assert verify_bundle(old, fingerprints=fingerprints(pair)).ok
        assert cards_in(await export(pair.a, after)) != cards_in(old)


async def test_after_a_revocation_what_a_witness_saw_before_stands(tmp_path: Path) -> None:
    """The recipient's key is revoked: its receipt stands by the earlier cosignature, and would not without."""
    calendar = Calendar()
    async with Pair(tmp_path, clock=calendar) as pair:
        jti = await accepted(pair)
        calendar.go_on(1)
        [kid, _] = pair.b.keys.signer(calendar()).kids
        await pair.b.gateway.keyroom.rotate("sig", TEST_OPERATOR)
        await pair.b.gateway.keyroom.revoke(kid, "stolen", TEST_OPERATOR)
        await fetch_cards(pair, calendar)
        verdict = await judged(pair, pair.a, jti)
        assert verdict.faults == ()
        assert verdict.parts is not None
        assert len([card for card in verdict.parts.cards if card.party == "kh.gdi"]) > 1
