"""The client that operates a served model: load it, probe it."""

from __future__ import annotations

from ...core.errors import ServerError
from ..client import DEFAULT_URL, Client
from ..protocol.call_errors import one_line
from ..protocol.pulse import PROBE, PROBED
from .control_key import GRPC_HEADER
from .plain_path import real_paths


class ModelControl(Client):
    """A connection to a server in explicit model control; ``model`` need not be loaded yet.

    Args:
        control_key: of a server that restricts its control calls, see `control_key`.
    """

    _request_id = PROBE

    def __init__(
        self, url: str = DEFAULT_URL, model: str = "cascade", timeout: float = 10.0, *, control_key: str = ""
    ) -> None:
        super().__init__(url, model, timeout)
        self._headers = {GRPC_HEADER: control_key} if control_key else None

    def load(self, timeout: float = 120.0) -> None:
        """Load the model as it lies in the server's repository; of an ensemble, all steps that have changed.

        Args:
            timeout: seconds that loading may take.

        Raises:
            ServerError: if it cannot be loaded; what was loaded before stays.
        """
        import tritonclient.grpc as grpc

        try:
            self._triton.load_model(self.model, headers=self._headers, client_timeout=timeout)
        except grpc.InferenceServerException as error:
            raise ServerError(f"{self.url}: {real_paths(one_line(error))}") from error

    def unload(self) -> None:
        """Unload the model.

        Raises:
            ServerError: if it cannot be unloaded.
        """
        import tritonclient.grpc as grpc

        try:
            self._triton.unload_model(self.model, headers=self._headers, client_timeout=self.timeout)
        except grpc.InferenceServerException as error:
            raise ServerError(f"{self.url}: {one_line(error)}") from error

    def probe(self) -> str:
        """Have the whole graph answer for an unknown user; returns the release that answered.

        Raises:
            ServerError: if it does not answer.
        """
        number, text = PROBED
        return self.recommend([text if self._inputs["user_id"].dtype == "object" else number])[0].release
