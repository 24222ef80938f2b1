"""The exchange listener over real mutual TLS: golden refusals rebuilt with live keys, and all that HTTP can bend."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from gateway.errors import TransportError
from gateway.ledger import entry
from gateway.primitives import b64u, merkle, times
from gateway.protocol import jwe, jws
from gateway.protocol.entries import MAX_ENTRIES_REQUEST_BYTES, read_answer, write_question
from gateway.protocol.ids import MessageId, uuid7
from gateway.protocol.keys import SigningPair
from gateway.protocol.manifest import sign_manifest
from gateway.protocol.stream import read_stream
from gateway.running import wall_clock
from gateway.transport.partner import HttpPartner
from tests.support.hostile import Author
from tests.support.link import ID, KH
from tests.support.pair import Pair, example, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.protocol.ids import Kid

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOLDEN: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors/bcx-1.json").read_text())
ENTRIES: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors/entries-1.json").read_text())
REFUSED_EVENTS = {case["name"]: case for case in GOLDEN["refuse_event"]}
REFUSED_ENVELOPES = {case["name"]: case["problem"] for case in GOLDEN["refuse_envelope"]}
REFUSAL_OF = {"authentication-failed": ["E-SIG"], "unknown-key": ["E-SIG"], "wrong-recipient": ["E-RECIPIENT"]}
TIMESTAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MIB = 1024 * 1024


class Wire:
    """id.imigrasi's keys and connection, free to send anything to the real kh.gdi."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.author = Author(pair.a.home, KH, wall_clock)
        self.url = f"https://127.0.0.1:{pair.b.port}/bcx/v1"
        self.tls = pair.a.gateway.tls.client(KH)

    async def post(self, body: bytes | Any, path: str = "/envelopes", **headers: str) -> tuple[int, str, bytes]:
        """Post; return status, media type, body."""
        sent = {"Content-Type": "application/jose", **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, data=body, headers=sent, ssl=self.tls) as answer,
        ):
            return answer.status, answer.content_type, await answer.read()

    async def get(self, path: str) -> tuple[int, bytes]:
        """Get; return status and body."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path, ssl=self.tls) as answer:
            return answer.status, await answer.read()

    async def works(self) -> None:
        """Show that the listener still takes a good envelope."""
        letter = self.author.letter(self.author.event())
        status, kind, body = await self.post(letter.sealed.jwe)
        assert (status, kind) == (200, "application/jose+json")
        assert [o.status for o in self.author.read(body, letter).outcomes] == ["accepted"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wire]:
    """Two gateways on loopback, and a hand in the place of one."""
    async with Pair(tmp_path_factory.mktemp("wire")) as pair:
        yield Wire(pair)


# --- the golden envelopes ---------------------------------------------------------------------


class Live:
    """A live envelope in its parts, so that one of them can be bent as the golden one was."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self.now = wall_clock()
        self.events = [author.event() for _ in range(3)]
        self.eid = uuid7(self.now, os.urandom)
        self.signer: Any = author.keys.signer(self.now)
        self.stranger = SigningPair(os.urandom(32), os.urandom(32))

    def manifest(self, **changes: Any) -> bytes:
        """Sign the manifest of the events, or what `changes` say."""
        said: dict[str, Any] = {
            "iss": ID, "aud": KH, "eid": self.eid, "iat_ms": self.now, "n": len(self.events),
            "root": merkle.root([merkle.leaf_hash(e) for e in self.events]), "signer": self.signer,
        }  # fmt: skip
        return sign_manifest(**{**said, **changes})

    def sealed(self, line: bytes | None = None, events: list[bytes] | None = None) -> bytes:
        """Seal a manifest line and events."""
        lines = [self.manifest() if line is None else line, *(self.events if events is None else events), b""]
        key = self.author.partner_card.seal_key(self.now)
        assert key is not None
        return jwe.encrypt(b"\n".join(lines), iss=ID, aud=KH, eid=self.eid, recipient=key, entropy=os.urandom)

    def segments(self, place: int, bend: Callable[[bytes], bytes]) -> bytes:
        """Seal, then bend one of the five segments."""
        parts = self.sealed().split(b".")
        parts[place] = bend(parts[place])
        return b".".join(parts)

    def flipped(self, place: int) -> bytes:
        """Seal, then turn over one bit of what a segment encodes."""
        return self.segments(
            place, lambda part: b64u.encode_bytes(bytes([(raw := b64u.decode(part))[0] ^ 1]) + raw[1:])
        )

    def header(self, **changes: Any) -> bytes:
        """Seal, then write the header anew with other members; None removes one."""

        def bend(part: bytes) -> bytes:
            found = {**orjson.loads(b64u.decode(part)), **changes}
            return b64u.encode_bytes(orjson.dumps({k: v for k, v in found.items() if v is not None}))

        return self.segments(0, bend)

    def signatures(self, bend: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> bytes:
        """Seal a manifest with other signatures."""
        found = orjson.loads(self.manifest())
        return self.sealed(orjson.dumps({**found, "signatures": bend(found["signatures"])}))

    def signed_by_stranger(self, kids: tuple[Kid, Kid] | None) -> bytes:
        """Seal a manifest that a stranger signed, under its own `kid` or a known one."""
        stranger = self.stranger

        class Signer:
            """Says one thing and signs another."""

            def __init__(self) -> None:
                self.kids = kids or stranger.kids

            def sign(self, first: bytes, second: bytes) -> tuple[bytes, bytes]:
                return stranger.sign(first, second)

        return self.sealed(self.manifest(signer=Signer()))

    def bent(self, name: str) -> bytes:
        """Return this envelope bent as the golden one of that name."""
        return BENT[name](self)


def _other_signature(place: int) -> Callable[[list[dict[str, str]]], list[dict[str, str]]]:
    def bend(found: list[dict[str, str]]) -> list[dict[str, str]]:
        raw = b64u.decode(found[place]["signature"])
        found[place]["signature"] = b64u.encode(bytes([raw[0] ^ 1]) + raw[1:])
        return found

    return bend


def _twice(part: bytes) -> bytes:
    raw = b64u.decode(part)
    return b64u.encode_bytes(b'{"alg":"HPKE-9-KE",' + raw[1:])


def _stray(part: bytes) -> bytes:
    # 16 bytes leave four unused bits in the last character: set one.
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1:]) | 1 :][:1]


