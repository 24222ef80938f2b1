"""A second reading of docs/evidence.md: checks a bundle `bcx-evidence/1` with `cryptography` alone.

usage: python3 verify_evidence.py FILE.zip "12345 67890 …" "12345 67890 …"
Each fingerprint is eight groups of five digits, as its authority told you, not as the file says.
Prints every fault; exit 0: verified, 3: not verified, 2: usage. docs/evidence.md: what it omits.
"""

import base64
import json
import struct
import sys
import zipfile
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

KEYS: dict[str, tuple[Any, str]] = {"Ed25519": (Ed25519PublicKey, "x"), "ML-DSA-65": (MLDSA65PublicKey, "pub")}
Json = dict[str, Any]
LIST, MANIFEST, RECEIPT = "manifest.json", "envelope/manifest.jws", "receipt.jws"
ROLES = {"event.json": "event", "place.json": "place of the event", "manifest.jws": "manifest",
         "receipt.jws": "receipt", "schema.json": "schema", "report.html": "page", "VERIFY.md": "guide",
         "checkpoint": "checkpoint", "entries.json": "log entries", "timestamped": "stamped checkpoint",
         "timestamp.json": "place of the timestamp", "timestamp.tsr": "timestamp"}  # fmt: skip
faults, files = list[str](), dict[str, bytes]()


def check(step: int, right: object, file: str, what: str) -> None:
    """Note a fault where something does not hold."""
    faults.extend([] if right else [f"step {step}: {file}: {what}"])


def unb64u(text: str) -> bytes:
    """Decode base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def zipped(held: list[tuple[str, bytes]]) -> bytes:
    """Write the container again: a zip of stored files, every field fixed."""
    body, directory, count = b"", b"", len(held)
    for name, data in held:
        fields = struct.pack("<5H3I2H", 20, 0, 0, 0, 33, crc32(data), len(data), len(data), len(name), 0)
        directory += b"PK\1\2\x14\3" + fields + struct.pack("<3H2I", 0, 0, 0, 0x81A40000, len(body)) + name.encode()
        body += b"PK\3\4" + fields + name.encode() + data
    return body + directory + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, len(directory), len(body), 0)


def ms(text: str) -> int:
    """Return a time in milliseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def joined(*parts: bytes) -> bytes:
    """RFC 6962: a leaf is SHA-256(00 data), a node SHA-256(01 left right)."""
    return sha256(b"".join(parts)).digest()


