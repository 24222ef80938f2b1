"""Messages with files between two gateways, under a virtual clock: cuts, kills, losses and late answers."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import StorageUnavailable
from gateway.protocol.attachment import encrypted_length
from gateway.services.attachments import UNUSED_MS
from tests.attachments.files import pdf, thick
from tests.attachments.parties import ID, KH, NAME, attached, ciphertext, held, pieces
from tests.support.checker import check
from tests.support.link import Killed, Two, example, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

REFERRAL = "case.referral/s1-sumarni"
FILE = thick(100_000)


def referral(*names: str, **changes: Any) -> dict[str, Any]:
    """Return a referral that names files."""
    return example(REFERRAL) | {"attachments": list(names)} | changes


def journey(story: Callable[[Two], Coroutine[Any, Any, None]], seed: int | None = None) -> None:
    """Run a story of two gateways; then everything is drained, checked, and nothing half-made is left."""

    async def run() -> None:
        two = Two(seed)
        await two.start()
        await story(two)
        await two.drained()
        for process in two.both:
            await process.gateway.attachments.sweep()
            named = await process.gateway.store.write(lambda tx: tx.attachments.files())
            folder = process.gateway.settings.attachments_path
            assert {path.name for path in folder.iterdir()} == named if folder.is_dir() else not named
        await two.stop()
        files = [path for side in two.both for path in side.home.rglob("*") if path.is_file()]
        check(
            two.a.home, two.b.home, promised={ID: two.a.promised, KH: two.b.promised},
            canaries=[FILE[2_000:2_040]], traces=[*two.network.seen, *files],
        )  # fmt: skip
        two.discard()

    run_virtual(run())


@pytest.mark.parametrize("cut", [0, 1, 56, 16_456, 16_457, 65_536, len(FILE) + 56])
def test_a_cut_is_taken_up_where_it_happened(cut: int) -> None:
    """The message waits for its file and then goes, once; no byte is sent twice but the last."""

    async def story(two: Two) -> None:
        two.network.cut_uploads_at = [cut]
        name = await attached(two.a.gateway, FILE)
        await two.a.submit(referral(name))
        await two.drained()
        assert await held(two.b.gateway, name) == FILE
        assert [offset for offset, _ in two.network.uploads] == [None, cut]
        assert sum(size for _, size in two.network.uploads) == 2 * encrypted_length(len(FILE)) - cut
        assert two.network.calls.count((ID, "envelope")) == 1

    journey(story)


def test_a_file_sent_three_times_is_encrypted_and_carried_once() -> None:
    """Later messages name the same ciphertext; each arrives."""

    async def story(two: Two) -> None:
        name = await attached(two.a.gateway, FILE)
        await two.a.submit(referral(name), referral(name))
        await two.drained()
        await two.a.submit(referral(name))
        await two.drained()
        assert two.network.calls.count((ID, "upload")) == 1
        assert two.b.look("SELECT count(*) FROM inbox WHERE status = 'accepted'") == [(3,)]
        assert two.b.look("SELECT count(*) FROM enclosures") == [(3,)]

    journey(story)


def test_a_message_without_files_does_not_wait_for_one_with() -> None:
    """But what follows in the same case does."""

    async def story(two: Two) -> None:
        two.network.cut_uploads_at = [10] * 6
        name = await attached(two.a.gateway, FILE)
        [slow] = await two.a.submit(referral(name))
        [quick] = await two.a.submit(example(REFERRAL))
        update = example("info.request/s7-crossing-history")
        [after] = await two.a.submit(update | {"case": slow.case})
        await two.drained()
        arrived = [row[0] for row in two.b.look("SELECT jti FROM inbox ORDER BY id")]
        assert arrived.index(quick.jti) < arrived.index(slow.jti) < arrived.index(after.jti)

    journey(story)


@pytest.mark.parametrize("loss", ["row", "file", "bytes"])
def test_a_file_the_partner_lost_is_carried_again(loss: str) -> None:
    """It says deferred, drops what is wrong, and gets it anew: no message ends by it."""

    async def story(two: Two) -> None:
        name = await attached(two.a.gateway, FILE)
        gateway = two.b.gateway

        def lose(tx: Any) -> str:
            row = tx.attachments.transfer("in", ID, name)
            if loss == "row":
                tx.attachments.drop_transfer("in", ID, name)
            file: str = row.file
            return file

        await two.a.submit(referral(name))
        while not two.b.look("SELECT 1 FROM transfers WHERE state = 'whole'"):
            await _moment()
        file = await gateway.store.write(lose)
        path = gateway.settings.attachments_path / file
        if loss != "row":
            path.write_bytes(bytes(path.stat().st_size) if loss == "bytes" else b"")
        await two.drained()
        assert await held(two.b.gateway, name) == FILE
        assert two.network.calls.count((ID, "upload")) == 2
        erased = two.b.look("SELECT outcome FROM entries WHERE typ = 'attachment.erased'")
        assert erased == ([] if loss == "row" else [("wrong digest",)])
        assert two.a.look("SELECT DISTINCT reason FROM attempts WHERE result = 'deferred'") == [("attachment-missing",)]

    journey(story)


async def _moment() -> None:
    await asyncio.sleep(0.0001)


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("step", range(1, 26, 4))
def test_a_kill_at_any_step_loses_nothing(side: str, step: int) -> None:
    """Of the sender or the receiver, while file and message are on their way; both homes hold what they must."""

    async def story(two: Two) -> None:
        name = await attached(two.a.gateway, FILE)
        victim = getattr(two, side)
        victim.arm(kill_at=step)
        try:
            await two.a.until_dead(two.a.submit(referral(name)))
        except (Killed, StorageUnavailable):  # what came of it is not known to whoever asked
            await two.revive()
            await two.a.submit(referral(name))
        await two.drained()
        assert await held(two.b.gateway, name) == FILE

    journey(story)


@pytest.mark.parametrize("seed", range(4))
def test_a_rough_network_loses_no_file(seed: int) -> None:
    """Loss, delay, repetition, cuts and flipped bits, both ways; every file arrives as it was."""

    async def story(two: Two) -> None:
        sent = []
        for size in (70_000, 80_000, 90_000):
            raw = thick(size)
            sent.append((two.b, await attached(two.a.gateway, raw), raw))
            await two.a.submit(referral(sent[-1][1]))
            back = await attached(two.b.gateway, raw)
            await two.b.submit(example("info.request/telephone-three-numbers") | {"attachments": [back]})
            sent.append((two.a, back, raw))
        await two.drained(7200)
        for process, name, raw in sent:
            assert await held(process.gateway, name) == raw

    journey(story, seed)


def test_what_no_message_names_goes_after_a_day() -> None:
    """A partner's uploads, ours, and ciphertexts of messages that were refused; what is named stays."""

    async def story(two: Two) -> None:
        kept, unused = await attached(two.a.gateway, FILE), await attached(two.a.gateway, FILE)
        await two.a.submit(referral(kept))
        await two.drained()
        stray = await _upload(two)
        _later(two, 23)
        for process in two.both:
            await process.gateway.attachments.tidy()
        assert await held(two.a.gateway, unused) == FILE
        assert await two.b.gateway.attachments.deposits.state(ID, stray) is not None
        _later(two, UNUSED_MS / 3_600_000 - 22)
        for process in two.both:
            await process.gateway.attachments.tidy()
        assert await held(two.a.gateway, unused) is None
        assert await two.b.gateway.attachments.deposits.state(ID, stray) is None
        assert await held(two.a.gateway, kept) == await held(two.b.gateway, kept) == FILE
        for process, kind in ((two.a, "attachment"), (two.b, "upload")):
            rows = process.look("SELECT obj, outcome FROM entries WHERE typ = 'attachment.erased'")
            assert [row[1] for row in rows] == ["unused"], kind

    journey(story)


