from __future__ import annotations

import io
import json
import os
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from PIL import Image

from gateway.ports.files import Attachment
from gateway.primitives import b64u
from gateway.protocol.attachment import AttachmentId, context
from gateway.screening.pdf import rebuild
from gateway.web.api import models as m
from tests.attachments.files import CANARY, jpeg, pdf, png
from tests.attachments.parties import pieces
from tests.attachments.test_pdf import drawn
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.conftest import Answer, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCAN = {"attachmentType": "PASSPORT_SCAN", "mediaType": "image/jpeg"}
TICKET = {"attachmentType": "TICKET", "mediaType": "application/pdf"}
ORIGINAL = {"attachmentType": "EVIDENTIAL_ORIGINAL", "mediaType": "application/octet-stream"}
REFERRAL = "case.referral/s1-sumarni"


async def upload(
    api: Api, raw: bytes, meta: object, role: str = "client", *, key: str | None = None, meta_last: bool = False
) -> Answer:
    """Upload a file as curl does; its name is the canary's."""
    form = aiohttp.FormData()
    parts: list[tuple[tuple[str, Any], dict[str, str]]] = [
        (("meta", json.dumps(meta)), {"content_type": "application/json"}),
        (("file", io.BytesIO(raw)), {"filename": f"{CANARY}.jpg", "content_type": "application/octet-stream"}),
    ]
    for (name, value), options in reversed(parts) if meta_last else parts:
        form.add_field(name, value, **options)
    headers = {"Idempotency-Key": key or secrets.token_hex(8)}
    return await api.call("POST", "/attachments", role, headers=headers, data=form)


async def taken(api: Api, raw: bytes, meta: object, role: str = "client") -> m.Attachment:
    """Upload a file that is taken."""
    answer = await upload(api, raw, meta, role)
    assert answer.status == 201, answer.json
    return m.Attachment.model_validate(answer.json)


def folder(api: Api) -> Path:
    """Return where the files of a side are."""
    return api.side.settings.attachments_path


@pytest.mark.parametrize("meta_last", [False, True])
async def test_a_file_is_taken_and_comes_back_as_it_was(api: Api, meta_last: bool) -> None:
    """Whichever part comes first: id, length and digest in the answer, the bytes by its Location."""
    raw = os.urandom(300_000)

    answer = await upload(api, raw, ORIGINAL | {"description": "seat 12"}, meta_last=meta_last)

    found = m.Attachment.model_validate(answer.json)
    assert (answer.status, found.byte_length, found.sha256) == (201, len(raw), b64u.encode(sha256(raw).digest()))
    assert (found.original, found.derived_from) == (None, None)
    fetched = await api.get(answer.headers["Location"])
    assert (fetched.status, fetched.body, fetched.media_type) == (200, raw, "application/octet-stream")
    assert fetched.headers["Content-Disposition"] == f'attachment; filename="{found.id}.bin"'
    assert "sandbox" in fetched.headers["Content-Security-Policy"]
    assert fetched.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_photograph_goes_out_without_where_it_was_taken(api: Api) -> None:
    """The copy is served; what came is the sealed original it names, byte for byte."""
    raw = jpeg()

    found = await taken(api, raw, SCAN | {"sha256": b64u.encode(sha256(raw).digest()), "byteLength": len(raw)})

    assert found.original is not None
    assert found.derived_from == found.original.id
    assert found.original.sha256 == b64u.encode(sha256(raw).digest())
    served = await api.get(f"/attachments/{found.id}")
    with Image.open(io.BytesIO(served.body)) as image:
        assert not image.getexif()
    assert CANARY.encode() not in served.body
    original = await api.get(f"/attachments/{found.original.id}")
    assert (original.body, original.media_type) == (raw, "application/octet-stream")