def tree(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1: the root over leaf hashes."""
    split = 1 << (len(hashes) - 1).bit_length() - 1 if len(hashes) > 1 else 0
    return joined(b"\x01", tree(hashes[:split]), tree(hashes[split:])) if split else hashes[0]


def top(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that a path leads to (RFC 6962 section 2.1.1), nothing where it is none."""
    if size < 2 or not path:
        return {(0, 1): leaf, (0, 0): b""}.get((index, size), b"?") if not path else b"?"
    split = 1 << (size - 1).bit_length() - 1
    left, right = (index, split), (index - split, size - split)
    pair = [top(leaf, *(left if index < split else right), path[:-1]), path[-1]]
    return joined(b"\x01", *(pair if index < split else reversed(pair)))


def signed(raw: bytes, typ: str, keys: dict[str, Json]) -> tuple[Json, list[str]]:
    """Return payload and key ids of a JWS both of whose signatures hold under `keys` (by kid)."""
    jws = json.loads(raw)
    if set(jws) != {"payload", "signatures"} or len(jws["signatures"]) != 2:
        raise ValueError("not a signed object with two signatures")
    for alg, entry in zip(KEYS, jws["signatures"], strict=True):
        head = json.loads(unb64u(entry["protected"]))
        if head != {"alg": alg, "typ": typ, "kid": head.get("kid"), "crit": ["bcx"], "bcx": "1"}:
            raise ValueError("another protected header")
        (kind, member), data = KEYS[alg], f"{entry['protected']}.{jws['payload']}".encode()
        kind.from_public_bytes(unb64u(keys[head["kid"]][member])).verify(unb64u(entry["signature"]), data)
    return json.loads(unb64u(jws["payload"])), [json.loads(unb64u(e["protected"]))["kid"] for e in jws["signatures"]]


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638."""
    bare = {name: jwk[name] for name in (("crv", "kty", "x") if jwk["kty"] == "OKP" else ("alg", "kty", "pub"))}
    return base64.urlsafe_b64encode(sha256(json.dumps(bare, separators=(",", ":")).encode()).digest())[:43].decode()


def fingerprint(roots: list[dict[str, str]]) -> str:
    """Eight groups of five digits over the canonical JSON of the roots."""
    digest = sha256(json.dumps(roots, sort_keys=True, separators=(",", ":")).encode()).digest()
    return "".join(f"{int.from_bytes(digest[at : at + 4], 'big') % 100000:05d}" for at in range(0, 32, 4))


def judge(step: int, path: str, cards: list[Json], kid: str, at: int, seen: list[int]) -> None:
    """Judge a key by the card in force at a time; a later card may add that it was revoked: then a witness decides."""
    last = [card for card in cards if ms(card["issued"]) <= at][-1:]
    held = [(key, min(ms(key["exp"]), ms(card["expires"]))) for card in last for key in card["keys"]]
    gone = min((ms(k["revoked"]) for c in cards for k in c["keys"] if k["kid"] == kid and "revoked" in k), default=None)
    inside = [key for key, end in held if key["kid"] == kid and ms(key["nbf"]) <= at < end and key["status"] != "next"]
    counts = any(key["status"] != "revoked" or "revoked" in key for key in inside) and (gone is None or at < gone)
    check(step, counts, path, "its key did not count then")
    check(8, gone is None or min(seen, default=gone) < gone, path, "revoked later, and no witness saw the entry before")


def open_note(text: str, vkeys: set[str]) -> tuple[int, bytes, list[int]]:
    """Return size, root and cosignature times (ms) of a C2SP checkpoint under these keys. Raises ValueError."""
    body, _, lines = text.rpartition("\n\n")
    body, times, by_log = body + "\n", [], False
    keys = {(owner, bytes.fromhex(one)): base64.b64decode(key) for owner, one, key in (v.split("+", 2) for v in vkeys)}
    for name, packed in (line.removeprefix("— ").split(" ") for line in lines.splitlines()):
        raw = base64.b64decode(packed, validate=True)
        key = keys.get((name, raw[:4]), b" ")
        log, witness, stamp = key[0] == 1, key[0] == 4, int.from_bytes(raw[4:12], "big")
        said = f"cosignature/v1\ntime {stamp}\n{body}" if witness else body
        if log or witness:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[12 if witness else 4 :], said.encode())
        by_log = by_log or (log and name == body.split("\n")[0])
        times += [stamp * 1000] if witness else []
    if not by_log:
        raise ValueError("not signed by its log")
    return int(body.split("\n")[1]), base64.b64decode(body.split("\n")[2], validate=True), times


def read_cards(parties: list[str], given: set[str]) -> dict[str, list[Json]]:
    """Do step 3; return the cards of each party, by version, every kid made anew."""
    cards: dict[str, list[Json]] = {party: [] for party in parties}
    for path in (path for path in files if path.startswith("cards/")):
        try:
            roots = json.loads(unb64u(json.loads(files[path])["payload"]))["roots"]
            card, _ = signed(files[path], "bcx-card+jws", {thumbprint(root): root for root in roots})
            cards[card["party"]].append(card)
            check(3, path == "cards/{party}-{version}.jws".format(**card), path, "not what its name says")
            check(3, all(key["kid"] == thumbprint(key) for key in card["keys"]), path, "a key under another name")
            check(3, fingerprint(roots) in given, path, "its fingerprint was not given: trusted by nobody")
        except (ValueError, KeyError, TypeError, InvalidSignature):
            check(3, None, path, "not signed by its roots, or of a third party")
    check(3, all(cards.values()), "cards/", "no card of one party")
    return {party: sorted(held, key=lambda card: card["version"]) for party, held in cards.items()}


def read_receipt(manifest: Json, digest: str, keys: Json) -> tuple[Json, list[str], Json]:
    """Do step 6; return receipt, key ids, and the outcome of this event."""
    receipt, kids = signed(files[RECEIPT], "bcx-receipt+jws", keys)
    rows, right = receipt["outcomes"], (receipt["iss"], receipt["aud"]) == (manifest["aud"], manifest["iss"])
    if receipt["eid"] is not None:
        same = unb64u(receipt["manifest"]) == sha256(files[MANIFEST]).digest()
        whole = tree([unb64u(row["event"]) for row in rows]) == unb64u(manifest["root"])
        right = right and same and whole and receipt["eid"] == manifest["eid"]
    ours: Json = next((row for row in rows if row["event"] == digest), {})
    check(6, right and ours.get("status") in {"accepted", "rejected"}, RECEIPT, "no final answer to this event")
    return receipt, kids, ours


def read_log(party: str, cards: Json, manifest: Json, jti: str, digest: str, ours: Json) -> tuple[Json, list[int]]:
    """Do step 7 or 9; return the times of the entries by type, and of the cosignatures."""
    base, step = f"log/{party}/", 7 if party == manifest["aud"] else 9
    vkeys = {card["log" if one == party else "witness"]["vkey"] for one, held in cards.items() for card in held}
    size, root, cosigned = open_note(files[base + "checkpoint"].decode(), vkeys)
    found, times = json.loads(files[base + "entries.json"]), {}
    for row in found["entries"]:
        data, path, index = unb64u(row["data"]), [unb64u(one) for one in row["path"]], row["index"]
        one = json.loads(data)
        below = found["size"] == size and top(joined(b"\x00", data), index, size, path) == root
        check(step, one["seq"] == index and below, base, f"entry {index} is not under the signed root")
        about = (one.get("jti", jti), one.get("event", digest)) == (jti, digest) and ("jti" in one or "event" in one)
        if one["typ"] == "message.sent":
            about = (one["event"], one["obj"]["id"]) == (manifest["root"], manifest["eid"])
        check(step, about, base, f"entry {index} is about something else")
        if ours and one["typ"] in {"message.received", "message.settled"}:
            said = " ".join(filter(None, (ours["status"], ours.get("problem"))))
            here = one["typ"] != "message.received" or (index, one["ts"]) == (ours.get("leaf"), ours["receivedAt"])
            check(step, one["outcome"] == said and here, base, f"entry {index} records another answer than the receipt")
        times[one["typ"]] = ms(one["ts"])
    return times, cosigned if "message.received" in times else []


def verify(given: set[str]) -> None:
    """Do steps 2 to 10; faults go to `faults`."""
    about, names = json.loads(files[LIST]), ("format", "message", "sender", "recipient", "exporter", "redacted")
    rows = [{"path": path, "role": "card" if path[:6] == "cards/" else ROLES.get(path.rpartition("/")[2]),
             "bytes": len(data), "sha256": sha256(data).hexdigest()}
            for path, data in sorted(files.items()) if path != LIST]  # fmt: skip
    for row in [*rows, *about["files"]]:
        check(2, row in rows and row in about["files"] and row["role"], row["path"], "changed, missing or not listed")
    again = json.dumps({name: about[name] for name in names} | {"files": rows}, indent=2)
    sender, recipient, jti = about["sender"], about["recipient"], about["message"]
    right = (about["format"], f"{again}\n".encode()) == ("bcx-evidence/1", files[LIST])
    check(2, right and about["exporter"] in {sender, recipient}, LIST, "not what the files give, or another format")
    cards = read_cards([sender, recipient], given)
    keys = {party: {key["kid"]: key for card in held for key in card["keys"]} for party, held in cards.items()}
    place, event = json.loads(files["envelope/place.json"]), json.loads(files.get("event.json", "null"))
    digest, schema = place["digest"], files.get("schema.json")
    same = about["redacted"] if event is None else joined(b"\x00", files["event.json"]) == unb64u(digest)
    check(4, same, "event.json", "missing, or not the event that is proved")
    if event is not None:
        named = (event["id"], event["source"], event["recipient"]) == (jti, f"urn:bcx:party:{sender}", recipient)
        check(4, named and not about["redacted"], "event.json", "of another message, or shown although left out")
    wanted = None if event is None or event["type"] == "bcx.void" else unb64u(event["schemadigest"])
    check(10, wanted == (schema and sha256(schema).digest()), "schema.json", "not the schema the event names")
    sent = place["size"] or {MANIFEST, RECEIPT} & files.keys()  # neither: it was in no envelope
    alone: Json = {"iss": sender, "aud": recipient, "n": 0, "root": "", "eid": None}
    manifest, kids = signed(files[MANIFEST], "bcx-manifest+jws", keys[sender]) if sent else (alone, [])
    found = top(unb64u(digest), place["index"], place["size"], list(map(unb64u, place["path"])))
    named = (manifest["iss"], manifest["aud"], manifest["n"]) == (sender, recipient, place["size"])
    check(5, named and found == unb64u(manifest["root"]), MANIFEST, "not this event for this recipient")
    receipt, signers, ours = read_receipt(manifest, digest, keys[recipient]) if RECEIPT in files else ({}, [], {})
    if receipt:
        open_note(receipt["checkpoint"], {card["log"]["vkey"] for card in cards[recipient]})
    logs = {one: read_log(one, cards, manifest, jti, digest, ours) for one in cards if f"log/{one}/checkpoint" in files}
    (received, seen), (settled, _) = (logs.get(party, ({}, [])) for party in (recipient, sender))
    check(9, sent or "message.accepted" in settled, "log/", "no entry shows that it was submitted")
    for kid in kids:
        told = received.get("message.received", ms(ours.get("receivedAt", manifest["iat"])))
        judge(5, MANIFEST, cards[sender], kid, told, seen)
    for kid in signers:
        at = settled.get("message.settled") if receipt["eid"] else None
        judge(6, RECEIPT, cards[recipient], kid, at or ms(receipt["iat"]), seen)


def main(*args: str) -> int:
    """Check one file under the fingerprints given; return the exit code."""
    asked, given = {"-h", "--help"} & {*args}, {"".join(text.split()) for text in args[1:]}
    if asked or not args or not Path(args[0]).is_file() or not all(len(one) == 40 and one.isdigit() for one in given):
        (sys.stdout if asked else sys.stderr).write(__doc__)
        return 0 if asked else 2
    try:
        with zipfile.ZipFile(args[0]) as archive:
            files.update((one.filename, archive.read(one)) for one in archive.infolist())
        again = zipped([(one, files[one]) for one in (LIST, *sorted(files.keys() - {LIST}))])
        check(1, again == Path(args[0]).read_bytes(), "the container", "not the bytes its files give")
        verify(given)
    except Exception as error:  # noqa: BLE001 - whatever a made-up file sets off: it is no evidence
        check(0, None, args[0], f"cannot be read on: {type(error).__name__}: {error}")
    sys.stdout.write("\n".join([*faults, "not verified"] if faults else ["verified"]) + "\n")
    return 3 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
