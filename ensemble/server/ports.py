"""Where a server listens: the configured ports, or free ones."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

from ...core.errors import ConfigError, ServerError
from ..config import ServerConfig


@dataclass(frozen=True)
class Ports:
    """The address and the three ports of a server."""

    host: str
    http: int
    grpc: int
    metrics: int

    @property
    def grpc_url(self) -> str:
        return f"{self._reachable}:{self.grpc}"

    @property
    def http_url(self) -> str:
        return f"http://{self._reachable}:{self.http}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self._reachable}:{self.metrics}/metrics"

    def grpc_is_open(self) -> bool:
        """Whether a server listens on the gRPC port."""
        try:
            socket.create_connection((self._reachable, self.grpc), 0.5).close()
        except OSError:
            return False
        return True

    def arguments(self) -> list[str]:
        """tritonserver's arguments; the gateway listens on the other two."""
        return [f"--grpc-address={self.host}", f"--grpc-port={self.grpc}"]

    @property
    def _reachable(self) -> str:
        """The host as clients on this machine reach it, also if the server listens on every address."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host


def claim_ports(config: ServerConfig) -> Ports:
    """The configured ports, with a free one in place of each 0. All are held at once, so they differ.

    Raises:
        ConfigError: if other machines could reach them and the config does not say so.
        ServerError: naming the port that is taken and the key that sets it.
    """
    check_exposure(config)
    wanted = {"http": config.http_port, "grpc": config.grpc_port, "metrics": config.metrics_port}
    with ExitStack() as held:
        claimed = {name: _bind(held, config.host, name, port) for name, port in wanted.items()}
    return Ports(config.host, **claimed)


def check_exposure(config: ServerConfig) -> None:
    """Raise ConfigError if the server would listen beyond this machine without ``server.expose``."""
    if not config.expose and is_exposed(config):
        raise ConfigError(
            f"server.host: {config.host!r} lets other machines reach the server, without encryption or passwords; set "
            "server.expose to true if a proxy or a network policy protects it, or take 127.0.0.1"
        )


def is_exposed(config: ServerConfig) -> bool:
    """Whether other machines can reach a server that listens as configured."""
    return not _loopback(config.host)


def _loopback(host: str) -> bool:
    """Whether all addresses of ``host`` are this machine's own; also for a name that has none, which fails later."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)}
    except OSError:
        return True
    return all(ip_address(address.partition("%")[0]).is_loopback for address in found)


def _bind(held: ExitStack, host: str, name: str, port: int) -> int:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ServerError(f"server.host: {host!r} is not an address of this machine: {error.strerror}") from error
    listener = held.enter_context(socket.socket(family, kind))
    # As tritonserver does: lingering connections of an earlier server are no obstacle.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        advice = f"choose another with server.{name}_port, or 0 for a free one"
        raise ServerError(f"port {port} ({name}) on {host} cannot be used: {error.strerror}; {advice}") from error
    return int(listener.getsockname()[1])
