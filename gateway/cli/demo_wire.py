"""What somebody on the wire can do: send a message again, alter it, strip it, forge it.

It speaks for the sending authority: the envelopes it changes are sealed with that party's own keys and go over
its own mutual TLS connection, so that only the receiver's checks are left to refuse them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gateway.home import open_home
from gateway.primitives import b64u, strictjson
from gateway.protocol import envelope, jwe, jws
from gateway.protocol.card import Card, read_card
from gateway.protocol.ids import EnvelopeId, MessageId, PartyId, uuid7
from gateway.protocol.keys import SigningPair
from gateway.protocol.receipt import Outcome, Receipt, read_receipt
from gateway.transport.partner import HttpPartner
from gateway.transport.tls import ExchangeTls

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway.ports.partner import Reply
    from gateway.protocol.envelope import Sealed
    from gateway.protocol.keys import Signer

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an envelope as a whole was refused."""

    status: int
    code: str


class Wire:
    """The connection from the authority of `home` to the party of `card`; use it as a context."""

    def __init__(self, home: Path, card: bytes) -> None:
        settings, self._keys = open_home(home, environ={})
        self._me = settings.me
        self._card: Card = read_card(card)
        self._peer = PartyId(self._card.party)
        tls = ExchangeTls(self._keys.tls, _now)
        tls.pin({self._peer: [self._card.tls_ca]})
        self._link = HttpPartner(
            self._peer, lambda: self._card.endpoint, lambda: tls.client(self._peer), timeout_s=TIMEOUT_S
        )

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.__aexit__(kind, error, trace)

    @property
    def tls_door(self) -> tuple[str, int]:
        """Host and port of the partner's exchange listener."""
        host, _, port = self._card.endpoint.removeprefix("https://").partition("/")[0].rpartition(":")
        return host, int(port)

    # --- receipts -----------------------------------------------------------------------------------

    def verify_receipt(self, raw: bytes, digest: bytes) -> Outcome:
        """Return the outcome of one event from a receipt, once both signatures hold under the partner's card.

        Raises PartnerError, or KeyError where the receipt names no such event.
        """
        stated: dict[str, Any] = strictjson.loads(jws.peek_payload(raw))
        digests = [b64u.decode(outcome["event"]) for outcome in stated["outcomes"]]
        receipt = read_receipt(
            raw, iss=self._peer, aud=self._me, eid=EnvelopeId(stated["eid"]),
            manifest_sha256=b64u.decode(stated["manifest"]), digests=digests, key_for=self._key_for,
        )  # fmt: skip
        return {outcome.event: outcome for outcome in receipt.outcomes}[digest]

    async def ask_again(self, jti: str) -> Receipt:
        """Ask the partner what became of one message; return the verified answer, log entry included."""
        reply = await self._link.get_message(MessageId(jti))
        return read_receipt(
            reply.body, iss=self._peer, aud=self._me, eid=None, manifest_sha256=None, digests=None,
            key_for=self._key_for,
        )  # fmt: skip

    def _key_for(self, kid: Any, alg: str) -> Any:
        return self._card.verify_key(kid, alg, _now())

    # --- envelopes ----------------------------------------------------------------------------------

    async def send_again(self, event: bytes) -> Outcome:
        """Post an event in a new envelope, as a sender does that lost the receipt; return its outcome."""
        sealed = self._seal(event, self._keys.signer(_now()))
        reply = await self._link.post_envelope(sealed.jwe)
        return self.verify_receipt(reply.body, sealed.digests[0])

    async def alter(self, event: bytes) -> Refusal:
        """Post an envelope with one bit of its ciphertext changed on the way."""
        parts = self._seal(event, self._keys.signer(_now())).jwe.split(b".")
        sealed = bytearray(b64u.decode(parts[3]))
        sealed[len(sealed) // 2] ^= 1
        parts[3] = b64u.encode_bytes(bytes(sealed))
        return _refusal(await self._link.post_envelope(b".".join(parts)))

    async def forge(self, event: bytes) -> Refusal:
        """Post an envelope signed with keys of somebody else under this party's name."""
        stranger = SigningPair(os.urandom(32), os.urandom(32))
        return _refusal(await self._link.post_envelope(self._seal(event, stranger).jwe))

    async def strip(self, event: bytes) -> Refusal:
        """Post an envelope whose post-quantum signature was taken off."""
        made = self._seal(event, self._keys.signer(_now()))
        manifest = strictjson.loads(made.manifest)
        del manifest["signatures"][1]
        line = strictjson.dumps(manifest)
        header = jwe.read(made.jwe)
        sealed = jwe.encrypt(
            b"\n".join((line, event, b"")), iss=self._me, aud=self._peer, eid=header.eid,
            recipient=self._recipient(), entropy=os.urandom,
        )  # fmt: skip
        return _refusal(await self._link.post_envelope(sealed))

    def _seal(self, event: bytes, signer: Signer) -> Sealed:
        now = _now()
        return envelope.seal(
            [event], iss=self._me, aud=self._peer, eid=EnvelopeId(uuid7(now, os.urandom)), iat_ms=now,
            signer=signer, recipient=self._recipient(), entropy=os.urandom,
        )  # fmt: skip

    def _recipient(self) -> Any:
        key = self._card.seal_key(_now())
        assert key is not None
        return key


def knock(address: tuple[str, int]) -> str:
    """Connect to an exchange listener with no certificate of ours; return how it ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.closing(socket.create_connection(address, TIMEOUT_S)) as plain:
        try:
            with context.wrap_socket(plain) as door:
                version = door.version()
                # TLS 1.3: a client learns the server's verdict on its certificate with its first read.
                door.sendall(b"GET / HTTP/1.1\r\nHost: stranger\r\n\r\n")
                return f"answered over {version}" if door.recv(1) else f"refused: {version} closed without an answer"
        except ssl.SSLError as error:
            return f"refused: {(error.reason or 'TLS').replace('_', ' ').lower()}"
        except OSError:
            return "refused: connection closed"


def _refusal(reply: Reply) -> Refusal:
    problem = strictjson.loads(reply.body, integers_only=False) if reply.media_type.endswith("json") else None
    return Refusal(reply.status, str(problem.get("code", "none")) if isinstance(problem, dict) else "none")


def _now() -> int:
    return time.time_ns() // 1_000_000
