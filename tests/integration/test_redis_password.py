"""The password of Redis is in no file after a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis_process import RedisServer

pytestmark = pytest.mark.slow
PASSWORD = "hunter2Correct"


def files_with(text: str, folder: Path) -> list[str]:
    return [
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink() and text.encode() in file.read_bytes()
    ]


def test_no_file_holds_the_password_after_a_run(strings: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(strings.folder, folder)  # what is trained stays; features and export are made anew
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def cascade(*arguments: str) -> str:
        command = [sys.executable, "-c", "from cascade.cli.main import main; main()", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    with RedisServer(tmp_path, "--requirepass", PASSWORD) as server:
        environment["CASCADE_FEATURE_STORE__REDIS"] = f"{server.address},password={PASSWORD}"
        config = ["--config", strings.config_file.name, "--set", "feature_store.online=redis", "--verbose"]
        printed = cascade("run", *config, "--only", "export", "--take-over")
        assert "export" in printed and PASSWORD not in printed
        written = files_with(server.address, folder)  # the address is noted, so the right files are searched
        assert any("runs/export" in name for name in written) and any("model_repository" in name for name in written)
        assert files_with(PASSWORD, tmp_path) == []
