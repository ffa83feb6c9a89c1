"""The python model that runs one step of an ensemble: the columns of the steps before it in, its own out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ServerError
from ...core.signature import Columns, ColumnSpec
from ..graph.executor import RELEASE, Executor, load_op
from ..protocol.inputs import MISSING, Input
from ..protocol.wire import BEING_LOADED, decode_text
from ..repository.model_config import STAGES_MS
from ..repository.step_plan import (
    FILES,
    STEP,
    TRACE,
    TRACED,
    release_number,
)
from . import model


class OtherReleaseError(ServerError):
    """A request was begun by a step of another release."""


class TritonPythonModel(model.TritonPythonModel):
    """Triton's interface of a python model.

    The first step checks requests as the fused model does, fills in what they leave out and begins their trace; the
    others take what the steps before them made.
    """

    def load(self, folder: Path) -> Executor:
        """A graph of this step alone, whose outputs are those of Triton's config."""
        facts = json.loads((folder / STEP).read_text())
        release = json.loads((folder / RELEASE).read_text())
        self.release, self.number = release["release"], np.float32(release_number(release["release"]))
        self.first = facts["inputs"] is not None
        reads = {name: ColumnSpec(dtype, tuple(dims)) for name, (dtype, dims) in facts["reads"].items()}
        inputs = [Input.from_json(entry) for entry in facts["inputs"]] if self.first else made_inputs(reads)
        ops = {facts["node"]["name"]: load_op(facts["node"], folder / FILES)}
        outputs = [name for name in self.outputs if name not in (TRACED, STAGES_MS)]
        return Executor(inputs, ops, outputs, max_users=facts["max_batch_size"], release=release)

    def ask(self, request: Any) -> model.Asked:
        """Read a request; the first step checks it, the others only that it was begun by their own release.

        Raises:
            RequestError: if it cannot be answered.
            OtherReleaseError: if it was begun by another release.
        """
        if self.first:
            return super().ask(request)
        columns = {}
        for tensor in request.inputs():
            name, array = tensor.name(), tensor.as_numpy()
            columns[name] = decode_text(name, array, missing=True) if array.dtype == object else array
        if (columns[TRACE][:, 0] != self.number).any():
            raise OtherReleaseError(f"the request was begun by another release than {self.release}; {BEING_LOADED}")
        return model.Asked(request, columns, len(columns[TRACE]))

    def refusal(self, error: Exception) -> Any:
        """While a release replaces another its steps come one after the other: that is no fault to log."""
        if not isinstance(error, OtherReleaseError):
            return super().refusal(error)
        return self.unavailable(str(error))

    def add_times(
        self, answer: dict[str, NDArray[Any]], columns: Columns, seconds: dict[str, float], users: int
    ) -> None:
        """Add the trace with the milliseconds of this step, and ``stages_ms``, which the last step gives out."""
        before = np.full((users, 1), self.number) if self.first else columns[TRACE]
        took = np.full((users, 1), 1000 * sum(seconds.values()), dtype=np.float32)
        answer[TRACED] = np.concatenate([before, took], axis=1)
        answer[STAGES_MS] = answer[TRACED][:, 1:]


def made_inputs(reads: dict[str, ColumnSpec]) -> list[Input]:
    """Columns that other steps made, as inputs of this one."""
    return [
        Input(name, spec.dtype, spec.dims, required=True, padding=padding(name, spec)) for name, spec in reads.items()
    ]


def padding(name: str, spec: ColumnSpec) -> float | int | None:
    """What fills rows that are shorter than others in the same pass; None: the dtype's missing value.

    -1 in item rows, -inf in logits, 0 in what belongs to a candidate; raw values have a missing value.
    """
    if name.endswith("_rows"):
        return -1
    if name == "logits":
        return -np.inf
    return None if spec.dtype in MISSING and spec.dims[0] not in ("K", "k") else 0
