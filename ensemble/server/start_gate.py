"""Keeps a tritonserver from listening until it is wanted.

tritonserver opens its ports only when all models that it was asked for are loaded. A standby is therefore started with
one more model, whose loading waits. Its other models are loaded and warm by then, so the server answers about 50 ms
after the gate is opened (a cold start takes seconds).
"""

from __future__ import annotations

import fcntl
from contextlib import suppress
from typing import IO

from ...core.files import owned_folder

NAME = "cascade_start_gate"
_CONFIG = f"""name: "{NAME}"
backend: "python"
input {{ name: "nothing" data_type: TYPE_FP32 dims: 1 }}
output {{ name: "nothing" data_type: TYPE_FP32 dims: 1 }}
instance_group {{ count: 1 kind: KIND_CPU }}
"""
_MODEL = """import fcntl
import os
import threading
import time
from pathlib import Path


def end_with(server):
    while os.getppid() == server:
        time.sleep(0.5)
    os._exit(1)


class TritonPythonModel:
    def initialize(self, args):
        server = int(Path("/proc/self/cmdline").read_text().split("\\0")[5])  # it may have ended already
        threading.Thread(target=end_with, args=(server,), daemon=True).start()
        with (Path(__file__).parent / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # until the process that holds it opens the gate, or ends
        if not (Path(__file__).parent / "opened").exists():
            os._exit(1)  # Triton's code would wait for the dead server, and let no thread of Python run

    def execute(self, requests):
        raise NotImplementedError
"""


class StartGate:
    """A gate, closed. If this process ends before it opens it, what waits there ends."""

    def __init__(self) -> None:
        self._folder = owned_folder("gate")
        version = self._folder.path / NAME / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(_CONFIG)
        (version / "model.py").write_text(_MODEL)
        self._opened = version / "opened"
        self._lock: IO[str] | None = (version / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def arguments(self) -> list[str]:
        """tritonserver's arguments."""
        return [f"--model-repository={self._folder.path}", f"--load-model={NAME}"]

    def open(self) -> None:
        """Let the server listen, once its own models are loaded; nothing happens if it is open."""
        if self._lock is not None:
            with suppress(OSError):  # the folder is gone
                self._opened.touch()
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Open it and remove its files."""
        self.open()
        self._folder.remove()