async def test_a_document_goes_out_without_who_wrote_it(api: Api) -> None:
    """Its pages are served; what came is the sealed original it names, byte for byte."""
    raw = drawn()

    found = await taken(api, raw, TICKET | {"sha256": b64u.encode(sha256(raw).digest()), "byteLength": len(raw)})

    assert found.original is not None
    assert (found.derived_from, found.original.sha256) == (found.original.id, b64u.encode(sha256(raw).digest()))
    served = await api.get(f"/attachments/{found.id}")
    assert (served.body, served.media_type) == (rebuild(raw), "application/pdf")
    assert served.headers["Attachment-Form"] == "as-stored"
    assert served.headers["Content-Disposition"] == f'attachment; filename="{found.id}.pdf"'
    assert b64u.encode(sha256(served.body).digest()) == found.sha256
    original = await api.get(f"/attachments/{found.original.id}")
    assert (original.body, original.media_type) == (raw, "application/octet-stream")


async def test_a_partners_document_is_made_anew_for_whoever_reads_it(api: Api, pair: Pair) -> None:
    """What it signed is kept: as evidence it is had by name and purpose, and never as a document to open."""
    raw = drawn()
    name = await from_partner(api, pair, raw)
    path = f"/attachments/{name}"

    served = await api.get(path, "officer", params={"purpose": "INVESTIGATION"})
    part = await api.get(path, "officer", headers={"Range": "bytes=5-99"})
    without = await api.get(path, "officer", params={"original": "true"})
    original = await api.get(path, "officer", params={"purpose": "INVESTIGATION", "original": "true"})

    made = rebuild(raw)
    assert (served.status, served.body, served.headers["Attachment-Form"]) == (200, made, "made-anew")
    assert (part.status, part.body) == (206, made[5:100])
    assert (without.status, without.json["errors"][0]["pointer"]) == (400, "/purpose")
    assert (original.body, original.media_type, original.headers["Attachment-Form"]) == (
        raw, "application/octet-stream", "as-stored",
    )  # fmt: skip
    assert original.headers["Content-Disposition"] == f'attachment; filename="{name}.bin"'
    reads = [entry for entry in await api.entries(type="attachment.read") if entry["object"]["id"] == name]
    assert [(e["outcome"], e["purpose"]) for e in reversed(reads)] == [
        ("TICKET", "INVESTIGATION"), ("TICKET", None), ("TICKET original", "INVESTIGATION"),
    ]  # fmt: skip
    named = await api.side.gateway.store.write(lambda tx: tx.attachments.files())
    assert {path.name for path in folder(api).iterdir()} <= named, "what was made for a reading is gone"


async def test_a_document_taken_under_older_rules_is_still_there(api: Api, pair: Pair) -> None:
    """It cannot be made anew: the answer says so, and how its bytes are had; nothing is logged as read."""
    name = await from_partner(api, pair, pdf(catalog=b"/OpenAction << /S /JavaScript /JS (x) >>"))
    refused = await api.get(f"/attachments/{name}", "officer", params={"purpose": "INVESTIGATION"})
    assert (refused.status, refused.json["errors"][0]["code"]) == (422, "E-MEDIA")
    assert "original=true" in refused.json["detail"]
    assert not [e for e in await api.entries(type="attachment.read") if e["object"]["id"] == name]


async def from_partner(api: Api, pair: Pair, raw: bytes) -> str:
    """Store a ticket as an earlier gateway took it from the partner; return its id."""
    gateway, theirs = api.side.gateway, (pair.b if api.side is pair.a else pair.a).settings.me
    vault, name = gateway.attachments.vault, AttachmentId(f"0192f5c4-8a4e-7c3b-9f21-{secrets.token_hex(6)}")
    about = context(theirs, gateway.settings.me, name)
    kept = await vault.keep(pieces(raw), about)
    row = Attachment(
        party=theirs, id=name, account=None, attachment_type="TICKET", media_type="application/pdf",
        byte_length=kept.length, sha256=kept.sha256, derived_from=None, file=kept.file,
        details=vault.lock(kept.key, {}, about), at=gateway.clock(), leaf=1,
    )  # fmt: skip
    await gateway.store.write(lambda tx: tx.attachments.add(row))
    return name


