from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.casework.names import keys_of
from gateway.ports.people import Account
from gateway.services.search import best
from tests.casework.test_names import PERSONS, PUBLIC
from tests.support.link import KH
from tests.support.pair import Pair, example

if TYPE_CHECKING:
    import io

    from tests.api.conftest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


def named(*names: tuple[str, str]) -> dict[str, Any]:
    """Return a referral about one person under these names, (script, as written)."""
    body = example("case.referral/s1-sumarni")
    person = body["data"]["persons"][0]
    person.pop("documents", None)  # their MRZ has another name
    person["names"] = [
        {"nameType": "LEGAL" if place == 0 else "ALIAS", "fullName": name, "script": script, "primaryIdentifier": name}
        for place, (script, name) in enumerate(names)
    ]
    return body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cases(api: Api, pair: Pair) -> dict[str, str]:
    """Return cases of ours by the person's name."""
    found = {}
    for names in ((("Latn", "Norodom Samnang"),), (("Khmr", "សុវណ្ណ"),), (("Latn", "Dara Contoh"),)):
        answer = await api.submit(named(*names))
        assert answer.status == 202, answer.json
        found[names[0][1]] = answer.json["case"]
    await pair.settle()
    return found


async def refs(api: Api, q: str, role: str = "officer", **query: str) -> list[str]:
    """Return the references of the cases found, in order."""
    answer = await api.get("/cases", role, params={"q": q, **query})
    assert answer.status == 200, answer.json
    return [item["case"] for item in answer.json["items"]]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Norodom Samnang", "Norodom Samnang"),
        ("samnang NORODOM", "Norodom Samnang"),
        ("Samnang", "Norodom Samnang"),
        ("សំណាង", "Norodom Samnang"),
        ("សុ\u200bវណ្ណ", "សុវណ្ណ"),
        ("Sovann", "សុវណ្ណ"),
        ("Dára", "Dara Contoh"),
        ("ដារ៉ា", "Dara Contoh"),
    ],
)
async def test_a_name_finds_its_case_however_it_is_written(
    api: Api, cases: dict[str, str], written: str, name: str
) -> None:
    """In the other script, in another order, in part, with accents or zero-width characters: first of all."""
    assert (await refs(api, written))[0] == cases[name]


async def test_the_partner_finds_the_case_it_received(pair: Pair, cases: dict[str, str]) -> None:
    """What arrived is searched like what was sent."""
    officer = Account("o-7", "officer", person=True, role="officer", created_at=0, disabled_at=None)
    found = await pair.b.gateway.search.by_name("សំណាង", officer, None, limit=5)
    assert found[0]["ref"] == cases["Norodom Samnang"]


async def test_filters_and_rights_hold_for_names_too(api: Api, cases: dict[str, str]) -> None:
    """A client finds its own cases only; a status leaves out the others; nothing near is an empty page."""
    ref = cases["Dara Contoh"]
    assert ref in await refs(api, "Dara", "client")
    assert ref not in await refs(api, "Dara", "other")
    assert ref not in await refs(api, "Dara", status="CLOSED")
    assert await refs(api, "Xyzzyx Qqq") == []
    assert (await api.get("/cases", "auditor", params={"q": "Dara"})).status == 403


async def test_a_search_is_logged_without_the_name(api: Api, cases: dict[str, str], log_lines: io.StringIO) -> None:
    """Who, when, why and how many; the name is in no entry, no log line and no answer."""
    answer = await api.get("/cases", "officer", params={"q": "Dara Contoh", "purpose": "VICTIM_PROTECTION"})
    assert "Contoh" not in answer.body.decode()
    entry = (await api.entries(type="case.searched", limit="1"))[0]
    assert entry["actor"] == {"sub": api.ids["officer"], "role": "officer"}
    assert entry["object"] == {"kind": "search", "id": "name"}
    assert entry["purpose"] == "VICTIM_PROTECTION"
    assert entry["outcome"] == f"{len(answer.json['items'])} found"
    assert "Contoh" not in log_lines.getvalue()
    assert "Dara" not in log_lines.getvalue()


async def test_keys_of_an_erased_message_find_nothing(api: Api, pair: Pair) -> None:
    """Search keys are personal data: they go with the body."""
    sent = (await api.submit(named(("Latn", "Kimseng Utama")))).json
    assert await refs(api, "Kimseng Utama") == [sent["case"]]
    await api.side.gateway.store.write(lambda tx: tx.index.forget_names("out", KH, sent["id"]))
    assert sent["case"] not in await refs(api, "Kimseng Utama")
    await pair.settle()


async def test_a_body_erased_before_it_was_read_is_passed_over(api: Api) -> None:
    """Reading goes on behind it, and nothing of it is found."""
    gone, held = await api.side.submit(named(("Latn", "Wulandari Hapus")), named(("Latn", "Wulandari Tetap")))
    empty = "UPDATE bodies SET event = x'' WHERE id = (SELECT body_id FROM outbox WHERE jti = ?)"
    await api.side.gateway.store.write(lambda tx: tx.index._run(empty, (gone.jti,)))  # type: ignore[attr-defined]
    found = await refs(api, "Wulandari")
    assert held.case in found
    assert gone.case not in found


async def test_a_message_is_read_once(api: Api, cases: dict[str, str]) -> None:
    """What was read stands in the database beside how far reading got."""
    await api.side.gateway.indexer.catch_up()
    assert await api.side.gateway.indexer.catch_up() == 0
    [sent] = await api.side.submit(named(("Latn", "Once Only")))
    assert await api.side.gateway.indexer.catch_up() == 1
    assert await api.side.gateway.indexer.catch_up() == 0
    assert (await refs(api, "Once Only"))[0] == sent.case


async def test_stored_keys_find_every_public_name() -> None:
    """57 names as stored rows, compared within their blocks: the usual spelling is first or second each time."""
    rows = [
        {"partner": KH, "case_ref": latin, "block": k.block, "folded": k.folded, "latin": k.latin, "sound": k.sound}
        for _, latin in PUBLIC + PERSONS
        for k in keys_of(latin)
    ]
    missed = []
    for khmer, latin in PUBLIC + PERSONS:
        wanted = keys_of(khmer)
        scores = best(wanted, [row for row in rows if row["block"] in {key.block for key in wanted}])
        nearest = sorted(scores, key=lambda case: -scores[case])
        if (KH, latin) not in nearest[:2]:
            missed.append(latin)
    assert missed == []