BENT: dict[str, Callable[[Live], bytes]] = {
    "jwe-tag-flipped": lambda e: e.flipped(4),
    "jwe-ciphertext-flipped": lambda e: e.flipped(3),
    "jwe-iv-flipped": lambda e: e.flipped(2),
    "jwe-encrypted-key-flipped": lambda e: e.flipped(1),
    "jwe-four-segments": lambda e: e.sealed().rpartition(b".")[0],
    "jwe-six-segments": lambda e: e.sealed() + b".AAAA",
    "jwe-empty": lambda _e: b"",
    "jwe-padded-base64": lambda e: e.sealed() + b"==",
    "jwe-newline-inside": lambda e: e.segments(3, lambda p: p[:40] + b"\n" + p[40:]),
    "jwe-stray-bits": lambda e: e.segments(4, _stray),
    "jwe-short-iv": lambda e: e.segments(2, lambda _p: b64u.encode_bytes(bytes(11))),
    "jwe-short-tag": lambda e: e.segments(4, lambda _p: b64u.encode_bytes(bytes(15))),
    "jwe-alg-none": lambda e: e.header(alg="none"),
    "jwe-alg-dir": lambda e: e.header(alg="dir"),
    "jwe-enc-a128gcm": lambda e: e.header(enc="A128GCM"),
    "jwe-zip-present": lambda e: e.header(zip="DEF"),
    "jwe-jwk-present": lambda e: e.header(jwk={"kty": "oct"}),
    "jwe-crit-empty": lambda e: e.header(crit=[]),
    "jwe-crit-missing": lambda e: e.header(crit=None),
    "jwe-typ-receipt": lambda e: e.header(typ="bcx-receipt+jws"),
    "jwe-profile-unknown": lambda e: e.header(bcx="2"),
    "jwe-profile-unknown-other-members": lambda e: e.header(bcx="2", alg="HPKE-99-KE", new="member"),
    "jwe-duplicate-header-member": lambda e: e.segments(0, _twice),
    "jwe-unknown-kid": lambda e: e.header(kid=b64u.encode(os.urandom(32))),
    "jwe-for-another-party": lambda e: e.header(aud="vn.bca"),
    "jwe-from-another-party": lambda e: e.header(iss="vn.bca"),
    "manifest-ed25519-only": lambda e: e.signatures(lambda s: s[:1]),
    "manifest-mldsa-only": lambda e: e.signatures(lambda s: s[1:]),
    "manifest-same-signature-twice": lambda e: e.signatures(lambda s: [s[0], s[0]]),
    "manifest-three-signatures": lambda e: e.signatures(lambda s: [*s, s[0]]),
    "manifest-swapped-order": lambda e: e.signatures(lambda s: s[::-1]),
    "manifest-ed25519-flipped": lambda e: e.signatures(_other_signature(0)),
    "manifest-mldsa-flipped": lambda e: e.signatures(_other_signature(1)),
    "manifest-signed-by-stranger": lambda e: e.signed_by_stranger(None),
    "manifest-stranger-under-known-kid": lambda e: e.signed_by_stranger(e.signer.kids),
    "manifest-typ-receipt": lambda e: e.sealed(
        jws.sign(b64u.decode(orjson.loads(e.manifest())["payload"]), jws.RECEIPT_TYP, e.signer)
    ),
    "manifest-unsigned": lambda e: e.sealed(b64u.decode(orjson.loads(e.manifest())["payload"])),
    "manifest-other-recipient": lambda e: e.sealed(e.manifest(aud="vn.bca")),
    "manifest-other-sender": lambda e: e.sealed(e.manifest(iss="vn.bca")),
    "manifest-other-envelope": lambda e: e.sealed(e.manifest(eid=uuid7(e.now, os.urandom))),
    "root-event-altered": lambda e: e.sealed(events=[e.events[0].replace(b"FLASH", b"PRIORITY"), *e.events[1:]]),
    "root-event-added": lambda e: e.sealed(e.manifest(), [*e.events, e.events[0]]),
    "root-event-dropped": lambda e: e.sealed(e.manifest(), e.events[:2]),
    "root-events-reordered": lambda e: e.sealed(e.manifest(), e.events[::-1]),
    "count-differs": lambda e: e.sealed(e.manifest(n=2)),
    "no-events": lambda e: e.sealed(e.manifest(n=0), []),
    "hundred-and-one-events": lambda e: e.sealed(e.manifest(n=101), e.events[:1] * 101),
}


