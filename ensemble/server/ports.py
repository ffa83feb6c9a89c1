"""Ports to listen on: those asked for, or free ones."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from ...core.errors import ServerError
from ..config import ServerConfig


@dataclass(frozen=True)
class Ports:
    """Where a server listens."""

    http: int
    grpc: int
    metrics: int


def claim_ports(config: ServerConfig) -> Ports:
    """The config's ports, each 0 replaced by a free one. All are held at once, so they differ.

    Raises:
        ServerError: naming the port that is taken and the key that sets it.
    """
    wanted = {"http": config.http_port, "grpc": config.grpc_port, "metrics": config.metrics_port}
    with ExitStack() as held:
        claimed = {name: _bind(held, config.host, name, port) for name, port in wanted.items()}
    return Ports(**claimed)


def _bind(held: ExitStack, host: str, name: str, port: int) -> int:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ServerError(f"server.host: {host!r} is not an address of this machine: {error.strerror}") from error
    listener = held.enter_context(socket.socket(family, kind))
    # As tritonserver does it: connections of an earlier server that linger are no hindrance.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        advice = f"choose another with server.{name}_port, or 0 for a free one"
        raise ServerError(f"port {port} ({name}) on {host} cannot be used: {error.strerror}; {advice}") from error
    return int(listener.getsockname()[1])
