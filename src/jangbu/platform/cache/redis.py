"""A cache on Redis or Valkey: alone, named by sentinels, or a cluster."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import ConfigurationError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.cache.breaker import Breaker
from jangbu.platform.cache.ports import Counts, Key, Lease, Standing, Uncounted, seconds
from jangbu.platform.cache.redis_servers import Address, Command, Servers, connect

_VALUE, _COUNTER, _LEASE = "v", "c", "l"
"""What a key is of; each is a space of its own."""
_INCREASE: Final = """
local after = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return after
"""
_RENEW: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end"
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
_CONNECTIONS: Final = 256
"""Connections to a server at most; one more call counts as one that doesn't reach it."""
_LONGEST_REASON: Final = 300
"""Characters. (Not the whole trace: its variables hold the password.)"""
_START: Final = "servers"
"""The breaker of the first connection, which finds out who serves what."""


class _Unreachable:
    """In place of an answer that didn't come."""


_NONE: Final = _Unreachable()


class RedisCache:
    """`opened` connects, at the first use and after it failed; other calls wait for that for `patience` seconds. `prefix` begins
    every key. A server that doesn't answer costs a few calls their time-out, and then one call now and then until it answers; other
    servers of a cluster go on."""

    is_shared = True

    def __init__(
        self,
        opened: Callable[[], Servers],
        prefix: str,
        *,
        longest_value: int,
        patience: float = 0.5,
        counts: Counts | None = None,
    ) -> None:
        self._open, self._prefix, self._longest_value, self._patience = opened, prefix, longest_value, patience
        self._counts = counts if counts is not None else Uncounted()
        self._servers: Servers | None = None
        self._breakers: dict[str, Breaker] = {}
        self._lock = threading.Lock()

    def get(self, keys: Collection[Key]) -> dict[Key, bytes]:
        wanted = tuple(dict.fromkeys(keys))
        answers = self._ask([(self._text(_VALUE, key), ("GET",)) for key in wanted])
        found = {key: answer for key, answer in zip(wanted, answers, strict=True) if isinstance(answer, bytes)}
        unreachable = _unreachable(answers)
        self._counted("get", {"hit": len(found), "unreachable": unreachable, "miss": len(wanted) - len(found) - unreachable})
        return found

    def set(self, values: Mapping[Key, bytes], ttl: timedelta) -> int:
        lives = _milliseconds(ttl)
        fitting = {key: value for key, value in values.items() if len(value) <= self._longest_value}
        # What is too long replaces what was there too: an older value would be a wrong answer.
        asked: list[tuple[str, Command]] = [
            (self._text(_VALUE, key), ("SET", fitting[key], "PX", lives) if key in fitting else ("UNLINK",)) for key in values
        ]
        answers = self._ask(asked)
        kept = sum(answer in (b"OK", "OK", True) for key, answer in zip(values, answers, strict=True) if key in fitting)
        too_long = len(values) - len(fitting)
        self._counted("set", {"done": kept, "too_long": too_long, "unreachable": len(fitting) - kept})
        return kept

    def delete(self, keys: Collection[Key]) -> bool:
        answers = self._ask([(self._text(_VALUE, key), ("UNLINK",)) for key in keys])
        unreachable = _unreachable(answers)
        self._counted("delete", {"done": len(answers) - unreachable, "unreachable": unreachable})
        return unreachable == 0

    def increase(self, key: Key, ttl: timedelta, by: int = 1) -> int | None:
        answer = self._eval(_COUNTER, key, _INCREASE, by, _milliseconds(ttl))
        self._counts.cache("increase", "unreachable" if answer is None else "done")
        return answer

    def acquire(self, key: Key, ttl: timedelta) -> Lease:
        token = uuid4().hex
        (answer,) = self._ask([(self._text(_LEASE, key), ("SET", token, "NX", "PX", _milliseconds(ttl)))])
        standing = Standing.OTHERS
        if _unreachable([answer]):
            standing = Standing.UNKNOWN
        elif answer:
            standing = Standing.HELD
        self._counts.cache("acquire", _outcome(standing))
        return Lease(key, token, standing)

    def renew(self, lease: Lease, ttl: timedelta) -> Standing:
        answer = self._eval(_LEASE, lease.key, _RENEW, lease.token, _milliseconds(ttl))
        standing = Standing.UNKNOWN if answer is None else Standing.HELD if answer else Standing.OTHERS
        self._counts.cache("renew", _outcome(standing))
        return standing

    def release(self, lease: Lease) -> bool:
        answer = self._eval(_LEASE, lease.key, _RELEASE, lease.token)
        self._counts.cache("release", "unreachable" if answer is None else "done" if answer else "others")
        return bool(answer)

    def count(self, tenant: TenantId) -> int:
        return sum(len(keys) for _, keys in self._of(tenant))

    def forget(self, tenant: TenantId) -> int:
        gone = 0
        for node, keys in self._of(tenant):
            answers = self._at(node, [("UNLINK", key) for key in keys])
            if _unreachable(answers):
                raise _away()
            gone += sum(answers)
        return gone

    def is_reachable(self) -> bool:
        return not any(breaker.is_open for breaker in tuple(self._breakers.values()))

    def held_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        with self._lock:
            if self._servers is not None:
                self._servers.close()
            self._servers = None

    # Its ways with the servers

    def _text(self, of: str, key: Key) -> str:
        return f"{self._prefix}:{of}:{key.text()}"

    def _eval(self, of: str, key: Key, script: str, *given: str | int) -> int | None:
        name = self._text(of, key)
        (answer,) = self._ask([(name, ("EVAL", script, 1, *given))])
        return answer if isinstance(answer, int) else None

    def _ask(self, asked: Sequence[tuple[str, Command]]) -> list[Any]:
        """Answers in order, `_NONE` or an error where there is none. Each server is asked once."""
        answers: list[Any] = [_NONE] * len(asked)
        groups: dict[str, list[int]] = {}
        for place, node in enumerate(self._nodes([key for key, _ in asked])):
            groups.setdefault(node, []).append(place)
        for node, places in groups.items():
            commands = [_command(*asked[place]) for place in places]
            for place, answer in zip(places, self._at(node, commands), strict=True):
                answers[place] = answer
        return answers

    def _nodes(self, keys: Sequence[str]) -> list[str]:
        """Where each key is; nothing where nobody can be asked."""
        if not keys:
            return []
        found = self._tried(_START, lambda: self._connected().nodes(keys))
        return [] if isinstance(found, _Unreachable) else found

    def _at(self, node: str, commands: Sequence[Command]) -> list[Any]:
        answers = self._tried(node, lambda: self._connected().run(node, commands))
        return [_NONE] * len(commands) if isinstance(answers, _Unreachable) else answers

    def _of(self, tenant: TenantId) -> Iterable[tuple[str, list[bytes]]]:
        """Raises:
        Unavailable: a server can't be reached.
        """
        from valkey.exceptions import ValkeyClusterException, ValkeyError

        try:
            yield from self._connected().scan(f"{self._prefix}:?:{tenant}:*")
        except (ValkeyError, ValkeyClusterException, OSError) as error:
            raise _away() from error

    def _connected(self) -> Servers:
        if (servers := self._servers) is not None:
            return servers
        if not self._lock.acquire(timeout=self._patience):
            raise TimeoutError("Another call still connects.")
        try:
            if self._servers is None:
                self._servers = self._open()
            return self._servers
        finally:
            self._lock.release()

    def _tried(self, node: str, work: Callable[[], Any]) -> Any:
        """What `work` returns; `_NONE` where it fails, or isn't let to try."""
        breaker = self._breakers.setdefault(node, Breaker())
        if not breaker.allows():
            return _NONE
        try:
            done = work()
        except Exception as error:  # noqa: BLE001 - valkey's errors have no root of their own, and no request fails for a cache
            self._failed(node, breaker, error)
            return _NONE
        if breaker.succeeded():
            _say("cache reachable again", node)
        return done

    def _failed(self, node: str, breaker: Breaker, error: Exception) -> None:
        if self._servers is not None:
            self._servers.failed(node)
        if breaker.failed():
            _say("cache unreachable", node, reason=f"{type(error).__name__}: {error}"[:_LONGEST_REASON])

    def _counted(self, operation: str, outcomes: Mapping[str, int]) -> None:
        for outcome, number in outcomes.items():
            self._counts.cache(operation, outcome, number)


