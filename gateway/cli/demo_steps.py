"""What the demo does, step by step: each acts on two running gateways and says what it saw.

A step that sees anything else than what it expects raises NotHeldError; the run goes on, and ends with exit code 1.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.demo_authority import NotHeldError, told
from gateway.cli.demo_wire import Refusal, Wire, knock
from gateway.cli.log import fault_told
from gateway.ledger.note import NoteKey, open_checkpoint
from gateway.primitives import times
from gateway.primitives.merkle import leaf_hash
from gateway.protocol.card import read_card
from gateway.resources import schemas_path

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.demo_authority import Authority

REFUSED: Final = Refusal(400, "authentication-failed")
# What Indonesia sends while Cambodia's gateway is down: each opens a case of its own.
WAITING: Final = (
    "case.referral/s7-sumarni-swapped-birth", "case.referral/site-without-names",
    "departure.deferral.notice/s3-group-of-four", "passport.deferral.notice/s4-one-week-seven-applications",
    "victim.assistance.referral/s5-child-khmer-script",
)  # fmt: skip
# The answer of Indonesia to `case.update/s1-needs-info`: the moves of a case are its opener's and recipient's in turn.
SUPPLEMENT: Final = {
    "recipient": "kh.gdi",
    "type": "case.update",
    "urgency": "URGENT",
    "handling": ["V1", "H2", "NP"],
    "data": {
        "meta": {
            "purpose": "VICTIM_PROTECTION",
            "legalBasis": ["ID-UU21-2007"],
            "transferBasis": {"code": "NO_PERSONAL_DATA"},
            "retention": {"class": "RC-VI"},
        },
        "fromStatus": "NEEDS_INFO",
        "toStatus": "RECEIVED",
        "reason": "The second building from the market, grey, three floors; a photograph of the street follows.",
    },
}  # fmt: skip


@dataclass(slots=True)
class Story:
    """The two authorities, and what earlier steps left for later ones."""

    folder: Path
    id: Authority
    kh: Authority
    cards: dict[str, bytes] = field(default_factory=dict)
    case: str = ""
    referral: dict[str, Any] = field(default_factory=dict)
    event: bytes = b""
    verdict: tuple[str, int, int] | None = None
    exports: dict[str, Path] = field(default_factory=dict)

    @property
    def both(self) -> tuple[Authority, Authority]:
        """Both sides."""
        return self.id, self.kh

    async def make_homes(self) -> None:
        """Make both homes."""
        await asyncio.gather(*(authority.init() for authority in self.both))

    def wire(self) -> Wire:
        """Return the connection from Indonesia to Cambodia, for whoever sits on it."""
        return Wire(self.id.home, self._card(self.kh))

    def _card(self, authority: Authority) -> bytes:
        if authority.party not in self.cards:
            raise NotHeldError(f"the card of {authority.party} was never exchanged")
        return self.cards[authority.party]

    def opened(self) -> str:
        """Return the case of the story."""
        if not self.case:
            raise NotHeldError("there is no case: its referral was not accepted")
        return self.case


def sample(name: str) -> dict[str, Any]:
    """Return a shipped sample message, as a POST body."""
    found: dict[str, Any] = json.loads((schemas_path() / "examples" / f"{name}.json").read_text("utf-8"))
    return found


def fresh_key() -> str:
    """Return an Idempotency-Key."""
    return secrets.token_hex(12)


def hold(condition: object, seen: str) -> None:
    """Raise NotHeldError with what was seen unless `condition` holds."""
    if not condition:
        raise NotHeldError(seen)


# --- acquaintance -----------------------------------------------------------------------------------


async def start(story: Story) -> str:
    """Start both gateways."""
    took = await asyncio.gather(*(authority.start() for authority in story.both))
    shown = [
        f"{authority.party} pid {authority.process.pid} ready in {seconds:.1f} s"
        for authority, seconds in zip(story.both, took, strict=True)
        if authority.process is not None
    ]
    return "; ".join(shown)


async def exchange_cards(story: Story) -> str:
    """Give each side the other's card, with the fingerprint as its owner reads it."""
    files = {authority.party: story.folder / f"{authority.party}.card" for authority in story.both}
    await asyncio.gather(*(a.command("card", "export", str(files[a.party])) for a in story.both))
    read = await asyncio.gather(*(a.command("card", "fingerprint") for a in story.both))
    spoken = {a.party: text.strip() for a, text in zip(story.both, read, strict=True)}
    await asyncio.gather(
        *(
            mine.command("partner", "add", str(files[other.party]), "--fingerprint", spoken[other.party])
            for mine, other in (story.both, story.both[::-1])
        )
    )
    story.cards = {party: path.read_bytes() for party, path in files.items()}
    return "; ".join(f"{party} {' '.join(text.split()[:2])} …" for party, text in spoken.items())