async def _upload(two: Two) -> Any:
    sealed = ciphertext(FILE)
    await two.b.gateway.attachments.deposits.put(ID, NAME, len(sealed), pieces(sealed))
    return NAME


def _later(two: Two, hours: float) -> None:
    for process in two.both:
        process.slept_ms += round(hours * 3_600_000)


def test_a_killed_process_leaves_no_half_file() -> None:
    """What it was writing when it died has no row, and the next start removes it; no plaintext was there."""

    async def story(two: Two) -> None:
        folder = two.a.gateway.settings.attachments_path
        name = await attached(two.a.gateway, FILE)
        before = {path.name for path in folder.iterdir()}
        shutil.copy(folder / before.copy().pop(), folder / ("0" * 32))
        two.a.die()
        await two.revive()
        assert {path.name for path in folder.iterdir()} == before
        assert await held(two.a.gateway, name) == FILE

    journey(story)


def test_a_file_the_partner_refuses_keeps_no_other_back() -> None:
    """It is told in the attempts of its own message, once a quarter of an hour and not at every try."""

    async def story(two: Two) -> None:
        deposits = two.b.gateway.attachments.deposits
        usual, deposits._most = deposits._most, encrypted_length(60_000)
        large, small = await attached(two.a.gateway, FILE), await attached(two.a.gateway, pdf())
        [refused] = await two.a.submit(referral(large))
        [taken] = await two.a.submit(referral(small))
        await asyncio.sleep(1000)
        rows = two.a.look("SELECT jti, result, reason FROM attempts")
        assert rows == [(refused.jti, "unreachable", "attachment: http-413")] * 2
        assert two.a.look("SELECT jti FROM outbox WHERE state = 'accepted'") == [(taken.jti,)]
        deposits._most = usual

    journey(story)


def test_a_partner_that_takes_no_file_is_known_to_be_down() -> None:
    """Nothing else may be waiting that would find out; its first word ends that."""

    async def story(two: Two) -> None:
        name = await attached(two.a.gateway, FILE)
        await two.a.submit(example(REFERRAL))
        await two.drained()
        two.network.cut = True
        await two.a.submit(referral(name))
        await asyncio.sleep(90)
        assert two.a.look("SELECT down_since IS NULL FROM partners") == [(0,)]
        two.network.cut = False
        await two.drained()
        assert two.a.look("SELECT down_since IS NULL FROM partners") == [(1,)]

    journey(story)
