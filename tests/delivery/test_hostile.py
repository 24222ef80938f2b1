"""A partner with valid keys that lies: only a true receipt ends a message, and every lie that is evidence is kept."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import orjson
import pytest

from gateway.errors import TransportError
from gateway.ledger.note import COSIGNATURE, NoteKey, NoteSigner, cosign
from gateway.ledger.witness import parse_request
from gateway.ports.partner import Reply
from gateway.primitives import merkle
from gateway.protocol.card import Card, CardDraft, CardKey, make_key, sign_card
from gateway.protocol.keys import SigningPair
from gateway.protocol.states import Step
from gateway.protocol.stream import sign_ping
from gateway.services.accounts import LOCAL_OPERATOR
from tests.support.checker import check
from tests.support.hostile import DAY_MS, Author
from tests.support.link import ID, KH, Network, Process, example, flipped, run_virtual, two_homes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from gateway.protocol.envelope import OpenedEnvelope
    from gateway.protocol.ids import MessageId

JOSE_JSON = "application/jose+json"
Lie = "Callable[[Liar, OpenedEnvelope], Reply]"


class Liar:
    """`ports.PartnerLink` to kh.gdi, played by a script: each lie once, in order, and then the truth."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self.lies: list[Callable[[Liar, OpenedEnvelope], Reply]] = []
        self.posts: list[OpenedEnvelope] = []
        self.times: list[float] = []
        self.size = 10
        self.about: Callable[[MessageId], Reply] = self.unknown
        self.card = author.card
        self.cards_asked = 0
        self.up = True
        self.hangs_s = 0.0
        """How long a call takes to fail while it is not up."""
        self.knocks: list[float] = []
        self.watch: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def post_envelope(self, jwe: bytes) -> Reply:
        """Answer as the next lie says."""
        envelope = self.author.open(jwe)
        self.posts.append(envelope)
        self.watch()
        self.times.append(asyncio.get_running_loop().time())
        await self._knocked()
        return self.lies.pop(0)(self, envelope) if self.lies else self.truth(envelope)

    async def _knocked(self) -> None:
        self.knocks.append(asyncio.get_running_loop().time())
        if not self.up:
            await asyncio.sleep(self.hangs_s)

    def truth(self, envelope: OpenedEnvelope, **changes: Any) -> Reply:
        """Accept everything, in a log that grows."""
        self.size += 1
        outcomes = [self.author.outcome(digest) for digest in envelope.digests]
        return self.said(envelope, outcomes, **{"checkpoint": self.author.checkpoint(self.size), **changes})

    def said(self, envelope: OpenedEnvelope | None, outcomes: list[Any], **changes: Any) -> Reply:
        """Sign these outcomes, under the log as it is: what is wrong with them must be why they are not believed."""
        head = {"checkpoint": self.author.checkpoint(self.size)}
        return Reply(200, JOSE_JSON, self.author.sign(envelope, outcomes, **head | changes), None)

    def unknown(self, jti: MessageId) -> Reply:
        """Say it was never seen."""
        from gateway.protocol.receipt import Outcome

        return self.said(None, [Outcome(event=None, status="unknown", received_at_ms=None, jti=jti)])

    async def get_message(self, jti: MessageId) -> Reply:
        """Answer the question about one message."""
        return self.about(jti)

    async def get_stream(self, start: int, limit: int) -> Reply:
        """Have no stream."""
        raise TransportError(f"{start} {limit}")

    async def get_card(self) -> Reply:
        """Show the card of the moment."""
        self.cards_asked += 1
        return Reply(200, JOSE_JSON, self.card.raw, None)

    async def add_checkpoint(self, body: bytes) -> Reply:
        """Cosign whatever comes: this partner does not lie about our log."""
        if not self.up:
            raise TransportError(f"{len(body)}")
        text = parse_request(body).note
        key = self.author.keys.witness_key()
        name = NoteKey(f"{KH}/bcx/witness/1", COSIGNATURE, key.public_key().public_bytes_raw())
        line = cosign(text[: text.rindex("\n\n") + 1], NoteSigner(name, key.sign), self.author.clock() // 1000)
        return Reply(200, "text/plain", line.encode(), None)

    async def get_witnessed(self, log_id: str) -> Reply:
        """Have cosigned nothing yet."""
        return Reply(404, "application/problem+json", log_id.encode(), None)

    async def get_log(self, path: str) -> Reply:
        """Show no tiles: there is no such log."""
        return Reply(404, "application/problem+json", path.encode(), None)

    async def ping(self, body: bytes) -> Reply:
        """Be there, or not."""
        await self._knocked()
        if not self.up:
            raise TransportError(f"{len(body)}")
        now = self.author.clock()
        raw = sign_ping(iss=KH, aud=ID, iat_ms=now, signer=self.author.keys.signer(now))
        return Reply(200, JOSE_JSON, raw, None)


class Stage:
    """A real id.imigrasi whose partner is a liar."""

    def __init__(self) -> None:
        home, other, now = two_homes()
        self.network = Network(now)
        self.sender = Process(home, ID, self.network, random.Random(1))
        self.liar = Liar(Author(other, ID, self.network.clock))
        self.sender.links = lambda _party: self.liar

    async def submit(self, count: int = 1, **changes: Any) -> list[MessageId]:
        """Have messages accepted."""
        bodies = [{**example("case.referral/s1-sumarni"), **changes} for _ in range(count)]
        return [message.jti for message in await self.sender.submit(*bodies)]

    def state(self, jti: str) -> str:
        """Return the state of a message."""
        text: str = self.sender.look(f"SELECT state FROM outbox WHERE jti = '{jti}'")[0][0]  # noqa: S608 - a value of our own
        return text

    async def until(self, holds: Callable[[], bool], within_s: float = 7200) -> None:
        """Let virtual time pass until it holds."""
        now, step = asyncio.get_running_loop().time, 0.05
        end = now() + within_s
        while not holds():
            assert now() < end, "never came to that"
            await asyncio.sleep(step)
            step = min(step * 1.1, 5.0)

    def logged(self, typ: str) -> list[str]:
        """Return the outcomes of log entries of a type."""
        return [row[0] for row in self.sender.look(f"SELECT outcome FROM entries WHERE typ = '{typ}' ORDER BY seq")]  # noqa: S608 - a value of our own


def play(story: Callable[[Stage], Awaitable[Any]], *, drained: bool = True) -> Stage:
    """Play a story and run the checker over what the sender is left with."""
    stage = Stage()

    async def whole() -> None:
        await stage.sender.start()
        await story(stage)
        await stage.sender.stop()

    run_virtual(whole())
    check(stage.sender.home, promised={ID: stage.sender.promised}, drained=drained)
    return stage


# --- lies that are no answer ---------------------------------------------------------------------


def _changed(**changes: Any) -> Callable[[Liar, OpenedEnvelope], Reply]:
    return lambda liar, envelope: liar.truth(envelope, **changes)


def _outcomes(bend: Callable[[list[Any]], list[Any]]) -> Callable[[Liar, OpenedEnvelope], Reply]:
    def lie(liar: Liar, envelope: OpenedEnvelope) -> Reply:
        return liar.said(envelope, bend([liar.author.outcome(d) for d in envelope.digests]))

    return lie


OTHER = "01990000-0000-7000-8000-0000000000ff"
LIES: dict[str, Callable[[Liar, OpenedEnvelope], Reply]] = {
    "an empty 200": lambda _l, _e: Reply(200, JOSE_JSON, b"", None),
    "a 200 that says accepted": lambda _l, _e: Reply(200, JOSE_JSON, b'{"status":"accepted"}', None),
    "a true receipt as text": lambda liar, sent: replace(liar.truth(sent), media_type="text/plain"),
    "a true receipt with 202": lambda liar, sent: replace(liar.truth(sent), status=202),
    "a redirect": lambda _l, _e: Reply(302, "text/html", b"", None),
    "an unsigned rejection": lambda _l, _e: Reply(400, "application/problem+json", b'{"type":"x:conflict"}', None),
    "gone for good": lambda _l, _e: Reply(410, "text/plain", b"", None),
    "signed by a stranger": _changed(signer=SigningPair(bytes(32), bytes(31) + b"1")),
    "for another envelope": _changed(eid=OTHER),
    "for no envelope": _changed(eid=None, manifest_sha256=None),
    "for another manifest": _changed(manifest_sha256=bytes(32)),
    "for another party": _changed(aud="vn.bca"),
    "from another party": _changed(iss="vn.bca"),
    "no outcome": _outcomes(lambda _o: []),
    "one outcome too many": _outcomes(lambda o: [*o, o[0]]),
    "for another event": _outcomes(lambda o: [replace(o[0], event=bytes(32)), *o[1:]]),
    "for another message": _outcomes(lambda o: [replace(o[0], jti=OTHER), *o[1:]]),
    "in another order": _outcomes(lambda o: o[::-1]),
    "accepted but not logged": _outcomes(lambda o: [replace(o[0], leaf=None), *o[1:]]),
    "accepted and a problem": _outcomes(lambda o: [replace(o[0], problem="conflict"), *o[1:]]),
    "unknown": _outcomes(lambda o: [replace(o[0], status="unknown", event=None, leaf=None), *o[1:]]),
    "no checkpoint": _changed(checkpoint=""),
    "a checkpoint of nobody": _changed(checkpoint="kh.gdi/bcx/log/1\n3\nAAAA\n\n"),
    "an older checkpoint": lambda liar, sent: liar.truth(sent, checkpoint=liar.author.checkpoint(3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_only_a_true_receipt_ends_a_message(name: str) -> None:
    """Both messages wait on after the lie, recorded as an attempt; the truth, told later, ends them."""

    async def story(stage: Stage) -> None:
        first = await stage.submit()
        await stage.until(lambda: stage.state(first[0]) == "accepted")  # the partner's log was seen at some size
        stage.liar.lies = [LIES[name]]
        jtis = await stage.submit(2)
        met: list[set[str]] = []
        stage.liar.watch = lambda: met.append({stage.state(jti) for jti in jtis})
        await stage.until(lambda: len(met) > 1)
        assert met[1] <= {"queued", "sending"}  # what the next attempt found after the lie
        await stage.until(lambda: all(stage.state(jti) == "accepted" for jti in jtis))

    stage = play(story)
    tried = {row[0] for row in stage.sender.look("SELECT result FROM attempts")}
    assert tried & {"unverified", "refused"}


def test_a_receipt_with_any_byte_changed_ends_nothing() -> None:
    """Every 97th byte of a true one, over and over, and then the truth."""

    async def story(stage: Stage) -> None:
        first = await stage.submit(urgency="FLASH")
        await stage.until(lambda: stage.state(first[0]) == "accepted")
        size = len(stage.sender.look("SELECT receipt FROM envelopes WHERE receipt IS NOT NULL")[0][0])

        def bent(place: int) -> Callable[[Liar, OpenedEnvelope], Reply]:
            def lie(liar: Liar, envelope: OpenedEnvelope) -> Reply:
                true = liar.truth(envelope)
                return replace(true, body=flipped(true.body, min(place, len(true.body) - 1), 1 << (place % 7)))

            return lie

        stage.liar.lies = [bent(place) for place in range(0, size, 97)]
        lies = len(stage.liar.lies)
        [jti] = await stage.submit(urgency="FLASH")
        while stage.liar.lies:
            assert stage.state(jti) in {"queued", "sending"}
            await asyncio.sleep(1)
        await stage.until(lambda: stage.state(jti) == "accepted")
        assert len(stage.liar.posts) == lies + 2

    play(story)


# --- lies that are evidence ---------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
def test_a_fork_is_refused_kept_and_alarmed_once(restarted: bool) -> None:
    """Two roots for one size, both signed: also where we were started anew between the two."""

    async def story(stage: Stage) -> None:
        first = await stage.submit()
        await stage.until(lambda: stage.state(first[0]) == "accepted")
        if restarted:
            await stage.sender.stop()
            await stage.sender.start()
        size = stage.liar.size
        forked = _changed(checkpoint=stage.liar.author.checkpoint(size, b"another history"))
        stage.liar.lies = [forked] * 5
        [jti] = await stage.submit()
        await stage.until(lambda: len(stage.liar.lies) == 4)
        await asyncio.sleep(600)
        assert (stage.state(jti), len(stage.liar.lies)) == ("queued", 4)  # nothing goes to it until an operator acts
        assert stage.sender.look("SELECT state FROM partners") == [("suspended",)]

    stage = play(story, drained=False)
    assert [o for o in stage.logged("audit.alarm") if o.startswith("fork")] == ["fork 11 11"]
    true, forked = (stage.liar.author.checkpoint(11, fill).split("\n")[2] for fill in (b"leaf", b"another history"))
    with closing(sqlite3.connect(stage.sender.home / "data" / "gateway.db")) as db:
        held = "\n".join(db.iterdump())
    assert true in held
    assert forked in held


def test_two_verified_answers_that_contradict_are_both_kept_and_alarmed() -> None:
    """Law 3: the first stands, the second is marked and on record, nothing is overwritten."""

    async def story(stage: Stage) -> None:
        [jti] = await stage.submit()
        await stage.until(lambda: stage.state(jti) == "accepted")
        digest = stage.liar.posts[0].digests[0]
        other = stage.liar.author.outcome(digest, "rejected", problem="not-agreed", jti=jti)
        await stage.sender.gateway.settler.record(KH, [(jti, other)], eid=None, receipt=None, fence=1)
        assert stage.state(jti) == "accepted"

    stage = play(story)
    assert "contradiction accepted rejected" in stage.logged("audit.alarm")
    assert stage.sender.look("SELECT contradicted FROM outbox") == [(1,)]


def test_an_answer_to_a_lost_attempt_is_a_fact_after_a_cancellation() -> None:
    """Cancelled while its outcome was unknown: the partner is asked first, and what it took stays taken."""

    async def story(stage: Stage) -> None:
        def lost(_liar: Liar, _envelope: OpenedEnvelope) -> Reply:
            raise TransportError("no answer in time")

        stage.liar.lies = [lost]
        [jti] = await stage.submit()
        await stage.until(lambda: stage.state(jti) == "queued" and bool(stage.liar.posts))
        digest = stage.liar.posts[0].digests[0]
        stage.liar.about = lambda asked: stage.liar.said(None, [stage.liar.author.outcome(digest, jti=asked)])
        await stage.sender.gateway.operator.perform(Step.CANCEL, jti, LOCAL_OPERATOR, "no-longer-needed")
        assert stage.state(jti) == "cancelled"
        await stage.until(lambda: stage.state(jti) == "accepted")
        assert stage.sender.look(f"SELECT receipt IS NOT NULL FROM envelopes WHERE eid = '{jti}.receipt'") == [(1,)]  # noqa: S608 - a value of our own

    stage = play(story)
    assert len(stage.liar.posts) == 1


LEAVES = [merkle.leaf_hash(b"leaf%d" % at) for at in range(10)]
BENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a proof of another leaf": (
        {"leaf": 3, "entry": b"leaf3", "proof": tuple(merkle.inclusion_path(LEAVES, 4))}, {},
    ),
    "a proof in another tree": ({"leaf": 3, "entry": b"leaf3", "proof": (bytes(32),) * 4}, {}),
    "another message": ({"jti": OTHER}, {}),
    "another event": ({"event": bytes(32)}, {}),
    "an older checkpoint": ({}, {"checkpoint": 5}),
    "another party": ({}, {"aud": "vn.bca"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BENT)
def test_a_bent_answer_about_one_message_ends_nothing(name: str) -> None:
    """Asked whether it took a message given up, the partner answers what cannot be: it is asked again, and believed."""

    async def story(stage: Stage) -> None:
        def lost(_liar: Liar, _envelope: OpenedEnvelope) -> Reply:
            raise TransportError("no answer in time")

        first = await stage.submit()
        await stage.until(lambda: stage.state(first[0]) == "accepted")
        stage.liar.size, stage.liar.lies = 10, [lost]
        stage.sender.gateway.contacts._heads.clear()
        await stage.sender.gateway.store.write(
            lambda tx: tx.parties.set_checkpoint_seen(KH, stage.liar.author.checkpoint(10), 10)
        )
        [jti] = await stage.submit()
        await stage.until(lambda: stage.state(jti) == "queued" and len(stage.liar.posts) == 2)
        digest, (outcome, receipt) = stage.liar.posts[1].digests[0], BENT[name]
        if "checkpoint" in receipt:
            receipt = {"checkpoint": stage.liar.author.checkpoint(receipt["checkpoint"])}
        asked: list[str] = []

        def bent(about: MessageId) -> Reply:
            asked.append(about)
            return stage.liar.said(None, [stage.liar.author.outcome(digest, **{"jti": about} | outcome)], **receipt)

        stage.liar.about = bent
        await stage.sender.gateway.operator.perform(Step.CANCEL, jti, LOCAL_OPERATOR, "no-longer-needed")
        await stage.until(lambda: bool(asked))
        await asyncio.sleep(30)
        assert stage.state(jti) == "cancelled"
        if name != "another event":  # signed under this question, so that it is an answer: it never took ours
            assert stage.sender.look("SELECT void FROM outbox ORDER BY id")[1] == ("due",)
        true = tuple(merkle.inclusion_path(LEAVES, 3))
        stage.liar.about = lambda about: stage.liar.said(
            None, [stage.liar.author.outcome(digest, jti=about, leaf=3, entry=b"leaf3", proof=true)]
        )
        await stage.until(lambda: not stage.sender.open_count())
        assert stage.state(jti) == ("cancelled" if name == "another event" else "accepted")

    play(story)


def test_a_partner_that_will_not_say_what_it_took_delays_nobody() -> None:
    """A hundred given-up messages it does not answer for, and one that can go: that one goes at once."""

    async def story(stage: Stage) -> None:
        def lost(_liar: Liar, _envelope: OpenedEnvelope) -> Reply:
            raise TransportError("no answer in time")

        def mute(_jti: MessageId) -> Reply:
            raise TransportError("no answer in time")

        stage.liar.lies, stage.liar.about = [lost], mute
        jtis = await stage.submit(50)
        await stage.until(lambda: bool(stage.liar.posts) and all(stage.state(jti) == "queued" for jti in jtis))
        for jti in jtis:
            if stage.state(jti) == "queued":
                await stage.sender.gateway.operator.perform(Step.CANCEL, jti, LOCAL_OPERATOR)
        asked = asyncio.get_running_loop().time()
        [urgent] = await stage.submit(urgency="FLASH")
        await stage.until(lambda: stage.state(urgent) == "accepted")
        assert asyncio.get_running_loop().time() - asked < 5
        stage.liar.about = stage.liar.unknown
        await stage.until(lambda: not stage.sender.open_count())

    stage = play(story)
    assert stage.sender.look("SELECT count(*) FROM outbox WHERE void = 'told'")[0][0] >= 40


# --- storms and pauses ---------------------------------------------------------------------


def test_a_storm_of_deferrals_is_backed_off_and_outlived() -> None:
    """Whatever wait it names, an hour is the most that counts."""

    async def story(stage: Stage) -> None:
        def deferred(liar: Liar, envelope: OpenedEnvelope) -> Reply:
            wait = 10**9 if len(liar.posts) % 5 == 0 else None
            said = {"problem": "clock-skew", "retry_after_s": wait}
            return liar.said(envelope, [liar.author.outcome(d, "deferred", **said) for d in envelope.digests])

        stage.liar.lies = [deferred] * 20
        [jti] = await stage.submit(urgency="FLASH")
        await stage.until(lambda: stage.state(jti) == "accepted", within_s=DAY_MS / 1000)

    stage = play(story)
    gaps = [later - earlier for earlier, later in zip(stage.liar.times, stage.liar.times[1:], strict=False)]
    assert len(gaps) == 20
    assert max(gaps) <= 3601
    assert sum(sorted(gaps)[:16]) < 16 * 31


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_asked_for_is_kept_and_bounded(status: int) -> None:
    """Retry-After of thirty years: an hour; and a verified contact ends it sooner."""

    async def story(stage: Stage) -> None:
        stage.liar.lies = [lambda _l, _e: Reply(status, "application/problem+json", b"{}", 10**9)]
        [jti] = await stage.submit(urgency="FLASH")
        await stage.until(lambda: stage.state(jti) == "accepted")
        assert 3599 < stage.liar.times[1] - stage.liar.times[0] < 3602
        stage.liar.lies = [lambda _l, _e: Reply(status, "application/problem+json", b"{}", 10**9)]
        [jti] = await stage.submit(urgency="FLASH")
        await stage.until(lambda: stage.state(jti) == "queued" and len(stage.liar.posts) == 3)
        await asyncio.sleep(10)
        await stage.sender.gateway.contacts.heard(KH)
        await stage.until(lambda: stage.state(jti) == "accepted", within_s=2)

    play(story)


@pytest.mark.parametrize("hangs_s", [0.0, 30.0])
def test_a_partner_that_is_down_is_probed_each_minute_by_one_message(hangs_s: float) -> None:
    """However much waits and however long a probe takes to fail; once it is back everything goes within moments."""

    async def story(stage: Stage) -> None:
        def away(_liar: Liar, _envelope: OpenedEnvelope) -> Reply:
            raise TransportError("no connection")

        stage.liar.up, stage.liar.hangs_s = False, hangs_s
        stage.liar.lies = [away] * 10_000
        # Their own ceiling is 15 minutes: it is the probes that are looked at.
        await stage.sender.submit(*[example("case.referral/site-without-names") | {"urgency": "ROUTINE"}] * 30)
        await asyncio.sleep(7200)
        stage.liar.lies, stage.liar.up = [], True
        back = asyncio.get_running_loop().time()
        await stage.until(lambda: not stage.sender.open_count())
        assert asyncio.get_running_loop().time() - back < 61

    stage = play(story)
    gaps = [later - earlier for earlier, later in pairwise(stage.liar.knocks)]
    assert 7200 / 60 < len(gaps) < 7200
    assert max(gaps) <= 60
    assert all(len(envelope.events) == 1 for envelope in stage.liar.posts[5:-2])


def test_an_hour_with_a_held_message_costs_nothing() -> None:
    """What waits behind it is not looked at again and again: a lane that spins would starve the process."""

    async def story(stage: Stage) -> None:
        stage.liar.lies = [
            lambda liar, sent: liar.said(
                sent, [liar.author.outcome(d, "deferred", problem="x", retry_after_s=60) for d in sent.digests]
            )
        ]
        first = (await stage.sender.submit(example("case.referral/s1-sumarni")))[0]
        await stage.until(lambda: stage.state(first.jti) == "queued" and bool(stage.liar.posts))
        await stage.sender.gateway.operator.perform(Step.HOLD, first.jti, LOCAL_OPERATOR)
        follower = example("info.request/s7-crossing-history") | {"case": first.case, "recipient": KH}
        follower["handling"] = example("case.referral/s1-sumarni")["handling"]
        accepted = await stage.sender.submit(follower)
        await asyncio.sleep(1)
        stage.sender.arm()
        await asyncio.sleep(3600)
        rounds = stage.sender.steps.count("begin")
        assert rounds < 3600 / 5 * 3, rounds
        assert stage.state(accepted[0].jti) == "queued"
        await stage.sender.gateway.operator.perform(Step.RELEASE, first.jti, LOCAL_OPERATOR)
        await stage.until(lambda: stage.state(accepted[0].jti) == "accepted")
        assert stage.state(first.jti) == "accepted"

    play(story)


def test_a_clock_that_was_years_ahead_delays_nothing_once_it_is_right() -> None:
    """What it planned lies years away: put back, the message goes at once."""

    async def story(stage: Stage) -> None:
        def away(_liar: Liar, _envelope: OpenedEnvelope) -> Reply:
            raise TransportError("no connection")

        stage.sender.skew_ms = 10 * DAY_MS
        stage.liar.lies = [away] * 3
        [jti] = await stage.submit(urgency="FLASH")
        await stage.until(lambda: len(stage.liar.posts) == 3)
        stage.sender.skew_ms = 0
        await stage.until(lambda: stage.state(jti) == "accepted", within_s=120)

    play(story)


# --- cards ---------------------------------------------------------------------


def rewritten(author: Author, card: Card, signer: Any = None, **changes: Any) -> Card:
    """Sign another card of the liar."""
    said = {part.name: getattr(card, part.name) for part in fields(CardDraft)}
    return sign_card(CardDraft(**{**said, **changes}), signer or author.keys.root_signer())


def _with_fresh_keys(author: Author) -> tuple[SigningPair, tuple[CardKey, ...]]:
    pair = SigningPair(os.urandom(32), os.urandom(32))
    kept = [key for key in author.card.keys if key.alg == "HPKE-9-KE"]
    made = [
        make_key({**jwk, "alg": alg, "use": "sig", "kid": kid}, nbf_ms=author.clock() - 1000,
                 exp_ms=author.clock() + DAY_MS, status="active")
        for jwk, alg, kid in zip(pair.public_jwks(), ("Ed25519", "ML-DSA-65"), pair.kids, strict=True)
    ]  # fmt: skip
    return pair, (*made, *kept)


def test_a_rotated_key_is_learned_from_the_card_and_the_receipt_believed() -> None:
    """Signed with a `kid` that is not held: the card is fetched once, and in force when it is newer."""

    async def story(stage: Stage) -> None:
        pair, keys = _with_fresh_keys(stage.liar.author)
        stage.liar.card = rewritten(stage.liar.author, stage.liar.card, version=stage.liar.card.version + 1, keys=keys)
        stage.liar.lies = [_changed(signer=pair)]
        [jti] = await stage.submit()
        await stage.until(lambda: stage.state(jti) == "accepted")
        assert stage.liar.cards_asked == 1
        assert len(stage.liar.posts) == 1

    play(story)


@pytest.mark.parametrize("what", ["roots", "older", "twin"])
def test_a_card_that_may_not_replace_the_pinned_one_does_not(what: str) -> None:
    """Other roots, an older version, the same version with other words: the message waits, evidence is kept."""

    async def story(stage: Stage) -> None:
        author, card = stage.liar.author, stage.liar.card
        pair, keys = _with_fresh_keys(author)
        changes: dict[str, Any] = {"keys": keys}
        roots = None
        if what == "roots":
            roots = SigningPair(os.urandom(32), os.urandom(32))
            changes |= {"version": card.version + 1, "roots": roots.public_jwks()}
        elif what == "older":
            changes["version"] = 0 if card.version == 1 else card.version - 1
            stage.liar.card = rewritten(author, card, version=card.version + 5)
            assert await stage.sender.gateway.contacts.take_card(KH, stage.liar.card)
        stage.liar.card = rewritten(
            author, card, roots, **{**changes, "version": max(1, changes.get("version", card.version))}
        )
        stage.liar.lies = [_changed(signer=pair)] * 3
        [jti] = await stage.submit()
        await stage.until(lambda: not stage.liar.lies)
        await stage.until(lambda: stage.state(jti) == "accepted")  # under the old key, which still counts
        assert len(stage.liar.posts) == 4

    stage = play(story)
    disputed = [o for o in stage.logged("audit.alarm") if o.startswith("card disputed")]
    assert len(disputed) == (1 if what == "twin" else 0)
    assert stage.sender.look("SELECT count(*) FROM cards WHERE disputed = 1") == [(len(disputed),)]


def test_a_partner_that_no_longer_knows_our_key_is_given_its_card_once_a_minute() -> None:
    """`unknown-key` again and again is no reason to ask more often."""

    async def story(stage: Stage) -> None:
        body = orjson.dumps({"type": "urn:bcx:problem:unknown-key"})
        stage.liar.lies = [lambda _l, _e: Reply(400, "application/problem+json", body, None)] * 12
        [jti] = await stage.submit(urgency="FLASH")
        await stage.until(lambda: stage.state(jti) == "accepted")

    stage = play(story)
    span = stage.liar.times[-1] - stage.liar.times[0]
    assert stage.liar.cards_asked <= span / 60 + 1
