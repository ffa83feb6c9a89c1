"""Keeps a share of the requests with the features that they saw. No answer waits for that."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from ...core.signature import Columns
from ..protocol.call_errors import one_line
from ..protocol.pulse import PROBED
from ..protocol.skew_rows import SkewRow, SkewSettings, code_digest, digest, key_of, plain, write_rows

_log = logging.getLogger("cascade.backend")

_WAITING = 256
"""Passes that may wait to be written; more are left out, so that a slow disk costs little memory."""
_LOOK_S, _PAUSE_S = 0.25, 0.001
"""Seconds between two looks at what waits, and between two passes that are written: a thread that is woken, or does not
pause, would hold Python's lock while requests are answered."""
_TOGETHER, _AFTER_S = 100, 5.0
"""Rows, or seconds, after which a file is written."""
_LEFT_OUT = ("seen_rows", "exclude_items")
"""Columns that depend on the request, or repeat the history."""


class PassSample:
    """The users of a pass that are kept, and what the transforms read and wrote for them.

    Args:
        rows: [R], their places in the pass.
        columns: what the pass begins with; in an ensemble an earlier step has written it.
    """

    def __init__(self, rows: NDArray[np.int64], columns: Columns) -> None:
        self.rows, self.at = rows, time.time()
        self.raw = {name: column[rows] for name, column in columns.items() if name == "features_stale"}
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
        self._waiting = deque[tuple[PassSample, str]]()
        self._thread: Thread | None = None
        if settings is not None:
            self._thread = Thread(target=self._run, args=(settings,), name="cascade-skew", daemon=True)
            self._thread.start()

    def sample(self, columns: Columns, users: int) -> PassSample | None:
        """Who of the users of a pass is kept that begins with these columns; None for nobody."""
        if self._settings is None:
            return None
        rows = [row for row in range(users) if random.random() < self._settings.share]
        return PassSample(np.array(rows), columns) if rows else None

    def offer(self, sample: PassSample, release: str) -> None:
        """Have it written, unless too much waits already."""
        if len(self._waiting) < _WAITING:
            self._waiting.append((sample, release))

    def stop(self) -> None:
        """Write what waits, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, settings: SkewSettings) -> None:
        folder, rows, since = Path(settings.folder), list[SkewRow](), time.monotonic()
        try:
            key = key_of(folder)
            while not self._stop.wait(_LOOK_S):
                while self._waiting and not self._stop.wait(_PAUSE_S):
                    rows += rows_of(key, *self._waiting.popleft())
                if len(rows) >= _TOGETHER or (rows and time.monotonic() - since > _AFTER_S):
                    write_rows(folder, rows, settings.requests)
                    rows, since = [], time.monotonic()
            rows += [row for waiting in self._waiting for row in rows_of(key, *waiting)]
            if rows:
                write_rows(folder, rows, settings.requests)
        except (OSError, ValueError) as error:
            _log.error("no more requests are kept for the skew gate: %s", one_line(error))


def rows_of(key: bytes, sample: PassSample, release: str) -> list[SkewRow]:
    """The rows of a pass, without the server's own probes, and users whose features could not be read."""
    stale = sample.raw.get("features_stale")
    if "user_id" not in sample.raw:  # a graph without the step that transforms
        return []
    users = sample.raw["user_id"][:, 0].tolist()
    raw = {name: plain(column) for name, column in sample.raw.items() if name not in ("user_id", "features_stale")}
    features = {name: plain(column) for name, column in sample.features.items()}
    if "user_id" in features:  # its code tells who it is
        features["user_id"] = [[code_digest(key, code) for code in codes] for codes in features["user_id"]]
    return [
        SkewRow(
            digest(key, user),
            sample.at,
            release,
            {name: values[row] for name, values in raw.items()},
            {name: values[row] for name, values in features.items()},
        )
        for row, user in enumerate(users)
        if user not in PROBED and (stale is None or not stale[row].any())
    ]
