"""`cascade reload` where the server cannot be told."""

import os
import signal
import subprocess
import threading
import time

import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import ServerError
from cascade.core.processes import state_of
from cascade.ensemble.server.releases import reload
from cascade.ensemble.server.releases.running_servers import LiveServer
from cascade.ensemble.server.status import ServerStatus


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


@pytest.mark.parametrize("before", [True, False])
def test_a_stopped_server_is_told_at_once(monkeypatch, tmp_path, before):
    """Stopped when it is asked, and while it loads."""
    child = subprocess.Popen(["sh", "-c", "trap '' HUP; echo; while :; do sleep 0.05; done"], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        server = LiveServer(child.pid, "cascade", str(tmp_path), str(tmp_path / "status"), takes_hangup=True)
        monkeypatch.setattr(reload, "servers_of", lambda repository, model: [server])
        stop = threading.Timer(0 if before else 0.3, child.send_signal, [signal.SIGSTOP])
        stop.start()
        if before:
            wait_until(lambda: state_of(child.pid) == "T")
        began = time.monotonic()
        with pytest.raises(ServerError, match=f"^process {child.pid}: is stopped .*kill -CONT {child.pid}"):
            reload.reload(tmp_path, "cascade")
        assert time.monotonic() - began < HANG_S
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.mark.parametrize("ready", [True, False])
def test_a_release_that_nobody_answers_with_is_not_called_live(monkeypatch, tmp_path, ready):
    """As while tritonserver is started again."""
    file = tmp_path / "status"
    server = LiveServer(os.getpid(), "cascade", str(tmp_path), str(file), takes_hangup=True)
    ServerStatus(ready, "abc", {"reloads": 0}).write(file)
    monkeypatch.setattr(reload, "servers_of", lambda repository, model: [server])
    monkeypatch.setattr(reload, "_ANSWERS_S", 0.2)
    monkeypatch.setattr(os, "kill", lambda pid, number: ServerStatus(ready, "abc", {"reloads": 1}).write(file))
    if ready:
        assert reload.reload(tmp_path, "cascade") == ["abc"]
    else:
        with pytest.raises(ServerError, match="does not answer; it is started again with release abc"):
            reload.reload(tmp_path, "cascade")