@pytest.mark.parametrize(
    ("what", "raw", "meta", "code", "pointer"),
    [
        ("a script in a document", pdf(b"<< /S /JavaScript /JS (x) >>"), TICKET, "E-MEDIA", "/file"),
        ("a document that says it is an image", pdf(), SCAN, "E-MEDIA", "/file"),
        ("an image of another kind", png(), SCAN, "E-MEDIA", "/file"),
        ("an image that cannot be read", jpeg()[:900], SCAN, "E-MEDIA", "/file"),
        ("a media type not of its kind", png(), TICKET | {"mediaType": "image/png"}, "E-MEDIA", "/meta/mediaType"),
        ("a kind nobody knows", pdf(), TICKET | {"attachmentType": "PAINTING"}, "E-CODE", "/meta/attachmentType"),
        ("larger than its kind may be", pdf(bytes(5 * 1024 * 1024).replace(b"\0", b" ")), TICKET, "E-SIZE", "/file"),
        ("nothing", b"", ORIGINAL, "E-SIZE", "/file"),
        ("another digest", pdf(), TICKET | {"sha256": b64u.encode(bytes(32))}, "E-HASH", "/meta/sha256"),
        ("another length", pdf(), TICKET | {"byteLength": 7}, "E-HASH", "/meta/byteLength"),
        ("a source that is not there", pdf(), TICKET | {"derivedFrom": "0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c42"},
         "E-REF", "/meta/derivedFrom"),
    ],
)  # fmt: skip
async def test_a_file_that_breaks_a_rule_is_refused(
    api: Api, what: str, raw: bytes, meta: dict[str, Any], code: str, pointer: str
) -> None:
    """Code and place in the answer, the refusal in the log, nothing on the disk."""
    before = set(folder(api).iterdir()) if folder(api).is_dir() else set()

    answer = await upload(api, raw, meta)

    assert (answer.status, answer.json["code"]) == (422, "policy-refused"), what
    assert [(e["code"], e["pointer"]) for e in answer.json["errors"]] == [(code, pointer)]
    assert set(folder(api).iterdir()) == before
    [newest, *_] = await api.entries(type="attachment.refused")
    assert (newest["outcome"], newest["actor"]["sub"]) == (code, api.ids["client"])


@pytest.mark.parametrize(
    ("what", "meta", "status", "pointers"),
    [
        ("no object", [1], 400, ["/meta"]),
        ("nothing said", {}, 422, ["/meta/attachmentType"]),
        ("an unknown member", TICKET | {"filename": CANARY}, 422, ["/meta"]),
        ("no code", TICKET | {"attachmentType": "a ticket"}, 422, ["/meta/attachmentType", "/meta/attachmentType"]),
        ("two faults", TICKET | {"sha256": "x", "byteLength": -1}, 422, ["/meta/byteLength", "/meta/sha256"]),
        ("no id", TICKET | {"attachmentId": "../../etc"}, 422, ["/meta/attachmentId"]),
        ("no person", TICKET | {"personRef": "Sumarni"}, 422, ["/meta/personRef"]),
        ("too long a description", TICKET | {"description": "x" * 201}, 422, ["/meta/description"]),
    ],
)
async def test_what_is_said_of_a_file_is_read_strictly(
    api: Api, what: str, meta: object, status: int, pointers: list[str]
) -> None:
    """Every member at fault is named, no value repeated."""
    answer = await upload(api, pdf(), meta)
    assert (answer.status, sorted({e["pointer"] for e in answer.json["errors"]})) == (status, sorted(set(pointers))), (
        what
    )
    assert CANARY not in answer.body.decode()


