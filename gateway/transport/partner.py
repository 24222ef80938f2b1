"""The mutual-TLS link to a partner's exchange listener; every driver error is translated here, once."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from gateway.errors import TransportError
from gateway.ports import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from gateway.protocol.ids import MessageId, PartyId

MAX_REPLY_BYTES: Final = 4 * 1024 * 1024
"""A receipt for 100 outcomes with their findings fits; a hostile partner cannot fill memory."""

READ_BUFFER_BYTES: Final = 1024 * 1024
CONNECT_TIMEOUT_S: Final = 10
JOSE: Final = "application/jose"
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


class HttpPartner:
    """`ports.PartnerLink` over HTTPS. `endpoint` is asked anew for each call: a later card may move it."""

    def __init__(
        self,
        party: PartyId,
        endpoint: Callable[[], str],
        tls: Callable[[], ssl.SSLContext],
        *,
        timeout_s: float,
    ) -> None:
        self._party = party
        self._endpoint = endpoint
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=4, keepalive_timeout=75, force_close=False),
            timeout=self._timeout,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
            # A compressed answer could unpack to anything: none is asked for, none is unpacked.
            headers={"Accept-Encoding": "identity", "User-Agent": "bcx-gateway"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post_envelope(self, jwe: bytes) -> Reply:
        """POST {endpoint}/envelopes."""
        return await self._call("POST", "/envelopes", jwe, JOSE)

    async def get_message(self, jti: MessageId) -> Reply:
        """GET {endpoint}/messages/{jti}."""
        return await self._call("GET", f"/messages/{jti}")

    async def get_stream(self, start: int, limit: int) -> Reply:
        """GET {endpoint}/stream."""
        return await self._call("GET", f"/stream?from={start}&limit={limit}")

    async def get_card(self) -> Reply:
        """GET {endpoint}/card."""
        return await self._call("GET", "/card")

    async def ping(self, body: bytes) -> Reply:
        """POST {endpoint}/ping."""
        return await self._call("POST", "/ping", body, JOSE + "+json")

    async def add_checkpoint(self, body: bytes) -> Reply:
        """POST {endpoint}/witness/add-checkpoint."""
        return await self._call("POST", "/witness/add-checkpoint", body, "text/plain")

    async def get_witnessed(self, log_id: str) -> Reply:
        """GET {endpoint}/witness/{log id}/checkpoint."""
        return await self._call("GET", f"/witness/{log_id}/checkpoint")

    async def get_log(self, path: str) -> Reply:
        """GET {endpoint}/log/{path}: `checkpoint`, or `tile/…`."""
        return await self._call("GET", f"/log/{path}")

    async def _call(self, method: str, path: str, body: bytes | None = None, media_type: str | None = None) -> Reply:
        assert self._session is not None
        headers = {"Content-Type": media_type} if media_type else {}
        try:
            async with self._session.request(
                method,
                self._endpoint() + path,
                data=body,
                headers=headers,
                ssl=self._tls(),
                allow_redirects=False,
            ) as response:
                return Reply(
                    response.status,
                    response.content_type,
                    await read_bounded(response, MAX_REPLY_BYTES),
                    _retry_after(response.headers),
                )
        except KeyError:
            detail = f"{self._party} is not an active partner"
            raise TransportError(detail) from None
        except TimeoutError:
            detail = f"no answer within {self._timeout.total:g} s"
            raise TransportError(detail) from None
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise TransportError(reason_of(error)) from None


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of an answer. Raises TransportError where it is longer than `most` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > most:
            response.close()
            detail = "the answer is over the size limit"
            raise TransportError(detail)
        parts.append(part)
    return b"".join(parts)


def _retry_after(headers: Mapping[str, str]) -> int | None:
    value = headers.get("Retry-After", "")
    return int(value) if _SECONDS.fullmatch(value) else None


def reason_of(error: BaseException) -> str:
    """Say what failed in words of ours: driver messages quote addresses and certificates."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return "the TLS handshake failed: the certificate is not one of the partner's pinned CA"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "the connection broke before the answer was whole"
    return f"the exchange failed ({type(error).__name__})"
