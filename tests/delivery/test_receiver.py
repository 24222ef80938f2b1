"""What the receiver answers, step by step in the order of protocol.md §4.4 (5)-(12), over a real store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.errors import StorageUnavailable
from gateway.ledger import entry, note
from gateway.ports.common import Actor
from gateway.primitives import merkle, strictjson
from gateway.protocol import jws
from gateway.protocol.event import build_event, parse_event
from gateway.protocol.ids import MessageId, PartyId, make_case_ref
from gateway.protocol.void import Void
from gateway.registry.subject import load_schema
from tests.delivery.conftest import Desk
from tests.support.hostile import DAY_MS, SCHEMAS, filled
from tests.support.link import ID
from tests.support.pair import event_of

if TYPE_CHECKING:
    from gateway.protocol.receipt import Outcome

HOUR_MS = 3_600_000


def said(outcome: Outcome) -> str:
    """Return status and problem in one word each."""
    return outcome.status if outcome.problem is None else f"{outcome.status} {outcome.problem}"


def altered(event: bytes, **members: Any) -> bytes:
    """Return an event with other members; None removes one."""
    found = {**orjson.loads(event), **members}
    return orjson.dumps({name: value for name, value in found.items() if value is not None})


def jti_of(event: bytes) -> MessageId:
    """Return the id of an event."""
    return parse_event(event).id


# --- (5), (6) ---------------------------------------------------------------------------------------------


async def test_an_accepted_message_is_stored_numbered_and_logged(desk: Desk) -> None:
    """One accepted leaf, the body as received, the stream one further."""
    event = desk.author.event()
    receipt = await desk.send(event)
    [outcome] = receipt.outcomes
    assert said(outcome) == "accepted"
    assert receipt.stream_high == 1
    assert await event_of(desk.gateway, jti_of(event)) == event


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"time": "2026-11-24"}, "rejected malformed-event"),
        ({"source": "urn:bcx:party:vn.bca"}, "rejected source-mismatch"),
        ({"recipient": "vn.bca"}, "rejected wrong-recipient"),
        ({"environment": "prod"}, "rejected wrong-recipient"),
    ],
)
async def test_what_is_not_from_its_sender_or_for_us_holds_no_number(
    desk: Desk, change: dict[str, Any], expected: str
) -> None:
    """Its numbers stay free for a message that is: else a stranger's mistake would block a stream."""
    event = desk.author.event()
    assert said(await desk.outcome(altered(event, **change))) == expected
    assert said(await desk.outcome(event)) == "accepted"


# --- (7) --------------------------------------------------------------------------------------------------


async def test_taken_ids_and_numbers_are_a_conflict_and_an_alarm(desk: Desk) -> None:
    """By id, by stream number, by place in the case: each alone is enough."""
    first = parse_event(desk.author.event())
    assert said(await desk.outcome(_built(first))) == "accepted"
    fresh = parse_event(desk.author.event())
    clashes = [
        replace(fresh, id=first.id),
        replace(fresh, stream_seq=first.stream_seq),
        replace(fresh, case=first.case, case_seq=first.case_seq),
    ]
    for clash in clashes:
        assert said(await desk.outcome(_built(clash))) == "rejected conflict"
    alarms = await desk.gateway.queries.entries(typ="audit.alarm", limit=10)
    assert [row["outcome"] for row in alarms] == ["conflict"] * 3
    assert said(await desk.outcome(_built(fresh))) == "accepted"


async def test_a_conflict_within_one_envelope_is_seen(desk: Desk) -> None:
    """The second of two takes nothing from the first."""
    first = parse_event(desk.author.event())
    other = replace(parse_event(desk.author.event()), stream_seq=first.stream_seq)
    found = await desk.outcomes(_built(first), _built(other))
    assert [said(o) for o in found] == ["accepted", "rejected conflict"]


def _built(event: Any, name: str = "case.referral/s1-sumarni") -> bytes:
    return build_event(event, orjson.dumps(filled(name)))


async def test_two_partners_never_collide(desk: Desk) -> None:
    """Another sender with the same id and numbers is another message."""
    event = parse_event(desk.author.event())
    assert said(await desk.outcome(_built(event))) == "accepted"
    other = PartyId("vn.bca")
    taken = await desk.gateway.store.write(
        lambda tx: (
            tx.inbox.taken(other, jtis=[event.id], stream_seqs=[1], cases=[(event.case or "", 1)]),
            tx.inbox.by_jti(other, event.id),
            tx.inbox.raise_stream_high(other),
        )
    )
    assert taken == ([], None, 0)


# --- voids ------------------------------------------------------------------------------------------------