@pytest.mark.parametrize(
    ("what", "parts", "status"),
    [
        ("no file", ["meta"], 400),
        ("no meta", ["file"], 400),
        ("a part too many", ["meta", "file", "more"], 400),
        ("a part twice", ["meta", "meta", "file"], 400),
    ],
)
async def test_a_body_has_two_parts(api: Api, what: str, parts: list[str], status: int) -> None:
    """Anything else is refused as it is met."""
    form = aiohttp.FormData()
    for name in parts:
        form.add_field(name, json.dumps(TICKET).encode(), content_type="application/json", filename="x")
    answer = await api.call("POST", "/attachments", headers={"Idempotency-Key": secrets.token_hex(8)}, data=form)
    assert answer.status == status, what


async def test_other_bodies_are_refused(api: Api) -> None:
    """JSON is 415, a multipart that ends early is 400, a request without a key is 400."""
    key = {"Idempotency-Key": secrets.token_hex(8)}
    assert (await api.call("POST", "/attachments", headers=key, json={})).status == 415
    broken = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf'
    headers = key | {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await api.call("POST", "/attachments", headers=headers, data=broken)).status == 400
    assert (await api.call("POST", "/attachments", data={"meta": "{}"})).json["code"] == "idempotency-key-missing"


async def test_a_repeated_upload_is_one_upload(api: Api) -> None:
    """Same key, file and words: the stored answer, and no second file. Another file under it: 422."""
    raw, key = jpeg(), secrets.token_hex(8)
    first = await upload(api, raw, SCAN, key=key)
    files = set(folder(api).iterdir())

    again = await upload(api, raw, SCAN, key=key, meta_last=True)
    other = await upload(api, png(), SCAN | {"mediaType": "image/png"}, key=key)

    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
    assert set(folder(api).iterdir()) == files


async def test_an_id_of_the_callers_own_is_taken_once(api: Api) -> None:
    """A caller may choose the id; the second time it is a conflict."""
    name = "0192f5c4-8a4e-7c3b-9f21-6d0e5b7a0001"
    assert (await taken(api, pdf(), TICKET | {"attachmentId": name})).id == name
    assert (await upload(api, pdf(), TICKET | {"attachmentId": name})).status == 409


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-", 206, (0, 400_000)),
        ("bytes=16384-", 206, (16_384, 400_000)),
        ("bytes=262143-262144", 206, (262_143, 262_145)),
        ("bytes=399999-", 206, (399_999, 400_000)),
        ("bytes=10-9999999", 206, (10, 400_000)),
        ("bytes=400000-", 416, None),
        ("bytes=0-1,4-5", 200, (0, 400_000)),
        ("lines=1-2", 200, (0, 400_000)),
    ],
)
async def test_a_download_goes_on_where_it_was_cut(
    api: Api, asked: str, status: int, span: tuple[int, int] | None
) -> None:
    """One range; what is no range gets the whole file."""
    raw = bytes(range(256)) * 1562 + bytes(128)
    name = (await taken(api, raw, ORIGINAL)).id

    answer = await api.get(f"/attachments/{name}", headers={"Range": asked})

    assert answer.status == status
    if span is not None:
        assert answer.body == raw[slice(*span)]
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/{len(raw)}"  # type: ignore[index]
        other = await api.get(f"/attachments/{name}", headers={"Range": asked, "If-Range": '"another"'})
        assert (other.status, other.body) == (200, raw)


async def test_who_may_read_a_file(api: Api) -> None:
    """Its owner and officers; another client sees nothing there; auditor and operator may not, and it is noted."""
    name = (await taken(api, pdf(), TICKET)).id
    assert (await api.get(f"/attachments/{name}", "officer", params={"purpose": "INVESTIGATION"})).status == 200
    assert (await api.get(f"/attachments/{name}", "other")).status == 404
    assert (await api.get("/attachments/0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c42")).status == 404
    assert (await api.get("/attachments/passport.jpg")).status == 404
    assert (await api.get(f"/attachments/{name}", "officer", params={"purpose": CANARY})).status == 400
    for role in ("auditor", "operator"):
        assert (await api.get(f"/attachments/{name}", role)).status == 403

    reads = [entry for entry in await api.entries(type="attachment.read") if entry["object"]["id"] == name]
    assert [(e["actor"]["sub"], e["purpose"]) for e in reads] == [(api.ids["officer"], "INVESTIGATION")]
    [stored] = [e for e in await api.entries(type="attachment.stored") if e["object"]["id"] == name]
    assert (stored["actor"]["sub"], stored["outcome"]) == (api.ids["client"], "TICKET")


