from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from gateway.errors import LedgerError
from gateway.ledger.note import NoteKey, open_checkpoint
from gateway.ledger.tiles import bundle_refs, decode_bundle, hash_refs
from gateway.ledger.verify import verify_export
from gateway.primitives import b64u, merkle
from gateway.primitives.times import format_ms
from gateway.services.auditlog import AuditLog
from gateway.web.api import models_views as v
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


def log_key(api: Api) -> NoteKey:
    """Return the key the log is signed with, as our card publishes it."""
    return NoteKey.parse(api.side.gateway.directory.mine.log_vkey)


async def grown(api: Api) -> int:
    """Let the log grow past two tiles and be signed; return its size."""
    gateway = api.side.gateway
    await api.side.settle()
    while (await gateway.queries.log_size()) < 600:
        await api.submit({"messages": [example("route.bulletin/s6-batam-johor-bavet") | {"recipient": "kh.gdi"}] * 100},
                         "officer", path="/messages/batch")  # fmt: skip
        await api.side.settle()
    signed = await gateway.checkpoints.sign()
    assert signed is not None
    return signed.size


async def test_any_tile_client_can_check_the_whole_log(api: Api, pair: Pair) -> None:
    """Checkpoint, tiles and bundles as tlog-tiles has them: the offline verifier finds no fault."""
    await pair.settle()
    size = await grown(api)
    await api.side.gateway.witnessing.cosigning.covering(size - 1, 5)
    fetched: dict[str, bytes] = {"checkpoint": (await api.get("/audit/log/checkpoint", None)).body}
    for ref in (*hash_refs(size), *bundle_refs(size)):
        answer = await api.get(f"/audit/log/{ref.path}", "auditor")
        assert (answer.status, answer.media_type) == (200, "application/octet-stream"), ref
        fetched[ref.path] = answer.body
    newest = await api.get("/audit/log/checkpoint", None)

    assert newest.media_type == "text/plain"
    witness = NoteKey.parse(pair.b.gateway.directory.mine.witness_vkey)
    head = open_checkpoint(fetched["checkpoint"].decode(), [log_key(api)], [witness])
    assert (head.size, len(head.cosignatures)) == (size, 1)
    report = verify_export(fetched.get, log_keys=[log_key(api)], paths=fetched)
    assert (report.size, report.faults) == (size, ())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("tile/0/000", 200), ("tile/0/000.p/256", 404), ("tile/0/000.p/0", 404), ("tile/0/000.p/7", 200),
        ("tile/0/x000/000", 404), ("tile/0/999", 404), ("tile/1/000.p/1", 200), ("tile/7/000", 404),
        ("tile/64/000", 404),
        ("tile/0/..%2f..%2fcheckpoint", 404), ("tile/entries/000", 401), ("tile/0/000/", 404), ("tile/", 404),
    ],
)  # fmt: skip
async def test_only_the_one_name_of_a_tile_is_served(api: Api, path: str, status: int) -> None:
    """Hash tiles are public, bundles are not, and no second spelling or tile beyond the checkpoint exists."""
    await grown(api)
    assert (await api.get(f"/audit/log/{path}", None)).status == status


async def test_bundles_are_for_auditors_and_full_tiles_may_be_kept(api: Api) -> None:
    """The leaf data says who did what, so it needs the right to it and is not cached; hashes never change."""
    await grown(api)
    for role, status in (("auditor", 200), ("officer", 403), ("operator", 403), ("client", 403)):
        assert (await api.get("/audit/log/tile/entries/000", role)).status == status
    bundle = await api.get("/audit/log/tile/entries/000", "auditor")
    tile = await api.get("/audit/log/tile/0/000", None)

    assert bundle.headers["Cache-Control"] == "no-store"
    assert "immutable" in tile.headers["Cache-Control"]
    leaves = [merkle.leaf_hash(data) for data in decode_bundle(bundle.body)]
    assert b"".join(leaves) == tile.body


