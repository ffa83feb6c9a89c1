"""Keeps a share of the requests with the features that they saw. No answer waits for that."""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from ...core.signature import Columns
from ..protocol.call_errors import one_line
from ..protocol.skew_rows import SkewRow, SkewSettings, digest, key_of, plain, write_rows

_log = logging.getLogger("cascade.backend")

_WAITING = 64
"""Passes that may wait to be written; more are left out, so that a slow disk costs little memory."""
_TOGETHER, _AFTER_S = 100, 5.0
"""Rows, or seconds, after which a file is written."""
_LEFT_OUT = ("seen_rows", "exclude_items")
"""Columns that depend on the request, or repeat the history."""


class PassSample:
    """The users of a pass that are kept, and what the transforms read and wrote for them.

    Args:
        rows: [R], their places in the pass.
    """

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows, self.at = rows, time.time()
        self.raw: dict[str, NDArray[Any]] = {}
        self.features: dict[str, NDArray[Any]] = {}

    def __call__(self, read: Columns, written: Columns) -> None:
        """Called after each step of the graph."""
        if HISTORY in written and "history_ids" in read:
            self.raw |= {name: column[self.rows] for name, column in read.items() if name not in _LEFT_OUT}
            self.features = {name: column[self.rows] for name, column in written.items() if name not in _LEFT_OUT}
        elif "features_stale" in written:
            self.raw["features_stale"] = written["features_stale"][self.rows]


class SkewSampler:
    """A thread that writes what is offered to it.

    Args:
        settings: what is kept; None for nothing, then there is no thread.
    """

    def __init__(self, settings: SkewSettings | None) -> None:
        self._settings, self._stop = settings, Event()
        self._queue = Queue[tuple[PassSample, str]](_WAITING)
        self._thread: Thread | None = None
        if settings is not None:
            self._thread = Thread(target=self._run, args=(settings,), name="cascade-skew", daemon=True)
            self._thread.start()

    def sample(self, users: int) -> PassSample | None:
        """Who of the users of a pass is kept; None for nobody."""
        if self._settings is None:
            return None
        rows = [row for row in range(users) if random.random() < self._settings.share]
        return PassSample(np.array(rows)) if rows else None

    def offer(self, sample: PassSample, release: str) -> None:
        """Have it written, unless too much waits already."""
        with suppress(Full):
            self._queue.put_nowait((sample, release))

    def stop(self) -> None:
        """Write what waits, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, settings: SkewSettings) -> None:
        folder, rows, since = Path(settings.folder), list[SkewRow](), time.monotonic()
        try:
            key = key_of(folder)
            while not (self._stop.is_set() and self._queue.empty()):
                with suppress(Empty):
                    rows += rows_of(key, *self._queue.get(timeout=0.2))
                late = self._stop.is_set() or time.monotonic() - since > _AFTER_S
                if rows and (late or len(rows) >= _TOGETHER):
                    write_rows(folder, rows, settings.requests)
                    rows, since = [], time.monotonic()
            if rows:
                write_rows(folder, rows, settings.requests)
        except (OSError, ValueError) as error:
            _log.error("no more requests are kept for the skew gate: %s", one_line(error))


def rows_of(key: bytes, sample: PassSample, release: str) -> list[SkewRow]:
    """The rows of a pass; those of users whose features could not be read are left out."""
    stale = sample.raw.get("features_stale")
    if "user_id" not in sample.raw:  # a graph without the step that transforms
        return []
    users = sample.raw["user_id"][:, 0].tolist()
    raw = {name: plain(column) for name, column in sample.raw.items() if name not in ("user_id", "features_stale")}
    features = {name: plain(column) for name, column in sample.features.items()}
    if "user_id" in features:  # its code tells who it is
        features["user_id"] = [[digest(key, code) for code in codes] for codes in features["user_id"]]
    return [
        SkewRow(
            digest(key, user),
            sample.at,
            release,
            {name: values[row] for name, values in raw.items()},
            {name: values[row] for name, values in features.items()},
        )
        for row, user in enumerate(users)
        if stale is None or not stale[row].any()
    ]
