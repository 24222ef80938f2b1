from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.evidence import files as f
from gateway.evidence.container import read
from gateway.evidence.verify import verify_bundle
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def accepted(api: Api, pair: Pair) -> str:
    """Submit a message and have it accepted; return its id."""
    answer = await api.submit(example("case.referral/s1-sumarni"))
    assert answer.status == 202, answer.json
    await pair.settle()
    jti: str = answer.json["id"]
    return jti


async def test_an_auditor_fetches_the_evidence_of_a_message(api: Api, pair: Pair) -> None:
    """A zip named like the message, redacted for who may not read events, good under both fingerprints."""
    jti = await accepted(api, pair)
    answer = await api.get(f"/evidence/{jti}", "auditor")
    assert (answer.status, answer.media_type) == (200, "application/zip")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{jti}.zip"'
    assert f.EVENT not in dict(read(answer.body))
    prints = [side.gateway.directory.mine.fingerprint for side in pair.sides]
    assert verify_bundle(answer.body, fingerprints=prints).ok
    [entry] = await api.entries(type="evidence.exported", message=jti)
    assert (entry["actor"]["role"], entry["outcome"]) == ("auditor", "redacted")


async def test_case_data_needs_the_right_to_it(api: Api, pair: Pair) -> None:
    """An operator proves a message and cannot read it; an officer reads and does not export; a client neither."""
    jti = await accepted(api, pair)
    assert (await api.get(f"/evidence/{jti}?redacted=true", "operator")).status == 200
    assert (await api.get(f"/evidence/{jti}?redacted=false", "operator")).status == 403
    assert (await api.get(f"/evidence/{jti}", "officer")).status == 403
    assert (await api.get(f"/evidence/{jti}", "client")).status == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [("01935b2c-0000-7000-8000-000000000001", 404), ("nonsense", 404), ("x?redacted=perhaps", 400), ("x?full=1", 400)],
)
async def test_what_is_not_there_or_not_known_is_refused(api: Api, path: str, status: int) -> None:
    """Unknown messages, unknown parameters, no truth value."""
    assert (await api.get(f"/evidence/{path}", "auditor")).status == status


async def test_the_chain_of_a_message_is_one_timeline(api: Api, pair: Pair) -> None:
    """Each step with the entry that says so; a client sees its own message's, another client does not."""
    jti = await accepted(api, pair)
    answer = await api.get(f"/audit/messages/{jti}", "client")
    assert [step["step"] for step in answer.json["steps"]] == ["submitted", "sent", "delivered"]
    by_index = {entry["index"]: entry for entry in await api.entries(message=jti)}
    for step in answer.json["steps"]:
        if step["step"] != "sent":  # one entry an envelope, which names the root of all in it
            assert by_index[step["index"]]["at"] == step["at"]
    assert (await api.get(f"/audit/messages/{jti}", "other")).status == 404


async def test_an_answer_to_a_message_is_a_step_of_it(api: Api, pair: Pair) -> None:
    """The partner's reply stands in the chain with its own id and entry."""
    jti = await accepted(api, pair)
    [row] = await pair.a.gateway.queries.under(jti)
    reply = example("case.update/s1-accepted")
    reply |= {"case": row["case_ref"], "in_reply_to": jti}
    [sent] = await pair.b.submit(reply)
    await pair.settle()
    steps = (await api.get(f"/audit/messages/{jti}", "auditor")).json["steps"]
    [answered] = [step for step in steps if step["step"] == "answered"]
    assert answered["message"] == sent.jti