@pytest.mark.parametrize("name", REFUSED_ENVELOPES)
async def test_a_golden_refusal_rebuilt_with_live_keys_names_its_problem(wire: Wire, name: str) -> None:
    """400, problem+json, a `type` that ends in the code, the code of refusals; not a word about why crypto failed."""
    status, kind, body = await wire.post(Live(wire.author).bent(name))
    problem = orjson.loads(body)
    assert (status, kind) == (400, "application/problem+json")
    assert problem["type"].endswith(":" + REFUSED_ENVELOPES[name])
    found = [(error["code"], error["pointer"]) for error in problem.get("errors", ())]
    assert found == [(code, "") for code in REFUSAL_OF.get(REFUSED_ENVELOPES[name], ())]
    if REFUSED_ENVELOPES[name] == "authentication-failed":
        assert "detail" not in problem
        assert problem["errors"][0]["reason"] == "a signature or a key does not hold"


async def test_every_crypto_failure_looks_the_same_and_none_leaves_a_trace(wire: Wire) -> None:
    """No oracle: the answers differ in nothing but their trace id. Nothing is stored but counted log entries."""
    before = len(await wire.pair.b.gateway.queries.inbox(0, 1000))
    seen = set()
    for name, code in REFUSED_ENVELOPES.items():
        status, kind, body = await wire.post(Live(wire.author).bent(name))
        found = {k: v for k, v in orjson.loads(body).items() if k not in {"trace_id", "instance"}}
        if code == "authentication-failed":
            seen.add((status, kind, orjson.dumps(found, option=orjson.OPT_SORT_KEYS)))
    assert len(seen) == 1
    assert len(await wire.pair.b.gateway.queries.inbox(0, 1000)) == before
    refused = [row["outcome"] for row in await wire.pair.b.gateway.queries.entries(typ="envelope.refused", limit=200)]
    assert set(REFUSED_ENVELOPES.values()) <= set(refused)
    assert len(refused) < len(REFUSED_ENVELOPES)
    await wire.works()


