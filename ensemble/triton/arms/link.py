"""A connection to the server of another release, which may fail at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ServerError
from ....core.signature import Columns
from ...protocol.call_errors import one_line
from ...protocol.wire import decode_text, encode_text

_CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class Link:
    """Asks a served model. After a call that fails, nobody asks for a while, twice as long after each further one.

    Args:
        url: ``host:port`` of the gRPC endpoint.
        model: its name.
        timeout_s: seconds that a call may take.
        clock: seconds.
    """

    def __init__(self, url: str, model: str, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        import tritonclient.grpc as grpc

        self._grpc, self._model, self._timeout_s, self._clock = grpc, model, timeout_s, clock
        self._client = grpc.InferenceServerClient(url, channel_args=_CHANNEL)
        self._lock = threading.Lock()
        self._pause_s, self._again_at = 0.0, 0.0

    @property
    def closed(self) -> bool:
        """Whether the last call failed, so that nobody is to ask now."""
        return self._clock() < self._again_at

    def ask(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """The outputs [B, ...] for inputs [B, ...] of the graph.

        Raises:
            ServerError: if it does not answer in time, or answers with an error.
        """
        inputs = [self._input(name, array) for name, array in columns.items()]
        try:
            answer = self._client.infer(self._model, inputs, client_timeout=self._timeout_s)
        except (self._grpc.InferenceServerException, ValueError) as error:  # the latter of one that was just closed
            self._failed()
            raise ServerError(one_line(error)) from error
        self._pause_s = 0.0
        return {each.name: _decoded(each.name, answer.as_numpy(each.name)) for each in answer.get_response().outputs}

    def close(self) -> None:
        self._client.close()

    def _failed(self) -> None:
        with self._lock:
            if not self.closed:  # calls that fail together count once
                self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
                self._again_at = self._clock() + self._pause_s

    def _input(self, name: str, array: NDArray[Any]) -> Any:
        from tritonclient.utils import np_to_triton_dtype

        wire = encode_text(array) if array.dtype == object else np.ascontiguousarray(array)
        tensor = self._grpc.InferInput(name, list(wire.shape), np_to_triton_dtype(wire.dtype))
        tensor.set_data_from_numpy(wire)
        return tensor


def _decoded(name: str, array: NDArray[Any]) -> NDArray[Any]:
    return decode_text(name, array) if array.dtype == object else array
