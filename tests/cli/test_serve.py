"""The life of `serve`: ready, draining, killed, reloaded; what its service manager and its operator rely on."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from gateway.errors import ConfigurationError, KeysNotValid
from gateway.keyring.files import Hosts, open_keys
from gateway.protocol.ids import PartyId
from gateway.protocol.trustedtime import TOLERANCE_MS
from gateway.running import World, wall_clock
from gateway.runtime import open_gateway
from gateway.serving import YEAR_2026_MS, Health
from gateway.web.metrics import Metrics
from tests.cli.conftest import init_home
from tests.cli.terminal import GATEWAY, ROOT, Home, Serving, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_LIMIT_S = 4.0  # 1 s on a machine of its own; here others work beside it


def ask(address: str, path: str) -> tuple[int, Any]:
    """GET a path of the ops listener; return status and body, parsed where it is JSON."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        return reply.status, json.loads(body) if reply.headers.get_content_type() == "application/json" else body
    finally:
        connection.close()


def test_it_says_when_it_is_ready_and_ends_with_zero(home: Home) -> None:
    """One line on stderr with every address, probes that agree with it, exit 0 on SIGTERM, nothing left behind."""
    started = time.perf_counter()
    with home.serve() as serving:
        assert time.perf_counter() - started < START_LIMIT_S
        assert ask(serving.ops, "/healthz") == (200, b"ok\n")
        status, body = ask(serving.ops, "/readyz")
        assert (status, body["ready"]) == (200, True)
        assert set(body["checks"]) == {"serving", "database", "keys", "clock", "disk", "log"}
        assert b"gateway_log_entries" in ask(serving.ops, "/metrics")[1]
        assert serving.stop() == 0
    assert not serving.control.exists()
    assert [line["event"] for line in serving.lines()[-2:]] == ["stopping", "stopped"]
    assert [entry["type"] for entry in home.json("audit", "search", "--limit", "1")] == ["gateway.stopped"]


def test_after_a_kill_the_next_start_takes_over_at_once(home: Home) -> None:
    """No process of it is left, its lock and socket hinder nobody, what it logged verifies."""
    with home.serve() as serving:
        assert psutil.Process(serving.process.pid).children(recursive=True) == []
        serving.stop(signal.SIGKILL)
    started = time.perf_counter()
    with home.serve() as serving:
        assert time.perf_counter() - started < START_LIMIT_S
        assert home.run("audit", "verify").code == 0
        assert serving.stop() == 0


def test_a_request_under_way_is_finished_and_a_second_signal_ends_it_at_once(home: Home) -> None:
    """A slow upload keeps the drain open, probes say so meanwhile; impatience has its signal."""
    token = home.json("client", "add", "slow")["token"]
    with home.serve({"GATEWAY__DELIVERY__DRAIN_TIMEOUT_S": "30"}) as serving, upload(serving, home, token):
        serving.process.send_signal(signal.SIGTERM)
        status, body = 200, {}
        while status == 200:
            status, body = ask(serving.ops, "/readyz")
        assert (status, body["checks"]["serving"]) == (503, "stopping")
        assert serving.process.poll() is None
        assert serving.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    with home.serve({"GATEWAY__DELIVERY__DRAIN_TIMEOUT_S": "30"}) as serving:
        with upload(serving, home, token) as finish:
            serving.process.send_signal(signal.SIGTERM)
            while ask(serving.ops, "/readyz")[0] == 200:
                pass
            assert finish().startswith(b"HTTP/1.1 202 ")
        assert serving.process.wait(30) == 0
    assert home.json("message", "list", "--direction", "out")[0]["state"] in {"queued", "sending"}


@contextlib.contextmanager
def upload(serving: Serving, home: Home, token: str) -> Iterator[Callable[[], bytes]]:
    """Send all but the last byte of a message; yield what sends that byte and returns the answer."""
    raw = (ROOT / "schemas/examples/case.referral/s1-sumarni.json").read_bytes()
    host, _, port = serving.api.rpartition(":")
    trust = ssl.create_default_context(cafile=str(home.path / "keys" / "ca.pem"))
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        trust.wrap_socket(plain, server_hostname=host) as secure,
    ):
        head = (
            f"POST /api/v1/messages HTTP/1.1\r\nHost: {serving.api}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: k-{serving.process.pid}\r\n"
            f"Content-Length: {len(raw)}\r\nExpect: 100-continue\r\n\r\n"
        )
        secure.sendall(head.encode())
        # Said when the request is under way.
        assert secure.recv(1024).startswith(b"HTTP/1.1 100 ")
        secure.sendall(raw[:-1])

        def finish() -> bytes:
            secure.sendall(raw[-1:])
            return secure.recv(65536)

        yield finish


