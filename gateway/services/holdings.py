"""Holds every table against the log: what an edit behind our back changed, added or took away is named.

Judged row by row, so it takes no more memory for a million messages than for one. What an entry of an earlier release
does not tell (the receipt's digest, the row of a case, a token's) is not judged, and is no fault.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import GatewayError
from gateway.ledger import standing
from gateway.ledger.compare import Fault
from gateway.primitives import b64u, times
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.jws import peek_payload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.ledger.standing import Said, Standing
    from gateway.ports.holdings import Columns, HeldAccount, HeldCase, HeldIn, HeldOut, Holdings, Lost

ROW_CHANGED: Final = "the row was changed behind the gateway's back; what was logged is as logged"
ROW_GONE: Final = "the row was deleted behind the gateway's back"
ROW_ADDED: Final = "the row was written behind the gateway's back"
BODY_CHANGED: Final = "the record was changed or removed after it was logged: it is neither sent nor shown"
RECEIPT_CHANGED: Final = "the receipt that ended this message was exchanged or removed"
CHECKPOINT_GONE: Final = "a signed checkpoint was deleted: the log may have been cut back after it was signed"

UNANSWERED: Final = "no entry answers it"

# A message on its way is queued by its entries: leases are not logged.
_SAME: Final = {"sending": "queued"}


def judge_holdings(held: Holdings, me: str, newest: int | None = None) -> Iterator[Fault]:
    """Yield each difference between tables and log, of the `newest` rows of each table only where that is given.

    The index of each is the entry that says otherwise. People, partners and checkpoints are judged whole.
    """
    yield from _checkpoints(held)
    yield from _people(held)
    yield from _partners(held)
    for row in held.out(newest):
        yield from _out(row, me)
    for answer in held.inward(newest):
        yield from _inward(answer)
    for lost in held.lost(newest):
        yield _gone(lost)
    for case in held.cases(newest):
        yield from _case(case)


# --- messages of ours -----------------------------------------------------------------------------------


def _out(row: HeldOut, me: str) -> Iterator[Fault]:
    name, stands = f"message {row.columns.jti}", standing.standing(row.said, me)
    if stands is None:
        yield Fault(row.leaf, "outbox", f"{name}: no entry accepts it", ROW_ADDED)
        return

    def fault(what: str, meaning: str = ROW_CHANGED) -> Fault:
        return Fault(stands.leaf, "outbox", f"{name}: {what}", meaning)

    if _SAME.get(row.state, row.state) != stands.state:
        yield fault(f"its state is {row.state}, by the log it is {stands.state}")
    told = (row.leaf, row.digest, row.account, row.columns.case_ref, row.created_at)
    if told != (stands.leaf, stands.digest, stands.account, stands.case, stands.at_ms):
        yield fault("its entry, digest, account, case or time is not what was logged")
    if row.event:
        if leaf_hash(row.event) != stands.digest:
            yield fault("its bytes are not those that were logged", BODY_CHANGED)
        elif (wrong := _differ(row.columns, row.event, "recipient", "expirytime")) is not None:
            yield fault(f"its {wrong} is not what its event says")
    elif not stands.erased:
        yield fault("its bytes are gone, and nobody had them erased", BODY_CHANGED)
    if stands.state in {"accepted", "rejected"} and not _receipted(row, stands):
        yield fault("its receipt is not the one that was logged", RECEIPT_CHANGED)


def _receipted(row: HeldOut, stands: Standing) -> bool:
    if stands.receipt is not None:
        return any(sha256(raw).digest() == stands.receipt for raw in row.receipts)
    # An earlier release logged no digest of it: it must at least say of this message what was logged.
    return any(_says(raw, row.digest, stands.state) for raw in row.receipts)


def _says(receipt: bytes, digest: bytes, state: str) -> bool:
    try:
        outcomes = orjson.loads(peek_payload(receipt))["outcomes"]
        return any(one["event"] == b64u.encode(digest) and one["status"] == state for one in outcomes)
    except (GatewayError, ValueError, KeyError, TypeError):
        return False


# --- messages of partners ---------------------------------------------------------------------------------


def _inward(row: HeldIn) -> Iterator[Fault]:
    said, columns = row.said, row.columns
    found = _answered(row, said) if said is not None else (UNANSWERED, ROW_ADDED)
    if found is None and said is not None and said.status == "accepted" and row.digest is not None:
        found = _received_body(row, said)
    if found is not None:
        what, meaning = found
        yield Fault(
            row.leaf, "inbox", f"message {columns.jti or 'without an id'} of {columns.partner}: {what}", meaning
        )


def _answered(row: HeldIn, said: Said) -> tuple[str, str] | None:
    """Return in what a row is not the answer that was logged, and its meaning."""
    columns = row.columns
    if (said.typ, said.sub) != (standing.RECEIVED, columns.partner):
        return UNANSWERED, ROW_ADDED
    if row.status == "voided" and row.digest is None:
        # A number its sender gave up: its entry is that of the bcx.void which says so.
        right = said.status == "accepted" and row.received_at == said.at_ms
        return None if right else ("it was not given up by the entry it names", ROW_CHANGED)
    if row.digest != said.event:
        return "its digest is not what was logged", ROW_CHANGED
    if (row.status, row.problem) != (said.status, said.problem):
        told = _answer(row.status, row.problem), _answer(said.status, said.problem)
        return f"it is {told[0]}, by the log it is {told[1]}", ROW_CHANGED
    if row.received_at != said.at_ms or columns.jti not in {None, said.jti} or columns.case_ref != said.case:
        return "its id, case or time is not what was logged", ROW_CHANGED
    return None


def _received_body(row: HeldIn, said: Said) -> tuple[str, str] | None:
    if not row.event:
        erased = any(one.erases(row.columns.partner) for one in row.erasures)
        return None if erased else ("its bytes are gone, and its sender had nothing erased", BODY_CHANGED)
    if leaf_hash(row.event) != said.event:
        return "its bytes are not those that were logged", BODY_CHANGED
    wrong = _differ(row.columns, row.event, "source", "time")
    return None if wrong is None else (f"its {wrong} is not what its event says", ROW_CHANGED)


def _answer(status: str, problem: str | None) -> str:
    return status if problem is None else f"{status} {problem}"


def _differ(columns: Columns, event: bytes, party: str, time: str) -> str | None:
    """Return the attribute in which a row is not what its event says, or None; the bytes are those logged."""
    said: Mapping[str, Any] = orjson.loads(event)
    told = {
        party: said.get(party, "").removeprefix("urn:bcx:party:"), "id": said.get("id"),
        "type": said.get("type", "").removeprefix("bcx."), "subject": said.get("subject"),
        "caseseq": _number(said.get("caseseq")), "streamseq": _number(said.get("streamseq")),
        "urgency": said.get("urgency"), "handling": said.get("handling"),
        "dataschema": said.get("dataschema", "").rpartition(":")[2], "inreplyto": said.get("inreplyto"),
        "supersedes": said.get("supersedes"), time: times.parse_ms(said[time]),
    }  # fmt: skip
    row = (
        columns.partner, columns.jti, columns.subject, columns.case_ref, columns.case_seq, columns.stream_seq,
        columns.urgency, columns.handling, columns.schema_version, columns.in_reply_to, columns.supersedes,
        columns.time,
    )  # fmt: skip
    return next((name for (name, value), has in zip(told.items(), row, strict=True) if value != has), None)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


# --- rows that are gone -------------------------------------------------------------------------------------


def _gone(lost: Lost) -> Fault:
    said = lost.said
    if lost.kind == "case":
        return Fault(said.seq, "cases", f"case {said.case}: its row is gone", ROW_GONE)
    if lost.kind == "message":
        return Fault(said.seq, "outbox", f"message {said.jti}: accepted for sending, its row is gone", ROW_GONE)
    what = f"message {said.jti or 'without an id'} of {said.sub}: {said.status}, its row is gone"
    return Fault(said.seq, "inbox", what, ROW_GONE)


def _case(case: HeldCase) -> Iterator[Fault]:
    if case.logged is not None and case.logged != case.digest:
        what = f"case {case.ref} with {case.partner}: its row is not what its last entry says"
        yield Fault(case.leaf, "cases", what, ROW_CHANGED)
    if case.sent < case.numbered:
        what = f"case {case.ref} with {case.partner}: counts {case.sent} messages of ours, holds number {case.numbered}"
        yield Fault(case.leaf, "cases", what, ROW_CHANGED)


# --- people, partners, checkpoints ----------------------------------------------------------------------------


def _people(held: Holdings) -> Iterator[Fault]:
    """Hold roles, ends and tokens of accounts against who was given them."""
    accounts, told = held.people()
    rows = {account.id: account for account in accounts}
    said: dict[str, list[Said]] = {}
    for one in told:
        said.setdefault(one.obj, []).append(one)
    for key in sorted(rows.keys() | said.keys()):
        account, entries = rows.get(key), said.get(key, [])
        if account is None:
            yield Fault(entries[0].seq, "accounts", f"account {key}: its row is gone", ROW_GONE)
        elif not entries or entries[0].typ != "user.added":
            yield Fault(None, "accounts", f"account {key}: no entry adds it", ROW_ADDED)
        else:
            yield from _account(account, entries)


def _account(account: HeldAccount, entries: list[Said]) -> Iterator[Fault]:
    leaf, name = entries[0].seq, f"account {account.id}"
    if account.role != entries[0].outcome:
        what = f"{name}: its role is {account.role}, by the log {entries[0].outcome}"
        yield Fault(leaf, "accounts", what, ROW_CHANGED)
    ends = [one.outcome for one in entries if one.outcome in {"disabled", "enabled"}]
    disabled = ends[-1:] == ["disabled"]
    if account.disabled != disabled:
        yield Fault(leaf, "accounts", f"{name}: by the log it is {'disabled' if disabled else 'in force'}", ROW_CHANGED)
    given = [one.event for one in entries if one.event is not None]
    # What is no newer than the first that the log names was issued before entries named tokens.
    known = [place for place, token in enumerate(account.tokens) if token in given]
    strange = [token for token in account.tokens[min(known, default=0) :] if token not in given]
    lacks = bool(given) and not disabled and given[-1] not in account.tokens
    if given and (strange or lacks):
        yield Fault(leaf, "accounts", f"{name}: its token is not the one it was given", ROW_CHANGED)


def _partners(held: Holdings) -> Iterator[Fault]:
    rows, told = held.partners()
    said: dict[str, str] = {}
    seen: dict[str, int] = {}
    for one in told:
        said[one.obj] = "suspended" if one.typ == "partner.suspended" else "active"
        seen[one.obj] = one.seq
    for party in sorted(rows.keys() | said.keys()):
        state, logged = rows.get(party), said.get(party)
        if logged is None:
            yield Fault(None, "partners", f"partner {party}: no entry adds it", ROW_ADDED)
        elif state is None:
            yield Fault(seen[party], "partners", f"partner {party}: its row is gone", ROW_GONE)
        elif state != logged:
            what = f"partner {party}: it is {state}, by the log it is {logged}"
            yield Fault(seen[party], "partners", what, ROW_CHANGED)


def _checkpoints(held: Holdings) -> Iterator[Fault]:
    found = held.checkpoints()
    if found.signed is None:
        return
    count, newest = found.signed
    if newest != found.newest:
        size = newest.splitlines()[1] if newest.count("\n") > 1 else "?"
        yield Fault(None, "checkpoints", f"the newest one, of size {size}, is gone or was changed", CHECKPOINT_GONE)
    elif count != found.count:
        what = f"{found.count} are here, {count} were signed"
        yield Fault(None, "checkpoints", what, CHECKPOINT_GONE)
