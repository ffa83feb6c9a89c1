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
from ..graph.graph_file import damage_named, load_node, read_signature
from ..protocol.call_errors import BEING_LOADED
from ..protocol.inputs import ARM_INPUT, MISSING, Input
from ..protocol.release_names import RELEASE
from ..protocol.request_batching import RequestBatcher
from ..protocol.serving_file import Beside
from ..protocol.wire import from_wire
from ..repository.digests import check_files
from ..repository.model_config import STAGES_MS
from ..repository.step_plan import ASKED, FILES, STEP, TRACE, TRACED, release_number
from . import model
from .arms.beside import AskedBeside
from .arms.router import CheckedRequest
from .pass_metrics import RefusalReason


class OtherReleaseError(ServerError):
    """Earlier steps of the request belong to another release."""


class TritonPythonModel(model.TritonPythonModel):
    """Triton's interface of a python model.

    The first step checks requests as the fused model does, fills in the defaults and starts their trace. The other
    steps take the columns as they come. The last model runs all steps that write an output, and asks arms and shadows
    with the inputs of the request.
    """

    joins_releases = False

    def load(self, folder: Path) -> Executor:
        """A graph of this model's ops only, whose outputs are those of Triton's config."""
        check_files(folder, contents_up_to=0)
        with damage_named(folder):
            facts = read_json(folder / STEP)
            release = read_json(folder / RELEASE)
            self.release, self.number = release["release"], np.float32(release_number(release["release"]))
            self.first, self.asks = facts["inputs"] is not None, facts["asks"]
            reads = read_signature(facts["reads"])
            inputs = [Input.from_json(entry) for entry in facts["inputs"]] if self.first else column_inputs(reads)
            ops = {node["name"]: load_node(node, folder / FILES / node["name"]) for node in facts["nodes"]}
            outputs = [name for name in self.outputs if name not in (TRACED, STAGES_MS)]
            return Executor(inputs, ops, outputs, max_users=facts["max_batch_size"], release=release)

    def asked_beside(self, config: dict[str, Any]) -> AskedBeside:
        """Arms and shadows get the inputs of the ensemble, and only the last step asks them."""
        if self.asks is None:
            return super().asked_beside(config)
        inputs = [Input.from_json(entry) for entry in self.asks["inputs"]]
        batcher = RequestBatcher(inputs, self.executor.max_users)
        return AskedBeside(self.asks["model"], batcher, self.top_k_outputs, self.asks["stages"])

    def follow(self, beside: Beside) -> None:
        if self.asks is not None:
            super().follow(beside)

    def read(self, request: Any) -> CheckedRequest:
        """Read a request. The first step checks it; the others only check that its trace is of their release, and the
        last one that the arm exists which it asks for.

        Raises:
            RequestError: if it is not valid.
            OtherReleaseError: if earlier steps belong to another release.
        """
        if self.first:
            return super().read(request)
        columns, asked = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
        for tensor in request.inputs():
            name = tensor.name()
            into = asked if name.startswith(ASKED) else columns
            into[name.removeprefix(ASKED)] = from_wire(name, tensor.as_numpy())
        if (columns[TRACE][:, 0] != self.number).any():
            raise OtherReleaseError(f"the request was begun by another release than {self.release}; {BEING_LOADED}")
        users, arm = len(columns[TRACE]), asked.pop(ARM_INPUT.name, None)
        if arm is not None:
            self.beside.check(arm, users)
        before_s = float(columns[TRACE][0, 1:].sum()) / 1000
        return CheckedRequest(request, columns, asked, users, arm, model.is_probe(request), before_s)

    def refusal(self, error: Exception) -> Any:
        """As in the fused model, but a request that meets two releases, while steps are being replaced, is no fault."""
        if not isinstance(error, OtherReleaseError):
            return super().refusal(error)
        return self.unavailable(str(error), RefusalReason.OTHER_RELEASE)

    def add_times(
        self, answer: dict[str, NDArray[Any]], columns: Columns, seconds: dict[str, float], users: int
    ) -> None:
        """Add the trace, extended by the milliseconds of these steps; the last model returns it as ``stages_ms``."""
        before = np.full((users, 1), self.number) if self.first else columns[TRACE]
        took = np.repeat(1000 * np.array([[*seconds.values()]], dtype=np.float32), users, axis=0)
        traced = np.concatenate([before, took], axis=1)
        if self.asks is None:
            answer[TRACED] = traced
        else:
            answer[STAGES_MS] = traced[:, 1:]


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
