"""A timestamp authority of our own: `openssl ts`, asked directly or over HTTP on loopback."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import TransportError
from gateway.ledger.timestamp import make_request, open_token, read_certificates
from gateway.transport.tsa import QUERY, REPLY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cryptography.x509 import Certificate

CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = Timestamps for tests
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = only
[only]
serial = serial
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
ess_cert_id_alg = sha256
"""
KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config tsa.cnf"


class OpensslAuthority:
    """Root, signer and serial in a folder; `down` makes it unreachable. It is a `ports.TimestampAuthority` too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.down = False
        self.asked = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tsa.cnf").write_text(CONFIG)
        self._run(f"req -x509 {KEY} -keyout root.key -out root.pem -days 30 -extensions root")
        self._run(f"req {KEY} -keyout tsa.key -out tsa.csr")
        self._run(
            "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -out tsa.pem -days 30 "
            "-extfile tsa.cnf -extensions signer"
        )

    @property
    def root(self) -> Path:
        """The certificate it is believed under."""
        return self.folder / "root.pem"

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The same, read."""
        return read_certificates(self.root.read_bytes())

    def answer(self, query: bytes) -> bytes:
        """Answer a request."""
        self.asked += 1
        (self.folder / "query").write_bytes(query)
        self._run("ts -reply -queryfile query -inkey tsa.key -signer tsa.pem -config tsa.cnf -out reply")
        return (self.folder / "reply").read_bytes()

    async def stamp(self, data: bytes) -> tuple[bytes, int]:
        """Stamp without a network, for stories in virtual time."""
        if self.down:
            raise TransportError("no connection")
        query, nonce = make_request(data)
        token = self.answer(query)
        return token, open_token(token, data, self.certificates, nonce=nonce)

    def verifies(self, token: Path, data: Path) -> bool:
        """Ask OpenSSL itself whether a token is over a file."""
        command = ["openssl", "ts", "-verify", "-in", token, "-data", data, "-CAfile", self.root]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _run(self, arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], cwd=self.folder, capture_output=True, check=True)


@asynccontextmanager
async def serving(post: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Answer POSTs on loopback; yield the address."""
    app = web.Application()
    app.router.add_post("/tsa", post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert isinstance(site._server, asyncio.Server)
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/tsa"
    finally:
        await runner.cleanup()


def over_http(authority: OpensslAuthority) -> AbstractAsyncContextManager[str]:
    """Serve an authority on loopback."""

    async def post(request: web.Request) -> web.Response:
        assert request.content_type == QUERY
        return web.Response(body=authority.answer(await request.read()), content_type=REPLY)

    return serving(post)
