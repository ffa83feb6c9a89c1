"""What a server is told of a config or a folder; the integration tests start one."""

from types import SimpleNamespace

import pytest

import cascade
from cascade.ensemble.config import ServerConfig
from cascade.errors import ArtifactError, ConfigError, ServerError


def test_of_a_config(mini):
    given = {"schema.sparse": ["user_id", "item_id"], "export.repository": str(mini[0]), "server.grpc_port": 9}
    server = cascade.Server(cascade.load_config(overrides={**given, "feature_store.repo": "/store"}))
    assert (server.repository, server.model, str(server.feature_repo)) == (mini[0], "cascade", "/store")
    assert (server.config.http_port, server.config.grpc_port) == (8000, 9)
    own = cascade.Server(cascade.load_config(overrides=given), settings=ServerConfig(instances=3))
    assert own.config.instances == 3


@pytest.mark.parametrize("below", ["", "cascade", "cascade/1"])
def test_of_a_folder_on_free_ports(mini, below, monkeypatch):
    monkeypatch.setenv("CASCADE_FEATURE_REPO", "/from/environment")
    server = cascade.Server(str(mini[0] / below))
    assert (server.repository, server.model, str(server.feature_repo)) == (mini[0], "cascade", "/from/environment")
    assert {server.config.http_port, server.config.grpc_port, server.config.metrics_port} == {0}
    assert str(cascade.Server(mini[0], feature_repo="/argument").feature_repo) == "/argument"


def test_without_a_release_it_is_not_made(tmp_path):
    with pytest.raises(ArtifactError, match="holds no release; cascade.run"):
        cascade.Server(tmp_path)


def test_a_client_needs_a_running_server(mini):
    with pytest.raises(ServerError, match="does not run"):
        cascade.Server(mini[0]).client()


def test_it_starts_once_and_has_no_address_after_it_stops(mini):
    server = cascade.Server(mini[0])
    process = SimpleNamespace(ports=SimpleNamespace(grpc_url="host:1"))
    server._supervisor = SimpleNamespace(session=SimpleNamespace(process=process), stop=lambda: None)
    with pytest.raises(ServerError, match="already running at host:1"):
        server.start()
    server.stop()
    with pytest.raises(ServerError, match="does not run"):
        _ = server.grpc_url
    with pytest.raises(ServerError, match="does not run"):
        server.client()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": {"http_port": 0}}, "settings: expected a ServerConfig"),
        ({"forward": 3}, "forward: expected a function of one line, got 3"),
        ({"startup_s": "x"}, "startup_s: expected a positive number of seconds, got 'x'"),
        ({"startup_s": 0}, "startup_s: expected a positive number of seconds, got 0"),
        ({"startup_s": float("nan")}, "startup_s: expected a positive number of seconds, got nan"),
        ({"feature_repo": 3}, "feature_repo: expected the path of a folder, got 3"),
    ],
)
def test_arguments_are_checked_before_anything_starts(mini, given, message):
    with pytest.raises(ConfigError, match=message):
        cascade.Server(mini[0], **given)
