"""The mutual-TLS link to a partner's exchange listener; every driver error is translated here, once."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from gateway.errors import TransportError
from gateway.ports.partner import Reply, UploadReply
from gateway.protocol.attachment import UPLOAD_LENGTH, UPLOAD_OFFSET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from gateway.protocol.attachment import AttachmentId
    from gateway.protocol.ids import MessageId, PartyId

MAX_REPLY_BYTES: Final = 4 * 1024 * 1024
"""A receipt for 100 outcomes with their findings fits; a hostile partner cannot fill memory."""

READ_BUFFER_BYTES: Final = 1024 * 1024
CONNECT_TIMEOUT_S: Final = 10
JOSE: Final = "application/jose"
X509_NOT_YET_VALID: Final = 9
X509_EXPIRED: Final = 10
_DIGITS: Final = re.compile(r"[0-9]{1,15}")


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

    async def post_entries(self, question: bytes) -> Reply:
        """POST {endpoint}/messages/entries."""
        return await self._call("POST", "/messages/entries", question, "application/json")

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

    async def get_upload(self, name: AttachmentId) -> UploadReply:
        """HEAD {endpoint}/attachments/{id}."""
        return await self._upload("HEAD", name, {}, None)

    async def send_upload(
        self, name: AttachmentId, *, length: int, offset: int | None, pieces: AsyncIterator[bytes]
    ) -> UploadReply:
        """PUT {endpoint}/attachments/{id}, or PATCH it from `offset`."""
        headers = {UPLOAD_LENGTH: str(length), "Content-Length": str(length - (offset or 0))}
        if offset is None:
            return await self._upload("PUT", name, headers, pieces)
        return await self._upload("PATCH", name, headers | {UPLOAD_OFFSET: str(offset)}, pieces)

    async def _upload(
        self, method: str, name: AttachmentId, headers: dict[str, str], pieces: AsyncIterator[bytes] | None
    ) -> UploadReply:
        """Do one request about an upload. It may take long; it may not stand still for long."""
        if pieces is not None:
            headers["Content-Type"] = "application/octet-stream"
        with self._translated():
            loop, still_s = asyncio.get_running_loop(), self._timeout.total or CONNECT_TIMEOUT_S
            async with asyncio.timeout(still_s) as deadline:

                async def moving() -> AsyncIterator[bytes]:
                    assert pieces is not None
                    async for piece in pieces:
                        deadline.reschedule(loop.time() + still_s)
                        yield piece

                async with self._request(
                    method, f"/attachments/{name}", moving() if pieces is not None else None, headers,
                    aiohttp.ClientTimeout(total=None, connect=self._timeout.connect),
                ) as response:  # fmt: skip
                    await read_bounded(response, MAX_REPLY_BYTES)
                    numbers = (_number(response.headers, UPLOAD_OFFSET), _number(response.headers, UPLOAD_LENGTH))
                    return UploadReply(response.status, *numbers, retry_after_s(response.headers))

    def _request(
        self, method: str, path: str, body: Any, headers: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None
        return self._session.request(
            method, self._endpoint() + path, data=body, headers=headers, ssl=self._tls(), allow_redirects=False,
            timeout=timeout,
        )  # fmt: skip

    async def _call(self, method: str, path: str, body: bytes | None = None, media_type: str | None = None) -> Reply:
        headers = {"Content-Type": media_type} if media_type else {}
        with self._translated():
            async with self._request(method, path, body, headers, self._timeout) as response:
                return Reply(
                    response.status,
                    response.content_type,
                    await read_bounded(response, MAX_REPLY_BYTES),
                    retry_after_s(response.headers),
                )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
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


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if _DIGITS.fullmatch(value) else None


def retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Return what a Retry-After asks for: seconds, or a date (RFC 9110 §10.2.3) by the clock of who answered."""
    value = headers.get("Retry-After", "")
    if _DIGITS.fullmatch(value):
        return int(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, round(wait.total_seconds()))


def reason_of(error: BaseException) -> str:
    """Say what failed in words of ours: driver messages quote addresses and certificates."""
    handshake = _tls_error(error)
    if handshake is not None:
        return f"the TLS handshake failed: {_tls_words(handshake)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({type(error.os_error).__name__})"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "the connection broke before the answer was whole"
    return f"the exchange failed ({type(error).__name__})"


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        # aiohttp names the two that its certificate check may raise.
        return error.certificate_error if isinstance(error.certificate_error, ssl.SSLError) else ssl.SSLError()
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ssl.SSLError):
        return error.os_error
    return error if isinstance(error, ssl.SSLError) else None


def _tls_words(error: ssl.SSLError) -> str:
    if getattr(error, "verify_code", None) == X509_NOT_YET_VALID:
        return "by our clock the partner's certificate is not valid yet; compare both clocks"
    if getattr(error, "verify_code", None) == X509_EXPIRED:
        return "by our clock the partner's certificate has expired; compare both clocks, or ask it to renew"
    return "the certificate is not one of the partner's pinned CA"