async def test_a_proof_holds_under_the_signed_checkpoint(api: Api) -> None:
    """Any entry, at the newest size and an older one: the path leads from its bytes to the root that was signed."""
    size = await grown(api)
    checkpoint = v.Checkpoint.model_validate((await api.get("/audit/checkpoint", "auditor")).json)
    head = open_checkpoint(checkpoint.note, [log_key(api)])
    assert (head.size, head.root) == (checkpoint.size, b64u.decode(checkpoint.root))
    for index, at in ((0, ""), (255, ""), (256, ""), (size - 1, ""), (7, "&size=8"), (3, "&size=300")):
        answer = await api.get(f"/audit/proof?index={index}{at}", "auditor")
        proof = v.Proof.model_validate(answer.json)
        leaf = merkle.leaf_hash(b64u.decode(proof.data))
        path = [b64u.decode(node) for node in proof.path]
        assert leaf == b64u.decode(proof.hash)
        assert merkle.verify_inclusion(leaf, index, proof.size, path, b64u.decode(proof.root))
        if not at:
            assert (proof.size, b64u.decode(proof.root), proof.checkpoint) == (size, head.root, checkpoint.note)


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("?index=x", 400), ("?index=-1", 400), ("?index=999999", 404), ("?index=5&size=5", 404),
     ("?index=0&size=999999", 404), ("?index=0&size=0", 404)],
)  # fmt: skip
async def test_a_proof_for_nothing_is_refused(api: Api, query: str, status: int) -> None:
    """No entry, no proof; nor one in a tree that is not signed."""
    await grown(api)
    assert (await api.get(f"/audit/proof{query}", "auditor")).status == status


async def test_entries_are_found_by_each_filter(api: Api, pair: Pair) -> None:
    """By type, message, case, actor, outcome and time; newest first; the bytes are those in the tree."""
    answer = await api.submit(example("case.referral/s1-sumarni"))
    jti, case = answer.json["id"], answer.json["case"]
    await pair.settle()

    entries = v.LogEntries.model_validate(
        (await api.get("/audit/entries", "auditor", params={"message": jti})).json
    ).items
    by_case = await api.entries(case=case)
    accepted = await api.entries(type="message.accepted", actor=api.ids["client"], message=jti)

    assert next(entry.type for entry in reversed(entries)) == "message.accepted"
    assert "message.settled" in {entry.type for entry in entries}
    assert {entry["message"] for entry in by_case} == {jti}
    assert [entry["actor"]["sub"] for entry in accepted] == [api.ids["client"]]
    assert [entry["outcome"] for entry in await api.entries(outcome="accepted", message=jti)] == ["accepted"]
    assert await api.entries(message=jti, until="2026-01-01") == []
    assert await api.entries(message=jti, since="2099-01-01") == []
    indexes = [entry.index for entry in entries]
    assert indexes == sorted(indexes, reverse=True)
    for entry in entries:
        assert merkle.leaf_hash(b64u.decode(entry.data)) == b64u.decode(entry.hash)


