"""What `TritonServer` gives to the process that it starts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cascade.ensemble.server.server import TritonServer


@pytest.mark.parametrize("redis", [None, "cache:6380,password=S3cret"])
def test_the_store_s_password_reaches_the_models_by_the_environment(tmp_path: Path, redis: str | None) -> None:
    process = TritonServer(tmp_path, "shop", feature_repo=tmp_path, redis=redis)._process(ensemble=False)
    assert process._environment.get("CASCADE_FEATURE_STORE__REDIS") == redis
    assert process._environment["CASCADE_FEATURE_REPO"] == str(tmp_path)
    assert not any("S3cret" in argument for argument in process._arguments)


def test_processes_are_started_together_where_the_disk_is_full(tmp_path: Path, caplog: Any) -> None:
    def leave_one() -> None:
        raise OSError(28, "No space left on device")

    server: Any = TritonServer(tmp_path, "shop", feature_repo=tmp_path)
    server._live = SimpleNamespace(leave_one=leave_one)
    server._leave_one()
    assert "all processes are started together: [Errno 28] No space left on device" in caplog.text