def live_event(raw: bytes, number: int) -> bytes:
    """Return a golden event with times of today and numbers of its own; what was bent stays bent."""
    ahead = wall_clock() - times.parse_ms(GOLDEN["now"])

    def shift(found: re.Match[bytes]) -> bytes:
        try:
            return times.format_ms(times.parse_ms(found[0].decode()) + ahead).encode()
        except ValueError:
            return found[0]

    event = TIMESTAMP.sub(shift, raw)
    event = re.sub(rb'"(01990000-0000-7000-8000-)\d{12}"', rb'"\g<1>%012d"' % (7000 + number), event)
    return re.sub(rb'"(streamseq|caseseq)":"[1-9]\d*"', rb'"\1":"%d"' % (7000 + number), event)


@pytest.mark.parametrize("name", REFUSED_EVENTS)
async def test_a_golden_event_refusal_is_a_signed_outcome(wire: Wire, name: str) -> None:
    """200 and a receipt: rejected for good, or deferred where only a clock is wrong."""
    number = list(REFUSED_EVENTS).index(name)
    letter = wire.author.letter(live_event(b64u.decode(REFUSED_EVENTS[name]["event"]), number))
    status, kind, body = await wire.post(letter.sealed.jwe)
    assert (status, kind) == (200, "application/jose+json")
    [outcome] = wire.author.read(body, letter).outcomes
    assert outcome.problem == REFUSED_EVENTS[name]["problem"]
    assert outcome.status == ("deferred" if name == "from-the-future" else "rejected")


async def test_golden_events_pass_all_that_the_wire_itself_asks(wire: Wire) -> None:
    """The three of the golden envelope and those an over-strict reader would refuse: they end at their schema (10)."""
    golden = [event.encode() for event in GOLDEN["events"]]
    odd = [b64u.decode(case["event"]) for case in GOLDEN["accept_event"]]
    for start, events in ((500, golden), (600, odd)):
        letter = wire.author.letter(*(live_event(raw, start + place) for place, raw in enumerate(events)))
        status, _, body = await wire.post(letter.sealed.jwe)
        outcomes = wire.author.read(body, letter).outcomes
        assert (status, [o.problem for o in outcomes]) == (200, ["unknown-schema"] * len(events))


# --- a partner that is who it says, and means ill (experiment 25) --------------------------------------


HOSTILE_ENVELOPES: dict[str, tuple[Callable[[Live], bytes], str]] = {
    "an older profile": (lambda e: e.header(bcx="0"), "unsupported-profile"),
    "a newer profile": (lambda e: e.header(bcx="2"), "unsupported-profile"),
    "no profile": (lambda e: e.header(bcx=None), "malformed-envelope"),
    "a profile without its post-quantum half": (lambda e: e.signatures(lambda s: s[:1]), "authentication-failed"),
    "for another party": (lambda e: e.header(aud="vn.bca"), "wrong-recipient"),
    "signed for another party": (lambda e: e.sealed(e.manifest(aud="vn.bca")), "authentication-failed"),
}
HOSTILE_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "for another party": ({"recipient": "vn.bca"}, "wrong-recipient"),
    "a version nobody holds": ({"schema_version": "1.9.9"}, "unknown-schema"),
    "an incompatible version": ({"schema_version": "2.0.0"}, "unknown-schema"),
    "another schema under a known version": ({"schema_digest": bytes(32)}, "unknown-schema"),
    "a type nobody agreed on": ({"subject": "weather.report"}, "not-agreed"),
}


@pytest.mark.parametrize("name", HOSTILE_ENVELOPES)
async def test_a_hostile_envelope_has_one_problem_type_for_ever(wire: Wire, name: str) -> None:
    """The whole URN, the same at each try: what a partner's software and people may rely on."""
    bend, code = HOSTILE_ENVELOPES[name]
    for _ in range(2):
        status, kind, body = await wire.post(bend(Live(wire.author)))
        assert (status, kind) == (400, "application/problem+json")
        assert orjson.loads(body)["type"] == f"urn:bcx:problem:{code}"
    await wire.works()


