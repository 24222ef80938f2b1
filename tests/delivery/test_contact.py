"""What counts as a contact, what a contact ends, and whose keys are looked for before one is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import TransportError
from gateway.protocol.ids import MessageId
from gateway.running import wall_clock
from gateway.services.contact import CARD_EVERY_MS
from gateway.services.reconcile import Reconciler
from tests.support.link import ID, KH, example
from tests.support.pair import TEST_OPERATOR, Pair
from tests.witness.stage import Stage, play, states

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.ports.partner import PartnerLink
    from tests.support.pair import Side


def test_a_contact_while_the_loss_is_recorded_is_not_missed() -> None:
    """Lost and heard of in one moment: the partner counts as up, and what waited for it goes at once."""

    async def story(stage: Stage) -> None:
        body = example("case.referral/site-without-names")
        await stage.a.submit(body)
        await stage.until(lambda: states(stage.a) == ["accepted"])
        stage.two.network.cut = True
        await stage.a.submit(body)
        await stage.until(lambda: stage.a.look("SELECT max(attempts) FROM outbox")[0][0] > 2, 600)
        # What hangs on the cut line is no business of a contact.
        await stage.until(lambda: not stage.two.network.under_way, 600)
        contacts = stage.a.gateway.contacts
        stage.two.network.cut = False
        await contacts.heard(KH)
        order: list[str] = []
        contacts.on_back(lambda _party: order.append("woken"))
        await asyncio.gather(contacts.lost(KH, "http-503", lambda _tx: order.append("put off")), contacts.heard(KH))
        assert order == ["put off", "woken"]
        assert stage.a.look("SELECT down_since FROM partners") == [(None,)]
        await stage.until(lambda: states(stage.a) == ["accepted"] * 2, 5)

    play(story)


async def changed_keys(side: Side) -> None:
    """Have a side sign with a pair that its partner has not seen yet."""
    kid = side.gateway.keys.signer(side.gateway.clock()).kids[0]
    await side.gateway.keyroom.revoke(kid, "key-compromise", TEST_OPERATOR)


async def test_the_card_is_fetched_before_a_signer_is_refused(tmp_path: Path) -> None:
    """Not for envelopes alone: a ping, the answer to one, a stream; once a minute, not more."""
    ahead_ms = 0
    async with Pair(tmp_path, clock=lambda: wall_clock() + ahead_ms) as pair:
        a = pair.a.gateway
        compare = Reconciler(a.queries, a.directory, a.contacts, a.link, a.clock).compare
        async with a.link(KH) as link:
            await changed_keys(pair.a)
            assert await a.contacts.ping(KH, link) is not None
            await changed_keys(pair.b)
            assert await a.contacts.ping(KH, link) is not None
            await changed_keys(pair.b)
            assert await a.contacts.ping(KH, link) is None
            with pytest.raises(TransportError):
                await compare(KH)
            ahead_ms += CARD_EVERY_MS
            assert (await compare(KH)).agrees


ASKS: dict[str, Callable[[PartnerLink], Awaitable[object]]] = {
    "stream": lambda link: link.get_stream(1, 10),
    "card": lambda link: link.get_card(),
    "message": lambda link: link.get_message(MessageId("01990000-0000-7000-8000-000000000001")),
}


async def test_a_question_of_a_partner_ends_the_pause_towards_it(tmp_path: Path) -> None:
    """Whoever asks what we hold, or for our card, is there, though its own listener is closed to us."""
    async with Pair(tmp_path) as pair:
        await pair.b.listen(False)
        back: list[str] = []
        pair.a.gateway.contacts.on_back(back.append)
        for ask in ASKS.values():
            await pair.a.gateway.contacts.lost(KH, "no answer")
            async with pair.b.gateway.link(ID) as link:
                await ask(link)
    assert back == [KH] * len(ASKS)
