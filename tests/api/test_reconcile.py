from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import pytest

from gateway.errors import TransportError
from gateway.ports.partner import Reply
from gateway.protocol.ids import MessageId, PartyId
from gateway.protocol.stream import StreamItem, sign_stream
from gateway.services.reconcile import Reconciler
from gateway.web.api import models_views as v
from tests.api.conftest import serve
from tests.support.pair import Pair, Side, example

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERRAL = "case.referral/s1-sumarni"
JTI = MessageId("01900000-0000-7000-8000-000000000001")


async def test_what_they_hold_is_what_we_sent(tmp_path: Path) -> None:
    """Accepted ones are held, waiting ones are waiting, a cancelled one is voided: nothing differs."""
    async with Pair(tmp_path) as pair, AsyncExitStack() as stack:
        api = await serve(stack, pair.a)
        for _ in range(3):
            await api.submit(example(REFERRAL))
        await pair.settle()
        await pair.b.listen(False)
        cancelled = (await api.submit(example(REFERRAL))).json["id"]
        await pair.a.tried()
        await api.call("POST", f"/messages/{cancelled}/cancel", "operator")
        await api.submit(example(REFERRAL))
        unreachable = await api.get("/partners/kh.gdi/reconcile", "auditor")
        await pair.b.listen()
        # Their first contact ends our back-off.
        await pair.b.submit(example("subject.alert/s6-two-nationalities"))
        await pair.settle()
        found = v.Reconciliation.model_validate((await api.get("/partners/kh.gdi/reconcile", "operator")).json)
        stranger = await api.get("/partners/th.imm/reconcile", "auditor")

    assert (unreachable.status, unreachable.json["code"]) == (502, "unreachable")
    assert (found.agrees, found.differences) == (True, [])
    assert (found.sent, found.held, found.voided, found.waiting) == (6, 5, 1, 0)
    assert (found.received.count, found.received.highest, found.received.gaps) == (1, 1, 0)
    assert stranger.status == 404


class Told:
    """A link to a partner that signs whatever list it is given."""

    def __init__(self, side: Side, items: list[StreamItem], *, status: int = 200, spoil: bool = False) -> None:
        self._side = side
        self._items = items
        self._status = status
        self._spoil = spoil

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get_stream(self, start: int, limit: int) -> Reply:
        """Answer as kh.gdi."""
        gateway = self._side.gateway
        body = sign_stream(
            iss=PartyId("kh.gdi"), aud=PartyId("id.imigrasi"), iat_ms=gateway.clock(), from_seq=start,
            items=[item for item in self._items if item.seq >= start][:limit],
            signer=gateway.keys.signer(gateway.clock()),
        )  # fmt: skip
        return Reply(self._status, "application/jose+json", body[:-40] if self._spoil else body, None)


def item(seq: int, jti: str = JTI, *, event: bytes | None = b"d" * 32, status: str = "accepted") -> StreamItem:
    """Return what a partner says of one number."""
    return StreamItem(seq, MessageId(jti), event, status)


def row(seq: int, state: str, *, digest: bytes = b"d" * 32, void_jti: str | None = None) -> dict[str, Any]:
    """Return what we hold of one number."""
    return {"stream_seq": seq, "jti": JTI, "digest": digest, "state": state, "void_jti": void_jti}


class Ours:
    """Our outbox as a list of rows."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    async def stream(self, _recipient: str, start: int, end: int) -> list[dict[str, Any]]:
        """Return the rows of one page."""
        return [row for row in self._rows if start <= row["stream_seq"] < end]

    async def arrived(self, _sender: str) -> tuple[int, int]:
        """Return that nothing came."""
        return 0, 0


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (row(1, "accepted"), [item(1)], None),
        (row(1, "rejected"), [item(1, status="rejected")], None),
        (row(1, "queued"), [], None),
        (row(1, "sending"), [item(1)], None),
        (row(1, "queued"), [item(1, status="rejected")], None),
        (row(1, "rejected"), [], None),
        (row(1, "dead", void_jti="v"), [item(1, event=None, status="voided")], None),
        (row(1, "cancelled", void_jti="v"), [], None),
        (row(1, "accepted"), [], "lost"),
        (row(1, "accepted"), [item(1, event=b"e" * 32)], "bytes"),
        (row(1, "accepted"), [item(1, status="rejected")], "answer"),
        (row(1, "rejected"), [item(1)], "answer"),
        (row(1, "dead"), [], "unaccounted"),
    ],
)
async def test_each_disagreement_has_its_name(
    pair: Pair, ours: dict[str, Any], theirs: list[StreamItem], fault: str | None
) -> None:
    """Ours against theirs, one number: agreement is silent, each sort of difference is told apart."""
    gateway = pair.a.gateway
    found = await Reconciler(
        Ours(ours), gateway.directory, gateway.contacts, lambda _party: Told(pair.b, theirs), gateway.clock
    ).compare("kh.gdi")

    assert [difference.fault for difference in found.differences] == ([] if fault is None else [fault])
    assert found.agrees is (fault is None)
    assert found.sent == 1


async def test_a_number_we_never_sent_is_strange_wherever_it_stands(pair: Pair) -> None:
    """Beside ours, on a later page of ours, and behind our last one."""
    gateway = pair.a.gateway
    rows = [row(seq, "accepted") for seq in range(1, 1501) if seq not in {7, 1200}]
    theirs = [item(seq) for seq in range(1, 1502)]

    found = await Reconciler(
        Ours(*rows), gateway.directory, gateway.contacts, lambda _party: Told(pair.b, theirs), gateway.clock
    ).compare("kh.gdi")

    assert [(d.seq, d.fault) for d in found.differences] == [(7, "strange"), (1200, "strange"), (1501, "strange")]
    assert (found.sent, found.held) == (1498, 1498)


@pytest.mark.parametrize(("status", "spoil"), [(503, False), (200, True)])
async def test_a_list_that_does_not_verify_is_no_list(pair: Pair, status: int, spoil: bool) -> None:
    """An unsigned or refused answer says nothing about what is held: the comparison fails as unreachable."""
    gateway = pair.a.gateway
    told = Told(pair.b, [item(1)], status=status, spoil=spoil)

    with pytest.raises(TransportError):
        await Reconciler(Ours(), gateway.directory, gateway.contacts, lambda _party: told, gateway.clock).compare(
            "kh.gdi"
        )


async def test_more_differences_than_fit_are_counted_as_more(pair: Pair) -> None:
    """The answer stays bounded however far two logs are apart."""
    gateway = pair.a.gateway
    rows = [row(seq, "accepted") for seq in range(1, 1101)]

    found = await Reconciler(
        Ours(*rows), gateway.directory, gateway.contacts, lambda _party: Told(pair.b, []), gateway.clock
    ).compare("kh.gdi")

    assert (len(found.differences), found.more) == (1000, True)
