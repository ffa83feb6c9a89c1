"""Synchronous data parallelism: several workers train one model, each on its share of every batch.

Each worker holds the whole model, its optimizer and the random states, and draws the same batches. It computes the
gradients of its share of a batch. Their sum over the workers is the gradient of the whole batch, so all workers take
the same step. Only the collectives of ``tf.distribute.MultiWorkerMirroredStrategy`` are used: variables stay plain,
because Merlin's tables, our Adam and our checkpoints support no distributed ones.
"""

from __future__ import annotations

import logging
import signal
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from ...core.errors import ConfigError, WorkerError
from ...core.merlin_env import prepare_merlin
from .tf_config import ClusterTask, cluster_task

log = logging.getLogger(__name__)


class SingleWorker:
    """A training by one process; every collective is the identity."""

    count = 1
    """Workers in the group."""
    index = 0
    """This worker's number, from 0; the chief is 0."""
    on_this_machine = 1
    """Workers of the group that run on this machine."""

    @property
    def chief(self) -> bool:
        """Whether this is the worker that validates, writes files and shows progress."""
        return self.index == 0

    def part(self, rows: Any) -> Any:
        """This worker's share of an array or tensor [n, ...]: rows n * index / count up to n * (index + 1) / count."""
        return rows

    def total(self, values: Any) -> Any:
        """All-reduce: the sum over the workers of a tensor, or of each in a list. `IndexedSlices` stay sparse."""
        return values

    def mean(self, values: Any) -> Any:
        """This worker's share of the mean over all workers' tensors [n]: ``total`` of the shares is the mean."""
        from .._merlin import tf

        return tf.reduce_mean(values)

    def gather(self, rows: Any) -> Any:
        """All-gather: the rows [n, ...] of all workers, in their order. Each row's gradient returns to its worker."""
        return rows

    def own_first(self, rows: Any, size: Any) -> Any:
        """Rows [n, ...] with the first ``size``, a batch's, rotated so that this worker's share comes first."""
        return rows

    def of_chief(self, value: Callable[[], float]) -> float:
        """Broadcast: what ``value`` returns on the chief. It is called there only; the others wait."""
        return value()

    def agree(self, what: str, values: Mapping[str, Any]) -> None:
        """Check that ``values`` are the same on all workers.

        Args:
            what: begins the error message.

        Raises:
            WorkerError: with the names of the values that differ.
        """

    def watched(self) -> AbstractContextManager[None]:
        """A context that raises `WorkerError` when another worker has ended or cannot be reached."""
        return nullcontext()


