"""Ways to Redis or Valkey servers: one alone, one that sentinels name, a cluster. Each sends commands to the server of a key."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, Final, Protocol

Address = tuple[str, int]
Command = tuple[str | bytes | int, ...]
ALONE: Final = "server"
_LOOKS_EVERY: Final = 0.5
"""Seconds between looks at who serves what, where somebody doesn't answer."""
_NOBODY: Final = "nobody"
"""Who serves a key that no server has just now."""
_MOVED: Final = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")


class Servers(Protocol):
    """Raises, each method: valkey's errors, OSError."""

    def nodes(self, keys: Sequence[str]) -> list[str]:
        """The names of the servers that have these keys, in order."""

    def run(self, node: str, commands: Sequence[Command]) -> list[Any]:
        """Send commands to a server at once; their answers in order, errors among them."""

    def failed(self, node: str) -> None:
        """Hear that a server didn't answer."""

    def scan(self, pattern: str) -> Iterator[tuple[str, list[bytes]]]:
        """(server, keys) of all keys that match, in parts."""

    def close(self) -> None: ...


class One:
    """A server alone, or the one that sentinels name."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def nodes(self, keys: Sequence[str]) -> list[str]:
        return [ALONE] * len(keys)

    def run(self, node: str, commands: Sequence[Command]) -> list[Any]:  # noqa: ARG002
        return sent(self._client, commands)

    def failed(self, node: str) -> None:
        """The next connection asks the sentinels again by itself."""

    def scan(self, pattern: str) -> Iterator[tuple[str, list[bytes]]]:
        yield from ((ALONE, keys) for keys in _scanned(self._client, pattern))

    def close(self) -> None:
        self._client.close()


class Cluster:
    """A cluster's masters. What is asked of one doesn't wait for another: commands are grouped by server before they are sent."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._looking = threading.Lock()
        self._is_stale, self._looked_at = False, 0.0

    def nodes(self, keys: Sequence[str]) -> list[str]:
        if self._is_stale and monotonic() - self._looked_at > _LOOKS_EVERY:
            self._look()
        return list(map(self._node, keys))

    def _node(self, key: str) -> str:
        from valkey.exceptions import SlotNotCoveredError

        try:
            return str(self._client.get_node_from_key(key).name)
        except SlotNotCoveredError:
            self._is_stale = True
            return _NOBODY

    def run(self, node: str, commands: Sequence[Command]) -> list[Any]:
        answers = sent(self._at(node), commands)
        # What is somewhere else meanwhile: the cluster's client follows.
        return [self._followed(command) if _is_moved(answer) else answer for command, answer in zip(commands, answers, strict=True)]

    def failed(self, node: str) -> None:  # noqa: ARG002
        self._is_stale = True

    def scan(self, pattern: str) -> Iterator[tuple[str, list[bytes]]]:
        for node in self._client.get_primaries():
            yield from ((str(node.name), keys) for keys in _scanned(self._at(str(node.name)), pattern))

    def close(self) -> None:
        self._client.close()

    def _at(self, name: str) -> Any:
        node = self._client.get_node(node_name=name)
        if node is None:
            from valkey.exceptions import ConnectionError as NotConnected

            raise NotConnected(f"The cluster has no {name} any more.")
        return self._client.get_valkey_connection(node)

    def _look(self) -> None:
        """Ask who serves what, one caller at a time. Others go on with what is known, as does this one where nobody says."""
        from valkey.exceptions import ValkeyClusterException, ValkeyError

        if self._looking.acquire(blocking=False):
            try:
                self._looked_at = monotonic()
                self._is_stale = False
                self._client.nodes_manager.initialize()
            except (ValkeyError, ValkeyClusterException, OSError):
                self._is_stale = True
            finally:
                self._looking.release()

    def _followed(self, command: Command) -> Any:
        from valkey.exceptions import ValkeyClusterException, ValkeyError

        self._is_stale = True
        try:
            return self._client.execute_command(*command)
        except (ValkeyError, ValkeyClusterException, OSError) as error:
            return error


def sent(client: Any, commands: Sequence[Command]) -> list[Any]:
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(pipe.execute(raise_on_error=False))


def _scanned(client: Any, pattern: str) -> Iterator[list[bytes]]:
    place = 0
    while True:
        place, keys = client.scan(place, match=pattern, count=1000)
        if keys:
            yield keys
        if place == 0:
            return


def _is_moved(answer: Any) -> bool:
    from valkey.exceptions import ResponseError

    return isinstance(answer, ResponseError) and (
        type(answer).__name__ in ("MovedError", "AskError", "TryAgainError", "ClusterDownError") or str(answer).startswith(_MOVED)
    )


def connect(
    form: str, nodes: Sequence[Address], group: str | None, given: Mapping[str, Any], sentinel: Mapping[str, Any]
) -> Servers:
    """`form` is `alone`, `cluster` or `sentinel`; `given` are valkey's options of a connection, `sentinel` those that differ for
    sentinels. A cluster is asked at once who serves what."""
    import valkey
    import valkey.cluster
    import valkey.sentinel

    library: Any = valkey  # most of it has no types
    if form == "cluster":
        starting = [library.cluster.ClusterNode(host, port) for host, port in nodes]
        return Cluster(library.ValkeyCluster(startup_nodes=starting, cluster_error_retry_attempts=1, **given))
    if form == "sentinel":
        watching = library.sentinel.Sentinel(list(nodes), sentinel_kwargs={**given, **sentinel}, **given)
        return One(watching.master_for(str(group)))
    (host, port) = nodes[0]
    return One(library.Valkey(host=host, port=port, **given))