async def refuse_stranger(story: Story) -> str:
    """Knock at Cambodia's door without a certificate, then ping it as Indonesia."""
    async with story.wire() as wire:
        seen = await asyncio.to_thread(knock, wire.tls_door)
    hold(seen.startswith("refused"), f"a stranger was let in: {seen}")
    await story.id.command("partner", "ping", story.kh.party)
    return f"stranger {seen}; {story.kh.party} answers {story.id.party}'s signed ping"


async def give_tokens(story: Story) -> str:
    """Add the accounts of the demo: systems and people, at each authority."""
    for noun, role in (("client", "client"), ("user", "officer"), ("client", "auditor"), ("client", "operator")):
        await asyncio.gather(*(a.add_account(noun, f"demo-{role}", role) for a in story.both))
    answer = await story.id.call("GET", "/api/v1/messages", role="nobody")
    hold(answer.status == 401, f"a call without a token was answered with {answer.status}")
    return f"{len(story.id.tokens)} accounts each; without a token 401"


# --- a case -----------------------------------------------------------------------------------------


async def refer(story: Story) -> str:
    """Indonesia refers a case; the receipt is verified here once more, apart from its gateway."""
    made = await story.id.submit(sample("case.referral/s1-sumarni"), key=fresh_key())
    jti = made["id"]
    found = await story.id.settled(jti)
    hold(found["state"] == "accepted", f"{found['state']}: {found['reason']} {told(found)}")
    story.event = await story.id.raw(f"/api/v1/messages/{jti}/event", role="officer")
    receipt = await story.id.raw(f"/api/v1/messages/{jti}/receipt", role="officer")
    async with story.wire() as wire:
        outcome = wire.verify_receipt(receipt, leaf_hash(story.event))
        again = await wire.ask_again(jti)
    [repeated] = again.outcomes
    hold(outcome.status == "accepted" and outcome.leaf is not None, f"the receipt says {outcome.status}")
    hold(repeated.leaf == outcome.leaf, "asked again, the partner names another log entry")
    story.case, story.referral = made["case"], found
    story.verdict = (outcome.status, outcome.received_at_ms or 0, outcome.leaf or 0)
    took = times.parse_ms(found["settled_at"]) - times.parse_ms(found["accepted_at"])
    return f"{story.case} accepted after {took} ms; two signatures of {story.kh.party}; entry {outcome.leaf} of its log"


async def converse(story: Story) -> str:
    """Both sides work on the case with the shipped samples."""
    case = story.opened()
    said = []
    request = ""
    for authority, name in (
        (story.kh, "case.update/s1-needs-info"), (story.id, ""), (story.kh, "case.update/s1-accepted"),
        (story.id, "info.request/s7-crossing-history"), (story.kh, "info.response/s7-interim"),
        (story.kh, "info.response/s7-final"),
    ):  # fmt: skip
        body = {**(sample(name) if name else SUPPLEMENT), "case": case}
        if name.startswith("info.response"):
            body["in_reply_to"] = request
        made = await authority.submit(body, key=fresh_key())
        if name.startswith("info.request"):
            request = made["id"]
        found = await authority.settled(made["id"])
        hold(found["state"] == "accepted", f"{body['type']} {found['state']}: {found['reason']} {told(found)}")
        said.append(f"{authority.place.country} {body['type']}")
    return f"{len(said)} accepted: " + ", ".join(said)


async def ask_back(story: Story) -> str:
    """Cambodia opens a case of its own with a request; Indonesia answers."""
    asked = await story.kh.submit(sample("info.request/telephone-three-numbers"), key=fresh_key())
    found = await story.kh.settled(asked["id"])
    hold(found["state"] == "accepted", f"the request was {found['state']}: {found['reason']}")
    body = sample("info.response/refused-and-ambiguous")
    reply = await story.id.submit({**body, "case": asked["case"], "in_reply_to": asked["id"]}, key=fresh_key())
    answered = await story.id.settled(reply["id"])
    hold(answered["state"] == "accepted", f"the reply was {answered['state']}: {answered['reason']}")
    return f"{asked['case']}: request and reply accepted"


