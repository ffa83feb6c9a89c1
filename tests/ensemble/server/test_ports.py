"""The ports of a server."""

import socket

import pytest

from cascade.core.errors import ConfigError, ServerError
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server.ports import claim_ports, is_exposed


def test_zero_picks_different_free_ports():
    got = claim_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0))
    assert len({got.http, got.grpc, got.metrics} - {0}) == 3


def test_a_taken_port_is_named_with_its_key():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} \(grpc\).*in use.*server\.grpc_port"):
            claim_ports(ServerConfig(http_port=0, grpc_port=port, metrics_port=0))


def test_the_same_port_twice_is_refused():
    port = claim_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0)).http
    with pytest.raises(ServerError, match=rf"port {port} \(metrics\)"):
        claim_ports(ServerConfig(http_port=port, grpc_port=0, metrics_port=port))


def test_a_host_that_is_none_of_ours():
    with pytest.raises(ServerError, match="192.0.2.1"):
        claim_ports(ServerConfig(host="192.0.2.1", expose=True, http_port=0, grpc_port=0, metrics_port=0))


def test_grpc_may_stay_on_this_machine_alone():
    free = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    config = ServerConfig(host="0.0.0.0", grpc_host="127.0.0.1", expose=True, **free)
    ports = claim_ports(config)
    assert is_exposed(config) and "--grpc-address=127.0.0.1" in ports.arguments()
    assert (ports.host, ports.grpc_url) == ("0.0.0.0", f"127.0.0.1:{ports.grpc}")
    with pytest.raises(ConfigError, match="server.grpc_host: '0.0.0.0' lets other machines"):
        claim_ports(ServerConfig(grpc_host="0.0.0.0", **free))


@pytest.mark.parametrize(
    ("grpc_host", "metrics_host", "expected"),
    [(None, None, "0.0.0.0"), ("127.0.0.1", None, "127.0.0.1"), ("127.0.0.1", "127.0.0.2", "127.0.0.2")],
)
def test_the_metrics_are_where_grpc_is_unless_told_otherwise(grpc_host, metrics_host, expected):
    free = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    hosts = {"host": "0.0.0.0", "grpc_host": grpc_host, "metrics_host": metrics_host}
    ports = claim_ports(ServerConfig(**hosts, expose=True, **free))
    assert ports.of_gateway() == [("0.0.0.0", ports.http), (expected, ports.metrics)]
    assert ports.metrics_url == f"http://{expected.replace('0.0.0.0', '127.0.0.1')}:{ports.metrics}/metrics"


@pytest.mark.parametrize("key", ["host", "grpc_host", "metrics_host"])
def test_each_address_that_others_reach_is_named(key):
    config = ServerConfig(**{key: "0.0.0.0"})
    assert is_exposed(config)
    with pytest.raises(ConfigError, match=rf"^server\.{key}: '0.0.0.0' lets other machines"):
        claim_ports(config)


@pytest.mark.parametrize("key", ["host", "grpc_host", "metrics_host"])
def test_an_address_that_is_none_is_named(key):
    with pytest.raises(ServerError, match=rf"^server\.{key}: 'no host' is not an address"):
        claim_ports(ServerConfig(**{key: "no host"}, http_port=0, grpc_port=0, metrics_port=0))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "0"])
def test_other_machines_are_let_in_only_where_the_config_says_so(host):
    with pytest.raises(ConfigError, match="server.host: .* set server.expose to true"):
        claim_ports(ServerConfig(host=host, http_port=0, grpc_port=0, metrics_port=0))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_this_machine_may_always_ask(host):
    assert claim_ports(ServerConfig(host=host, http_port=0, grpc_port=0, metrics_port=0)).http


def test_an_exposed_server_listens_everywhere():
    assert claim_ports(ServerConfig(host="0.0.0.0", expose=True, http_port=0, grpc_port=0, metrics_port=0)).http


@pytest.mark.parametrize("options", [[], [socket.SO_REUSEADDR]], ids=["plain", "reuse address"])
def test_a_kept_port_is_for_servers_that_share_it(options):
    """That is, between two tritonservers nothing else gets it."""
    ports = claim_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0))

    def listening(*options):
        listener = socket.socket()
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(("127.0.0.1", ports.grpc))
        listener.listen()
        return listener

    with ports.keep():
        with pytest.raises(OSError, match="in use"):
            listening(*options)
        assert not ports.grpc_is_open()
        with listening(socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as tritonserver does
            assert ports.grpc_is_open()
            with pytest.raises(ServerError, match=f"port {ports.grpc}"):
                claim_ports(ServerConfig(http_port=0, grpc_port=ports.grpc, metrics_port=0))
        with pytest.raises(OSError, match="in use"):
            listening(*options)
    listening(*options).close()


def test_a_port_that_was_taken_meanwhile_cannot_be_kept():
    ports = claim_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0))
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.grpc))
        with pytest.raises(ServerError, match=rf"port {ports.grpc} \(grpc\)"):
            ports.keep()