@pytest.mark.parametrize("name", HOSTILE_EVENTS)
async def test_a_hostile_event_is_refused_for_good_and_shown_to_nobody(wire: Wire, name: str) -> None:
    """Signed and final, with the same outcome and entry when it comes again in a new envelope."""
    changes, code = HOSTILE_EVENTS[name]
    event = wire.author.event(**changes)
    before = len(await wire.pair.b.gateway.queries.inbox(0, 1000))
    found = set()
    for _ in range(2):
        letter = wire.author.letter(event)
        status, _, body = await wire.post(letter.sealed.jwe)
        [outcome] = wire.author.read(body, letter).outcomes
        found.add((status, outcome.status, outcome.problem, outcome.leaf))
    [(status, *said, leaf)] = found
    assert (status, said) == (200, ["rejected", code])
    assert leaf is not None
    assert len(await wire.pair.b.gateway.queries.inbox(0, 1000)) == before
    await wire.works()


# --- who calls ---------------------------------------------------------------------


async def _called_with(wire: Wire, context: ssl.SSLContext) -> int | None:
    """Return the status a client with this TLS gets, None where no answer comes."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with session.get(wire.url + "/card", ssl=context) as answer:
                return answer.status
    return None


async def test_without_a_certificate_nothing_is_answered(wire: Wire) -> None:
    """Not even the card."""
    assert await _called_with(wire, ssl.create_default_context()) in {None, 403}


async def test_a_stranger_is_shut_out(wire: Wire, tmp_path: Path) -> None:
    """A certificate of the right form and the right name, from a CA nobody pinned."""
    from gateway.home import InitOptions, init

    _, keys = init(tmp_path / "x", InitOptions("id.imigrasi", "n", "ID", "test"), now_ms=wall_clock())
    context = ssl.create_default_context()
    context.load_cert_chain(keys.tls.client_certificate, keys.tls.client_key)
    assert await _called_with(wire, context) in {None, 403}


async def test_a_suspended_partner_is_refused_and_taken_back(wire: Wire) -> None:
    """403 unknown-party while it lasts; nothing of its stream is lost by it."""
    from tests.support.pair import TEST_OPERATOR

    enroller = wire.pair.b.gateway.enroller
    await enroller.set_state(ID, "suspended", TEST_OPERATOR)
    letter = wire.author.letter(wire.author.event())
    try:
        with contextlib.suppress(aiohttp.ClientError):  # a new handshake fails already
            status, _, body = await wire.post(letter.sealed.jwe)
            assert status == 403
            assert orjson.loads(body)["type"].endswith("unknown-party")
    finally:
        await enroller.set_state(ID, "active", TEST_OPERATOR)
    wire.tls = wire.pair.a.gateway.tls.client(KH)
    status, _, _ = await wire.post(letter.sealed.jwe)
    assert status == 200


# --- what HTTP can bend ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/jose+json", "", "application/jose2"])
async def test_another_content_type_is_refused(wire: Wire, kind: str) -> None:
    """415, whatever the body is."""
    status, _, _ = await wire.post(wire.author.letter(wire.author.event()).sealed.jwe, Content_Type=kind or "x/y")
    assert status == 415


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity", "zstd"])
async def test_a_coded_body_is_refused(wire: Wire, coding: str) -> None:
    """415: it could unpack to anything."""
    status, _, _ = await wire.post(wire.author.letter(wire.author.event()).sealed.jwe, Content_Encoding=coding)
    assert status == 415


async def test_a_body_over_the_limit_is_refused_before_it_is_read(wire: Wire) -> None:
    """413 by what it announces, and by what comes where it announces nothing."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(25):
            yield b"A" * MIB

    for body in (io.BytesIO(bytes(24 * MIB + 1)), endless()):
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            status, _, _ = await wire.post(body)
            assert status == 413
    await wire.works()


async def test_an_expectation_or_a_huge_header_kills_nothing(wire: Wire) -> None:
    """8 KiB of header at most."""
    with contextlib.suppress(aiohttp.ClientError):
        status, _, _ = await wire.post(b"x", X_Long="y" * 9000)
        assert status == 400
    await wire.works()


