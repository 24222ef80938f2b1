from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.errors import (
    Clash,
    GatewayError,
    MalformedRequest,
    NotFound,
    Paused,
    TooLarge,
    TooManyRequests,
    TransportError,
)
from gateway.ports.partner import UploadReply
from gateway.protocol.attachment import AttachmentId, Upload, encrypted_length
from gateway.services import deposit
from tests.attachments.parties import ID, KH, broken, ciphertext, pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.ports.partner import PartnerLink
    from tests.support.pair import Pair

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE = os.urandom(600_000)


def fresh() -> AttachmentId:
    """Return an id nobody has used."""
    text = os.urandom(16).hex()
    return AttachmentId("-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])))


@asynccontextmanager
async def line(pair: Pair) -> AsyncIterator[PartnerLink]:
    """Yield the link from Indonesia to Cambodia."""
    async with pair.a.gateway.link(KH) as link:
        yield link


@pytest.mark.parametrize("cut", [0, 1, 55, 56, 72, 16_456, 16_457, 65_536, 400_000, len(FILE) + 55])
async def test_an_upload_goes_on_where_it_was_cut(pair: Pair, cut: int) -> None:
    """Whatever of it came is told by HEAD; the rest of it completes the same bytes, over real TLS."""
    name = fresh()
    sealed = ciphertext(FILE, name)
    async with line(pair) as link:
        with pytest.raises(TransportError):
            await link.send_upload(name, length=len(sealed), offset=None, pieces=broken(sealed[:cut]))
        found = await link.get_upload(name)
        # A cut before the first byte may be one before the request.
        while found.status == 404 and cut > 1:
            found = await link.get_upload(name)
        offset = found.offset or 0
        assert offset <= cut
        sent = sealed[offset:]
        start = None if found.status == 404 else offset
        reply = await link.send_upload(name, length=len(sealed), offset=start, pieces=pieces(sent))

        assert reply == UploadReply(204, len(sealed), len(sealed), None)
        assert (await link.get_upload(name)).offset == len(sealed)
    row = await pair.b.gateway.store.write(lambda tx: tx.attachments.transfer("in", ID, name))
    assert row is not None
    assert b"".join([piece async for piece in pair.b.gateway.attachments.vault.raw(row.file)]) == sealed


async def test_a_complete_upload_is_never_replaced(pair: Pair) -> None:
    """Neither by a new PUT nor by a PATCH behind its end; what is here stays."""
    name = fresh()
    sealed = ciphertext(FILE, name)
    async with line(pair) as link:
        await link.send_upload(name, length=len(sealed), offset=None, pieces=pieces(sealed))
        again = await link.send_upload(name, length=len(sealed), offset=None, pieces=pieces(bytes(len(sealed))))
        behind = await link.send_upload(name, length=len(sealed) + 9, offset=len(sealed), pieces=pieces(bytes(9)))
        assert (again.status, behind.status) == (409, 409)
        assert (await link.get_upload(name)).offset == len(sealed)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", "{id}", {}, 400),
        ("PUT", "{id}", {"Upload-Length": "-5"}, 400),
        ("PUT", "{id}", {"Upload-Length": "72"}, 400),
        ("PUT", "{id}", {"Upload-Length": str(encrypted_length(100 * 1024 * 1024) + 1)}, 413),
        ("PUT", "{id}", {"Upload-Length": "59"}, 413),
        ("PUT", "passport.jpg", {"Upload-Length": "200"}, 400),
        ("PUT", "{id}", {"Upload-Length": "200", "Content-Encoding": "gzip"}, 415),
        ("PATCH", "{id}", {"Upload-Offset": "0"}, 404),
        ("PATCH", "{id}", {}, 400),
        ("HEAD", "{id}", {}, 404),
        ("GET", "{id}", {}, 405),
        ("DELETE", "{id}", {}, 405),
    ],
)
async def test_a_request_that_says_too_little_is_refused(
    pair: Pair, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Nothing is stored for it."""
    name = fresh()
    url = f"{pair.b.gateway.directory.mine.endpoint}/attachments/{path.format(id=name)}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, url, headers=headers, data=bytes(60) if method in {"PUT", "PATCH"} else None,
            ssl=pair.a.gateway.tls.client(KH),
        ) as reply,
    ):  # fmt: skip
        assert reply.status == status
    assert await pair.b.gateway.attachments.deposits.state(ID, name) is None


async def test_an_upload_without_a_certificate_meets_nobody(pair: Pair) -> None:
    """The door is the exchange's own."""
    url = f"{pair.b.gateway.directory.mine.endpoint}/attachments/{fresh()}"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.put(url, data=b"x", headers={"Upload-Length": "200"})


# --- beside the wire ----------------------------------------------------------------------------------


async def refused(work: Any) -> type[GatewayError] | None:
    """Return what was raised."""
    try:
        await work
    except GatewayError as error:
        return type(error)
    return None


async def test_uploads_of_two_parties_are_two_uploads(pair: Pair) -> None:
    """Ids are each caller's own."""
    deposits, name = pair.b.gateway.attachments.deposits, fresh()
    await deposits.put(ID, name, 1000, pieces(bytes(10)))
    assert await deposits.state(KH, name) is None
    assert await deposits.state(ID, name) == Upload(1000, 10)
    assert await refused(deposits.patch(KH, name, 10, pieces(b"x"))) is NotFound


async def test_a_put_begins_anew_what_was_cut(pair: Pair) -> None:
    """Another length too; the old bytes are gone from the disk."""
    deposits, name = pair.b.gateway.attachments.deposits, fresh()
    files = pair.b.settings.attachments_path
    await deposits.put(ID, name, 1000, pieces(bytes(10)))
    before = len(list(files.iterdir()))
    assert await deposits.put(ID, name, 900, pieces(bytes(20))) == Upload(900, 20)
    assert len(list(files.iterdir())) == before


@pytest.mark.parametrize("offset", [9, 11, 999, 1000])
async def test_a_patch_goes_on_nowhere_else(pair: Pair, offset: int) -> None:
    """409, and nothing changes."""
    deposits, name = pair.b.gateway.attachments.deposits, fresh()
    await deposits.put(ID, name, 1000, pieces(bytes(10)))
    assert await refused(deposits.patch(ID, name, offset, pieces(b"x"))) is Clash
    assert await deposits.state(ID, name) == Upload(1000, 10)


async def test_more_than_was_announced_drops_the_upload(pair: Pair) -> None:
    """Row and file: whoever cannot count is not believed."""
    deposits, name = pair.b.gateway.attachments.deposits, fresh()
    assert await refused(deposits.put(ID, name, 100, pieces(bytes(101)))) is MalformedRequest
    assert await deposits.state(ID, name) is None


async def test_a_later_request_takes_an_upload_over(pair: Pair) -> None:
    """The connection of the first one may be dead without our knowing: it must not block the second."""
    deposits, name = pair.b.gateway.attachments.deposits, fresh()
    came = asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield bytes(10)
        came.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(deposits.put(ID, name, 100, hanging()))
    await came.wait()
    assert await deposits.patch(ID, name, 10, pieces(bytes(90))) == Upload(100, 100)
    assert await refused(first) is Clash


async def test_two_that_come_at_once_do_not_mix(pair: Pair) -> None:
    """Of many requests for one upload a single one writes at a time; the bytes are those of one of them."""
    deposits, name = pair.b.gateway.attachments.deposits, fresh()

    async def slow(byte: bytes) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield byte * 50
            await asyncio.sleep(0)

    answers = await asyncio.gather(
        *(deposits.put(ID, name, 1000, slow(bytes([n]))) for n in range(5)), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, Upload)] == [Upload(1000, 1000)]
    row = await pair.b.gateway.store.write(lambda tx: tx.attachments.transfer("in", ID, name))
    assert row is not None
    stored = b"".join([piece async for piece in pair.b.gateway.attachments.vault.raw(row.file)])
    assert stored in [bytes([number]) * 1000 for number in range(5)]


