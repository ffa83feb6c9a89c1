"""tritonserver with the stock ensemble as merlin-systems leaves it: no watchdog, no limit on threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...ensemble.config import ServerConfig
from ...ensemble.protocol.call_errors import ask_for
from ...ensemble.server.triton_process import TritonProcess
from .build import StockEnsemble

STARTUP_S = 300.0
GRACE_S = 1


class StockServer:
    """A running server of the stock ensemble. Use as a context manager, which waits until it has answered once.

    Args:
        config: where to listen; free ports by default.
        forward: called with each line of the server's log.
    """

    def __init__(
        self,
        served: StockEnsemble,
        config: ServerConfig | None = None,
        forward: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.served = served
        self.config = config or ServerConfig(http_port=0, grpc_port=0, metrics_port=0)
        self._forward = forward

    @property
    def grpc_url(self) -> str:
        return self._process.ports.grpc_url

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = TritonProcess(
            self.served.repository,
            self.config,
            arguments=[f"--load-model={model}" for model in self.served.models],
            folder=self.served.repository,  # its python models import from the working directory
            forward=self._forward,
            startup_s=STARTUP_S,
            grace_s=GRACE_S,
        )
        self._process.start()
        try:
            self._await_answer()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stop()

    def recommend(self, user: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
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

    def _await_answer(self) -> None:
        import tritonclient.grpc as grpc

        with grpc.InferenceServerClient(self.grpc_url) as client:
            self._process.wait_until(lambda: self._ready(client), "the stock ensemble")
        self.recommend(int(self.served.users[0]))

    def _ready(self, client: Any) -> bool:
        import tritonclient.grpc as grpc

        try:
            return all(client.is_model_ready(model) for model in self.served.models)
        except grpc.InferenceServerException:
            return False
