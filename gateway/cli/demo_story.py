"""The rows of the demo's table: what happens, what is expected, and the act that tries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.cli import demo_steps as acts
from gateway.cli.demo_files import attach

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.cli.demo_steps import Story


class Step(NamedTuple):
    """One row of the table."""

    what: str
    expected: str
    act: Callable[[Story], Awaitable[str]]


STEPS: Final = (
    Step(
        "Two authorities start, Indonesia (id.imigrasi) and Cambodia (kh.gdi)",
        "two processes, each with its own home, keys, database and certificate authority",
        acts.start,
    ),
    Step(
        "They exchange cards (keys and address, signed) and read the fingerprints to one another",
        "each takes the other's card under the fingerprint read",
        acts.exchange_cards,
    ),
    Step(
        "A stranger without a certificate knocks; the partner pings",
        "the stranger is refused by TLS 1.3, the partner answers signed",
        acts.refuse_stranger,
    ),
    Step(
        "Accounts are added; every call needs a bearer token",
        "client, officer, auditor, operator on each side; 401 without a token",
        acts.give_tokens,
    ),
    Step(
        "Indonesia refers a woman confined at Bavet, one name only, passport taken (REST)",
        "accepted; receipt signed by Cambodia, verified, its log entry named",
        acts.refer,
    ),
    Step(
        "Both sides work on the case: questions, answers, status reports",
        "6 messages accepted, 4 from Cambodia, 2 from Indonesia",
        acts.converse,
    ),
    Step("Cambodia asks about telephone numbers; Indonesia replies", "request and reply accepted", acts.ask_back),
    Step("The case is read on both sides", "the same status and the same messages", acts.compare_status),
    Step(
        "Indonesia sends a photographed passport page and a ticket with a referral (CLI)",
        "accepted; Cambodia reads both, digests as signed; the photograph without its position",
        attach,
    ),
    Step(
        "A client repeats a request under one Idempotency-Key",
        "one message; the stored answer again; 422 for another body",
        acts.repeat_request,
    ),
    Step(
        "A client submits a referral with a wrong date and a wrong code",
        "422 with JSON Pointers to the places, no value repeated",
        acts.refuse_invalid,
    ),
    Step(
        "Cambodia's gateway is killed (kill -9) and started again",
        "messages wait meanwhile, then each arrives exactly once",
        acts.kill_partner,
    ),
    Step(
        "A message is sent again in a new envelope, as after a lost receipt",
        "the first answer again, no new log entry",
        acts.send_duplicate,
    ),
    Step(
        "Envelopes are altered, stripped of a signature, forged",
        "400 authentication-failed each time, logged, nothing taken",
        acts.tamper,
    ),
    Step(
        "Both audit logs are exported and verified offline, under the partner-pinned key",
        "every entry, hash and signature holds",
        acts.verify_logs,
    ),
    Step(
        "Each authority has cosigned the other's log; the referral's receipt is looked up in Cambodia's",
        "the partner's cosignature on both exported checkpoints, verified; the entry is there",
        acts.cross_witness,
    ),
    Step("One byte of an exported log is changed", "verification fails (exit 3) and names the entry", acts.edit_log),
)