async def test_a_void_accounts_for_numbers_and_shuts_out_their_message(desk: Desk) -> None:
    """The stream closes over them; the message itself, should it come after all, is refused for good."""
    late = desk.author.event()
    event = parse_event(late)
    void = desk.author.void(Void(event.stream_seq, event.id, "cancelled", event.case, event.case_seq))
    receipt = await desk.send(void)
    assert said(receipt.outcomes[0]) == "accepted"
    assert receipt.stream_high == 2
    outcome = await desk.outcome(late)
    assert said(outcome) == "rejected voided"
    assert await desk.outcome(late) == outcome


async def test_a_void_undoes_nothing_that_was_accepted(desk: Desk) -> None:
    """The message stays, whatever its sender says later."""
    event = desk.author.event()
    accepted = await desk.outcome(event)
    read = parse_event(event)
    assert said(await desk.outcome(desk.author.void(Void(read.stream_seq, read.id, "cancelled")))) == "accepted"
    assert await desk.outcome(event) == accepted
    assert await event_of(desk.gateway, read.id) == event


async def test_a_void_of_a_message_whose_id_is_held_by_another_still_closes_the_gap(desk: Desk) -> None:
    """Else a stream with one conflict in it would have a gap for ever."""
    first = parse_event(desk.author.event())
    twin = replace(parse_event(desk.author.event()), id=first.id, case=first.case, case_seq=first.case_seq)
    found = await desk.outcomes(_built(first), _built(twin))
    assert [said(o) for o in found] == ["accepted", "rejected conflict"]
    void = desk.author.void(Void(twin.stream_seq, twin.id, "rejected", twin.case, twin.case_seq))
    receipt = await desk.send(void)
    assert receipt.stream_high == 3


# --- (8) --------------------------------------------------------------------------------------------------


async def test_a_message_from_the_future_is_deferred_and_takes_its_case_with_it(desk: Desk) -> None:
    """Nothing is stored of either; once the clocks agree both are taken."""
    case = desk.author.new_case()
    ahead = desk.author.event(case=case, time_ms=desk.now + 200_000, expiry_ms=desk.now + DAY_MS)
    follower = desk.author.event("case.referral/s1-sumarni", case=case, case_seq=2)
    neighbour = desk.author.event()
    size = await desk.size()
    found = await desk.outcomes(ahead, follower, neighbour)
    assert [said(o) for o in found] == ["deferred clock-skew", "deferred clock-skew", "accepted"]
    assert found[0].retry_after_s == 80
    assert all(o.leaf is None for o in found[:2])
    assert await desk.size() == size + 2  # the neighbour, and the alarm
    desk.now += 100_000
    first, _ = await desk.outcomes(ahead, follower)
    assert first.status == "accepted"


async def test_a_wrong_clock_is_an_alarm_once_an_hour(desk: Desk) -> None:
    """Of the two clocks nobody knows which is wrong: people must look, and the log must not grow by it."""

    async def alarms() -> list[tuple[str, str]]:
        rows = await desk.gateway.queries.entries(typ="audit.alarm", limit=10)
        return [(row["actor"], row["outcome"]) for row in rows]

    ahead = desk.author.event(time_ms=desk.now + 5 * HOUR_MS, expiry_ms=desk.now + DAY_MS)
    late = desk.author.event(time_ms=desk.now - DAY_MS, expiry_ms=desk.now - 1000)
    await desk.outcomes(ahead)
    await desk.outcomes(late, iat_ms=desk.now - HOUR_MS)
    assert await alarms() == [("id.imigrasi", "clock-skew")]
    desk.now += HOUR_MS
    await desk.outcomes(ahead)
    assert await alarms() == [("id.imigrasi", "clock-skew")] * 2
    desk.now += 9 * HOUR_MS
    await desk.outcomes(ahead)
    assert len(await alarms()) == 2


async def test_a_follower_is_deferred_even_where_it_could_be_refused(desk: Desk) -> None:
    """An update to a case whose opening is deferred is no stranger's: refusing it would be for ever."""
    case = desk.author.new_case()
    ahead = desk.author.event(case=case, time_ms=desk.now + 200_000, expiry_ms=desk.now + DAY_MS)
    update = desk.author.event("case.update/s1-accepted", case=case, case_seq=2)
    broken = desk.author.event("case.update/s1-accepted", case=case, case_seq=3, data={})
    found = await desk.outcomes(ahead, update, broken)
    assert [o.status for o in found] == ["deferred"] * 3


async def test_an_expired_message_is_refused_unless_our_clock_may_be_wrong(desk: Desk) -> None:
    """Sealed in time by the sender's clock and here at once: then the clock is judged, not the message."""
    event = desk.author.event(time_ms=desk.now - 2 * DAY_MS, expiry_ms=desk.now - 1000)
    assert said(await desk.outcome(event, iat_ms=desk.now - DAY_MS)) == "deferred clock-skew"
    assert said(await desk.outcome(event)) == "rejected expired"
    assert said(await desk.outcome(event, iat_ms=desk.now - DAY_MS)) == "rejected expired"


