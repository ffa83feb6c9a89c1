"""Has the running model processes load another release beside theirs, and answer with it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....core.errors import ArtifactError, ServerError
from ....core.files import same_content
from ...protocol.config_file import CONFIG, read_config
from ...protocol.pulse import Pulse
from ...protocol.release_names import RELEASE
from ...protocol.serving_file import Beside, Serving, release_folder
from ...repository.digests import DIGESTS, check_files
from ...repository.release import ReleaseManifest
from ..served_model import config_file, names_of
from .version_copy import copied, copy_version, version_folder

_LOOK_S = 0.02


class ReleaseSwitch:
    """The releases that the processes of a fused model hold, told to them by the file of `Serving`.

    Args:
        model: name of the model.
        file: where to write; the folders of further releases lie beside it.
        pulses: the pulses of the processes that answer now.
        check_up_to: the content of files of at most so many bytes is checked against their digests.
        within_s: seconds that loading a release may take.
    """

    def __init__(
        self, model: str, file: Path, pulses: Callable[[], Sequence[Pulse]], check_up_to: float, within_s: float
    ) -> None:
        self._model, self._file, self._pulses = model, file, pulses
        self._check_up_to, self._within_s = check_up_to, within_s
        self._serving = Serving(0, "")
        self._lock = threading.Lock()

    @property
    def active(self) -> str:
        """Id of the release that answers."""
        return self._serving.active

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the other releases that are loaded."""
        return self._serving.kept

    @property
    def generation(self) -> int:
        """That of the last change."""
        return self._serving.generation

    def begin(self, release: str) -> None:
        """Note the release that the processes are started for; they hold nothing else."""
        self._tell(release, ())

    @contextmanager
    def replacing(self, release: str) -> Iterator[None]:
        """While processes for another release take the place of those that run. An error leaves all as it was."""
        before = self._serving
        self._tell(release, ())
        try:
            yield
        except BaseException:
            self._undo(before)
            raise
        self._remove_others()

    def fits(self, repository: Path, like: Path) -> bool:
        """Whether processes that run with the config ``like`` can hold the release that lies in ``repository``.

        That needs a fused model with the same inputs, outputs and stages, and not other files under the id of a release
        that they hold already, as after an update of this package.
        """
        source = version_folder(repository / self._model)
        try:
            release = ReleaseManifest.load(source / RELEASE).release
        except (OSError, ArtifactError):  # whoever copies it says what is wrong
            return False
        if release in (self.active, *self.kept):
            joined = release_folder(self._file, release)
            own = joined if joined.is_dir() else version_folder(like.parent)
            if not same_content(source / DIGESTS, own / DIGESTS):
                return False
        return bool(_shape(config_file(repository, self._model)) == _shape(like))

    def hold(self, repository: Path) -> str:
        """Have the release that lies in a model repository loaded, beside those that are; nothing happens if it is.

        Returns:
            its id.

        Raises:
            ServerError: a file of it is damaged, a process cannot load it, or it takes too long. What was loaded
                before stays.
        """
        found: list[str] = []
        with self._lock:
            copied(lambda: found.append(self._join(repository)), repository, self._model)
            release = found[-1]
            if release not in (self.active, *self.kept):
                self._change(self.active, (*self.kept, release), release)
        return release

    def activate(self, release: str) -> None:
        """Have a release that is loaded answer. The one that answered before stays loaded, and no other.

        Raises:
            ServerError: if a process does not do so in time; then all is as it was.
        """
        with self._lock:
            if release != self.active:
                self._change(release, (self.active,), release)

    def restored(self, repository: Path) -> str | None:
        """Have processes that are not started yet answer with the release that lies in a model repository.

        Returns:
            its id; None, and nothing has changed, if they would not hold it.
        """
        release = ReleaseManifest.load(version_folder(repository / self._model) / RELEASE).release
        with self._lock:
            if release not in (self.active, *self.kept):
                return None
            if release != self.active:
                self._tell(release, (self.active, *(one for one in self.kept if one != release)))
        return release

    def ask_beside(self, beside: Beside) -> None:
        """Have the processes ask these beside the release that answers; nothing happens if they do so."""
        with self._lock:
            if beside != self._serving.beside:
                self._write(replace(self._serving, generation=self.generation + 1, beside=beside))

    def _change(self, active: str, kept: tuple[str, ...], what: str) -> None:
        before = self._serving
        self._tell(active, kept)
        try:
            self._wait(what)
        except ServerError:
            self._undo(before)
            raise
        finally:
            self._remove_others()

    def _wait(self, release: str) -> None:
        """Wait until every process has carried out the last change."""
        deadline, generation = time.monotonic() + self._within_s, self.generation
        while True:
            pulses = self._pulses()
            if any(pulse.failed == generation for pulse in pulses):
                raise ServerError(f"release {release} cannot be loaded; the server's log says why")
            if pulses and all(pulse.generation >= generation for pulse in pulses):
                return
            if time.monotonic() > deadline:
                raise ServerError(f"release {release} was not loaded in {self._within_s:.0f} s")
            time.sleep(_LOOK_S)

    def _tell(self, active: str, kept: tuple[str, ...]) -> None:
        self._write(Serving(self.generation + 1, active, kept, self._serving.beside))

    def _undo(self, before: Serving) -> None:
        self._serving = replace(before, generation=self.generation, beside=self._serving.beside)
        self._tell(before.active, before.kept)

    def _write(self, serving: Serving) -> None:
        """Write the file. If that fails, nothing has changed."""
        serving.write(self._file)
        self._serving = serving

    def _join(self, repository: Path) -> str:
        """Copy the release to where the processes look for it, unless they have it; returns its id."""
        source = version_folder(repository / self._model)
        release = ReleaseManifest.load(source / RELEASE).release
        target = release_folder(self._file, release)
        if release in (self.active, *self.kept):
            check_files(source, source.parent / CONFIG, contents_up_to=0)
            return release
        aside = target.with_name(f".{release}")
        for left in (aside, target):
            shutil.rmtree(left, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        try:
            copy_version(source, aside, self._check_up_to)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return release

    def _remove_others(self) -> None:
        """Remove the folders of releases that no process needs. What is open or mapped stays for those who have it."""
        for folder in release_folder(self._file, "x").parent.glob("*"):
            if folder.name not in (self.active, *self.kept):
                shutil.rmtree(folder, ignore_errors=True)


def alike(one: Path, other: Path) -> bool:
    """Whether models with these configs take the same inputs and give the same outputs, in whatever layout, so that one
    can answer some users of the other."""
    return _interface(one) == _interface(other)


def _interface(file: Path) -> tuple[Any, ...]:
    config = read_config(file)
    inputs = {entry.name: (entry.data_type, tuple(entry.dims), entry.optional) for entry in config.input}
    outputs = {entry.name: (entry.data_type, tuple(entry.dims)) for entry in config.output}
    return inputs, outputs, config.parameters["stages"].string_value


def _shape(file: Path) -> Any:
    """What Triton has to know of a release: the config without its instances and its version; of an ensemble nothing
    that any other would equal."""
    config = read_config(file)
    if config.backend != "python" or names_of(config):
        return object()
    for field in ("instance_group", "version_policy"):
        config.ClearField(field)
    return config.SerializeToString(deterministic=True)
