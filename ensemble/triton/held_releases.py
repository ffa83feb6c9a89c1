"""The releases that a model process has loaded. Another one of them can answer from one pass to the next."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from ...core.errors import ArtifactError
from ..graph.executor import Executor
from ..protocol.call_errors import one_line
from ..protocol.release_names import RELEASE
from ..protocol.serving_file import SERVING_FILE, Beside, Serving, release_folder
from ..repository.release import ReleaseManifest
from .pulse_writer import PulseWriter
from .warm_up import warm_up

_log = logging.getLogger("cascade.backend")


def _ignore(changed: Executor | Beside) -> None:
    """For those who do not count, and who are asked by nobody beside."""


class HeldReleases:
    """What this process has loaded, and which of it answers.

    A thread follows the file that the server writes: it loads what is to be kept while the process goes on answering,
    and drops what is not. The pulse says how far it is.

    Args:
        own: folder of the version that Triton has started this process for.
        load: makes the executor of a folder.
        pulse: of this process.
        joins: whether other releases can join its own, as in a fused model; a step of an ensemble has its own only.
        interval: seconds between two looks at the file.
    """

    def __init__(
        self,
        own: Path,
        load: Callable[[Path], Executor],
        pulse: PulseWriter,
        joins: bool = True,
        interval: float = 0.02,
    ) -> None:
        self._load, self._pulse, self._joins, self._interval = load, pulse, joins, interval
        name = os.environ.get(SERVING_FILE)
        self._file = Path(name) if name else None
        self._on_load: Callable[[Executor], None] = _ignore
        self._on_drop: Callable[[Executor], None] = _ignore
        self._on_beside: Callable[[Beside], None] = _ignore
        self._own = own
        self._own_release = _release_in(own) if name else ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._file,), name="cascade-releases", daemon=True)
        serving = Serving.read(self._file) if self._file else None
        self.active = self._warm((serving and self._joined(serving.active)) or own)
        """The executor that answers."""
        self.held = {_id(self.active): self.active}
        """Release -> its executor."""
        freeze_garbage_collector()

    def start(
        self,
        on_load: Callable[[Executor], None] = _ignore,
        on_drop: Callable[[Executor], None] = _ignore,
        on_beside: Callable[[Beside], None] = _ignore,
    ) -> None:
        """Follow the file, if there is one.

        Args:
            on_load: takes each executor that is loaded from now on, before it is in ``held``.
            on_drop: takes each executor that is dropped, after it has left ``held``.
            on_beside: takes who is to be asked beside the active release, after each writing of the file.
        """
        self._on_load, self._on_drop, self._on_beside = on_load, on_drop, on_beside
        if self._file is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def follow(self, serving: Serving) -> None:
        """Load what is missing, have the active release answer, and drop what is not to be kept.

        If one cannot be loaded, nothing changes, and the pulse says so.
        """
        wanted = {serving.active, *serving.kept}
        for release in sorted(wanted - set(self.held)):
            folder = self._joined(release)
            if folder is None:  # for processes that are started for it
                return
            try:
                executor = self._warm(folder)
            except Exception as error:  # of any kind: the files of a release are not known to be whole
                _log.error("release %s cannot be loaded: %s", release, one_line(error))
                self._pulse.failed(serving.generation)
                return
            self._on_load(executor)
            self.held[release] = executor
            _log.info("release %s is loaded", release)
        self.active = self.held[serving.active]
        for release in set(self.held) - wanted:
            self._on_drop(self.held.pop(release))
        self._on_beside(serving.beside)
        self._pulse.reached(serving.generation)

    def _run(self, file: Path) -> None:
        seen = None
        while not self._stop.wait(self._interval):
            state = _state(file)
            if state != seen:
                seen, serving = state, Serving.read(file)
                if serving is not None:
                    self.follow(serving)

    def _joined(self, release: str) -> Path | None:
        """The folder of a release that this process can load; None if there is none.

        Its own folder holds another release when other processes are to take the place of this one.
        """
        folder = release_folder(self._file, release) if self._file and self._joins else None
        if folder is not None and folder.is_dir():
            return folder
        return self._own if release == self._own_release == _release_in(self._own) else None

    def _warm(self, folder: Path) -> Executor:
        executor = self._load(folder)
        warm_up(executor)
        return executor


def freeze_garbage_collector() -> None:
    """Exempt what is loaded so far, which is mostly modules, from garbage collection: a full collection takes 47 ms, in
    the middle of a pass. What a later release adds is little, and has to be collected when it is dropped."""
    gc.collect()
    gc.freeze()


def _state(file: Path) -> tuple[int, int] | None:
    """Something that differs for each writing of the file; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _release_in(folder: Path) -> str:
    try:
        return ReleaseManifest.load(folder / RELEASE).release
    except (OSError, ArtifactError):
        return ""


def _id(executor: Executor) -> str:
    return str(executor.release.get("release", ""))