# --- (9), (10), (11) ----------------------------------------------------------------------------------------


async def test_what_the_agreement_does_not_allow_is_refused_before_its_schema_is_read(desk: Desk) -> None:
    """A case of another State, or none at all: a stranger must not write into files that are not its own."""
    foreign = make_case_ref("KH", 2031, 7)
    assert said(await desk.outcome(desk.author.event(case=foreign))) == "rejected not-agreed"
    unknown = desk.author.event("case.update/s1-accepted", case=desk.author.new_case(), data={})
    assert said(await desk.outcome(unknown)) == "rejected not-agreed"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": "9.9.9"}, "rejected unknown-schema"),
        ({"schema_digest": bytes(32)}, "rejected unknown-schema"),
        ({"subject": "weather.report"}, "rejected not-agreed"),
        ({"schema_version": "1.1.0"}, "rejected unknown-schema"),
    ],
    ids=["version", "digest", "type", "held and not approved"],
)
async def test_an_unknown_schema_is_refused(desk: Desk, change: dict[str, Any], expected: str) -> None:
    """By version, by digest, by name, by our approval: nothing is judged by rules we do not hold."""
    document = orjson.loads((SCHEMAS / "case.referral" / "1.0.0.json").read_bytes())
    document["$id"] = "urn:bcx:schema:case.referral:1.1.0"
    newer = load_schema(orjson.dumps(document))
    await desk.gateway.registrar.register([newer], Actor("local", "operator"), approve=False)
    if change.get("schema_version") == "1.1.0":
        change = change | {"schema_digest": newer.digest}
    assert said(await desk.outcome(desk.author.event(**change))) == expected


async def test_invalid_data_is_named_by_pointer_and_never_by_value(desk: Desk) -> None:
    """The receipt says where; what stood there stays out of it, and out of the log."""
    data = filled("case.referral/s1-sumarni")
    data["persons"][0]["role"] = "Kanarienvogel"
    data["iccs"] = 4711
    letter = desk.author.letter(desk.author.event(data=data))
    raw = (await desk.post(letter)).body
    [outcome] = desk.author.read(raw, letter).outcomes
    assert said(outcome) == "rejected schema-invalid"
    assert {"/data/persons/0/role", "/data/iccs"} <= {f.pointer for f in outcome.errors}

    text = jws.peek_payload(raw)
    assert strictjson.loads(text)
    assert b"Kanarienvogel" not in text
    assert b"4711" not in text


async def test_an_illegal_move_of_the_case_is_refused_by_policy(desk: Desk) -> None:
    """E-STATE: the opener cannot accept its own referral; the case stays as it was."""
    case = desk.author.new_case()
    assert said(await desk.outcome(desk.author.event(case=case))) == "accepted"
    before = await desk.gateway.queries.case(case)
    outcome = await desk.outcome(desk.author.event("case.update/s1-accepted", case=case, case_seq=2))
    assert said(outcome) == "rejected policy-refused"
    assert "E-STATE" in {f.code for f in outcome.errors}
    assert await desk.gateway.queries.case(case) == before


# --- law 2 --------------------------------------------------------------------------------------------------


async def test_a_repeat_gets_the_stored_answer_and_no_entry(desk: Desk) -> None:
    """In one envelope, in another one, together with others, thirty days later and after it expired."""
    good, bad = desk.author.event(), desk.author.event(data={})
    first = await desk.outcomes(good, bad, good)
    assert [said(o) for o in first] == ["accepted", "rejected schema-invalid", "accepted"]
    assert first[0] == first[2]
    size = await desk.size()
    desk.now += 30 * DAY_MS
    again = await desk.outcomes(bad, good)
    assert again == [first[1], first[0]]
    assert await desk.size() == size


async def test_a_replayed_envelope_changes_nothing(desk: Desk) -> None:
    """The very same bytes, five times."""
    letter = desk.author.letter(desk.author.event(), desk.author.event())
    first = desk.author.read((await desk.post(letter)).body, letter).outcomes
    size = await desk.size()
    for _ in range(5):
        assert desk.author.read((await desk.post(letter)).body, letter).outcomes == first
    assert await desk.size() == size


async def test_a_malformed_message_gets_the_same_answer_again(desk: Desk) -> None:
    """Id and all, though it holds no number."""
    event = altered(desk.author.event(), urgency="SOON")
    first = await desk.outcome(event)
    assert first.jti is not None
    assert await desk.outcome(event) == first