async def compare_status(story: Story) -> str:
    """Read the case on both sides."""
    path = f"/api/v1/cases/{story.opened()}"
    found = [await authority.call("GET", path, role="officer") for authority in story.both]
    hold(all(answer.status == 200 for answer in found), "one side does not show the case")
    seen = [
        (answer.body["status"], sorted((step["message"], step["type"]) for step in answer.body["timeline"]))
        for answer in found
    ]
    hold(seen[0] == seen[1], f"{seen[0][0]} and {len(seen[0][1])} messages, {seen[1][0]} and {len(seen[1][1])}")
    hold(seen[0][0] == "ACCEPTED", f"both say {seen[0][0]}")
    return f"both: {seen[0][0]}, the same {len(seen[0][1])} messages"


# --- the caller's side ------------------------------------------------------------------------------


async def repeat_request(story: Story) -> str:
    """POST the same body twice under one key, then another body under it."""
    key, body = fresh_key(), {**sample("info.request/telephone-three-numbers"), "recipient": story.id.party}
    calls = [await story.kh.call("POST", "/api/v1/messages", role="client", body=body, key=key) for _ in range(2)]
    hold([c.status for c in calls] == [202, 202], f"answered with {[c.status for c in calls]}")
    hold(calls[0].body == calls[1].body, "the second answer names another message")
    hold(calls[1].headers.get("Idempotency-Replayed") == "true", "the second answer is not marked as a replay")
    other = await story.kh.call("POST", "/api/v1/messages", role="client", body={**body, "urgency": "ROUTINE"}, key=key)
    hold(other.status == 422, f"another body under the same key was answered with {other.status}")
    await story.kh.settled(calls[0].body["id"])
    return f"one message; second answer replayed; other body {other.status} {other.body['code']}"


async def refuse_invalid(story: Story) -> str:
    """Submit a referral whose passport number and sex are wrong; the answer must not repeat them."""
    body = sample("case.referral/s1-sumarni")
    person = body["data"]["persons"][0]
    person["sex"], person["documents"][0]["expiresOn"] = "SECRET-VALUE", "SECRET-DATE"
    answer = await story.id.call("POST", "/api/v1/messages", role="client", body=body, key=fresh_key())
    hold(answer.status == 422, f"answered with {answer.status}")
    hold(answer.body.get("code") == "schema-invalid", f"the code is {answer.body.get('code')}")
    pointers = sorted({error["pointer"] for error in answer.body.get("errors", ())})
    hold("/data/persons/0/sex" in pointers, f"the pointers are {pointers}")
    hold("SECRET" not in json.dumps(answer.body), "the answer repeats a value")
    return f"422 schema-invalid at {', '.join(pointers)}"


# --- the partner fails ------------------------------------------------------------------------------


async def kill_partner(story: Story) -> str:
    """Kill Cambodia's gateway; submit; bring it back; count what arrived."""
    pid = await story.kh.kill()
    batch = {"messages": [sample(name) for name in WAITING]}
    answer = await story.id.call("POST", "/api/v1/messages/batch", role="client", body=batch, key=fresh_key())
    hold(answer.status == 202, f"the batch was answered with {answer.status}")
    results = answer.body["results"]
    hold(all("id" in result for result in results), f"refused: {[r.get('code') for r in results]}")
    ids = [result["id"] for result in results]
    waiting = [(await story.id.message(jti))["state"] for jti in ids]
    hold(set(waiting) <= {"queued", "sending"}, f"with nobody there the messages are {waiting}")
    ready = await story.kh.start()
    # The first word of the partner ends the pause between attempts.
    await story.kh.command("partner", "ping", story.id.party)
    ended = [(await story.id.settled(jti))["state"] for jti in ids]
    hold(ended == ["accepted"] * len(ids), f"after the restart they are {ended}")
    copies = [await _entries(story.kh, f"type=message.received&message={jti}") for jti in ids]
    hold([len(found) for found in copies] == [1] * len(ids), f"received {[len(f) for f in copies]} times")
    return f"pid {pid} killed, {len(ids)} waiting; ready again in {ready:.1f} s; {len(ids)} accepted, each logged once"


# --- somebody on the wire ---------------------------------------------------------------------------


async def send_duplicate(story: Story) -> str:
    """Send the referral once more in a new envelope."""
    jti = story.referral.get("id")
    hold(story.verdict, "there is no referral to send again")
    async with story.wire() as wire:
        outcome = await wire.send_again(story.event)
    seen = (outcome.status, outcome.received_at_ms or 0, outcome.leaf or 0)
    hold(seen == story.verdict, f"answered {seen}, first {story.verdict}")
    found = await _entries(story.kh, f"type=message.received&message={jti}")
    hold(len(found) == 1, f"{len(found)} log entries say that it was received")
    return f"{outcome.status}, same time, same entry {outcome.leaf}; still one log entry"


