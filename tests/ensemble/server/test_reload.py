"""`cascade reload` where the server cannot be told."""

import os

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server import reload
from cascade.ensemble.server.live_models import LiveServer


@pytest.mark.parametrize(
    "error", [PermissionError(1, "Operation not permitted"), ProcessLookupError(3, "No such process")]
)
def test_a_server_of_another_user_or_one_that_has_just_ended_is_named(monkeypatch, tmp_path, error):
    def kill(pid, number):
        raise error

    server = LiveServer(4711, "cascade", str(tmp_path), str(tmp_path / "status"), takes_hangup=True)
    monkeypatch.setattr(reload, "servers_of", lambda repository, model: [server])
    monkeypatch.setattr(os, "kill", kill)
    with pytest.raises(ServerError, match=f"^process 4711: cannot be told to reload: {error.strerror}$"):
        reload.reload(tmp_path, "cascade")