async def test_a_message_takes_its_files_along(api: Api, pair: Pair) -> None:
    """They arrive before it, digests as signed; the partner reads the same bytes, and both logs say so."""
    scan, ticket = await taken(api, jpeg(), SCAN), await taken(api, pdf(), TICKET)
    body = example(REFERRAL) | {"attachments": [scan.id, ticket.id]}
    dry = await api.call("POST", "/messages?dry_run=true", json=body)
    advised = await api.call("POST", "/messages/advice", json=body)

    answer = await api.submit(body)
    await pair.settle()

    assert (dry.json, advised.status) == ({"valid": True}, 200)
    found = (await api.get(f"/messages/{answer.json['id']}")).json
    assert (found["state"], found["attempts_made"]) == ("accepted", 1)
    event = (await api.get(f"/messages/{answer.json['id']}/event")).json
    said = event["data"]["attachments"]
    assert [row["attachmentId"] for row in said] == [scan.id, ticket.id]
    assert [row["sha256"] for row in said] == [scan.sha256, ticket.sha256]
    partner = pair.b.gateway
    for name, media_type in ((scan.id, "image/jpeg"), (ticket.id, "application/pdf")):
        rows = await partner.store.write(lambda tx, name=name: tx.attachments.named(name))  # type: ignore[misc]
        assert [(row.party, row.media_type) for row in rows] == [("id.imigrasi", media_type)]
        arrived = b"".join([piece async for piece in partner.attachments.vault.reading(rows[0])])
        assert arrived == (await api.get(f"/attachments/{name}")).body
    logged = await partner.queries.entries(typ="attachment.stored", jti=answer.json["id"], limit=10)
    assert sorted(row["outcome"] for row in logged) == ["PASSPORT_SCAN", "TICKET"]


@pytest.mark.parametrize(
    ("what", "ids", "status", "pointer"),
    [
        ("what is not there", ["0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c42"], 404, "/attachments/0"),
        ("no id", ["passport.jpg"], 422, "/attachments/0"),
        ("no list", "x", 422, "/attachments"),
    ],
)
async def test_a_message_names_uploads_of_its_caller(
    api: Api, what: str, ids: object, status: int, pointer: str
) -> None:
    """Nothing else, in a dry run and in advice as in earnest."""
    body = example(REFERRAL) | {"attachments": ids}
    judged = [await api.call("POST", f"/messages{path}", json=body) for path in ("?dry_run=true", "/advice")]
    for answer in (await api.submit(body), *judged):
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (status, pointer), what


async def test_a_message_cannot_name_another_clients_file(api: Api) -> None:
    """What somebody else uploaded looks like what is not there; `data.attachments` is the gateway's to write."""
    name = (await taken(api, pdf(), TICKET, "other")).id
    answer = await api.submit(example(REFERRAL) | {"attachments": [name]})
    assert (answer.status, answer.json["errors"][0]["code"]) == (404, "E-REF")
    body = example(REFERRAL)
    body["data"]["attachments"] = [{"attachmentId": name}]
    answer = await api.submit(body)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/data/attachments")


async def test_no_name_of_a_file_and_no_word_of_it_is_left_anywhere(
    api: Api, pair: Pair, log_lines: io.StringIO
) -> None:
    """Neither in the log, nor in the database, nor in any file of either home: what rests is sealed."""
    await taken(api, jpeg(), SCAN | {"description": "page two"})
    marks = (CANARY.encode(), b"page two")
    for side in pair.sides:
        for path in side.home.rglob("*"):
            if path.is_file():
                raw = path.read_bytes()
                assert not [mark for mark in marks if mark in raw], path
    assert CANARY not in log_lines.getvalue()
