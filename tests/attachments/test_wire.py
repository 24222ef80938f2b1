from __future__ import annotations

import os
from typing import Any

import pytest

from gateway.errors import Clash, GatewayError, MalformedRequest, NotFound, TooLarge
from gateway.primitives import b64u
from gateway.protocol.attachment import (
    KEY_BYTES,
    MAX_ATTACHMENTS,
    AttachmentId,
    BrokenSealError,
    Opening,
    Sealing,
    Upload,
    context,
    encrypted_length,
    judge_patch,
    judge_put,
    parse_attachment_id,
    read_enclosures,
    read_number,
)
from tests.support.link import ID, KH

NAME = AttachmentId("0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c42")
KEY = bytes(range(KEY_BYTES))


def sealed(plain: bytes, about: bytes = context(ID, KH, NAME), step: int = 1 << 20) -> bytes:
    """Return the ciphertext of `plain`, given in pieces."""
    sealing = Sealing(KEY, about)
    found = b"".join(sealing.add(plain[at : at + step]) for at in range(0, len(plain), step)) + sealing.end()
    assert (sealing.plain.length, sealing.sealed.length) == (len(plain), len(found))
    return found


def opened(ciphertext: bytes, about: bytes = context(ID, KH, NAME), key: bytes = KEY, step: int = 1 << 20) -> bytes:
    """Return the plaintext, opened in pieces."""
    opening = Opening(key, about)
    found = b"".join(opening.add(ciphertext[at : at + step]) for at in range(0, len(ciphertext), step))
    return found + opening.end()


def test_the_context_is_what_the_page_says() -> None:
    """Label, sender, recipient and id, a line feed between them."""
    assert context(ID, KH, NAME) == b"bcx-attachment/1\nid.imigrasi\nkh.gdi\n" + NAME.encode()


@pytest.mark.parametrize("length", [1, 100, 16_383, 16_384, 16_385, 32_768, 100_000])
def test_the_length_of_a_ciphertext_is_known_before_it_is_made(length: int) -> None:
    """A message states it; chunk ends are where one could be wrong."""
    plain = os.urandom(length)
    ciphertext = sealed(plain, step=7_000)
    assert len(ciphertext) == encrypted_length(length)
    assert opened(ciphertext, step=5_000) == plain


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("another sender", {"about": context(KH, KH, NAME)}),
        ("another recipient", {"about": context(ID, ID, NAME)}),
        ("another id", {"about": context(ID, KH, AttachmentId("0192f5c4-8a4e-7c3b-9f21-6d0e5b7a1c43"))}),
        ("another key", {"key": bytes(KEY_BYTES)}),
    ],
)
def test_a_ciphertext_opens_in_its_own_place_only(what: str, change: dict[str, Any]) -> None:
    """Nobody passes one file off as another's."""
    with pytest.raises(BrokenSealError):
        opened(sealed(b"x" * 40_000), **change)
    assert what


@pytest.mark.parametrize("cut", [0, 1, 55, 56, 72, 16_456, 16_457, 40_000 + 56 + 47])
def test_a_ciphertext_that_is_cut_does_not_open(cut: int) -> None:
    """Wherever it ends too early, also between two chunks."""
    with pytest.raises(BrokenSealError):
        opened(sealed(b"x" * 40_000)[:cut])


def test_a_changed_byte_is_found_wherever_it_is() -> None:
    """Salt, commitment, chunks and tags alike."""
    ciphertext = sealed(b"x" * 20_000)
    for place in (0, 23, 24, 55, 56, 10_000, 16_455, 16_456, len(ciphertext) - 1):
        with pytest.raises(BrokenSealError):
            opened(ciphertext[:place] + bytes([ciphertext[place] ^ 1]) + ciphertext[place + 1 :])


@pytest.mark.parametrize("text", ["", "..", NAME.upper(), NAME + "\n", NAME[:-1], "a/b", NAME.replace("-", "")])
def test_an_id_is_a_uuid_in_lower_case_and_nothing_else(text: str) -> None:
    """It stands in a path: no form of it may leave its folder."""
    with pytest.raises(ValueError, match="UUID"):
        parse_attachment_id(text)


@pytest.mark.parametrize(
    ("held", "length", "refused"),
    [
        (None, 1000, None),
        (None, encrypted_length(1), None),
        (None, encrypted_length(1) - 1, MalformedRequest),
        (None, 2001, TooLarge),
        (Upload(1000, 10), 1000, None),
        (Upload(1000, 10), 900, None),
        (Upload(1000, 1000), 1000, Clash),
    ],
)
def test_what_a_put_may_do(held: Upload | None, length: int, refused: type[GatewayError] | None) -> None:
    """Begin, begin anew; never replace what is complete, never beyond the limit."""
    if refused is None:
        judge_put(held, length, 2000)
    else:
        with pytest.raises(refused):
            judge_put(held, length, 2000)


@pytest.mark.parametrize(
    ("held", "offset", "refused"),
    [
        (None, 0, NotFound),
        (Upload(1000, 10), 10, None),
        (Upload(1000, 0), 0, None),
        (Upload(1000, 10), 9, Clash),
        (Upload(1000, 10), 11, Clash),
        (Upload(1000, 1000), 1000, Clash),
    ],
)
def test_where_a_patch_may_go_on(held: Upload | None, offset: int, refused: type[GatewayError] | None) -> None:
    """Exactly where the upload stands."""
    if refused is None:
        judge_patch(held, offset)
    else:
        with pytest.raises(refused):
            judge_patch(held, offset)


@pytest.mark.parametrize("text", [None, "", "-1", "01", "1.0", "1e3", "٣", "1 ", "9" * 17])
def test_a_number_in_a_header_is_digits(text: str | None) -> None:
    """No sign, no leading zero, no digit of another script."""
    with pytest.raises(MalformedRequest):
        read_number(text, "Upload-Length")


WHOLE = {
    "attachmentId": NAME,
    "attachmentType": "TICKET",
    "mediaType": "application/pdf",
    "byteLength": 9,
    "sha256": b64u.encode(bytes(32)),
    "encryptedLength": 81,
    "encryptedSha256": b64u.encode(bytes(32)),
    "key": b64u.encode(bytes(32)),
}


def test_an_entry_is_read_and_written_the_same() -> None:
    """What a sender writes is what a receiver reads, the catalogue's fields included."""
    entry = WHOLE | {"derivedFrom": NAME, "personRef": "P-" + NAME, "description": "seat 12"}
    [found], faults = read_enclosures({"attachments": [entry]})
    assert (found.as_dict(), faults) == (entry, [])
    assert read_enclosures({}) == ([], [])


@pytest.mark.parametrize(
    ("what", "value", "pointer"),
    [
        ("no list", {"a": 1}, "/data/attachments"),
        ("too many", [WHOLE] * (MAX_ATTACHMENTS + 1), "/data/attachments"),
        ("no object", ["x"], "/data/attachments/0"),
        ("no key", [{k: v for k, v in WHOLE.items() if k != "key"}], "/data/attachments/0"),
        ("a short key", [WHOLE | {"key": "AAAA"}], "/data/attachments/0"),
        ("a digest of another length", [WHOLE | {"sha256": "AAAA"}], "/data/attachments/0"),
        ("an id that is a path", [WHOLE | {"attachmentId": "../x"}], "/data/attachments/0"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named(what: str, value: object, pointer: str) -> None:
    """A schema of later days may allow it; the wire does not."""
    found, faults = read_enclosures({"attachments": value})
    assert ([], [pointer]) == (found, [fault.pointer for fault in faults]), what
