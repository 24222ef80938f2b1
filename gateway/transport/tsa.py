"""The link to a timestamp authority (RFC 3161 §3.4, HTTP); every driver error is translated here, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

from gateway.errors import ConfigurationError, TransportError
from gateway.ledger.timestamp import TOKEN_BYTES_MOST, make_request, need_library, open_token, read_certificates
from gateway.transport.partner import CONNECT_TIMEOUT_S, read_bounded, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.x509 import Certificate

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
TIMEOUT_S: Final = 30


class HttpTimestampAuthority:
    """`ports.TimestampAuthority` at an address; believed only under the certificates given."""

    def __init__(self, url: str, certificates: Sequence[Certificate]) -> None:
        self._url = url
        self._certificates = certificates

    async def stamp(self, data: bytes) -> tuple[bytes, int]:
        """Have SHA-256 of `data` stamped, never `data` itself. Raises TransportError, or MalformedProof."""
        query, nonce = make_request(data)
        token = await self._ask(query)
        return token, open_token(token, data, self._certificates, nonce=nonce)

    async def _ask(self, query: bytes) -> bytes:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        headers = {"Content-Type": QUERY, "Accept-Encoding": "identity", "User-Agent": "bcx-gateway"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.post(self._url, data=query, headers=headers, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise TransportError(f"the timestamp authority answers {response.status}")
                if response.content_type != REPLY:
                    raise TransportError("the timestamp authority answers with something else than a timestamp")
                return await read_bounded(response, TOKEN_BYTES_MOST)
        except TimeoutError:
            raise TransportError(f"no answer within {TIMEOUT_S} s") from None
        except aiohttp.ClientSSLError:
            raise TransportError("the TLS handshake failed: this machine does not trust the certificate") from None
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise TransportError(reason_of(error)) from None


def open_authority(url: str, certificates: Path) -> HttpTimestampAuthority:
    """Return the authority of the settings. Raises ConfigurationError naming what is missing and the fix."""
    need_library()
    try:
        return HttpTimestampAuthority(url, read_certificates(certificates.read_bytes()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no certificates in PEM"
        detail = f"{certificates}: {reason}; put the timestamp authority's certificates there, or empty "
        raise ConfigurationError(f"{detail}audit.timestamp_url") from None
