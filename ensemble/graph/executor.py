"""Runs an exported request graph, inside Triton and offline alike: every node once per batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.files import read_json
from ...core.signature import Columns
from ..protocol.inputs import Input
from ..protocol.release_names import GRAPH, NODES, RELEASE
from ..protocol.request_batching import RequestBatcher
from .checked_op import with_checks
from .graph_file import damage_named, load_node
from .ops.base import Op
from .wiring import check_written, nodes_of, wire

Watch = Callable[[Columns, Columns], None]
"""Called after each op with the columns that it has read and written; it must not change them."""


class Executor:
    """A request graph with its ops loaded.

    ``run`` takes the columns of a request, [B, ...] each, and returns the outputs and the milliseconds of each stage.
    """

    def __init__(
        self,
        inputs: Collection[Input],
        ops: Mapping[str, Op],
        outputs: Collection[str],
        *,
        max_users: int,
        release: Mapping[str, Any] | None = None,
        validate: bool = False,
    ) -> None:
        """Check the wiring; ``ops`` (name -> loaded op) run in this order.

        Args:
            max_users: largest number of users in one request.
            release: content of release.json.
            validate: at each call, check what every op writes against what it declares.

        Raises:
            WiringError: if an op or an output finds no column, or one of another dtype or rank.
        """
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.max_users, self.release, self.validate = max_users, dict(release or {}), validate
        self.batcher = RequestBatcher(self.inputs, max_users)
        self.signature = wire({spec.name: spec.spec for spec in inputs}, ops, self.outputs)
        self.nodes = nodes_of(with_checks(ops))
        self.stages = tuple(dict.fromkeys(node.stage for node in self.nodes))
        """Names of the stages, in the order in which they run."""

    @classmethod
    def load(cls, folder: Path, *, replace: Mapping[str, Op] | None = None, validate: bool = False) -> Executor:
        """Rebuild the graph from a version folder of the model repository.

        Args:
            replace: op kind -> a loaded op to run instead, e.g. a user lookup from a table.

        Raises:
            ArtifactError: if the folder holds no graph, one that this package does not know, or a damaged file.
        """
        folder = Path(folder)
        if not (folder / GRAPH).is_file():
            raise ArtifactError(f"{folder}: no {GRAPH}, so this is no version of an exported model")
        with damage_named(folder):
            graph = read_json(folder / GRAPH)
            ops = {entry["name"]: _op(entry, folder, replace or {}) for entry in graph["nodes"]}
            return cls(
                [Input.from_json(entry) for entry in graph["inputs"]],
                ops,
                graph["outputs"],
                max_users=graph["max_batch_size"],
                release=read_json(folder / RELEASE),
                validate=validate,
            )

    def run(self, columns: Columns, keep: Collection[str] = ()) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """Answer a request.

        Args:
            columns: inputs, [B, ...] each; those that are not required may be left out.
            keep: intermediate columns to return beside the outputs.

        Returns:
            the outputs, and stage -> milliseconds.

        Raises:
            RequestError: naming the input that is missing or not valid.
        """
        outputs, seconds = self.run_pass(self.batcher.accept(columns), keep)
        return outputs, {stage: 1000 * took for stage, took in seconds.items()}

    def run_pass(
        self, have: dict[str, NDArray[Any]], keep: Collection[str] = (), watch: Watch | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """Run the graph on all inputs, as ``batcher`` checks and joins them; ``have`` is changed.

        Returns:
            the outputs with the columns ``keep``, and stage -> seconds.
        """
        wanted = {*self.outputs, *keep}
        seconds = dict.fromkeys(self.stages, 0.0)
        for node in self.nodes:
            start = perf_counter()
            read = {name: have[name] for name in node.reads}
            written = node.op(read)
            seconds[node.stage] += perf_counter() - start
            if watch is not None:
                watch(read, written)
            if self.validate:
                check_written(node, written)
            have.update(written)
            for name in node.drops - wanted:
                del have[name]
        return {name: have[name] for name in (*self.outputs, *keep)}, seconds

    def __call__(self, columns: Columns) -> dict[str, NDArray[Any]]:
        return self.run(columns)[0]


def _op(entry: Mapping[str, Any], folder: Path, replace: Mapping[str, Op]) -> Op:
    if entry["op"] in replace:
        return replace[entry["op"]]
    return load_node(entry, folder / entry.get("folder", f"{NODES}/{entry['name']}"))