async def _raw(wire: Wire, head: bytes, body: bytes, *, cut: bool) -> bytes:
    """Write bytes as they are; return what comes back until the listener closes, or a moment passes."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", wire.pair.b.port, ssl=wire.tls, server_hostname="127.0.0.1", ssl_shutdown_timeout=0.1
    )
    try:
        writer.write(head + body)
        await writer.drain()
        if cut:
            writer.transport.abort()
            return b""
        async with asyncio.timeout(1):
            return await reader.read(16_384)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()
        with contextlib.suppress(Exception):
            await writer.wait_closed()


def _head(length: bytes, extra: bytes = b"") -> bytes:
    return (
        b"POST /bcx/v1/envelopes HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose\r\nConnection: close\r\n"
        b"Content-Length: " + length + b"\r\n" + extra + b"\r\n"
    )


async def test_a_body_cut_anywhere_is_never_taken_and_the_service_lives(wire: Wire) -> None:
    """At each offset modulo 97: the connection breaks after so many bytes of a whole envelope."""
    raw = wire.author.letter(wire.author.event()).sealed.jwe
    before = await wire.pair.b.gateway.queries.inbox(0, 1000)
    cuts = [97 * (at % (len(raw) // 97)) + at for at in range(97)]
    for start in range(0, len(cuts), 16):
        await asyncio.gather(
            *(
                _raw(wire, _head(b"%d" % len(raw)), raw[:cut], cut=True)
                for cut in cuts[start : start + 16]
                if cut < len(raw)
            )
        )
    assert len(await wire.pair.b.gateway.queries.inbox(0, 1000)) == len(before)
    await wire.works()


async def test_a_wrong_length_is_never_a_200(wire: Wire) -> None:
    """Shorter than the body, twice, with chunks beside it, negative, huge, no number."""
    raw = wire.author.letter(wire.author.event()).sealed.jwe
    size = len(raw)
    heads = [
        *(_head(b"%d" % (size - short)) for short in (1, 2, 97, size - 1, size)),
        _head(b"%d" % size, b"Content-Length: %d\r\n" % (size - 1)),
        _head(b"%d" % size, b"Transfer-Encoding: chunked\r\n"),
        _head(b"-1"), _head(b"0x10"), _head(b"1e3"), _head(b"99999999999999999999"), _head(b"+%d" % size),
    ]  # fmt: skip
    for head in heads:
        answer = await _raw(wire, head, raw, cut=False)
        assert not answer.startswith(b"HTTP/1.1 200"), head
    await wire.works()


async def test_a_chunked_body_cut_short_is_never_taken(wire: Wire) -> None:
    """A chunk that ends early, one that is too long, and an end that never comes."""
    raw = wire.author.letter(wire.author.event()).sealed.jwe
    head = (
        b"POST /bcx/v1/envelopes HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    for body in (
        b"%x\r\n" % len(raw) + raw[:-5] + b"\r\n0\r\n\r\n",
        b"zz\r\n" + raw,
        b"%x\r\n" % (len(raw) - 1) + raw + b"\r\n0\r\n\r\n",
    ):
        assert not (await _raw(wire, head, body, cut=False)).startswith(b"HTTP/1.1 200")
    await _raw(wire, head, b"%x\r\n" % len(raw) + raw, cut=True)
    await wire.works()


# --- what else is served ---------------------------------------------------------------------


async def test_the_question_about_a_message_and_the_stream_are_signed(wire: Wire) -> None:
    """Both under the partner's keys, both for the one who asks."""
    event = wire.author.event()
    letter = wire.author.letter(event)
    await wire.post(letter.sealed.jwe)
    jti = MessageId(orjson.loads(event)["id"])
    status, body = await wire.get(f"/messages/{jti}")
    assert status == 200
    [outcome] = wire.author.read(body, None).outcomes
    assert (outcome.status, outcome.jti) == ("accepted", jti)
    assert outcome.proof is not None
    status, body = await wire.get(f"/stream?from={wire.author.sent}&limit=1")
    assert status == 200
    found = read_stream(
        body, iss=KH, aud=ID, from_seq=wire.author.sent,
        key_for=lambda kid, alg: wire.author.partner_card.verify_key(kid, alg, wall_clock()),
    )  # fmt: skip
    assert [item.jti for item in found.items] == [jti]


