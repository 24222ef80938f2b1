"""The link to a timestamp authority: what is asked, what is believed, and how each failure is told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from gateway.errors import ConfigurationError, GatewayError, MalformedProof, TransportError
from gateway.ledger.timestamp import make_request, open_token, read_certificates
from gateway.transport.tsa import REPLY, HttpTimestampAuthority, open_authority
from tests.support.tsa import OpensslAuthority, over_http, serving

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"id.imigrasi/bcx/log/1\n9\nAAAA\n\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    """Make an authority."""
    return OpensslAuthority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    """Make another one, whom nobody here trusts."""
    return OpensslAuthority(tmp_path_factory.mktemp("other"))


async def test_a_token_of_an_authority_is_had_over_http_and_openssl_agrees(
    authority: OpensslAuthority, tmp_path: Path
) -> None:
    """The request holds a digest only; the answer verifies here and with `openssl ts -verify`."""
    async with over_http(authority) as url:
        token, at = await open_authority(url, authority.root).stamp(DATA)
    assert DATA not in (authority.folder / "query").read_bytes()
    assert at == open_token(token, DATA, authority.certificates)
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "data").write_bytes(DATA)
    assert authority.verifies(tmp_path / "token", tmp_path / "data")
    (tmp_path / "data").write_bytes(DATA + b"x")
    assert not authority.verifies(tmp_path / "token", tmp_path / "data")


def test_what_is_no_token_for_these_bytes_is_refused(authority: OpensslAuthority, other: OpensslAuthority) -> None:
    """Other bytes, another authority, another request, a signer as its own root, rubbish."""
    query, nonce = make_request(DATA)
    token = authority.answer(query)
    assert open_token(token, DATA, authority.certificates, nonce=nonce)
    for why, attempt in {
        "other bytes": lambda: open_token(token, DATA + b"x", authority.certificates),
        "given certificates": lambda: open_token(token, DATA, other.certificates),
        "another request": lambda: open_token(token, DATA, authority.certificates, nonce=nonce + 1),
        "not a timestamp": lambda: open_token(token[:-1], DATA, authority.certificates),
        "not a timestamp ": lambda: open_token(b"", DATA, authority.certificates),
        "larger": lambda: open_token(bytes(70_000), DATA, authority.certificates),
    }.items():
        with pytest.raises(MalformedProof, match=why.strip()):
            attempt()


def test_no_flipped_byte_of_a_signed_token_makes_another_time(authority: OpensslAuthority) -> None:
    """Some bytes of the outer form are signed by nobody; none of them changes time or imprint."""
    token = authority.answer(make_request(DATA)[0])
    at = open_token(token, DATA, authority.certificates)
    for place in range(len(token)):
        changed = token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]
        try:
            assert open_token(changed, DATA, authority.certificates) == at
        except MalformedProof:
            continue


@pytest.mark.parametrize(
    ("status", "body", "media_type", "error"),
    [
        (503, b"", REPLY, TransportError),
        (200, b"<html>", "text/html", TransportError),
        (200, b"rubbish", REPLY, MalformedProof),
        (200, bytes(100_000), REPLY, TransportError),
    ],
)
async def test_an_authority_that_does_not_answer_well_is_told(
    authority: OpensslAuthority, status: int, body: bytes, media_type: str, error: type[GatewayError]
) -> None:
    """An error, a page, rubbish, too much: an error of ours each, never a driver's."""

    async def post(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=media_type)

    async with serving(post) as url:
        link = HttpTimestampAuthority(url, authority.certificates)
        with pytest.raises(error):
            await link.stamp(DATA)
    with pytest.raises(TransportError, match="no connection"):
        await link.stamp(DATA)


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    """A missing file, a file without certificates: named, with what to do."""
    (tmp_path / "empty.pem").write_bytes(b"")
    for name in ("absent.pem", "empty.pem"):
        with pytest.raises(ConfigurationError, match=re.escape(name)):
            open_authority("http://127.0.0.1:1/", tmp_path / name)
    with pytest.raises(ValueError, match="PEM"):
        read_certificates(b"no PEM")