async def tamper(story: Story) -> str:
    """Send envelopes that were altered, stripped of a signature, and signed by somebody else."""
    hold(story.event, "there is no message to tamper with")
    before = len(await _entries(story.kh, "type=message.received"))
    async with story.wire() as wire:
        seen = {
            "altered": await wire.alter(story.event),
            "stripped": await wire.strip(story.event),
            "forged": await wire.forge(story.event),
        }
    wrong = {what: refusal for what, refusal in seen.items() if refusal != REFUSED}
    hold(not wrong, "; ".join(f"{what}: {r.status} {r.code}" for what, r in wrong.items()))
    logged = await _entries(story.kh, f"type=envelope.refused&outcome={REFUSED.code}")
    hold(logged, "the refusal is not in the log")
    hold(len(await _entries(story.kh, "type=message.received")) == before, "something of it was taken")
    return f"{', '.join(seen)}: each {REFUSED.status} {REFUSED.code}; logged, nothing taken"


async def _entries(authority: Authority, query: str) -> list[dict[str, Any]]:
    answer = await authority.call("GET", f"/api/v1/audit/entries?limit=200&{query}", role="auditor")
    hold(answer.status == 200, f"the log of {authority.party} was answered with {answer.status}: {told(answer.body)}")
    found: list[dict[str, Any]] = answer.body["items"]
    return found


# --- the logs ---------------------------------------------------------------------------------------


async def verify_logs(story: Story) -> str:
    """Export both logs and check each offline under the log key of the card its partner pinned."""

    async def one(authority: Authority) -> int:
        folder = story.folder / f"{authority.party}.log-copy"
        await authority.command("audit", "export", str(folder))
        card = read_card(story.cards[authority.party])
        await authority.command("audit", "verify", str(folder), "--vkey", card.log_vkey, at_home=False)
        story.exports[authority.party] = folder
        return int((folder / "checkpoint").read_text("utf-8").splitlines()[1])

    hold(story.cards, "no cards were exchanged")
    sizes = await asyncio.gather(*(one(authority) for authority in story.both))
    return "; ".join(f"{a.party} {size} entries hold" for a, size in zip(story.both, sizes, strict=True))


async def cross_witness(story: Story) -> str:
    """Check the partner's witness line on each exported checkpoint, and what Cambodia's log says of the referral."""
    hold(len(story.exports) == len(story.both), "a log was not exported")
    for mine, other in (story.both, story.both[::-1]):
        log_key = NoteKey.parse(read_card(story.cards[mine.party]).log_vkey)
        witness = NoteKey.parse(read_card(story.cards[other.party]).witness_vkey)
        text = (story.exports[mine.party] / "checkpoint").read_text("utf-8")
        head = open_checkpoint(text, [log_key], [witness])
        hold(f"\n— {witness.name} " in text, f"no line of {other.party} on the checkpoint of {mine.party}")
        hold([one.witness for one in head.cosignatures] == [witness], f"{other.party} has not cosigned {mine.party}")
    found = await story.id.proved(story.referral["id"])
    hold(found["proved"] is True, f"not proved: {found['receipt']['unproved']}")
    return f"both cosigned; entry {found['receipt']['leaf']} of kh.gdi is what the receipt says"


async def edit_log(story: Story) -> str:
    """Change one byte in a copy of Cambodia's log and check it again."""
    folder = story.exports.get(story.kh.party)
    if folder is None:
        raise NotHeldError("there is no exported log")
    bundles = sorted(path for path in (folder / "tile" / "entries").rglob("*") if path.is_file())
    raw = bytearray(bundles[0].read_bytes())
    raw[len(raw) // 2] ^= 1
    bundles[0].write_bytes(raw)
    card = read_card(story.cards[story.kh.party])
    out = await story.kh.command(
        "-o", "json", "audit", "verify", str(folder), "--vkey", card.log_vkey, code=3, at_home=False
    )
    return f"exit 3: {_first_fault(out)}"


def _first_fault(out: str) -> str:
    try:
        found = json.loads(out)
    except ValueError:
        return out.strip().splitlines()[0] if out.strip() else "does not verify"
    faults = found.get("faults", found) if isinstance(found, dict) else found
    first = faults[0] if isinstance(faults, list) and faults else {}
    return fault_told(first) if first else "does not verify"