def _command(key: str, command: Command) -> Command:
    """A command with its key where that belongs."""
    if command[0] == "EVAL":
        return (*command[:3], key, *command[3:])
    return (command[0], key, *command[1:])


def _unreachable(answers: Sequence[Any]) -> int:
    return sum(isinstance(answer, _Unreachable | Exception) for answer in answers)


def _outcome(standing: Standing) -> str:
    return "unreachable" if standing is Standing.UNKNOWN else standing.value


def _milliseconds(ttl: timedelta) -> int:
    return max(1, round(seconds(ttl) * 1000))


def _away() -> Unavailable:
    return Unavailable("The cache can't be reached, so nobody knows what it holds.")


def _say(event: str, node: str, **more: str) -> None:
    from structlog import get_logger

    get_logger(__name__).warning(event, server=node, **more)


def read_nodes(text: str) -> tuple[Address, ...]:
    """The addresses in "host:port,host:port"; [::1]:6379 is one of IPv6.

    Raises:
        ConfigurationError: it isn't such a list.
    """
    nodes: list[Address] = []
    for part in text.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ConfigurationError(
                f"JANGBU_CACHE_SERVERS: {part.strip()!r} is no address.", value=part.strip(), hint="Write host:port,host:port."
            )
        nodes.append((host.strip("[]"), int(port)))
    return tuple(nodes)


