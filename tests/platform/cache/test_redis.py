"""What the cache does beyond its port: whom it may talk to, and that a server that isn't there fails nothing."""

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
import valkey
from services.plugin import GetService

from jangbu.kernel.errors import ConfigurationError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.cache.ports import Cache, Key, Lease, Standing
from jangbu.platform.cache.redis import RedisCache, open_cache, read_nodes

MINUTE = timedelta(minutes=1)
X = Key(TenantId("a"), "result", "x")


class Counted(dict[tuple[str, str], int]):
    def cache(self, operation: str, outcome: str, number: int = 1) -> None:
        self[operation, outcome] = self.get((operation, outcome), 0) + number


def opened(servers: str, **given: Any) -> RedisCache:
    return open_cache(servers=servers, longest_value=1_000, **given)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody answers, and nobody else will."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def everything(cache: Cache) -> list[Any]:
    lease = Lease(X, "token", Standing.HELD)
    return [
        cache.get([X]),
        cache.set({X: b"1"}, MINUTE),
        cache.delete([X]),
        cache.increase(X, MINUTE),
        cache.acquire(X, MINUTE).standing,
        cache.renew(lease, MINUTE),
        cache.release(lease),
    ]


@pytest.mark.parametrize("form", ["alone", "cluster", "sentinel"])
def test_servers_that_arent_there_fail_nothing(nobody: str, form: str) -> None:
    counted = Counted()
    with closing(opened(nobody, form=form, group="main", counts=counted)) as cache:
        began = monotonic()
        for _ in range(200):
            assert everything(cache) == [{}, 0, False, None, Standing.UNKNOWN, Standing.UNKNOWN, False]
        assert monotonic() - began < 5, "a server that isn't there is asked each time"
        assert not cache.is_reachable()
        asked = {operation: number for (operation, outcome), number in counted.items() if outcome == "unreachable"}
        assert asked == dict.fromkeys(("get", "set", "delete", "increase", "acquire", "renew", "release"), 200)
        assert {number for (_, outcome), number in counted.items() if outcome != "unreachable"} == {0}
        for look in (cache.count, cache.forget):
            with pytest.raises(Unavailable, match="cache can't be reached"):
                look(TenantId("a"))


def test_addresses_are_read() -> None:
    assert read_nodes("one:6379, two.example:6380,[::1]:6381") == (("one", 6379), ("two.example", 6380), ("::1", 6381))


@pytest.mark.parametrize("text", ["", "one", "one:", ":6379", "one:http", "one:70000", "one:6379,", "redis://one"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"JANGBU_CACHE_SERVERS: '.*' is no address"):
        read_nodes(text)


def test_settings_that_dont_fit_together_are_told() -> None:
    with pytest.raises(ConfigurationError, match="JANGBU_CACHE_GROUP isn't set"):
        opened("one:1", form="sentinel")
    with pytest.raises(ConfigurationError, match="has several servers"):
        opened("one:1,two:2")


@pytest.mark.services("valkey", own=True)
def test_a_password_is_needed_and_is_in_no_log(own_service: GetService, caplog: pytest.LogCaptureFixture) -> None:
    server = own_service("valkey")
    servers = f"{server['host']}:{server['port']}"
    with closing(valkey.Valkey.from_url(server["url"], socket_timeout=5)) as admin:
        admin.acl_setuser("jangbu", enabled=True, passwords=["+right-secret"], keys=["jangbu:*"], commands=["+@all"])
        admin.acl_setuser("default", enabled=False)
    for user, password, is_let_in in (
        ("jangbu", "right-secret", True),
        ("jangbu", "wrong-secret", False),
        (None, None, False),
    ):
        with closing(opened(servers, user=user, password=password, timeout=5)) as cache:
            assert [cache.set({X: b"1"}, MINUTE) for _ in range(4)] == [int(is_let_in)] * 4
            assert cache.is_reachable() is is_let_in
            assert "secret" not in repr(cache) + repr(vars(cache))
    assert "secret" not in caplog.text


@pytest.mark.services("valkey", own=True)
def test_a_full_server_drops_what_is_given_and_serves_what_it_has(own_service: GetService) -> None:
    server = own_service("valkey")
    counted = Counted()
    with closing(opened(f"{server['host']}:{server['port']}", timeout=5, counts=counted)) as cache:
        assert cache.set({X: b"1"}, MINUTE) == 1
        with closing(valkey.Valkey.from_url(server["url"], socket_timeout=5)) as admin:
            admin.config_set("maxmemory", 1)
            assert cache.set({X: b"2"}, MINUTE) == 0
            assert cache.get([X]) == {X: b"1"}
            admin.config_set("maxmemory", 0)
        assert cache.set({X: b"2"}, MINUTE) == 1
        assert counted["set", "unreachable"] == 1
        assert cache.is_reachable()


def certificate(folder: Path, name: str) -> Path:
    """A certificate for a name, signed by itself, with its key in the same file."""
    made = folder / f"{len(list(folder.iterdir()))}.pem"
    subject = ["-subj", "/CN=test", "-addext", f"subjectAltName={name}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(made), "-out", str(made) + ".crt"], check=True, capture_output=True, timeout=60)
    made.write_text(made.read_text() + Path(f"{made}.crt").read_text())
    return made


@contextmanager
def behind_tls(port: int, shown: Path) -> Iterator[str]:
    """A server at an address that speaks TLS and passes on what it is told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown)

    class Passing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as front,
                socket.create_connection(("127.0.0.1", port), timeout=5) as back,
            ):
                while told := front.recv(65_536):
                    back.sendall(told)
                    front.sendall(back.recv(65_536))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Passing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")
@pytest.mark.services("valkey")
def test_connections_are_encrypted_and_the_server_is_who_it_says(service: GetService, tmp_path: Path) -> None:
    port = int(service("valkey")["port"])
    right, others, of_another = (certificate(tmp_path, name) for name in ("IP:127.0.0.1", "IP:127.0.0.1", "DNS:elsewhere"))
    for shown, trusted, is_let_in in (
        (right, right, True),
        (right, others, False),
        (right, None, False),
        (of_another, of_another, False),
    ):
        with behind_tls(port, shown) as address:
            given = {"tls": True, "authority": trusted and Path(f"{trusted}.crt"), "timeout": 5, "prefix": uuid4().hex}
            with closing(opened(address, **given)) as cache:
                assert cache.set({X: b"1"}, MINUTE) == int(is_let_in)
                assert cache.get([X]) == ({X: b"1"} if is_let_in else {})


@pytest.mark.services("valkey-sentinel")
def test_a_password_of_the_sentinels_is_theirs_alone(service: GetService) -> None:
    server = service("valkey-sentinel")
    given = {"form": "sentinel", "group": server["group"], "timeout": 5}
    with closing(opened(server["sentinels"], sentinel_password="wrong", **given)) as cache:
        assert cache.set({X: b"1"}, MINUTE) == 0, "sentinels without a password are told one"
    with closing(opened(server["sentinels"], **given)) as cache:
        assert cache.set({X: b"1"}, MINUTE) == 1
