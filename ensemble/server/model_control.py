"""The client that operates a served model: load it, reload it, probe it."""

from __future__ import annotations

import time
from functools import partial

from ...core.errors import ServerError
from ..client import Client
from ..protocol.call_errors import ask_for, one_line


class ModelControl(Client):
    """A connection to a server in explicit model control; ``model`` need not be loaded yet."""

    def load(self, config: str | None = None, timeout: float = 120.0) -> None:
        """Load the model; of an ensemble, all steps that have changed.

        Args:
            config: JSON that replaces the model's config.pbtxt.
            timeout: seconds that loading may take.

        Raises:
            ServerError: if it cannot be loaded; what was loaded before stays.
        """
        import tritonclient.grpc as grpc

        try:
            self._triton.load_model(self.model, config=config, client_timeout=timeout)
        except grpc.InferenceServerException as error:
            raise ServerError(f"{self.url}: {one_line(error)}") from error

    def reload(self, timeout: float = 120.0) -> None:
        """Load the model again in as many new processes, with the config that it has now.

        Triton ignores a request to load a model whose files are unchanged, and keeps the processes if the config is
        unchanged. The config therefore carries a parameter that differs each time. An ensemble has no processes.

        Args:
            timeout: seconds that loading may take.

        Raises:
            ServerError: if it cannot be loaded; what was loaded before stays.
        """
        from google.protobuf.json_format import MessageToJson

        self._forget()
        if self._config.platform == "ensemble":
            self.load(timeout=timeout)
            return
        config = type(self._config)()
        config.CopyFrom(self._config)
        config.parameters["loaded"].string_value = str(time.time_ns())
        self.load(MessageToJson(config), timeout)

    def instances(self) -> int:
        """How many instances the model has now.

        Raises:
            ServerError: if the server does not say so.
        """
        return sum(group.count for group in self._config_of(self.model).instance_group)

    def probe(self) -> str:
        """Have the whole graph answer for an unknown user; returns the release that answered.

        Raises:
            ServerError: if it does not answer.
        """
        number = self._inputs["user_id"].dtype != "object"
        return self.recommend([0 if number else "probe"])[0].release

    def answered(self) -> int:
        """The number of requests that the model has answered since it was loaded, refusals included."""
        call = partial(self._triton.get_inference_statistics, self.model, client_timeout=self.timeout)
        counts = [entry.inference_stats for entry in ask_for(call, self.url).model_stats]
        return sum(stats.success.count + stats.fail.count for stats in counts)
