"""The verifier: what it proves, and that no fault hides another."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from gateway.evidence import files as f
from gateway.evidence.bundle import write_bundle
from gateway.evidence.container import write
from gateway.evidence.findings import (
    CARDS,
    CONTAINER,
    EVENT,
    LIST,
    LOG,
    MANIFEST,
    OWN_LOG,
    PAGES,
    RECEIPT,
    SCHEMA,
    STEPS,
    WITNESS,
)
from gateway.evidence.parts import CardPart
from gateway.evidence.verify import Verdict, verify_bundle
from gateway.protocol.ids import PartyId
from tests.evidence.story import DAY_MS, JTI, START_MS, Party, Story, again, files_of, unsent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.evidence.parts import Parts

STORY = Story()


@cache
def bundle() -> bytes:
    """Return the true one."""
    return write_bundle(STORY.parts())


def judged(raw: bytes, *, fingerprints: list[str] | None = None) -> Verdict:
    """Verify under the true fingerprints."""
    return verify_bundle(raw, fingerprints=STORY.fingerprints if fingerprints is None else fingerprints)


def steps(verdict: Verdict) -> set[int]:
    """Return the steps with a fault."""
    return {fault.step for fault in verdict.faults}


def test_a_true_bundle_is_proved() -> None:
    """Every step is done, nothing is wrong, and what holds is said in words."""
    verdict = judged(bundle())
    assert verdict.faults == ()
    assert verdict.steps == set(STEPS)
    assert verdict.trusted == ("id.imigrasi", "kh.gdi")
    assert verdict.gaps == ()
    said = "\n".join(verdict.proves)
    for part in (
        "id.imigrasi signed message",
        "kh.gdi accepted it",
        "entry 4",
        "id.imigrasi/bcx/witness/1 saw that log",
    ):
        assert part in said


def test_a_refusal_is_proved_too() -> None:
    """Rejected is as final as accepted, with its reason."""
    story = Story()
    story.status, story.problem = "rejected", "schema-invalid"
    verdict = judged(write_bundle(story.parts()))
    assert verdict.faults == ()
    assert "kh.gdi rejected it (schema-invalid) and signed that" in verdict.proves


def test_an_answer_asked_for_later_is_as_good() -> None:
    """A receipt about one message alone names no envelope."""
    story = Story()
    story.answer_alone = True
    assert judged(write_bundle(story.parts())).faults == ()


def test_without_fingerprints_it_is_trusted_by_nobody() -> None:
    """The rest is checked all the same."""
    verdict = judged(bundle(), fingerprints=[])
    [fault] = verdict.faults
    assert fault.step == CARDS
    assert "trusted by nobody" in fault.what
    assert verdict.steps == set(STEPS)
    assert not verdict.ok


def test_a_wrong_fingerprint_names_the_party() -> None:
    """One is right, the other is not; the right one, and what it means, is said."""
    verdict = judged(bundle(), fingerprints=[STORY.fingerprints[0], "12345 " * 8])
    [fault] = verdict.faults
    assert "kh.gdi" in fault.what
    assert STORY.fingerprints[1] in fault.what
    assert verdict.trusted == ("id.imigrasi",)
    assert verdict.proves == ()


def test_fingerprints_may_be_spaced_as_one_likes() -> None:
    """Read from paper, with dashes or without blanks."""
    spaced = [STORY.fingerprints[0].replace(" ", "-"), STORY.fingerprints[1].replace(" ", "")]
    assert judged(bundle(), fingerprints=spaced).ok


def test_it_takes_no_time() -> None:
    """Well below the two seconds a bundle may take."""
    started = time.perf_counter()
    judged(bundle())
    assert time.perf_counter() - started < 2


def test_the_largest_takes_no_longer() -> None:
    """An event of 10 MiB, the most there is, and the cards of years: two seconds of the processor at most."""
    story = Story(cards=False, more={"persons": [{"name": "x" * 140, "number": at} for at in range(62_000)]})
    for version in range(1, 13):
        story.id.card(version, issued=START_MS - DAY_MS + version)
        story.kh.card(version, issued=START_MS - DAY_MS + version)
    raw = write_bundle(story.parts())
    assert len(raw) > 10 * 1024 * 1024
    started = time.process_time()
    assert verify_bundle(raw, fingerprints=story.fingerprints).faults == ()
    assert time.process_time() - started < 2


# --- one byte -------------------------------------------------------------------------------------


def flipped(raw: bytes, at: int) -> bytes:
    """Change one bit."""
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def test_any_flipped_byte_is_found() -> None:
    """Every 97th byte of a bundle, whichever file or header it lies in; the long run takes every byte."""
    raw = bundle()
    assert [at for at in range(0, len(raw), 97) if judged(flipped(raw, at)).ok] == []


@pytest.mark.parametrize("path", sorted(files_of(bundle())))
def test_a_changed_file_is_named(path: str) -> None:
    """One byte in the middle of each file: the fault names that file."""
    held = files_of(bundle())
    held[path] = flipped(held[path], len(held[path]) // 2)
    verdict = judged(write(held.items()))
    assert path in {fault.file for fault in verdict.faults}


@pytest.mark.parametrize("size", [0, 1, 30, 1000])
def test_what_is_cut_off_is_no_bundle(size: int) -> None:
    """A part of a file, or none: one fault, no exception."""
    assert steps(judged(bundle()[:size])) == {CONTAINER}


def test_every_fault_is_listed() -> None:
    """Three changes in three files: three files are named, not the first."""
    held = files_of(bundle())
    for path in (f.EVENT, f.RECEIPT, "log/kh.gdi/checkpoint"):
        held[path] = flipped(held[path], 200)
    named = {fault.file for fault in judged(write(held.items())).faults}
    assert {f.EVENT, f.RECEIPT, "log/kh.gdi/checkpoint"} <= named


@pytest.mark.parametrize("redacted", [False, True])
@pytest.mark.parametrize("exporter", ["id.imigrasi", "kh.gdi"])
@pytest.mark.parametrize("listing", [b"", b"[]", b"\x00 not JSON"])
def test_a_broken_list_hides_no_other_fault(exporter: str, listing: bytes, *, redacted: bool) -> None:
    """One in the list alone is told as that one; beside another both are told."""
    parts = replace(STORY.parts(), exporter=exporter)
    held = files_of(write_bundle(replace(parts, event=None, schema=None) if redacted else parts))
    held[f.LISTING] = listing
    verdict = judged(write(held.items()))
    assert {(fault.step, fault.file) for fault in verdict.faults} == {(LIST, f.LISTING)}
    assert verdict.steps == set(STEPS)
    held["log/kh.gdi/checkpoint"] = flipped(held["log/kh.gdi/checkpoint"], 40)
    assert {(LOG, "log/kh.gdi/checkpoint"), (LIST, f.LISTING)} <= {
        (fault.step, fault.file) for fault in judged(write(held.items())).faults
    }


def test_each_fault_says_what_it_means() -> None:
    """In plain words, for each of them."""
    held = files_of(bundle())
    held[f.EVENT] = flipped(held[f.EVENT], 200)
    for fault in judged(write(held.items())).faults:
        assert fault.meaning


# --- a message in no envelope --------------------------------------------------------------------------


def test_a_message_in_no_envelope_is_proved_by_its_senders_log() -> None:
    """Negative evidence: submitted, and late; what is not shown is said, and that it was sent is not claimed."""
    raw = write_bundle(unsent(STORY))
    verdict = judged(raw)
    assert verdict.faults == ()
    assert verdict.gaps == ("no-envelope", "no-receipt", "no-recipient-entry")
    assert verdict.proves == (
        f"id.imigrasi took message {JTI} for kh.gdi to be sent; nothing here shows that it was",
        "the log of id.imigrasi holds it: entry 2 message.accepted, entry 6 audit.alarm undelivered",
        "kh.gdi/bcx/witness/1 saw that log at 2026-11-24T02:00:02.000Z",
    )
    assert not {f.MANIFEST, f.RECEIPT} & files_of(raw).keys()
    assert judged(write_bundle(replace(unsent(STORY), event=None, schema=None))).gaps[0] == "redacted"


UNSENT: dict[str, tuple[Callable[[], Parts], set[int]]] = {
    "the receipt is there": (lambda: replace(unsent(STORY), receipt=STORY.parts().receipt), {MANIFEST, RECEIPT}),
    "its manifest is there": (lambda: replace(unsent(STORY), manifest=STORY.parts().manifest), {MANIFEST}),
    "it has a place": (lambda: replace(unsent(STORY), place=1), {MANIFEST}),
    "no log at all": (lambda: replace(unsent(STORY), logs=()), {OWN_LOG}),
    "the recipient's log alone": (lambda: replace(unsent(STORY), logs=STORY.parts().logs[1:]), {LOG, OWN_LOG}),
    "the log tells that it was sent": (lambda: replace(unsent(STORY), logs=STORY.parts().logs[:1]), {OWN_LOG}),
    "another message was submitted": (
        lambda: replace(unsent(STORY), logs=(STORY.log(STORY.id, STORY.kh, [
            STORY.entry(2, START_MS, "message.accepted", event=bytes(32)),
        ]),)), {OWN_LOG},
    ),
    "nobody signed the log": (lambda: replace(unsent(STORY), logs=(replace(
        unsent(STORY).logs[0], checkpoint=STORY.parts().logs[1].checkpoint),)), {OWN_LOG}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSENT)
def test_what_was_in_an_envelope_cannot_be_passed_off_as_unsent(name: str) -> None:
    """Whoever takes out the envelope has to take out all that speaks of it, and keep the entry that took it."""
    parts, found = UNSENT[name]
    assert steps(judged(write_bundle(parts()))) == found


# --- a careful forger: list, page and container fit ---------------------------------------------------


def test_a_rewritten_bundle_is_the_same_bytes() -> None:
    """The forger's tool changes nothing by itself."""
    assert again(files_of(bundle()), {}) == bundle()