async def test_all_bytes_without_the_word_that_they_are_all_are_asked_for_again(pair: Pair) -> None:
    """A process killed between the last byte and the commit does not take the file for whole."""
    gateway, name = pair.b.gateway, fresh()
    await gateway.attachments.deposits.put(ID, name, 100, pieces(bytes(99)))
    row = await gateway.store.write(lambda tx: tx.attachments.transfer("in", ID, name))
    assert row is not None
    with (pair.b.settings.attachments_path / row.file).open("ab") as file:
        file.write(b"\0")
    assert await gateway.attachments.deposits.state(ID, name) == Upload(100, 99)
    assert await gateway.attachments.deposits.patch(ID, name, 99, pieces(b"\0")) == Upload(100, 100)


async def test_a_partner_cannot_fill_the_disk(pair: Pair) -> None:
    """What no message names is bounded in bytes, in number and in requests at a time; a full disk is told too."""
    gateway = pair.b.gateway
    settings = pair.b.settings.limits
    deposits = deposit.Deposits(
        gateway.store, gateway.attachments.vault, gateway.witnessing.gate, gateway.clock,
        most_bytes=settings.attachment_bytes, partner_bytes=10_000_000,
    )  # fmt: skip
    assert await refused(deposits.put(ID, fresh(), settings.attachment_bytes * 2, pieces(b""))) is TooLarge
    await deposits.put(ID, fresh(), 100, pieces(b"x"))
    assert await refused(deposits.put(ID, fresh(), 10_000_000, pieces(b""))) is TooManyRequests
    begun = asyncio.Semaphore(0)
    hanging = [
        asyncio.create_task(deposits.put(ID, fresh(), 100, _never(begun))) for _ in range(deposit.UNDER_WAY_EACH)
    ]
    for _ in hanging:
        await begun.acquire()
    assert await refused(deposits.put(ID, fresh(), 100, pieces(b""))) is TooManyRequests
    deposits.drain()
    assert {await refused(task) for task in hanging} == {Clash}