async def test_entries_page_to_the_first_one(api: Api) -> None:
    """Every index down to 0, once, while new entries come."""
    seen: list[int] = []
    cursor = ""
    while True:
        page = (await api.get(f"/audit/entries?limit=200{cursor}", "auditor")).json
        seen += [item["index"] for item in page["items"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
        await api.get("/messages/nothing/event", "officer")

    assert seen == list(range(seen[0], -1, -1))


WRONG: dict[str, tuple[str, str, str | None, int, str]] = {
    "nothing there": ("GET", "/messages/SUMARNI-KANARI", "client", 404, "not-found"),
    "no such path": ("GET", "/SUMARNI-KANARI", "client", 404, "not-found"),
    "a misspelt filter": ("GET", "/messages?stat=SUMARNI-KANARI", "officer", 400, "malformed-request"),
    "not permitted": ("GET", "/audit/entries", "client", 403, "not-permitted"),
    "no token": ("GET", "/messages", None, 401, "unauthenticated"),
    "no such method": ("DELETE", "/messages", "client", 405, "method-not-allowed"),
    "no key": ("POST", "/messages", "client", 400, "idempotency-key-missing"),
}


NOBODY_ASKED = {"no such path", "no such method"}
"""Where there is no route, nobody looks at the token."""


@pytest.mark.parametrize("name", WRONG)
async def test_the_id_in_any_error_finds_who_got_it(api: Api, name: str) -> None:
    """At once: who asked, by which route, what was answered; nothing of what stood in the request."""
    method, path, role, status, code = WRONG[name]
    answer = await api.call(method, path, role)
    assert (answer.status, answer.json["code"]) == (status, code)

    found = (await api.get("/audit/entries", "auditor", params={"object": answer.json["trace_id"]})).json["problems"]

    assert [(p["actor"]["sub"], p["outcome"]) for p in found] == [
        (api.ids[role] if role and name not in NOBODY_ASKED else "stranger", f"{status} {code}")
    ]
    assert found[0]["purpose"].startswith(method)
    assert "KANARI" not in str(found)
    copied = await api.get("/audit/entries", "auditor", params={"object": answer.json["instance"]})
    assert copied.json["problems"] == found


async def test_strangers_that_err_for_ever_fill_nothing(api: Api) -> None:
    """Sixty a minute of all strangers, route and code are kept; all that somebody known gets is kept beside them."""
    problems = api.side.gateway.problems
    await problems.flush()
    before = await _problems(api)
    for _ in range(100):
        await api.get("/cases/XC-ID-2026-000000-0", None)
    await problems.flush()
    assert 60 <= await _problems(api) - before <= 121  # a minute may have begun meanwhile
    before = await _problems(api)
    for _ in range(100):
        await api.get("/cases/XC-ID-2026-000000-0", "other")
    last = await api.get("/messages/x", "other")
    await problems.flush()
    assert await _problems(api) - before == 101
    found = (await api.get("/audit/entries", "auditor", params={"object": last.json["trace_id"]})).json["problems"]
    assert len(found) == 1


async def _problems(api: Api) -> int:
    count: int = await api.side.gateway.store.write(
        lambda tx: tx.problems._connection.execute("SELECT count(*) FROM problems").fetchone()[0]
    )
    return count


async def test_a_page_of_entries_is_also_a_table(api: Api) -> None:
    """CSV with the same entries in the same order, and the same way on to the next page."""
    await grown(api)
    query = {"type": "message.accepted", "limit": "3", "until": format_ms(api.side.gateway.clock())}
    shown = (await api.get("/audit/entries", "auditor", params=query)).json
    answer = await api.get("/audit/entries", "auditor", params=query | {"format": "csv"})

    assert answer.media_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [(r["index"], r["at"], r["actor"], r["message"], r["hash"]) for r in rows] == [
        (str(e["index"]), e["at"], e["actor"]["sub"], e["message"], e["hash"]) for e in shown["items"]
    ]
    following = answer.headers["Link"].partition("<")[2].partition(">")[0]
    second = await api.get(following, "auditor")
    assert [r["index"] for r in csv.DictReader(io.StringIO(second.body.decode()))] == [
        str(e["index"]) for e in (await api.get(f"/audit/entries?limit=3&type=message.accepted&until={query['until']}"
                                                f"&cursor={shown['next_cursor']}", "auditor")).json["items"]
    ]  # fmt: skip


async def test_a_log_that_lost_an_entry_is_an_alarm_not_an_answer(api: Api) -> None:
    """Where stored leaves are fewer than signed, no proof and no bundle is made up."""
    await grown(api)
    queries = api.side.gateway.queries

    class Robbed:
        """The stored log without its entry 3."""

        tile = staticmethod(queries.tile)
        tiles = staticmethod(queries.tiles)

        async def leaves(self, start: int, end: int) -> list[bytes]:
            return list(await queries.leaves(start, end))

        async def leaf_data(self, start: int, end: int) -> list[bytes]:
            found = list(await queries.leaf_data(start, end))
            return found[:-1] if start <= 3 < end else found

    log = AuditLog(Robbed(), api.side.gateway.checkpoints)
    with pytest.raises(LedgerError):
        await log.inclusion(3, None)
    assert (await log.inclusion(4, None)).index == 4
