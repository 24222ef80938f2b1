"""The payloads: a record of exactly 4,096 bytes under a schema of its own, and a shipped referral."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import orjson

SUBJECT: Final = "bench.record"
VERSION: Final = "1.0.0"
RECORD_BYTES: Final = 4096

_ROLES: Final = ("holder", "relative", "witness", "guardian")
_STAGES: Final = ("opened", "assigned", "asked", "answered", "closed")
_FILLER: Final = "The office asks for the entries that concern the persons named, with dates and places as recorded. "


def make_record(number: int) -> dict[str, Any]:
    """Return a record whose compact JSON is RECORD_BYTES long; the same for the same number."""
    draw = random.Random(number)  # noqa: S311 - the same records each time are wanted
    record: dict[str, Any] = {
        "meta": {
            "transferBasis": {"code": "ART56_3_BINDING_INSTRUMENT", "instrumentRef": "TEST-INSTRUMENT"},
            "language": "eng",
        },
        "number": number,
        "stage": draw.choice(_STAGES),
        "office": f"OFFICE-{draw.randrange(1000):03d}",
        "openedOn": f"2026-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
        "persons": [_person(draw, place) for place in range(4)],
        "entries": [_entry(draw, place) for place in range(10)],
        "files": [_file(draw) for _ in range(3)],
        "charges": [{"currency": "USD", "amount": f"{draw.randrange(10**6)}.00"} for _ in range(4)],
        "text": "",
    }
    missing = RECORD_BYTES - len(orjson.dumps(record))
    record["text"] = (_FILLER * (missing // len(_FILLER) + 1))[:missing]
    return record


def _person(draw: random.Random, place: int) -> dict[str, Any]:
    return {
        "role": _ROLES[place],
        "name": {"primary": f"PRIMARY{draw.randrange(10**6):06d}", "secondary": [f"SECOND{draw.randrange(100):02d}"]},
        "born": f"19{draw.randrange(50, 99)}-0{draw.randrange(1, 10)}-1{draw.randrange(10)}",
        "countries": ["IDN", "KHM"][: draw.randrange(1, 3)],
        "document": {"type": "P", "number": f"TEST{draw.randrange(10**6):06d}", "issuer": "IDN"},
        "reach": [{"kind": "PHONE", "value": f"+62800{draw.randrange(10**7):07d}"}],
    }


def _entry(draw: random.Random, place: int) -> dict[str, Any]:
    return {
        "at": f"2026-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}T0{draw.randrange(10)}:15:00.000Z",
        "point": f"KH-{place:02d}",
        "way": draw.choice(("IN", "OUT")),
        "note": "recorded at the counter",
    }


def _file(draw: random.Random) -> dict[str, Any]:
    return {
        "media": "application/pdf",
        "digest": f"{draw.getrandbits(256):064x}",
        "size": draw.randrange(10**6),
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _several(items: dict[str, Any], most: int = 20) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _text(pattern: str | None = None) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": 100, **({"pattern": pattern} if pattern else {})}


def schema() -> bytes:
    """Return the schema of the record."""
    day, country = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "^[A-Z]{3}$"
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:bcx:schema:{SUBJECT}:{VERSION}",
        "title": "Record for measurements",
        "x-case": "none",
        **_closed({
            "meta": _closed({
                "transferBasis": _closed({"code": _text("^[A-Z0-9_]{1,40}$"), "instrumentRef": _text()}),
                "language": _text("^[a-z]{3}$"),
            }),
            "number": {"type": "integer", "minimum": 0},
            "stage": {"enum": list(_STAGES)},
            "office": _text("^OFFICE-[0-9]{3}$"),
            "openedOn": _text(day),
            "persons": _several(_closed({
                "role": {"enum": list(_ROLES)},
                "name": _closed({"primary": _text(), "secondary": _several(_text())}),
                "born": _text(day),
                "countries": _several(_text(country)),
                "document": _closed({"type": _text(), "number": _text("^[A-Z0-9]{1,20}$"), "issuer": _text(country)}),
                "reach": _several(_closed({"kind": {"enum": ["PHONE", "MAIL"]}, "value": _text()})),
            })),
            "entries": _several(_closed({
                "at": _text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$"),
                "point": _text("^[A-Z]{2}-[0-9]{2}$"),
                "way": {"enum": ["IN", "OUT"]},
                "note": _text(),
            })),
            "files": _several(_closed({
                "media": _text(), "digest": _text("^[0-9a-f]{64}$"), "size": {"type": "integer", "minimum": 0},
            })),
            "charges": _several(_closed({"currency": _text(country), "amount": _text(r"^[0-9]+[.][0-9]{2}$")})),
            "text": {"type": "string", "maxLength": 4096},
        }),
    }  # fmt: skip
    return json.dumps(document).encode()


def record_body(number: int) -> dict[str, Any]:
    """Return the POST body that sends a record to kh.gdi."""
    return {
        "recipient": "kh.gdi",
        "type": SUBJECT,
        "urgency": "ROUTINE",
        "handling": ["V1", "H2"],
        "data": make_record(number),
    }
