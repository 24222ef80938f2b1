"""The golden envelopes of BCX/1, opened as `kh.gdi`, and every refusal that must name its problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import PartnerError
from gateway.primitives import b64u, merkle, times
from gateway.protocol.envelope import OpenedEnvelope, open_sealed
from gateway.protocol.ids import PartyId
from gateway.protocol.keys import OpenKey, VerifyKey

if TYPE_CHECKING:
    from gateway.protocol.ids import Kid

GOLDEN: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors/bcx-1.json").read_text())
OPEN_KEY = OpenKey(b64u.decode(GOLDEN["recipient"]["private"]["xwing_seed"]))
HELD = {jwk["kid"]: VerifyKey.from_jwk(jwk) for jwk in GOLDEN["sender"]["keys"]}
REFUSALS = {case["name"]: case for case in GOLDEN["refuse_envelope"]}


def held(kid: Kid, _alg: str) -> VerifyKey | None:
    """Answer with the golden sender's keys."""
    return HELD.get(kid)


def opened(raw: str) -> OpenedEnvelope:
    """Open as the golden recipient, over a connection authenticated as the golden sender."""
    return open_sealed(
        raw.encode(),
        me=PartyId("kh.gdi"),
        peer=PartyId("id.imigrasi"),
        open_key_for=lambda kid: OPEN_KEY if kid == OPEN_KEY.kid else None,
        verify_key_for=held,
    )


def test_the_golden_envelope_opens_to_the_golden_events() -> None:
    """Events, manifest and its digest, byte for byte."""
    found = opened(GOLDEN["jwe"])
    assert [event.decode() for event in found.events] == GOLDEN["events"]
    assert found.manifest.decode() == GOLDEN["manifest"]
    assert b64u.encode(found.manifest_sha256) == GOLDEN["manifest_sha256"]
    assert (found.iss, found.aud) == (GOLDEN["sender"]["party"], GOLDEN["recipient"]["party"])
    assert found.eid == "01990000-0000-7000-8000-0000000000e1"
    assert found.iat_ms == times.parse_ms("2026-11-24T02:00:01.000Z")
    assert found.kids == tuple(jwk["kid"] for jwk in GOLDEN["sender"]["keys"])


def test_the_golden_digests_root_and_paths_come_out() -> None:
    """RFC 6962 over the event lines, in their order."""
    digests = opened(GOLDEN["jwe"]).digests
    assert [b64u.encode(digest) for digest in digests] == GOLDEN["event_digest"]
    assert b64u.encode(merkle.root(digests)) == GOLDEN["root"]
    paths = [[b64u.encode(node) for node in merkle.inclusion_path(digests, index)] for index in range(3)]
    assert paths == GOLDEN["inclusion_path"]


@pytest.mark.parametrize("name", REFUSALS)
def test_a_golden_refusal_names_its_problem(name: str) -> None:
    """Each bent envelope is refused with exactly the problem that the vectors name."""
    with pytest.raises(PartnerError) as fault:
        opened(REFUSALS[name]["jwe"])
    assert fault.value.slug == REFUSALS[name]["problem"]
    assert fault.value.status == 400


def test_no_refusal_was_lost_from_the_vectors() -> None:
    """An emptied list must not pass."""
    assert len(REFUSALS) == 47
