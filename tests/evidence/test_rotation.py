"""Two gateways change every key they sign with; what was proved before stays proved after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence.verify import verify_bundle
from gateway.running import wall_clock
from tests.cli.terminal import Home
from tests.evidence.conftest import cosigned, export, fingerprints
from tests.evidence.story import files_of
from tests.support.pair import TEST_OPERATOR, Pair, example
from tests.witness.stage import Stage, play, signed, states
from tests.witness.stage import cosigned as cosigned_size

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.evidence.verify import Verdict
    from tests.support.link import Process
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
    """The recipient's key is revoked: its receipt stands by the earlier cosignature, what came after by a new key."""
    calendar = Calendar()
    async with Pair(tmp_path, clock=calendar) as pair:
        jti = await accepted(pair)
        old = await export(pair.a, jti)
        calendar.go_on(1)
        [kid, _] = pair.b.keys.signer(calendar()).kids
        await pair.b.gateway.keyroom.rotate("sig", TEST_OPERATOR)
        await pair.b.gateway.keyroom.revoke(kid, "key-compromise", TEST_OPERATOR)
        await fetch_cards(pair, calendar)
        verdict = await judged(pair, pair.a, jti)
        assert verdict.faults == ()
        assert verdict.parts is not None
        assert len([card for card in verdict.parts.cards if card.party == "kh.gdi"]) > 1
        after = await accepted(pair)
        for side in pair.sides:
            assert (await judged(pair, side, after)).faults == (), side.party
        # The bundle from before knows of no revocation, and needs none to stay good.
        assert verify_bundle(old, fingerprints=fingerprints(pair)).ok


def test_what_the_log_keys_signed_outlives_them() -> None:
    """Log, witness and signing keys of both are gone, a month after their change: bundles and log stand as before.

    What the partner's log showed then is not asked for again.
    """

    async def story(stage: Stage) -> None:
        before = await answered(stage)
        kept = {side.party: await judged_virtual(stage, side, before) for side in (stage.a, stage.b)}
        for side in (stage.a, stage.b):
            for use in ("log", "witness", "sig"):
                await side.gateway.keyroom.rotate(use, TEST_OPERATOR)  # type: ignore[arg-type]
        between = await answered(stage)
        for days in (8, 40):
            for side in (stage.a, stage.b):
                side.slept_ms += days * DAY_MS
                await side.gateway.keyroom.advance()
        # What nobody watched is confirmed by the partner.
        await stage.until(lambda: stage.a.gateway.clock.sure() and stage.b.gateway.clock.sure())
        for side, other in ((stage.a, stage.b), (stage.b, stage.a)):
            await side.gateway.contacts.take_card(other.gateway.directory.me, other.gateway.directory.mine)
            names = {record.name for record in side.gateway.keys.records()}
            assert {"log-2", "witness-2", "sig-2"} <= names
            assert not {"log-1", "witness-1", "sig-1"} & names
        after = await answered(stage)
        for side in (stage.a, stage.b):
            for jti in (before, between, after):
                files = await judged_virtual(stage, side, jti)
                old = kept[side.party]
                same = [path for path in old if path.startswith("log/")]
                assert all(files[path] == old[path] for path in same) is (jti == before)

    stage = play(story)
    home = Home(stage.a.home)
    folder = stage.a.home / "export"
    assert home.json("audit", "verify")["verified"] is True
    home.run("audit", "export", str(folder))
    assert home.json("audit", "verify", str(folder))["verified"] is True


async def answered(stage: Stage) -> str:
    """Have a message accepted and both logs cosigned; return its id."""
    count = len(states(stage.a))
    [sent] = await stage.a.submit(example("case.referral/site-without-names"))
    await stage.until(lambda: states(stage.a)[count:] == ["accepted"], 120)
    for side in (stage.a, stage.b):
        await stage.until(lambda side=side: signed(side) == cosigned_size(side), 120)  # type: ignore[misc]
    return sent.jti


async def judged_virtual(stage: Stage, side: Process, jti: str) -> dict[str, bytes]:
    """Export, verify without a fault or a gap; return the files."""
    prints = [one.gateway.directory.mine.fingerprint for one in (stage.a, stage.b)]
    raw = await export(side, jti)  # type: ignore[arg-type]
    verdict = verify_bundle(raw, fingerprints=prints)
    assert (verdict.faults, verdict.gaps) == ((), ()), (side.party, jti)
    return files_of(raw)
