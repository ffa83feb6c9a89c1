"""Workers that train one model together, each on its part of every batch.

Each holds the whole model, its optimizer and the random states, and draws the same batches. It computes the gradients
of its part of a batch; their sum over the workers is the gradient of the whole batch, and so all take the same step
(synchronous data parallelism). Of ``tf.distribute.MultiWorkerMirroredStrategy`` only the collectives are used:
variables stay plain ones, because Merlin's tables, our kernels of Adam and our checkpoints know no others.
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
from ...workflows.etl.merlin_env import prepare_merlin
from .tf_config import Place, place

log = logging.getLogger(__name__)


class Alone:
    """One worker that does everything."""

    count = 1
    index = 0
    """Of this worker, from 0; the chief's is 0."""
    on_this_machine = 1

    @property
    def chief(self) -> bool:
        """Whether this worker is the one that writes, validates and shows progress."""
        return self.index == 0

    def part(self, rows: Any) -> Any:
        """This worker's share of rows, an array or tensor [n, ...]: n * index / count up to n * (index + 1) / count."""
        return rows

    def total(self, values: Any) -> Any:
        """The sum over all workers of a tensor, or of each in a list; rows of an embedding stay rows."""
        return values

    def mean(self, values: Any) -> Any:
        """Of a tensor [n] on each worker: its sum here over the number of values everywhere. The total is the mean."""
        from .._merlin import tf

        return tf.reduce_mean(values)

    def gather(self, rows: Any) -> Any:
        """All workers' rows [n, ...], in the order of the workers; the gradient of each row goes where it is from."""
        return rows

    def own_first(self, rows: Any, size: Any) -> Any:
        """Rows [n, ...], of which the first ``size`` are a batch's: these turned, so that this worker's come first."""
        return rows

    def of_chief(self, value: Callable[[], float]) -> float:
        """What the chief finds ``value`` to be; the others wait for it."""
        return value()

    def agree(self, what: str, tell: Mapping[str, Any]) -> None:
        """Check that ``tell`` is the same on all workers.

        Raises:
            WorkerError: naming what differs.
        """

    def watched(self) -> AbstractContextManager[None]:
        """Within it, the end of another worker is a `WorkerError`."""
        return nullcontext()


class Team(Alone):
    """Several workers, this one at ``place``; made before TensorFlow has computed anything.

    Raises:
        ConfigError: if this worker sees several GPUs.
    """

    def __init__(self, place: Place) -> None:
        prepare_merlin()
        import tensorflow as tf  # importing Merlin Models computes something

        self.count, self.index, self.on_this_machine = len(place.addresses), place.index, place.on_this_machine
        log.info("worker %d of %d: waiting for the others at %s", self.index, self.count, ", ".join(place.addresses))
        # TensorFlow takes SIGTERM for a notice of preemption, and goes on.
        on_term = signal.getsignal(signal.SIGTERM)
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        signal.signal(signal.SIGTERM, on_term or signal.SIG_DFL)
        if (replicas := self._strategy.num_replicas_in_sync) != self.count:
            raise ConfigError(
                f"CUDA_VISIBLE_DEVICES: {self.count} workers see {replicas} GPUs, each must see one: set it for each, "
                "and start one worker for each GPU"
            )
        self._number = tf.function(self.total)
        self._rows = tf.function(self._gathered)

    def part(self, rows: Any) -> Any:
        size = self._size(rows)
        return rows[size * self.index // self.count : size * (self.index + 1) // self.count]

    def total(self, values: Any) -> Any:
        from .._merlin import tf

        found = self._collective(lambda context, own: context.all_reduce(tf.distribute.ReduceOp.SUM, own), values)
        return tf.nest.map_structure(of_shape, found, values)

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

    def agree(self, what: str, tell: Mapping[str, Any]) -> None:
        from .._merlin import tf

        own = tf.constant([[zlib.crc32(repr(value).encode()) for value in tell.values()]], tf.int64)
        found = self._rows(own).numpy()
        differ = [name for name, told in zip(tell, found.T, strict=True) if (told != told[0]).any()]
        if differ:
            mine = "; ".join(f"{name} is {tell[name]}" for name in differ)
            raise WorkerError(
                f"{what}: workers differ in {', '.join(differ)} (on worker {self.index} {mine}): all need the same "
                "config, and one folder of runs that they share"
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
        """``op`` on the strategy's replica context, of which there is one in each worker."""
        from .._merlin import tf

        def replica() -> Any:
            placed = tf.nest.map_structure(tf.identity, values, expand_composites=True)  # on the replica's device
            return op(tf.distribute.get_replica_context(), placed)

        return self._strategy.run(replica)

    @staticmethod
    def _size(rows: Any) -> Any:
        from .._merlin import tf

        return tf.shape(rows)[0] if rows.shape[0] is None else int(rows.shape[0])


def of_shape(total: Any, one: Any) -> Any:
    """A sum of rows, of the table's shape, which a collective loses; others as they are."""
    from .._merlin import tf

    rows = isinstance(total, tf.IndexedSlices)
    return tf.IndexedSlices(total.values, total.indices, one.dense_shape) if rows else total


ALONE = Alone()
_TEAM: ContextVar[Alone] = ContextVar("TEAM", default=ALONE)


def team() -> Alone:
    """That of this process."""
    return _TEAM.get()


@contextmanager
def joined(environment: Mapping[str, str]) -> Iterator[Alone]:
    """Within it, this process is the worker that ``TF_CONFIG`` says, if that tells of several.

    Raises:
        ConfigError: if it cannot be understood.
    """
    found = place(environment)
    if found is None:
        yield ALONE
        return
    token = _TEAM.set(Team(found))
    try:
        yield team()
    finally:
        _TEAM.reset(token)