async def _never(begun: asyncio.Semaphore) -> AsyncIterator[bytes]:
    begun.release()
    await asyncio.Event().wait()
    yield b""


async def test_nothing_is_taken_while_exchange_is_paused(pair: Pair) -> None:
    """A log that nobody witnesses takes no ciphertexts either."""
    gate, deposits = pair.b.gateway.witnessing.gate, pair.b.gateway.attachments.deposits
    gate.close("unwitnessed", "a test says so")
    try:
        assert await refused(deposits.put(ID, fresh(), 100, pieces(b""))) is Paused
        assert await refused(deposits.patch(ID, fresh(), 0, pieces(b""))) is Paused
    finally:
        gate.open("unwitnessed")


async def test_a_refused_upload_is_in_the_log(pair: Pair) -> None:
    """Counted, so that no partner grows the log at will; to ask from the wrong place is no fault."""
    gateway, name = pair.b.gateway, fresh()
    await gateway.refusals.flush()
    before = len(await gateway.queries.entries(typ="attachment.refused", outcome="too-large", limit=50))
    url = f"{gateway.directory.mine.endpoint}/attachments/{name}"
    async with aiohttp.ClientSession() as session:
        for method, headers in (("PUT", {"Upload-Length": "1" * 15}), ("PATCH", {"Upload-Offset": "0"})) * 3:
            async with session.request(
                method, url, headers=headers, data=b"", ssl=pair.a.gateway.tls.client(KH)
            ) as reply:
                assert reply.status in {404, 413}
    rows = await gateway.queries.entries(typ="attachment.refused", outcome="too-large", limit=50)
    assert [row["actor"] for row in rows[: len(rows) - before]] == [ID]
    await gateway.refusals.flush()
    assert not await gateway.queries.entries(typ="attachment.refused", outcome="not-found", limit=1)
