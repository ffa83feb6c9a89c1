"""tritonserver with the stock ensemble as merlin-systems leaves it: no watchdog, no limits to threads."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ServerError
from ...ensemble.config import ServerConfig
from ...ensemble.protocol.wire import ask_for
from ...ensemble.server.log import ServerLog
from ...ensemble.server.ports import claim_ports
from ...ensemble.server.processes import adopt_orphans, dying_with_us, end_group
from ...ensemble.server.runtime import assemble_runtime
from .build import StockServed

STARTUP_S = 300.0
GRACE_S = 1
SHARED_MEMORY = Path("/dev/shm")


class StockServer:
    """A running server of the stock ensemble; use as a context manager. It is ready when it has answered once.

    Args:
        forward: takes each line of the server's log.
    """

    def __init__(
        self,
        served: StockServed,
        config: ServerConfig | None = None,
        forward: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.served = served
        self.config = config or ServerConfig(http_port=0, grpc_port=0, metrics_port=0)
        self._forward = forward
        self._regions = f"cascade_{os.getpid()}_{secrets.token_hex(4)}_"

    @property
    def grpc_url(self) -> str:
        return f"{self.config.host}:{self.ports.grpc}"

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        return self._process.pid

    def __enter__(self) -> Self:
        runtime = assemble_runtime()
        self.ports = claim_ports(self.config)
        adopt_orphans(True)
        self._process = subprocess.Popen(
            [*dying_with_us(), str(runtime.server), f"--backend-directory={runtime.backends}", *self._arguments()],
            cwd=self.served.repository,  # python models import from where the server was started, too
            env=runtime.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._log = ServerLog(self._process.stdout, self._forward)
        try:
            self._await_answer()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def ask(self, user: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Item ids [shown] and their probabilities [shown] for a user, in the order of the answer.

        Raises:
            RequestError | ServerError: if the ensemble fails, as it does for an unknown user.
        """
        import tritonclient.grpc as grpc

        wanted = grpc.InferInput(self.served.input, [1], "INT64")
        wanted.set_data_from_numpy(np.array([user], np.int64))
        with grpc.InferenceServerClient(self.grpc_url) as client:
            answer = ask_for(lambda: client.infer(self.served.model, [wanted]), self.grpc_url)
        ids, scores = (answer.as_numpy(name) for name in self.served.outputs)
        return ids[0], scores[0]

    def _arguments(self) -> list[str]:
        host, ports = self.config.host, self.ports
        return [
            f"--model-repository={self.served.repository}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self.served.models),
            "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            f"--exit-timeout-secs={GRACE_S}",
            f"--http-address={host}",
            f"--http-port={ports.http}",
            f"--grpc-address={host}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-address={host}",
            f"--metrics-port={ports.metrics}",
            *([] if Path("/dev/nvidiactl").exists() else ["--allow-gpu-metrics=false"]),
        ]

    def _await_answer(self) -> None:
        import tritonclient.grpc as grpc

        deadline = time.monotonic() + STARTUP_S
        with grpc.InferenceServerClient(self.grpc_url) as client:
            while not self._ready(client):
                code = self._process.poll()
                if code is not None:
                    self._log.join()
                    raise ServerError(f"tritonserver ended with code {code}: {self._log.cause()}")
                if time.monotonic() > deadline:
                    raise ServerError(f"the stock ensemble did not load in {STARTUP_S:.0f} s: {self._log.cause()}")
                time.sleep(0.1)
        self.ask(int(self.served.users[0]))

    def _ready(self, client: Any) -> bool:
        import tritonclient.grpc as grpc

        try:
            return all(client.is_model_ready(model) for model in self.served.models)
        except grpc.InferenceServerException:
            return False

    def _stop(self) -> None:
        end_group(self._process, GRACE_S + 1)
        adopt_orphans(False)
        self._log.join()
        for region in SHARED_MEMORY.glob(f"{self._regions}*"):
            region.unlink(missing_ok=True)
