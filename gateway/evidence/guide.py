"""`VERIFY.md`: the steps of `verify` for somebody with `sha256sum` and `openssl`, with this bundle's own values.

Made again by the verifier and compared: it depends on the parts alone.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.evidence import files as f
from gateway.evidence.facts import entry_type, is_receipt_entry
from gateway.evidence.parts import FORMAT, CardPart
from gateway.evidence.signers import note_cards, signing_card
from gateway.primitives import b64u, times
from gateway.primitives.merkle import leaf_hash, node_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.evidence.facts import Facts
    from gateway.evidence.parts import LogPart, Parts, StampPart
    from gateway.protocol.card import Card

_HEAD: Final = """\
# Verify this bundle by hand

Format `{format}`. Message `{message}`, from `{sender}` to `{recipient}`.

`gateway evidence verify FILE.zip --fingerprint "…" --fingerprint "…"` does all of this and names every fault. The
steps below have the same numbers. Each block can be pasted into a shell (`sh`) as it stands, in this order; they need
`unzip`, `sha256sum`, `xxd`, `jq`, and `openssl` 3.5 or later (earlier ones know Ed25519 only, not ML-DSA-65). First:

    T=$(mktemp -d)
    unb64u() {{ tr -- '-_' '+/' | awk '{{ while (length($0) % 4) $0 = $0 "="; print }}' | base64 -d; }}
    payload() {{ jq -r .payload "$1" | unb64u; }}
    der() {{ case $1 in
        0) printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000' ;;
        1) printf '\\060\\202\\007\\262\\060\\013\\006\\011\\140\\206\\110\\001\\145\\003\\004'
           printf '\\003\\022\\003\\202\\007\\241\\000' ;; esac; }}
    check() {{ openssl pkeyutl -verify -pubin -keyform DER -inkey "$T/key" -rawin -in "$T/input" -sigfile "$T/sig"; }}
    signature() {{ jq -j ".signatures[$1].protected, \\".\\", .payload" "$2" > "$T/input"
        jq -r ".signatures[$1].signature" "$2" | unb64u > "$T/sig"
        (der "$1"; printf %s "$3" | unb64u) > "$T/key"; check; }}
    card() {{ signature 0 "$1" "$(payload "$1" | jq -r '.roots[0].x')"
        signature 1 "$1" "$(payload "$1" | jq -r '.roots[1].pub')"; }}
    key() {{ jq -r ".signatures[$1].protected" "$2" | unb64u | jq -r .kid; }}
    signed() {{ for n in 0 1; do
        payload "$2" | jq --arg kid "$(key $n "$1")" '.keys[] | select(.kid == $kid)' > "$T/jwk"
        jq -c '{{kid, status, nbf, exp, revoked}}' "$T/jwk"
        signature $n "$1" "$(jq -r '.x // .pub' "$T/jwk")"; done; }}
    noted() {{ rest=${{2#*+}}; sed '/^$/,$d' "$1" > "$T/text"
        (der 0; printf %s "${{rest#*+}}" | base64 -d | tail -c 32) > "$T/key"
        grep "^— ${{2%%+*}} " "$1" | while read -r dash name packed; do
            printf %s "$packed" | base64 -d > "$T/line"
            [ "$(head -c 4 "$T/line" | xxd -p)" = "${{rest%%+*}}" ] || continue
            cp "$T/text" "$T/input"; tail -c 64 "$T/line" > "$T/sig"
            if [ "$(wc -c < "$T/line")" = 76 ]; then
                seconds=$((0x$(head -c 12 "$T/line" | tail -c 8 | xxd -p))); date -u -d "@$seconds" '+%F %T UTC'
                (printf 'cosignature/v1\\ntime %s\\n' $seconds; cat "$T/text") > "$T/input"
            fi; check; done; }}

## 1. The container

    unzip -q FILE.zip -d bundle; cd bundle

Nothing in it is compressed, all times are 1980-01-01.

## 2. The files

    jq -r '.files[] | .sha256 + "  " + .path' manifest.json | sha256sum --check
    jq -r '"./manifest.json", "./" + .files[].path' manifest.json | sort > "$T/listed"
    find . -type f | sort | diff - "$T/listed" && echo same

Each file is `OK`, and there is no other. They are these, with the page and this guide:

{sums}

## 3. Whose keys

Each card is signed by its own two root keys; that makes it consistent, not true. It is the authority's if its
fingerprint is the one that authority told you **by another way than this file**:

{cards}

The fingerprint is SHA-256 over the card's `roots` in canonical JSON (RFC 8785), as eight numbers: bytes 4i to 4i+3,
big-endian, modulo 100000. Here each card gives its own, and then twice `Signature Verified Successfully`:

{own}

A key counts from `nbf` until before `exp`, while its card has not expired, unless it was revoked before the time in
question. That time is the one the recipient logged (step 7), not today's.
"""


class Climb(NamedTuple):
    """One step up a Merkle tree: on which side the sibling stands, the sibling, and the hash of both."""

    left: bool
    sibling: bytes
    result: bytes


def climb(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> list[Climb]:
    """Return the steps from a leaf to the root (RFC 9162 §2.1.3.2), as many as `path` has.

    Decides nothing: whether the last result is the root, `merkle.verify_inclusion` says.
    """
    here, last, top, found = index, size - 1, leaf, []
    for node in path:
        left = bool(here & 1) or here == last
        top = node_hash(node, top) if left else node_hash(top, node)
        found.append(Climb(left, node, top))
        while left and here and not here & 1:
            here >>= 1
            last >>= 1
        here >>= 1
        last >>= 1
    return found


def write_guide(parts: Parts, facts: Facts, files: Mapping[str, bytes]) -> bytes:
    """Return the guide, UTF-8. `files` are the files that hold the parts."""
    sums = "\n".join(f"    {sha256(content).hexdigest()}  {path}" for path, content in sorted(files.items()))
    cards = "\n".join(f"* `{card.party}`, card version {card.version}: `{card.fingerprint}`" for card in facts.cards)
    head = _HEAD.format(
        format=FORMAT, message=parts.message, sender=parts.sender, recipient=parts.recipient, sums=sums, cards=cards,
        own="\n".join(_OWN.format(card=_path(card)) for card in facts.cards),
    )  # fmt: skip
    sections = (
        head, _event(parts), _manifest(parts, facts), _receipt(parts, facts), *_logs(parts, facts), _schema(parts),
        _END, _stamps(parts),
    )  # fmt: skip
    return "\n".join(sections).encode()


_OWN: Final = """\
    payload {card} | jq -cSj .roots | sha256sum | cut -c 1-64 | xxd -r -p | xxd -p -c 4 |
        while read -r four; do printf '%05d ' $((0x$four % 100000)); done; echo
    card {card}"""


def _path(card: Card) -> str:
    return f.card_path(CardPart(card.party, card.version, card.raw))


def _signed(facts: Facts, party: str, path: str, raw: bytes) -> str:
    card = signing_card(facts.cards, party, raw)
    if card is None:
        return f"No card of `{party}` in this bundle names the keys that signed `{path}`: nobody can say whose it is."
    return (
        f"Each key as the card of `{party}` has it, and `Signature Verified Successfully`, twice:\n\n"
        f"    signed {path} {_path(card)}"
    )


def _noted(facts: Facts, party: str, path: str, text: str, use: str) -> str:
    rows = [
        f'    noted {path} "$(payload {_path(card)} | jq -r .{kind}.vkey)"'
        for card, kind in note_cards(facts.cards, text, party)
        if kind == use
    ]
    return "\n".join(rows) or f"    # no {use} key of a card in this bundle made a line of {path}"


def _tree(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> str:
    if not path:
        return f"The tree has one leaf, so its root is that hash: `{leaf.hex()}`."
    rows: list[str] = []
    below = leaf
    for step in climb(leaf, index, size, path):
        pair = step.sibling + below if step.left else below + step.sibling
        rows.append(f"    (printf '\\001'; printf %s {pair.hex()} | xxd -r -p) | sha256sum   # {step.result.hex()}")
        below = step.result
    return "A parent is SHA-256 of the byte 01 and its two children. From the leaf up:\n\n" + "\n".join(rows)


def _event(parts: Parts) -> str:
    seen = (
        "The event is left out. Its digest stands in `envelope/place.json`; whoever has the event can compute it: "
        "SHA-256 of the byte 00 and the line."
        if parts.event is None
        else "The digest of the event is SHA-256 of the byte 00 and the line:\n\n"
        f"    (printf '\\000'; cat {f.EVENT}) | sha256sum"
    )
    if parts.manifest is None:
        return f"## 4. The event\n\n{seen}\n\nIt is `{parts.digest.hex()}`. No envelope holds it.\n"
    return f"""\
## 4. The event

{seen}

It is `{parts.digest.hex()}` (event {parts.place + 1} of {parts.count} in its envelope).
{_tree(parts.digest, parts.place, parts.count, parts.path)}

The last value is `root` in the payload of `{f.MANIFEST}`, there in base64url:

    jq -r .payload {f.MANIFEST} | unb64u | jq -r .root | unb64u | xxd -p -c 32
"""


def _manifest(parts: Parts, facts: Facts) -> str:
    if parts.manifest is None:
        return (
            "## 5. The manifest\n\nThere is none: the message was in no envelope. Only the sender's log speaks of it.\n"
        )
    return f"""\
## 5. The manifest

{_signed(facts, parts.sender, f.MANIFEST, parts.manifest)}
    payload {f.MANIFEST} | jq -c '{{iss, aud, eid, iat, n}}'

It names `iss` {parts.sender}, `aud` {parts.recipient} and `n` {parts.count}. So the sender signed this event for this
recipient.
"""


def _receipt(parts: Parts, facts: Facts) -> str:
    if parts.receipt is None:
        return "## 6. The receipt\n\nThere is none: the recipient's answer is not part of this bundle.\n"
    digest = b64u.encode(parts.digest)
    return f"""\
## 6. The receipt

{_signed(facts, parts.recipient, f.RECEIPT, parts.receipt)}
    payload {f.RECEIPT} | jq -c '{{iss, aud, iat, eid, manifest}}, (.outcomes[] | select(.event == "{digest}"))'

The last line is the answer about the digest of step 4; its `status` is `accepted` or `rejected`. Where `eid` and
`manifest` are not null, they are those of step 5; `manifest` is the SHA-256 of that file:

    jq -r .payload {f.RECEIPT} | unb64u | jq -r '.manifest // ""' | unb64u | xxd -p -c 32; sha256sum {f.MANIFEST}

The checkpoint it carries is signed by the recipient's log:

    payload {f.RECEIPT} | jq -j .checkpoint > "$T/shown"
{_noted(facts, parts.recipient, '"$T/shown"', facts.receipt_checkpoint or "", "log")}
"""


def _logs(parts: Parts, facts: Facts) -> tuple[str, ...]:
    theirs = parts.log_of(parts.recipient)
    others = [log for log in parts.logs if log.party != parts.recipient]
    lines = "\n".join(
        _noted(facts, log.party, f.log_path(log.party, "checkpoint"), log.checkpoint, "witness") for log in parts.logs
    )
    return (
        "## 7. The recipient's log\n\n"
        + (_log(parts, facts, theirs) if theirs else "It is not part of this bundle.\n"),
        _COSIGNED.format(lines=lines or "    # no log is part of this bundle"),
        "## 9. The sender's log\n\n" + ("\n".join(_log(parts, facts, log) for log in others) or _ABSENT),
    )


_ABSENT: Final = "It is not part of this bundle.\n"
_CHECKPOINT: Final = """\
`{base}/checkpoint` (C2SP signed-note, tlog-checkpoint) says: {size} entries, and their root in base64. It is signed by
the log key of a card:

{lines}
"""


def _log(parts: Parts, facts: Facts, log: LogPart) -> str:
    base = f"log/{log.party}"
    lines = _noted(facts, log.party, f"{base}/checkpoint", log.checkpoint, "log")
    told = [_CHECKPOINT.format(base=base, size=log.size, lines=lines)]
    for at, one in enumerate(log.entries):
        leaf = leaf_hash(one.data)
        what = ", the recipient's entry of this message" if is_receipt_entry(parts, one.data) else ""
        told.append(
            f"Entry {one.index}, `{entry_type(one.data) or 'unknown'}`{what}:\n\n"
            f"    jq -r '.entries[{at}].data' {base}/entries.json | unb64u; echo\n"
            f"    (printf '\\000'; jq -r '.entries[{at}].data' {base}/entries.json | unb64u) | sha256sum"
            f"   # {leaf.hex()}\n\n" + _tree(leaf, one.index, log.size, one.path) + "\n"
        )
    told.append(
        "The last value of each entry is the root in the checkpoint:\n\n"
        f"    sed -n 3p {base}/checkpoint | base64 -d | xxd -p -c 32\n"
    )
    return "\n".join(told)


_COSIGNED: Final = """\
## 8. Who else vouches

A line of the *other* party's witness (`witness.vkey` in its card) is a cosignature (C2SP tlog-cosignature v1): key id
(4 bytes), time (8 bytes, seconds), Ed25519 signature (64 bytes) over `cosignature/v1`, `time …` and the text above the
blank line. It says: at that time, this log had these entries. The time, and that it holds:

{lines}

Where a key of step 5 or 6 was revoked later, only a cosignature of the recipient's log of an earlier time keeps that
step good.
"""


def _schema(parts: Parts) -> str:
    if parts.schema is None:
        return "## 10. The schema\n\nIt is not part of this bundle.\n"
    return f"""\
## 10. The schema

    sha256sum {f.SCHEMA}; jq -r .schemadigest {f.EVENT} | unb64u | xxd -p -c 32

Both are the same: these are the rules both authorities had for a message of this type.
"""


_END: Final = """\
## 11. The page

`report.html` and this guide are made from the other files. `gateway evidence verify` makes them again and compares.
By hand: read the values in steps 3 to 9 and compare them with the page.
"""


def _stamps(parts: Parts) -> str:
    told = [_stamp(log, log.stamp) for log in parts.logs if log.stamp is not None]
    return "## 12. The timestamp\n\n" + ("\n".join(told) or "There is none.\n")


def _stamp(log: LogPart, stamp: StampPart) -> str:
    base = f"log/{log.party}"
    same = (
        "It is the checkpoint of the steps above."
        if stamp.size == log.size
        else "That it has grown out of the checkpoint of the steps above, the consistency path in "
        f"`{base}/timestamp.json` shows (RFC 9162 §2.1.4.2; by hand it is long, so let the verifier do it)."
    )
    return f"""\
An outside authority stamped `{base}/timestamped`, a checkpoint of {stamp.size} entries of the same log, signed like the
other. {same}

    openssl ts -reply -in {base}/timestamp.tsr -text
    openssl ts -verify -in {base}/timestamp.tsr -data {base}/timestamped -CAfile TSA.pem

`TSA.pem` are the authority's certificates, **got by another way than this file**. The token's time is
{times.format_ms(stamp.at_ms)}.
"""
