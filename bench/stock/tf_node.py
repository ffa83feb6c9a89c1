"""A TensorFlow node of the stock ensemble in Triton's python backend: runs the SavedModel next to it.

This file is copied into the model repository as the node's ``model.py``, so it must not import cascade.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class TritonPythonModel:
    """Passes the inputs to the signature ``serving_default`` and returns its outputs, as the tensorflow backend did."""

    def initialize(self, args: dict[str, str]) -> None:
        """Called by Triton when the model is loaded."""
        import tensorflow as tf

        folder = Path(args["model_repository"], args["model_version"], "model.savedmodel")
        self.model = tf.saved_model.load(str(folder))
        self.serve = self.model.signatures["serving_default"]
        self.inputs = sorted(self.serve.structured_input_signature[1])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Called by Triton with one or more requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        import tensorflow as tf
        import triton_python_backend_utils as pb_utils

        tensors = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        found = self.serve(**{name: tf.constant(values) for name, values in tensors.items()})
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value.numpy()) for name, value in found.items()])
