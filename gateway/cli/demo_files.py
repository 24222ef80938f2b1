"""The demo's files: a passport page photographed by a telephone that notes where it was, and a ticket."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.demo_steps import hold, sample
from gateway.primitives import b64u

if TYPE_CHECKING:
    from gateway.cli.demo_steps import Story

GPS: Final = 0x8825
MODEL: Final = 0x0110
TELEPHONE: Final = "TELEPHONE OF AN OFFICER"
AUTHOR: Final = "CLERK OF AN AIRLINE"


async def attach(story: Story) -> str:
    """Indonesia sends a photograph and a ticket with a referral; Cambodia reads both."""
    scan, ticket, body = (story.folder / name for name in ("page.jpg", "ticket.pdf", "referral.json"))
    scan.write_bytes(_photograph())
    ticket.write_bytes(_ticket())
    body.write_bytes(json.dumps(sample("case.referral/s1-sumarni")).encode())
    words = ("--attach", f"{scan};type=PASSPORT_SCAN", "--attach", f"{ticket};type=TICKET")
    sent = json.loads(await story.id.command("-o", "json", "submit", str(body), *words, "--wait"))
    hold(sent["state"] == "accepted", f"{sent['state']}: {sent['reason']}")

    event: dict[str, Any] = json.loads(await story.id.raw(f"/api/v1/messages/{sent['id']}/event", role="officer"))
    rows = event["data"]["attachments"]
    hold([row["attachmentType"] for row in rows] == ["PASSPORT_SCAN", "TICKET"], f"{len(rows)} files in the message")
    read = [await story.kh.raw(f"/api/v1/attachments/{row['attachmentId']}", role="officer") for row in rows]
    for raw, row in zip(read, rows, strict=True):
        hold(b64u.encode(sha256(raw).digest()) == row["sha256"], "what Cambodia reads is not what was signed")
    hold(AUTHOR.encode() in ticket.read_bytes(), "the ticket says nothing of its author")
    hold(read[1].startswith(b"%PDF-") and AUTHOR.encode() not in read[1], "the ticket's author went along")
    hold(TELEPHONE.encode() in scan.read_bytes(), "the photograph says nothing of its telephone")
    hold(TELEPHONE.encode() not in read[0] and b"Exif" not in read[0], "the position went along")
    sizes = f"{len(read[0])} and {len(read[1])} bytes"
    return f"{sizes} read in Cambodia, digests as signed; no position, no telephone, no author"


def _ticket() -> bytes:
    import pikepdf

    out = io.BytesIO()
    with pikepdf.Pdf.new() as made:
        made.add_blank_page(page_size=(300, 100))
        made.docinfo["/Author"] = AUTHOR
        made.save(out, compress_streams=False, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return out.getvalue()


def _photograph() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[MODEL] = TELEPHONE
    exif.get_ifd(GPS).update({1: "N", 2: (11.0, 5.0, 0.0), 3: "E", 4: (106.0, 9.0, 0.0)})
    out = io.BytesIO()
    Image.linear_gradient("L").resize((800, 560)).convert("RGB").save(out, "JPEG", exif=exif)
    return out.getvalue()