def _checked(servers: str, form: str, group: str | None) -> tuple[Address, ...]:
    nodes = read_nodes(servers)
    if form == "sentinel" and not group:
        raise ConfigurationError("JANGBU_CACHE_GROUP isn't set.", hint="It is the name that the sentinels have for the servers.")
    if form == "alone" and len(nodes) > 1:
        raise ConfigurationError(
            "JANGBU_CACHE_SERVERS has several servers.", value=servers, hint="Set JANGBU_CACHE_FORM to cluster or sentinel."
        )
    return nodes


def _connection(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "max_connections": _CONNECTIONS,
        "protocol": 3,
    }


def open_cache(
    *,
    servers: str,
    form: str = "alone",
    group: str | None = None,
    user: str | None = None,
    password: str | None = None,
    sentinel_password: str | None = None,
    tls: bool = False,
    authority: Path | None = None,
    timeout: float = 0.1,
    prefix: str = "jangbu",
    longest_value: int,
    counts: Counts | None = None,
) -> RedisCache:
    """`servers` as `read_nodes` takes them: the server, or some of a cluster's, or the sentinels; `timeout` is in seconds, for a
    connection and for each answer. Doesn't connect yet.

    Raises:
        ConfigurationError: an address or a group that is none.
    """
    nodes = _checked(servers, form, group)
    given = {"username": user, "password": password, **_connection(timeout)}
    if tls:
        given |= {"ssl": True, "ssl_ca_certs": str(authority) if authority else None, "ssl_check_hostname": True}
    # Sentinels have passwords of their own. Their answers in RESP3 are what valkey 6.2 can't read.
    sentinel = {"username": None, "password": sentinel_password, "protocol": 2}
    return RedisCache(
        lambda: connect(form, nodes, group, given, sentinel),
        prefix,
        longest_value=longest_value,
        patience=5 * timeout,
        counts=counts,
    )


PLUGIN = Plugin(
    kind="cache",
    name="redis",
    summary="Redis or Valkey: one server, sentinels, or a cluster.",
    open=open_cache,
    extra="redis",
    requires=("valkey",),
)
