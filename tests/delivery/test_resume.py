"""A partner that was suspended and is taken back is served at once, on the connection it still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.protocol.ids import PartyId
from tests.support.pair import TEST_OPERATOR, Pair

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_resumed_partner_is_known_again_on_its_open_connection(tmp_path: Path) -> None:
    """That a certificate was nobody's is not remembered: its CA may be pinned a moment later."""
    ours, theirs = PartyId("id.imigrasi"), PartyId("kh.gdi")
    async with Pair(tmp_path) as pair:
        await pair.b.gateway.enroller.set_state(ours, "suspended", TEST_OPERATOR)
        async with pair.a.gateway.link(theirs) as link:
            assert await pair.a.gateway.contacts.ping(theirs, link) is None
            await pair.b.gateway.enroller.set_state(ours, "active", TEST_OPERATOR)
            assert await pair.a.gateway.contacts.ping(theirs, link) is not None
