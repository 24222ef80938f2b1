"""What record.action does to files: erased on both sides with every copy, restricted, and back."""

from __future__ import annotations

import json
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.api.conftest import Api, serve
from tests.attachments.files import jpeg, pdf
from tests.attachments.parties import ID, KH
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCAN = ("PASSPORT_SCAN", "image/jpeg")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kh(pair: Pair) -> AsyncIterator[Api]:
    """Serve the API of kh.gdi."""
    async with AsyncExitStack() as stack:
        yield await serve(stack, pair.b)


async def attach(api: Api, raw: bytes, kind: str = "TICKET", media_type: str = "application/pdf") -> str:
    """Upload a file as an officer."""
    form = aiohttp.FormData()
    form.add_field("meta", json.dumps({"attachmentType": kind, "mediaType": media_type}))
    form.add_field("file", raw, filename="x")
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    answer = await api.call("POST", "/attachments", "officer", headers=headers, data=form)
    assert answer.status == 201, answer.json
    found: str = answer.json["id"]
    return found


async def sent(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Submit a message and have it answered."""
    answer = await api.submit(body, "officer")
    assert answer.status == 202, answer.json
    await api.side.settle()
    found: dict[str, Any] = answer.json
    return found


async def referred(api: Api, *names: str) -> dict[str, Any]:
    """Send a referral with these files."""
    return await sent(api, example("case.referral/s1-sumarni") | {"attachments": list(names)})


async def act(api: Api, what: str, case: str, **target: str) -> None:
    """Send a record.action about a message of our own."""
    body = example("record.action/s7-erase-wrong-person") | {"case": case}
    body["data"] |= {"action": what, "target": target}
    await sent(api, body)


async def statuses(name: str, *sides: Api) -> list[int]:
    """Return how each side answers a reader of a file."""
    return [(await side.get(f"/attachments/{name}", "officer")).status for side in sides]


async def files(side: Api) -> set[str]:
    """Return the files of a side once what was erased is off the disk."""
    gateway = side.side.gateway
    while await gateway.store.write(lambda tx: tx.attachments.discarded(1)):
        pass
    return {path.name for path in side.side.settings.attachments_path.iterdir()}


async def test_an_erased_file_is_gone_on_both_sides_with_every_copy(api: Api, kh: Api) -> None:
    """The copy, the original, the ciphertexts; the message and its other file stay, and the log says what went."""
    kept = await attach(api, pdf())
    before = [await files(api), set()]
    scan = await attach(api, jpeg(), *SCAN)
    opened = await referred(api, scan, kept)
    assert await statuses(scan, api, kh) == [200, 200]
    taken = await files(kh)

    await act(api, "ERASE", opened["case"], messageId=opened["id"], attachmentId=scan)

    assert await statuses(scan, api, kh) == [404, 404]
    assert await statuses(kept, api, kh) == [200, 200]
    # Of the referral's files only the ticket's ciphertext is left beside what was there.
    assert len(await files(api)) == len(before[0]) + 1
    assert len(await files(kh)) == len(taken) - 1
    for side in (api, kh):
        assert (await side.get(f"/messages/{opened['id']}/event", "officer")).status == 200
        entries = await side.entries(type="attachment.erased", object=scan)
        assert [entry["outcome"] for entry in entries] == ["erased WRONG_PERSON"]
    # Nor can it be sent again, or another file come in its place.
    again = await api.submit(example("case.referral/s1-sumarni") | {"attachments": [scan]}, "officer")
    assert (again.status, again.json["errors"][0]["code"]) == (404, "E-REF")


async def test_an_erased_message_takes_its_files_along(api: Api, kh: Api) -> None:
    """But not one that another message names too."""
    alone, shared = await attach(api, pdf()), await attach(api, pdf())
    opened = await referred(api, alone, shared)
    await referred(api, shared)

    await act(api, "ERASE", opened["case"], messageId=opened["id"])

    assert await statuses(alone, api, kh) == [404, 404]
    assert await statuses(shared, api, kh) == [200, 200]
    named = await kh.side.gateway.store.write(lambda tx: tx.attachments.files())
    assert await files(kh) <= named


@pytest.mark.parametrize("whole", [True, False])
async def test_a_restricted_file_is_read_by_nobody_until_its_sender_lifts_it(api: Api, kh: Api, whole: bool) -> None:
    """Alone, or with the message that brought it; then it is back as it was."""
    name = await attach(api, pdf())
    opened = await referred(api, name)
    target = {"messageId": opened["id"]} | ({} if whole else {"attachmentId": name})
    await act(api, "RESTRICT", opened["case"], **target)
    assert await statuses(name, api, kh) == [403, 403]
    await act(api, "UNRESTRICT", opened["case"], **target)
    assert await statuses(name, api, kh) == [200, 200]


async def test_a_file_is_erased_through_the_message_that_names_it(api: Api, kh: Api) -> None:
    """A record.action that names another message touches nothing."""
    name = await attach(api, pdf())
    opened = await referred(api, name)
    other = await referred(api)
    await act(api, "ERASE", other["case"], messageId=other["id"], attachmentId=name)
    assert await statuses(name, api, kh) == [200, 200]
    assert opened["id"] != other["id"]
    assert {row.party for side in (api, kh) for row in await _rows(side, name)} == {ID}
    assert kh.side.gateway.settings.me == KH


async def _rows(side: Api, name: str) -> Any:
    return await side.side.gateway.store.write(lambda tx: tx.attachments.named(name))
