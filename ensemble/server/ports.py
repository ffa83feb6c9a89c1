"""Where a server listens: the configured ports, or free ones."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

from ...core.errors import ConfigError, ServerError
from ..config import ServerConfig

_HOST_KEYS = {"http": "host", "grpc": "grpc_host", "metrics": "metrics_host"}


@dataclass(frozen=True)
class Ports:
    """The addresses and the three ports of a server."""

    host: str
    """Of HTTP."""
    grpc_host: str
    metrics_host: str
    http: int
    grpc: int
    metrics: int

    @property
    def grpc_url(self) -> str:
        return f"{_reachable(self.grpc_host)}:{self.grpc}"

    @property
    def http_url(self) -> str:
        return f"http://{_reachable(self.host)}:{self.http}"

    @property
    def metrics_url(self) -> str:
        return f"http://{_reachable(self.metrics_host)}:{self.metrics}/metrics"

    def grpc_is_open(self) -> bool:
        """Whether a server listens on the gRPC port."""
        try:
            socket.create_connection((_reachable(self.grpc_host), self.grpc), 0.5).close()
        except OSError:
            return False
        return True

    def of_gateway(self) -> list[tuple[str, int]]:
        """Address and port of HTTP and of the metrics."""
        return [(self.host, self.http), (self.metrics_host, self.metrics)]

    def arguments(self) -> list[str]:
        """tritonserver's arguments; the gateway listens on the other two."""
        return [f"--grpc-address={self.grpc_host}", f"--grpc-port={self.grpc}", "--reuse-grpc-port=1"]

    def keep(self) -> socket.socket:
        """A socket that keeps the gRPC port while no tritonserver listens on it; no client can connect to it.

        Without it, any connection that a process opens meanwhile may be given this port. tritonserver can still take
        it, since both share it (SO_REUSEPORT, which needs the same user).

        Raises:
            ServerError: if the port has been taken since it was claimed.
        """
        kept = _bound(self.grpc_host, "grpc", self.grpc, shared=True)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # others could bind it with this option, too
        return kept


def _reachable(host: str) -> str:
    """The host as clients on this machine reach it, also if the server listens on every address."""
    return "127.0.0.1" if host in ("0.0.0.0", "") else host


def claim_ports(config: ServerConfig) -> Ports:
    """The configured ports, with a free one in place of each 0. All are held at once, so they differ.

    Raises:
        ConfigError: if other machines could reach them and the config does not say so.
        ServerError: naming the port that is taken and the key that sets it.
    """
    check_exposure(config)
    wanted = {"http": config.http_port, "grpc": config.grpc_port, "metrics": config.metrics_port}
    hosts = _hosts(config)
    with ExitStack() as held:
        claimed = {name: held.enter_context(_bound(hosts[name], name, port)) for name, port in wanted.items()}
        numbers = {name: int(listener.getsockname()[1]) for name, listener in claimed.items()}
    return Ports(hosts["http"], hosts["grpc"], hosts["metrics"], **numbers)


def check_exposure(config: ServerConfig) -> None:
    """Raise ConfigError if the server would listen beyond this machine without ``server.expose``."""
    name, host = next(((name, host) for name, host in _hosts(config).items() if not _loopback(host)), (None, ""))
    if not config.expose and name is not None:
        raise ConfigError(
            f"server.{_HOST_KEYS[name]}: {host!r} lets other machines reach the server, without encryption or "
            "passwords; set server.expose to true if a proxy or a network policy protects it, or take 127.0.0.1"
        )


def is_exposed(config: ServerConfig) -> bool:
    """Whether other machines can reach a server that listens as configured."""
    return not all(map(_loopback, _hosts(config).values()))


def _hosts(config: ServerConfig) -> dict[str, str]:
    """Name of a port -> address to listen on."""
    grpc_host = config.host if config.grpc_host is None else config.grpc_host
    metrics_host = grpc_host if config.metrics_host is None else config.metrics_host
    return {"http": config.host, "grpc": grpc_host, "metrics": metrics_host}


def _loopback(host: str) -> bool:
    """Whether all addresses of ``host`` are this machine's own; also for a name that has none, which fails later."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)}
    except OSError:
        return True
    return all(ip_address(address.partition("%")[0]).is_loopback for address in found)


def _bound(host: str, name: str, port: int, *, shared: bool = False) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ServerError(
            f"server.{_HOST_KEYS[name]}: {host!r} is not an address of this machine: {error.strerror}"
        ) from error
    bound = socket.socket(family, kind)
    # As tritonserver does: lingering connections of an earlier server are no obstacle.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        bound.bind(address)
        if not shared:
            bound.listen()  # fails if another socket that has the port does the same
    except OSError as error:
        bound.close()
        advice = f"choose another with server.{name}_port, or 0 for a free one"
        raise ServerError(f"port {port} ({name}) on {host} cannot be used: {error.strerror}; {advice}") from error
    return bound