def test_hang_up_loads_the_log_level_and_certificates_again(home: Home) -> None:
    """SIGHUP: the new certificate is shown, the new level holds; a broken file changes nothing."""
    file = home.path / "gateway.toml"
    with home.serve() as serving:
        before = shown_certificate(serving)
        # As an administrator's tool would: the files are replaced while we run.
        ring = open_keys(home.path / "keys", PartyId("id.imigrasi"))
        ring.renew_tls(wall_clock(), Hosts("127.0.0.1", "127.0.0.1"), force=True)
        assert shown_certificate(serving) == before
        serving.process.send_signal(signal.SIGHUP)
        while shown_certificate(serving) == before:
            pass
        good = file.read_text()
        file.write_text(good + "nonsense = 1\n")
        serving.process.send_signal(signal.SIGHUP)
        while serving.lines()[-1]["event"] != "not loaded again":
            pass
        assert "nonsense" in serving.lines()[-1]["detail"]
        file.write_text(good.replace("[ops]", '[ops]\nlog_level = "warning"'))
        serving.process.send_signal(signal.SIGHUP)
        ask(serving.ops, "/readyz")
        assert serving.stop() == 0
        assert serving.lines()[-1]["event"] != "stopped"  # an info line


def shown_certificate(serving: Serving) -> str:
    """Return the certificate of the API listener."""
    host, _, port = serving.api.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def test_the_service_manager_is_told(home: Home, tmp_path: Path) -> None:
    """Type=notify: ready once everything listens, stopping before the drain."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(30)
        with home.serve({"NOTIFY_SOCKET": str(tmp_path / "n")}) as serving:
            assert manager.recv(100) == b"READY=1"
            assert serving.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


def test_a_second_gateway_on_one_home_is_refused(home: Home) -> None:
    """Two writers would be two stories: exit 2 at once, and the first goes on."""
    with home.serve() as serving:
        refused = home.run("serve", code=2)
        assert "in use by another gateway process" in refused.fault
        assert ask(serving.ops, "/readyz")[0] == 200
        assert serving.stop() == 0


def test_a_command_at_the_same_moment_as_the_start_does_not_stop_it(home: Home) -> None:
    """A command holds the home for a moment; `serve` waits for it, and whichever is second works too."""
    with (
        subprocess.Popen(
            [*GATEWAY, "--home", str(home.path), "keys", "list"], stdout=subprocess.DEVNULL, env=environment()
        ) as command,
        home.serve() as serving,
    ):
        assert command.wait(30) == 0
        assert serving.stop() == 0


def test_an_expired_certificate_is_made_anew_at_the_start(tmp_path: Path) -> None:
    """A gateway that was down for forty days comes up by itself; the doctor names the fix until then."""
    init_home(tmp_path / "home", now_ms=wall_clock() - 40 * 86_400_000)
    home = Home(tmp_path / "home")
    checks = {check["check"]: check for check in json.loads(home.run("doctor", "-o", "json", code=1).out)}
    assert checks["certificate exchange server"]["state"] == "fail"
    assert "gateway serve" in checks["certificate exchange server"]["fix"]
    # What cannot even be read must not stop the start that mends it.
    (home.path / "keys" / "exchange-server.pem").write_text("damaged")
    with home.serve() as serving:
        assert serving.stop() == 0
    checks = {check["check"]: check for check in json.loads(home.run("doctor", "-o", "json").out)}
    assert checks["certificate exchange server"]["state"] == "ok"


def test_no_core_is_dumped_and_nobody_may_attach(home: Home) -> None:
    """Keys and cases are in this memory."""
    with home.serve() as serving:
        limits = Path(f"/proc/{serving.process.pid}/limits").read_text("ascii")
        assert re.search(r"Max core file size\s+0\s+0\s", limits)
        assert serving.stop() == 0


async def test_a_clock_that_cannot_be_right_is_not_ready(tmp_path: Path) -> None:
    """Before 2026, or set: a probe takes the gateway out of the balance until somebody looks, and the time goes on."""
    started = now = wall_clock()
    settings, keys = init_home(tmp_path / "home", now_ms=now)
    async with open_gateway(settings, keys, World(clock=lambda: now, elapsed=lambda: 0)) as gateway:
        health = Health(gateway, Metrics(), phase=None)
        assert {fault for _, fault in await health.ready()} == {None}
        for step in (-TOLERANCE_MS - 1, 20 * 86_400_000):
            now = started + step
            assert "jumped" in dict(await health.ready())["clock"]
            assert gateway.clock() == started
            assert b'gateway_clock_doubt{doubt="jump"} 1.0' in await health.text()
        now = started
        assert dict(await health.ready())["clock"] is None
    now = YEAR_2026_MS - 1
    with pytest.raises(ConfigurationError, match=r"keys of this home are from .*; set the clock"):
        async with open_gateway(settings, keys, World(clock=lambda: now)):
            pass


async def test_keys_that_do_not_count_by_our_clock_are_no_fault_of_the_gateways_own(tmp_path: Path) -> None:
    """A clock put before the keys while it runs: 503 with a sentence, for whoever asks for a signature."""
    now = wall_clock()
    settings, keys = init_home(tmp_path / "home", now_ms=now)
    async with open_gateway(settings, keys, World(clock=lambda: now)) as gateway:
        now -= 86_400_000
        with pytest.raises(KeysNotValid, match=r"our clock says .*; set the clock") as fault:
            gateway.keys.signer(gateway.clock())
        assert fault.value.status == 503
        assert "set the clock" in str(dict(await Health(gateway, Metrics(), phase=None).ready())["keys"])