def changed_json(path: str, change: Callable[[dict[str, object]], object]) -> dict[str, bytes | None]:
    """Return the change of one JSON file."""
    found = json.loads(files_of(bundle())[path])
    change(found)
    return {path: f.canonical(found)}


FORGERIES: dict[str, tuple[dict[str, bytes | None], set[int]]] = {
    "another event": ({f.EVENT: STORY.event.replace(b"Sumarni", b"Sumarna")}, {EVENT}),
    "another place": (changed_json(f.PLACE, lambda place: place.update(index=0)), {MANIFEST, RECEIPT}),
    "another manifest": ({f.MANIFEST: STORY.parts().manifest}, {RECEIPT}),
    "an added schema member": ({f.SCHEMA: b'{"type":"object"}'}, {SCHEMA}),
    "no schema": ({f.SCHEMA: None}, {SCHEMA}),
    "a page that says more": ({f.PAGE: b"<p>accepted</p>"}, {PAGES}),
    "a guide that says less": ({f.GUIDE: b"Trust us."}, {PAGES}),
    "a lost card": ({"cards/kh.gdi-1.jws": None}, {CARDS, RECEIPT, LOG}),
    "the manifest for a receipt": ({f.RECEIPT: files_of(bundle())[f.MANIFEST]}, {RECEIPT}),
    "a strange file": ({"notes.txt": b"hello"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_that_fits_itself_is_found(name: str) -> None:
    """Where list and pages were made to fit, signatures, roots and the format still say no."""
    changes, expected = FORGERIES[name]
    found = steps(judged(again(files_of(bundle()), changes)))
    assert found
    assert expected <= found


def test_a_file_of_no_role_is_refused() -> None:
    """What no step looks at has no place in a bundle."""
    verdict = judged(again(files_of(bundle()), {"notes.txt": b"hello"}))
    assert [fault.step for fault in verdict.faults] == [LIST]
    assert verdict.faults[0].file == "notes.txt"


def rebuilt(change: Callable[[Parts], Parts]) -> set[int]:
    """Return the steps with faults after a change to the parts."""
    return steps(judged(write_bundle(change(STORY.parts()))))


def test_an_entry_must_be_under_the_signed_root() -> None:
    """An entry rewritten after signing."""

    def rewrite(parts: Parts) -> Parts:
        theirs = parts.log_of("kh.gdi")
        assert theirs is not None
        data = theirs.entries[0].data.replace(b"accepted", b"refused!")
        return replace(parts, logs=(parts.logs[0], replace(theirs, entries=(replace(theirs.entries[0], data=data),))))

    assert rebuilt(rewrite) == {LOG}


def test_an_entry_of_another_message_proves_nothing() -> None:
    """Well proved, signed, and about something else."""
    story = Story()
    other = story.log(
        story.kh, story.id, [story.entry(3, START_MS, "message.received", jti="01935b2c-0000-7000-8000-000000000002")]
    )
    assert rebuilt(lambda parts: replace(parts, logs=(parts.logs[0], other))) == {LOG}


def test_a_log_must_say_what_the_receipt_says() -> None:
    """Accepted in the receipt, refused in the log: the recipient wrote one thing and signed another."""
    other = Story()
    other.status, other.problem = "rejected", "expired"
    theirs = other.parts().log_of("kh.gdi")
    assert theirs is not None
    assert rebuilt(lambda parts: replace(parts, logs=(parts.logs[0], theirs))) == {LOG}


def test_two_histories_of_one_log_are_called_that() -> None:
    """The receipt shows another root for the same size."""
    story = Story()
    forked = story.log(story.kh, story.id, [
        story.entry(4, story.received_ms, "message.received", actor_sub="id.imigrasi", outcome="accepted"),
        story.entry(7, story.received_ms, "message.received", outcome="accepted"),
    ])  # fmt: skip
    forked = replace(forked, entries=forked.entries[:1])
    verdict = judged(write_bundle(replace(STORY.parts(), logs=(STORY.parts().logs[0], forked))))
    assert any("two histories" in fault.meaning for fault in verdict.faults)


def test_a_log_key_of_somebody_else_is_no_log_key() -> None:
    """A checkpoint signed by a key no card names."""
    story = Story()
    story.log_number = 2
    assert {LOG, RECEIPT} <= steps(judged(write_bundle(story.parts())))


def test_an_additional_key_is_trusted_as_given() -> None:
    """`--vkey` brings a log key that no card of the bundle names any more."""
    story = Story()
    story.log_number = 2
    key = story.kh.note("log", 2).key
    assert verify_bundle(write_bundle(story.parts()), fingerprints=STORY.fingerprints, vkeys=[key]).ok


def test_its_own_witness_vouches_for_nothing() -> None:
    """A recipient that cosigns its own log is told as uncosigned."""
    story = Story()
    theirs = story.log(story.kh, story.kh, [
        story.entry(4, story.received_ms, "message.received", actor_sub="id.imigrasi", outcome="accepted"),
    ])  # fmt: skip
    verdict = judged(write_bundle(replace(STORY.parts(), logs=(STORY.parts().logs[0], theirs))))
    assert verdict.faults == ()
    assert verdict.gaps == ("recipient-not-cosigned",)
    assert not any("kh.gdi/bcx/witness/1 saw" in said and "log of kh.gdi" in said for said in verdict.proves)
    assert sum("saw that log" in said for said in verdict.proves) == 1


def test_a_card_of_an_impostor_is_found() -> None:
    """Same party id, other roots: consistent in itself, and not who was asked."""
    impostor = Party(STORY.kh.party)
    card = impostor.card(2, roots="other")
    parts = replace(STORY.parts(), cards=(*STORY.parts().cards, CardPart("kh.gdi", 2, card.raw)))
    verdict = judged(write_bundle(parts), fingerprints=[*STORY.fingerprints, card.fingerprint])
    assert [(fault.step, fault.file) for fault in verdict.faults] == [(CARDS, "cards/kh.gdi-2.jws")]


def test_what_is_lacking_is_said_and_is_no_fault() -> None:
    """No receipt, no log entry of the recipient, no cosignature: proved is what is left, and the gaps are named."""
    story = Story()
    story.cosigned_s = None
    parts = story.parts()
    verdict = judged(write_bundle(replace(parts, receipt=None, logs=parts.logs[:1])))
    assert verdict.faults == ()
    assert verdict.gaps == ("no-receipt", "no-recipient-entry", "sender-not-cosigned")
    assert not any("kh.gdi accepted" in said for said in verdict.proves)


def test_the_senders_log_must_say_what_the_receipt_says() -> None:
    """Settled as refused under a receipt that says accepted."""
    story = Story()
    story.settled_as = "rejected expired"
    assert steps(judged(write_bundle(story.parts()))) == {OWN_LOG}


def test_an_entry_of_the_senders_log_must_be_about_the_message() -> None:
    """An envelope with another root, a message with another id, an entry of the gateway's own."""
    story = Story()
    for other in (
        story.entry(
            2, START_MS, "message.sent", jti=None, event=bytes(32), obj_id="01935b2c-0000-7000-8000-00000000000e"
        ),
        story.entry(2, START_MS, "message.accepted", jti="01935b2c-0000-7000-8000-000000000002"),
        story.entry(2, START_MS, "gateway.started", jti=None, event=None),
    ):
        ours = story.log(story.id, story.kh, [other])
        assert rebuilt(lambda parts, ours=ours: replace(parts, logs=(ours, parts.logs[1]))) == {OWN_LOG}  # type: ignore[misc]


def test_a_receipt_answers_for_all_events_of_its_envelope() -> None:
    """Ours is among them, the others are not those the sender signed."""
    story = Story()
    story.neighbours = "strange"
    assert steps(judged(write_bundle(story.parts()))) == {RECEIPT}


def test_a_manifest_for_somebody_else_is_found() -> None:
    """Signed by the sender, for a third party."""
    story = Story()
    story.sent_to = PartyId("sg.ica")
    assert steps(judged(write_bundle(story.parts()))) == {MANIFEST}


def test_the_list_must_name_the_message_of_the_event() -> None:
    """The event is signed, the list is not: the event decides."""
    assert EVENT in rebuilt(lambda parts: replace(parts, message=JTI[:-1] + "7"))


def test_a_third_party_exports_nothing() -> None:
    """Only sender and recipient have the evidence."""
    assert rebuilt(lambda parts: replace(parts, exporter="sg.ica")) == {LIST}


@pytest.mark.parametrize("path", [f.LISTING, f.PLACE, "log/kh.gdi/entries.json"])
def test_a_file_written_in_another_way_is_found(path: str) -> None:
    """The same JSON in one line: two readers could differ, and two bundles would be one."""
    held = files_of(bundle())
    compact = json.dumps(json.loads(held[path])).encode()
    raw = write([*{**held, path: compact}.items()]) if path == f.LISTING else again(held, {path: compact})
    verdict = judged(raw)
    assert {(fault.step, fault.file) for fault in verdict.faults} >= {(LIST, path)}


def test_the_order_of_the_files_is_fixed() -> None:
    """Else one bundle would have many spellings."""
    held = files_of(bundle())
    assert steps(judged(write(sorted(held.items(), reverse=True)))) == {CONTAINER}
    assert CONTAINER in steps(judged(write([*held.items(), (f.EVENT, held[f.EVENT])])))


def test_nothing_may_follow_the_container() -> None:
    """A zip may hide much behind its end."""
    assert steps(judged(bundle() + b"more")) == {CONTAINER}


def test_a_schema_without_its_event_is_vouched_for_by_nobody() -> None:
    """A redacted bundle has none."""
    assert rebuilt(lambda parts: replace(parts, event=None)) == {SCHEMA}


def test_a_witness_given_for_its_own_log_still_vouches_for_nothing() -> None:
    """`--vkey` with the recipient's own witness key."""
    story = Story(cards=False)
    story.id.card()
    story.kh.card()
    story.kh.card(2, issued=START_MS + 3_600_000, sig_1={"status": "revoked", "revoked_ms": START_MS + 3_600_000})
    theirs = story.log(story.kh, story.kh, [
        story.entry(4, story.received_ms, "message.received", actor_sub="id.imigrasi", outcome="accepted"),
    ])  # fmt: skip
    parts = story.parts()
    raw = write_bundle(replace(parts, logs=(parts.logs[0], theirs)))
    key = story.kh.note("witness").key
    assert steps(verify_bundle(raw, fingerprints=story.fingerprints, vkeys=[key])) == {WITNESS}


def test_names_of_a_made_up_bundle_cannot_write_to_the_terminal() -> None:
    """Control characters in a file name, in the container or in the list, reach nobody."""
    held = files_of(bundle())
    listing = json.loads(held[f.LISTING])
    listing["files"].append({"path": "\x1b[2Jall is well", "role": "event", "bytes": 1, "sha256": "00"})
    verdict = judged(write([*{**held, f.LISTING: f.canonical(listing)}.items()]))
    assert "?[2Jall is well" in {fault.file for fault in verdict.faults}
    assert all((fault.file + fault.what).isprintable() for fault in verdict.faults)
    assert steps(judged(write([*held.items(), ("\x1b[2J", b"")]))) == {CONTAINER}


def test_a_deferred_answer_is_no_answer() -> None:
    """The recipient has not decided."""
    story = Story()
    story.status = "deferred"
    assert steps(judged(write_bundle(story.parts()))) == {RECEIPT, LOG}


def test_nothing_in_a_bundle_makes_it_raise() -> None:
    """Each JSON file replaced by each other file: faults, never an exception."""
    held = files_of(bundle())
    for path in held:
        for other in held.values():
            assert not judged(write([*{**held, path: other}.items()])).ok or held[path] == other
