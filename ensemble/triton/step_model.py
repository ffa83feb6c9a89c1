"""The python model that runs one step of an ensemble: it reads the columns of earlier steps and writes its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ServerError
from ...core.files import read_json
from ...core.signature import Columns, ColumnSpec
from ..graph.executor import Executor
from ..graph.graph_file import RELEASE, damage_named, load_node, read_signature
from ..protocol.call_errors import BEING_LOADED
from ..protocol.inputs import MISSING, Input
from ..protocol.wire import decode_text
from ..repository.digests import check_files
from ..repository.model_config import STAGES_MS
from ..repository.step_plan import FILES, STEP, TRACE, TRACED, release_number
from . import model
from .arms.router import CheckedRequest
from .pass_metrics import RefusalReason


class OtherReleaseError(ServerError):
    """Earlier steps of the request belong to another release."""


class TritonPythonModel(model.TritonPythonModel):
    """Triton's interface of a python model.

    The first step checks requests as the fused model does, fills in the defaults and starts their trace. The other
    steps take the columns as they come.
    """

    joins_releases = False

    def load(self, folder: Path) -> Executor:
        """A graph of this step only, whose outputs are those of Triton's config."""
        check_files(folder, contents_up_to=0)
        with damage_named(folder):
            facts = read_json(folder / STEP)
            release = read_json(folder / RELEASE)
            self.release, self.number = release["release"], np.float32(release_number(release["release"]))
            self.first = facts["inputs"] is not None
            reads = read_signature(facts["reads"])
            inputs = [Input.from_json(entry) for entry in facts["inputs"]] if self.first else column_inputs(reads)
            ops = {facts["node"]["name"]: load_node(facts["node"], folder / FILES)}
            outputs = [name for name in self.outputs if name not in (TRACED, STAGES_MS)]
            return Executor(inputs, ops, outputs, max_users=facts["max_batch_size"], release=release)

    def read(self, request: Any) -> CheckedRequest:
        """Read a request. The first step checks it, the others only check that its trace is of their release.

        Raises:
            RequestError: if it is not valid.
            OtherReleaseError: if earlier steps belong to another release.
        """
        if self.first:
            return super().read(request)
        columns = {}
        for tensor in request.inputs():
            name, array = tensor.name(), tensor.as_numpy()
            columns[name] = decode_text(name, array) if array.dtype == object else array
        if (columns[TRACE][:, 0] != self.number).any():
            raise OtherReleaseError(f"the request was begun by another release than {self.release}; {BEING_LOADED}")
        return CheckedRequest(request, columns, len(columns[TRACE]))

    def refusal(self, error: Exception) -> Any:
        """As in the fused model, but a request that meets two releases, while steps are being replaced, is no fault."""
        if not isinstance(error, OtherReleaseError):
            return super().refusal(error)
        return self.unavailable(str(error), RefusalReason.OTHER_RELEASE)

    def add_times(
        self, answer: dict[str, NDArray[Any]], columns: Columns, seconds: dict[str, float], users: int
    ) -> None:
        """Add the trace, extended by the milliseconds of this step, and ``stages_ms``, which the last step returns."""
        before = np.full((users, 1), self.number) if self.first else columns[TRACE]
        took = np.full((users, 1), 1000 * sum(seconds.values()), dtype=np.float32)
        answer[TRACED] = np.concatenate([before, took], axis=1)
        answer[STAGES_MS] = answer[TRACED][:, 1:]


def column_inputs(reads: dict[str, ColumnSpec]) -> list[Input]:
    """The columns that a step reads, as required inputs of its graph."""
    return [
        Input(name, spec.dtype, spec.dims, required=True, padding=padding(name, spec)) for name, spec in reads.items()
    ]


def padding(name: str, spec: ColumnSpec) -> float | int | None:
    """What pads rows that are shorter than others in the same pass; None for the missing value of the dtype.

    Item rows are padded with -1, logits with -inf, other columns of candidates with 0, raw values with their missing
    value.
    """
    if name.endswith("_rows"):
        return -1
    if name == "logits":
        return -np.inf
    return None if spec.dtype in MISSING and spec.dims[0] not in ("K", "k") else 0