async def test_one_envelope_id_used_twice_keeps_both_manifests(desk: Desk) -> None:
    """Who chooses the id must not be able to make evidence against itself disappear."""
    letters = [desk.author.letter(desk.author.event(), eid="01990000-0000-7000-8000-0000000000e1") for _ in range(2)]
    for letter in letters:
        await desk.post(letter)
    held = await desk.gateway.store.write(
        lambda tx: tx.envelopes._run(
            "SELECT e.manifest FROM inbox i JOIN envelopes e ON e.eid = i.eid ORDER BY i.id"
        ).fetchall()
    )
    assert [row[0] for row in held] == [letter.sealed.manifest for letter in letters]


# --- what can be asked afterwards -----------------------------------------------------------------------------


@pytest.mark.parametrize("rejected", [False, True])
async def test_the_question_about_one_message_is_answered_with_its_entry_and_proof(desk: Desk, rejected: bool) -> None:
    """Even at once, before the next checkpoint was due; the proof leads to the root in the same answer."""
    event = desk.author.event(data={} if rejected else None)
    outcome = await desk.outcome(event)
    raw = await desk.gateway.receiver.answer_again(ID, jti_of(event))
    receipt = desk.author.read(raw, None)
    [again] = receipt.outcomes
    assert (again.status, again.leaf, again.event, again.errors) == (
        outcome.status, outcome.leaf, outcome.event, outcome.errors,
    )  # fmt: skip
    head = note.open_checkpoint(receipt.checkpoint, [note.NoteKey.parse(desk.author.partner_card.log_vkey)])
    assert again.entry is not None
    assert again.proof is not None
    assert again.leaf is not None
    leaf = merkle.leaf_hash(again.entry)
    assert merkle.verify_inclusion(leaf, again.leaf, head.size, list(again.proof), head.root)
    assert entry.parse(again.entry).event == outcome.event


async def test_a_message_never_seen_is_unknown(desk: Desk) -> None:
    """And so is one of another party."""
    raw = await desk.gateway.receiver.answer_again(ID, jti_of(desk.author.event()))
    [outcome] = desk.author.read(raw, None).outcomes
    assert (outcome.status, outcome.event) == ("unknown", None)


async def test_the_stream_shows_what_is_held_by_number(desk: Desk) -> None:
    """Accepted, rejected and voided; a number not seen is absent, and the high mark stops before it."""
    accepted, rejected, lost = desk.author.event(), desk.author.event(data={}), desk.author.event()
    gone = parse_event(desk.author.event())
    void = desk.author.void(Void(gone.stream_seq, gone.id, "expired"))
    receipt = await desk.send(accepted, rejected, void)
    assert receipt.stream_high == 2
    items = await desk.gateway.store.write(lambda tx: tx.inbox.stream(ID, 1, 100))
    assert [(item.stream_seq, item.status) for item in items] == [
        (1, "accepted"), (2, "rejected"), (4, "voided"), (5, "accepted"),
    ]  # fmt: skip
    assert (await desk.send(lost)).stream_high == 5


async def test_a_message_that_breaks_a_validator_is_deferred_alone(desk: Desk) -> None:
    """Its neighbours go on: the poison is the message's, not the envelope's."""
    rules = desk.gateway.rules

    class Poisoned:
        """A validator with a bug that one message meets."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def is_valid(self, data: Any) -> bool:
            if data.get("summary") == "poison":
                raise RecursionError
            return bool(self._inner.is_valid(data))

    good = desk.author.event()
    schema = rules.catalogue.held(parse_event(good))
    key = (schema.subject, schema.version)
    rules.catalogue._validators[key] = Poisoned(rules.catalogue.validator(schema))  # type: ignore[assignment]
    bad = desk.author.event(data={**filled("case.referral/s1-sumarni"), "summary": "poison"})
    found = await desk.outcomes(bad, good)
    assert [said(o) for o in found] == ["deferred local-fault", "accepted"]


async def test_an_envelope_is_put_off_while_there_is_no_room_for_it(desk: Desk) -> None:
    """503 and no receipt: the sender comes again, and nothing was taken of it."""
    event, size = desk.author.event(), await desk.size()
    room = desk.gateway.room
    most, room._wal_most = room._wal_most, -1
    with pytest.raises(StorageUnavailable, match="nothing was accepted"):
        await desk.outcome(event)
    room._wal_most = most
    assert await desk.size() == size
    assert said(await desk.outcome(event)) == "accepted"


async def test_nothing_is_judged_by_a_clock_in_doubt_that_the_sender_contradicts() -> None:
    """A start by a clock weeks ahead: what would be expired or not agreed by it is deferred, whatever it is."""
    desk = Desk()
    right = desk.now
    event = desk.author.event()
    desk.now += 20 * DAY_MS
    async with desk.open(elapsed=lambda: 0):
        assert desk.gateway.clock.doubt == "start"
        assert said(await desk.outcome(event, iat_ms=right)) == "deferred clock-skew"
        assert said(await desk.outcome(event, iat_ms=desk.now)) == "rejected expired"