async def test_entries_of_many_messages_come_in_the_order_asked(wire: Wire) -> None:
    """Unsigned, the caller's own alone; an id nobody knows is left out."""
    events = [wire.author.event() for _ in range(3)]
    await wire.post(wire.author.letter(*events).sealed.jwe)
    jtis = [MessageId(orjson.loads(event)["id"]) for event in events]
    [theirs] = await wire.pair.b.submit(example("info.request/telephone-three-numbers"))
    asked = [jtis[2], theirs.jti, MessageId(uuid7(wall_clock(), os.urandom)), jtis[0]]
    status, kind, body = await wire.post(write_question(asked), "/messages/entries", Content_Type="application/json")
    assert (status, kind) == (200, "application/json")
    shown = read_answer(body, asked)
    assert list(shown) == [jtis[2], jtis[0]]
    for jti, found in shown.items():
        said = entry.parse(found.data)
        assert (said.jti, said.seq, said.typ, said.outcome) == (jti, found.leaf, "message.received", "accepted")


@pytest.mark.parametrize(
    ("body", "kind", "refused"),
    [
        *[(case["body"].encode(), "application/json", 400) for case in ENTRIES["refused_questions"]],
        (b'{"jtis":[' + b'"x",' * 1000 + b'"x"]}', "application/json", 400),
        (b" " * (MAX_ENTRIES_REQUEST_BYTES + 1), "application/json", 413),
        (ENTRIES["question"].encode(), "application/jose", 415),
    ],
)
async def test_a_bad_question_for_entries_is_a_problem(wire: Wire, body: bytes, kind: str, refused: int) -> None:
    """The golden refusals, one message too many, too long, another type."""
    status, media_type, _ = await wire.post(body, "/messages/entries", Content_Type=kind)
    assert (status, media_type) == (refused, "application/problem+json")


@pytest.mark.parametrize(
    "path", ["/messages/xyz", "/stream?from=0", "/stream?from=1&limit=x", "/nothing", "/envelopes"]
)
async def test_a_bad_question_is_a_problem(wire: Wire, path: str) -> None:
    """A 4xx with problem+json, never a 500."""
    status, body = await wire.get(path)
    assert 400 <= status < 500
    assert orjson.loads(body)["type"]


# --- the sender's side of HTTP ---------------------------------------------------------------------


async def _slow(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    answer = aiohttp.web.StreamResponse(headers={"Content-Type": "application/jose+json"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(b" ")
            await asyncio.sleep(0.05)
    return answer


async def _endless(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    answer = aiohttp.web.StreamResponse(headers={"Content-Type": "application/jose+json"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(b"A" * MIB)
    return answer


async def _redirect(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    raise aiohttp.web.HTTPTemporaryRedirect(str(request.url.with_path("/elsewhere")))


async def _compressed(_request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    answer = aiohttp.web.Response(body=b"A" * MIB, content_type="application/jose+json")
    answer.enable_compression(aiohttp.web.ContentCoding.gzip)
    return answer


@pytest.mark.parametrize(("lie", "status"), [(_slow, None), (_endless, None), (_redirect, 307), (_compressed, 200)])
async def test_an_answer_without_end_or_from_elsewhere_is_cut_off(
    wire: Wire, lie: Callable[[aiohttp.web.Request], Any], status: int | None
) -> None:
    """In bounded time and memory; a redirect is not followed, a packed body not unpacked."""
    paths: list[str] = []

    async def anything(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        paths.append(request.path)
        answer: aiohttp.web.StreamResponse = await lie(request)
        return answer

    app = aiohttp.web.Application()
    app.router.add_route("*", "/{path:.*}", anything)
    runner = aiohttp.web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", port, ssl_context=wire.pair.b.gateway.tls.server).start()
    try:
        async with HttpPartner(KH, lambda: f"https://127.0.0.1:{port}", lambda: wire.tls, timeout_s=1) as link:
            if status is None:
                with pytest.raises(TransportError):
                    await link.post_envelope(b"x")
            else:
                reply = await link.post_envelope(b"x")
                assert reply.status == status
                assert not reply.body.startswith(b"AAAA")
    finally:
        await runner.cleanup()
    assert paths == ["/envelopes"]
