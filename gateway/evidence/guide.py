"""`VERIFY.md`: the steps of `verify` for somebody with `sha256sum` and `openssl`, with this bundle's own values.

Made again by the verifier and compared: it depends on the parts alone.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.evidence import files as f
from gateway.evidence.facts import is_receipt_entry
from gateway.evidence.parts import FORMAT
from gateway.primitives import times
from gateway.primitives.merkle import leaf_hash, node_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.evidence.facts import Facts
    from gateway.evidence.parts import LogPart, Parts, StampPart

_HEAD: Final = """\
# Verify this bundle by hand

Format `{format}`. Message `{message}`, from `{sender}` to `{recipient}`.

`gateway evidence verify FILE.zip --fingerprint "…" --fingerprint "…"` does all of this and names every fault. The
steps below have the same numbers. They need `unzip`, `sha256sum`, `xxd`, `jq`, and `openssl` 3.5 or later. Text
in base64url is decoded with

    unb64u() {{ tr -- '-_' '+/' | awk '{{ while (length($0) % 4) $0 = $0 "="; print }}' | base64 -d; }}

## 1. The container

`unzip FILE.zip`. Nothing in it is compressed, all times are 1980-01-01.

## 2. The files

Save these lines and give them to `sha256sum --check`. They, the page and this guide are listed in `manifest.json`
too; there must be no other file.

{sums}

## 3. Whose keys

Each card is signed by its own two root keys; that makes it consistent, not true. It is the authority's if its
fingerprint is the one that authority told you **by another way than this file**:

{cards}

The fingerprint is SHA-256 over the card's `roots` in canonical JSON (RFC 8785), as eight numbers: bytes 4i to 4i+3,
big-endian, modulo 100000.

    jq -r .payload cards/NAME.jws | unb64u | jq -cSj .roots | sha256sum

A signature is two signatures, both needed. For each `s` of the two in a `.jws` file, the signed bytes are
`s.protected`, a full stop, and `payload`; `kid` in the decoded `protected` names the key in the card:

    printf %s.%s "$PROTECTED" "$PAYLOAD" > input; printf %s "$SIGNATURE" | unb64u > signature
    (printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'; printf %s "$X" | unb64u) > ed25519.der
    (printf '\\060\\202\\007\\262\\060\\013\\006\\011\\140\\206\\110\\001\\145\\003\\004'
     printf '\\003\\022\\003\\202\\007\\241\\000'; printf %s "$PUB" | unb64u) > mldsa65.der
    openssl pkeyutl -verify -pubin -keyform DER -inkey KEY.der -rawin -in input -sigfile signature

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
        format=FORMAT, message=parts.message, sender=parts.sender, recipient=parts.recipient, sums=sums, cards=cards
    )
    sections = (
        head, _event(parts), _manifest(parts), _receipt(parts), *_logs(parts), _schema(parts), _END, _stamps(parts),
    )  # fmt: skip
    return "\n".join(sections).encode()


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
    return f"""\
## 4. The event

{seen}

It is `{parts.digest.hex()}` (event {parts.place + 1} of {parts.count} in its envelope).
{_tree(parts.digest, parts.place, parts.count, parts.path)}

The last value is `root` in the payload of `{f.MANIFEST}`, there in base64url:

    jq -r .payload {f.MANIFEST} | unb64u | jq -r .root | unb64u | xxd -p -c 32
"""


def _manifest(parts: Parts) -> str:
    return f"""\
## 5. The manifest

Check both signatures of `{f.MANIFEST}` as in step 3, under keys in a card of `{parts.sender}`. Its payload names
`iss` {parts.sender}, `aud` {parts.recipient} and `n` {parts.count}. So the sender signed this event for this recipient.
"""


def _receipt(parts: Parts) -> str:
    if parts.receipt is None:
        return "## 6. The receipt\n\nThere is none: the recipient's answer is not part of this bundle.\n"
    return f"""\
## 6. The receipt

Check both signatures of `{f.RECEIPT}` under keys in a card of `{parts.recipient}`. One of its `outcomes` has `event`
equal to the digest of step 4; its `status` is the recipient's answer. Where `eid` and `manifest` are not null, they are
those of step 5: `manifest` is the SHA-256 of `{f.MANIFEST}`.
"""


def _logs(parts: Parts) -> tuple[str, ...]:
    theirs = parts.log_of(parts.recipient)
    others = [log for log in parts.logs if log.party != parts.recipient]
    return (
        "## 7. The recipient's log\n\n" + (_log(parts, theirs) if theirs else "It is not part of this bundle.\n"),
        _COSIGNED,
        "## 9. The sender's log\n\n"
        + ("\n".join(_log(parts, log) for log in others) or "It is not part of this bundle.\n"),
    )


_CHECKPOINT: Final = """\
`{base}/checkpoint` is signed by the log key of a card (`log.vkey`; format: C2SP signed-note, tlog-checkpoint). It
says: {size} entries, and their root in base64.
"""


def _log(parts: Parts, log: LogPart) -> str:
    base = f"log/{log.party}"
    told = [_CHECKPOINT.format(base=base, size=log.size)]
    for at, one in enumerate(log.entries):
        leaf = leaf_hash(one.data)
        what = "the recipient's entry of this message" if is_receipt_entry(parts, one.data) else "an entry"
        told.append(
            f"Entry {one.index}, {what}:\n\n"
            f"    jq -r '.entries[{at}].data' {base}/entries.json | unb64u\n"
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

A line in the recipient's checkpoint that begins with the name of the sender's witness (`witness.vkey` in its card) is a
cosignature (C2SP tlog-cosignature v1): key id (4 bytes), time (8 bytes, seconds), Ed25519 signature (64 bytes) over
`cosignature/v1`, `time …` and the text above the blank line. It says: at that time, this log had these entries. Where
a key of step 5 or 6 was revoked later, only a cosignature of an earlier time keeps that step good.
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