class WorkerGroup(SingleWorker):
    """A training by several processes, of which this one is ``task``. Create it before TensorFlow computes anything.

    Raises:
        ConfigError: if this worker sees several GPUs.
    """

    def __init__(self, task: ClusterTask) -> None:
        prepare_merlin()
        import tensorflow as tf  # not through _merlin: importing Merlin Models already computes something

        self.count, self.index, self.on_this_machine = len(task.addresses), task.index, task.on_this_machine
        log.info("worker %d of %d: waiting for the others at %s", self.index, self.count, ", ".join(task.addresses))
        # TensorFlow installs a handler that takes SIGTERM for a preemption notice and keeps running.
        on_term = signal.getsignal(signal.SIGTERM)
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        signal.signal(signal.SIGTERM, on_term or signal.SIG_DFL)
        if (replicas := self._strategy.num_replicas_in_sync) != self.count:
            raise ConfigError(
                f"CUDA_VISIBLE_DEVICES: {self.count} workers see {replicas} GPUs, each must see one: set it for each, "
                "and start one worker for each GPU"
            )
        self._number = tf.function(self.total, autograph=False)
        self._rows = tf.function(self._gathered, autograph=False)

    def part(self, rows: Any) -> Any:
        size = self._size(rows)
        return rows[size * self.index // self.count : size * (self.index + 1) // self.count]

    def total(self, values: Any) -> Any:
        from .._merlin import tf

        found = self._collective(lambda context, own: context.all_reduce(tf.distribute.ReduceOp.SUM, own), values)
        return tf.nest.map_structure(with_dense_shape, found, values)

    def mean(self, values: Any) -> Any:
        from .._merlin import tf

        return tf.reduce_sum(values) / self.total(tf.cast(tf.size(values), values.dtype))

    def gather(self, rows: Any) -> Any:
        from .._merlin import tf

        @tf.custom_gradient
        def everywhere(own: Any) -> tuple[Any, Callable[[Any], Any]]:
            return self._gathered(own), lambda upstream: self.part(self.total(tf.convert_to_tensor(upstream)))

        return everywhere(rows)

    def own_first(self, rows: Any, size: Any) -> Any:
        from .._merlin import tf

        turned = tf.roll(rows[:size], -(size * self.index // self.count), axis=0)
        return tf.concat([turned, rows[size:]], axis=0)

    def of_chief(self, value: Callable[[], float]) -> float:
        from .._merlin import tf

        return float(self._number(tf.constant(value() if self.chief else 0.0, tf.float64)))

    def agree(self, what: str, values: Mapping[str, Any]) -> None:
        from .._merlin import tf

        own = tf.constant([[zlib.crc32(repr(value).encode()) for value in values.values()]], tf.int64)
        hashes = self._rows(own).numpy()
        differ = [name for name, column in zip(values, hashes.T, strict=True) if (column != column[0]).any()]
        if differ:
            mine = "; ".join(f"{name} is {values[name]}" for name in differ)
            raise WorkerError(
                f"{what}: workers differ in {', '.join(differ)} (on worker {self.index} {mine}): all workers need the "
                "same config and a shared folder of runs"
            )

    @contextmanager
    def watched(self) -> Iterator[None]:
        from .._merlin import tf

        errors = tf.errors
        try:
            yield
        except (errors.UnavailableError, errors.AbortedError, errors.CancelledError) as error:
            raise WorkerError(f"worker {self.index}: another worker has ended or cannot be reached") from error

    def _gathered(self, own: Any) -> Any:
        return self._collective(lambda context, rows: context.all_gather(rows, axis=0), own)

    def _collective(self, op: Callable[[Any, Any], Any], values: Any) -> Any:
        """Run ``op`` in the strategy's replica context; each worker has one replica."""
        from .._merlin import tf

        def replica() -> Any:
            placed = tf.nest.map_structure(tf.identity, values, expand_composites=True)  # on the replica's device
            return op(tf.distribute.get_replica_context(), placed)

        return self._strategy.run(replica)

    @staticmethod
    def _size(rows: Any) -> Any:
        from .._merlin import tf

        return tf.shape(rows)[0] if rows.shape[0] is None else int(rows.shape[0])


def with_dense_shape(total: Any, one: Any) -> Any:
    """An all-reduced `IndexedSlices` with the table's shape, which the collective drops; other tensors unchanged."""
    from .._merlin import tf

    rows = isinstance(total, tf.IndexedSlices)
    return tf.IndexedSlices(total.values, total.indices, one.dense_shape) if rows else total


SINGLE_WORKER = SingleWorker()
_GROUP: ContextVar[SingleWorker] = ContextVar("WORKER_GROUP", default=SINGLE_WORKER)


def worker_group() -> SingleWorker:
    """The group that this process trains in; a `SingleWorker` outside of `joined`."""
    return _GROUP.get()


@contextmanager
def joined(environment: Mapping[str, str]) -> Iterator[SingleWorker]:
    """A context in which the process is a worker of the group in ``TF_CONFIG``, or a `SingleWorker` without it.

    Raises:
        ConfigError: if ``TF_CONFIG`` is invalid.
    """
    task = cluster_task(environment)
    if task is None:
        yield SINGLE_WORKER
        return
    token = _GROUP.set(WorkerGroup(task))
    try:
        yield worker_group()
    finally:
        _GROUP.reset(token)


@contextmanager
def alone() -> Iterator[None]:
    """A context in which this process trains by itself, while the other workers of its group wait."""
    token = _GROUP.set(SINGLE_WORKER)
    try:
        yield
    finally:
        _GROUP.reset(token)
