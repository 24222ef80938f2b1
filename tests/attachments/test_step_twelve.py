"""Step (12) before a scripted sender: what is missing waits, what is wrong is refused under our signature."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from gateway.primitives import b64u
from gateway.protocol.attachment import AttachmentId, Upload
from tests.attachments.files import pdf
from tests.attachments.parties import ID, KH, NAME, ciphertext, entry, held, pieces
from tests.attachments.test_workers import until
from tests.delivery.conftest import desk
from tests.support.hostile import filled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.delivery.conftest import Desk

__all__ = ["desk"]

PDF = pdf()
SEALED = ciphertext(PDF)
OTHER = AttachmentId("0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c43")
REFERRAL = "case.referral/s1-sumarni"


def event(desk: Desk, *entries: dict[str, Any]) -> bytes:
    """Return a referral with these entries."""
    return desk.author.event(data=filled(REFERRAL) | {"attachments": list(entries)})


async def put(desk: Desk, sealed: bytes = SEALED, name: AttachmentId = NAME) -> None:
    """Upload a ciphertext as the partner."""
    assert (await desk.gateway.attachments.deposits.put(ID, name, len(sealed), pieces(sealed))).whole


async def test_what_is_not_here_is_waited_for(desk: Desk) -> None:
    """Deferred without an entry in the log, with when to come again; once it is here, accepted for good."""
    message = event(desk, entry(PDF, SEALED))
    before = await desk.size()

    waiting = await desk.outcome(message)

    assert (waiting.status, waiting.problem, waiting.leaf) == ("deferred", "attachment-missing", None)
    assert [f.pointer for f in waiting.errors] == ["/data/attachments/0"]
    assert (waiting.retry_after_s, await desk.size()) == (5, before)
    await put(desk)
    accepted = await desk.outcome(message)
    assert accepted.status == "accepted"
    assert await held(desk.gateway, NAME) == PDF
    again = await desk.outcome(message)
    assert (again.status, again.leaf) == ("accepted", accepted.leaf)


async def test_half_of_it_is_not_here(desk: Desk) -> None:
    """Nor is another file of the right length: that one is dropped, and may be sent anew."""
    deposits, message = desk.gateway.attachments.deposits, event(desk, entry(PDF, SEALED))
    await deposits.put(ID, NAME, len(SEALED), pieces(SEALED[:-1]))
    assert (await desk.outcome(message)).problem == "attachment-missing"
    assert await deposits.state(ID, NAME) == Upload(len(SEALED), len(SEALED) - 1)
    await put(desk, bytes(len(SEALED)))
    assert (await desk.outcome(message)).problem == "attachment-missing"
    assert await deposits.state(ID, NAME) is None
    await put(desk)
    assert (await desk.outcome(message)).status == "accepted"


@pytest.mark.parametrize(
    ("what", "sealed", "wrong", "code", "pointer"),
    [
        ("another key", SEALED, entry(PDF, SEALED, key=b64u.encode(bytes(32))), "E-HASH", ""),
        ("another digest", SEALED, entry(PDF, SEALED, sha256=b64u.encode(bytes(32))), "E-HASH", "/sha256"),
        ("another length", SEALED, entry(PDF, SEALED, byteLength=len(PDF) + 1), "E-HASH", "/byteLength"),
        ("made for another party", ciphertext(PDF, aud=ID), None, "E-HASH", ""),
        ("made under another id", ciphertext(PDF, OTHER), None, "E-HASH", ""),
        ("cut before it was measured", SEALED[:-20], None, "E-HASH", ""),
        ("another type", SEALED, entry(PDF, SEALED, mediaType="image/jpeg"), "E-MEDIA", "/mediaType"),
    ],
)
async def test_what_is_wrong_is_refused(
    desk: Desk, what: str, sealed: bytes, wrong: dict[str, Any] | None, code: str, pointer: str
) -> None:
    """Finally, with the place; the case is as if the message had never come."""
    row = wrong or entry(PDF, sealed, encryptedLength=len(sealed))
    await put(desk, sealed)

    case = desk.author.new_case()
    refused = await desk.outcome(desk.author.event(data=filled(REFERRAL) | {"attachments": [row]}, case=case))

    assert (refused.status, refused.problem) == ("rejected", "attachment-invalid"), what
    assert [(f.code, f.pointer) for f in refused.errors] == [(code, f"/data/attachments/0{pointer}")]
    assert refused.leaf is not None
    assert await held(desk.gateway, NAME) is None
    assert await desk.gateway.store.write(lambda tx: tx.cases.find(ID, case)) is None


async def test_a_script_is_refused_by_the_receiver_too(desk: Desk) -> None:
    """A partner that does not look is looked after."""
    raw = pdf(b"<< /S /JavaScript /JS (x) >>")
    sealed = ciphertext(raw)
    await put(desk, sealed)
    refused = await desk.outcome(event(desk, entry(raw, sealed)))
    assert [(f.code, f.pointer) for f in refused.errors] == [("E-MEDIA", "/data/attachments/0/mediaType")]


async def test_a_document_nobody_can_look_into_just_now_is_waited_for(desk: Desk) -> None:
    """A worker that is killed is no word against the file: deferred, and taken when it is named again."""
    await put(desk)
    message = event(desk, entry(PDF, SEALED))
    asked = asyncio.create_task(desk.outcome(message))
    await until(lambda: bool(psutil.Process().children()))
    for worker in psutil.Process().children():
        worker.kill()
    outcome = await asked
    assert (outcome.status, outcome.problem) == ("deferred", "local-fault")
    assert (await desk.outcome(message)).status == "accepted"


async def test_an_id_that_a_message_took_stays_with_its_file(desk: Desk) -> None:
    """Named again with the same digests it is the same file; with others the message is refused."""
    await put(desk)
    row = entry(PDF, SEALED)
    assert (await desk.outcome(event(desk, row))).status == "accepted"
    assert (await desk.outcome(event(desk, row))).status == "accepted"
    for change in (
        {"encryptedSha256": b64u.encode(bytes(32))}, {"sha256": b64u.encode(bytes(32))}, {"byteLength": 5},
    ):  # fmt: skip
        refused = await desk.outcome(event(desk, row | change))
        assert (refused.problem, refused.errors[0].code) == ("attachment-invalid", "E-REF")
    assert await held(desk.gateway, NAME) == PDF


async def test_two_messages_of_one_envelope_may_name_one_file(desk: Desk) -> None:
    """The second is taken at the latest when it comes again."""
    await put(desk)
    messages = [event(desk, entry(PDF, SEALED)) for _ in range(2)]
    first = await desk.outcomes(*messages)
    assert [outcome.status for outcome in first] == ["accepted", "deferred"]
    assert [outcome.status for outcome in await desk.outcomes(*messages)] == ["accepted", "accepted"]


async def test_what_follows_in_its_case_waits_too(desk: Desk) -> None:
    """Nothing of a case overtakes a message that waits for its file."""
    case = desk.author.new_case()
    first = desk.author.event(data=filled(REFERRAL) | {"attachments": [entry(PDF, SEALED)]}, case=case)
    second = desk.author.event("info.request/s7-crossing-history", case=case, case_seq=2)
    assert [o.status for o in await desk.outcomes(first, second)] == ["deferred", "deferred"]
    await put(desk)
    assert [o.status for o in await desk.outcomes(first, second)] == ["accepted", "accepted"]


async def test_attachments_are_judged_last(desk: Desk) -> None:
    """A message that breaks an earlier step learns that, and no file is opened for it."""
    await put(desk, bytes(len(SEALED)))
    wrong = filled(REFERRAL) | {"attachments": [entry(PDF, SEALED, byteLength=-1)]}
    assert (await desk.outcome(desk.author.event(data=wrong))).problem == "schema-invalid"
    large = entry(PDF, SEALED, byteLength=6 * 1024 * 1024)
    assert (await desk.outcome(event(desk, large))).problem in {"schema-invalid", "policy-refused"}
    twice = [entry(PDF, SEALED)] * 2
    assert (await desk.outcome(event(desk, *twice))).problem == "policy-refused"
    assert await desk.gateway.attachments.deposits.state(ID, NAME) == Upload(len(SEALED), len(SEALED))


async def test_a_second_file_that_is_missing_holds_back_the_first(desk: Desk) -> None:
    """All or none: nothing of a message is kept before the whole of it is accepted."""
    await put(desk)
    other = ciphertext(PDF, OTHER)
    outcome = await desk.outcome(event(desk, entry(PDF, SEALED), entry(PDF, other, OTHER)))
    assert [f.pointer for f in outcome.errors] == ["/data/attachments/1"]
    assert await held(desk.gateway, NAME) is None


@pytest.mark.parametrize("change", [os.unlink, lambda path: path.write_bytes(b"x"), lambda path: path.write_bytes(b"")])
async def test_a_file_that_the_disk_lost_is_no_answer(desk: Desk, change: Callable[[Any], Any]) -> None:
    """It is asked for again; never is the message refused for it."""
    await put(desk)
    row = await desk.gateway.store.write(lambda tx: tx.attachments.transfer("in", ID, NAME))
    assert row is not None
    change(desk.gateway.settings.attachments_path / row.file)
    outcome = await desk.outcome(event(desk, entry(PDF, SEALED)))
    assert (outcome.status, outcome.problem) == ("deferred", "attachment-missing")
    await put(desk)
    assert (await desk.outcome(event(desk, entry(PDF, SEALED)))).status == "accepted"


async def test_ciphertext_rests_as_it_came(desk: Desk) -> None:
    """The bytes whose digest the sender signed are the bytes kept, as evidence."""
    await put(desk)
    await desk.outcome(event(desk, entry(PDF, SEALED)))
    [row] = await desk.gateway.store.write(lambda tx: tx.attachments.named(NAME))
    assert (row.party, KH) == (ID, desk.gateway.settings.me)
    raw = (desk.gateway.settings.attachments_path / row.file).read_bytes()
    assert sha256(raw).digest() == sha256(SEALED).digest()
