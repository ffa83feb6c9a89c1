"""Publishes the counters and gauges of this process on Triton's metrics endpoint."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .latency_histogram import Series

_log = logging.getLogger("cascade.backend")

Values = Callable[[], Mapping[Series, float]]


class Publisher:
    """A thread that tells Triton at intervals how the counters and gauges of a model have changed.

    Counters have names that end in ``_total``. What they count before ``start`` is not published: it is the warm-up.

    The label ``pid`` gives each instance its own series: Triton removes a series together with the instance that made
    it, even if another instance still uses it. Sum over ``pid`` for the model. A counter disappears with its process.

    Args:
        triton: Triton's python module.
        model: name of the model, a label of every series.
        values: returns the current values. A series that it no longer has is removed.
        help_texts: name of a series -> its description.
        interval: seconds between two messages.
    """

    def __init__(
        self, triton: Any, model: str, values: Values, help_texts: Mapping[str, str], interval: float = 1.0
    ) -> None:
        self._triton, self._values, self._help = triton, values, help_texts
        self._own = {"model": model, "pid": str(os.getpid())}
        self._interval = interval
        self._families: dict[str, Any] = {}
        self._metrics: dict[Series, Any] = {}
        self._sent: dict[Series, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-metrics", daemon=True)

    def start(self) -> None:
        """Make the series and start the thread. Nothing is published if the server's metrics are turned off."""
        try:
            self._metrics = {series: self._metric(series) for series in self._values()}
        except self._triton.TritonModelException as error:
            _log.warning("no metrics of this model: %s", error)
            return
        self._sent = {series: value for series, value in self._values().items() if _is_counter(series)}
        self._send()
        self._thread.start()

    def stop(self) -> None:
        """Send the rest and remove the series."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._metrics.clear()
        self._families.clear()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._send()
        self._send()

    def _send(self) -> None:
        values = self._values()
        for series in self._metrics.keys() - values.keys():
            del self._metrics[series]
            self._sent.pop(series, None)
        for series, value in values.items():
            if series not in self._metrics:
                self._metrics[series] = self._metric(series)
            before = self._sent.get(series, 0)
            # A counter that shrinks for a moment is that of a release which is being dropped.
            if value == before or (_is_counter(series) and value < before):
                continue
            if _is_counter(series):
                self._metrics[series].increment(value - before)
            else:
                self._metrics[series].set(value)
            self._sent[series] = value

    def _metric(self, series: Series) -> Any:
        name, labels = series
        if name not in self._families:
            kinds = self._triton.MetricFamily
            # Parts of a histogram are gauges: parsers append "_total" to the name of a counter.
            kind = kinds.COUNTER if _is_counter(series) else kinds.GAUGE
            self._families[name] = kinds(name=name, description=self._help[name], kind=kind)
        return self._families[name].Metric(labels={**self._own, **dict(labels)})


def _is_counter(series: Series) -> bool:
    return series[0].endswith("_total")
