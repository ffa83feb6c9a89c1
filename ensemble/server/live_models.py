"""The private copy of the release that a server serves.

Triton loads from this copy only. What is published meanwhile, finished or not, becomes live when somebody says so
(`cascade reload`), and a process that is replaced gets exactly what the others have.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import py_compile
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from ...core.disk import disk_errors
from ...core.errors import ArtifactError, ServerError
from ..protocol.config_file import CONFIG, parse_config, read_config
from ..protocol.release_names import RELEASE
from ..repository.release import ReleaseManifest
from .plain_path import stands_for
from .releases.running_servers import LOCK, LiveServer, homes, remove_left
from .releases.version_copy import copied, copy_version, version_folder
from .served_model import config_file, names_of, one_process_each, write_config

_PLAIN = re.compile(r"[!-~]+")
"""Triton's stubs cannot be given a path with a space or a letter beyond ASCII."""


class LiveModels:
    """The models of one server, copied from a repository; `take` makes the copy and `remove` ends it.

    The copy lies in the repository, where there is room for releases; or in a temporary folder, if the repository
    cannot be written to or its path is one that Triton cannot take.

    Args:
        published: the model repository.
        model: name of the served model; the steps of an ensemble come along.
        instances: number of processes of a fused model.
        check_up_to: the content of files of at most so many bytes is checked against their digests.
    """

    def __init__(self, published: Path, model: str, instances: int, check_up_to: float = float("inf")) -> None:
        self._published, self.model, self._instances = published, model, instances
        self._check_up_to = check_up_to
        self._groups: dict[str, list[str]] = {}
        self._full: dict[str, int] = {}
        self._numbers = itertools.count()
        self._lock: IO[str] | None = None
        self.home = Path()
        """Folder of this copy."""

    @property
    def repository(self) -> Path:
        """The model repository for Triton."""
        return self.home / "models"

    @property
    def serving_file(self) -> Path:
        """Where the processes of a fused model read which releases they hold, see `Serving`."""
        return self.home / "serving.json"

    @property
    def full_config(self) -> Path:
        """The config of the model that clients call, with its instance groups as they were configured."""
        return self.repository / self.model / _FULL

    @property
    def models(self) -> list[str]:
        """Names of the models with processes of their own: the fused model, or the python steps of an ensemble."""
        return list(self._groups)

    @property
    def short(self) -> list[str]:
        """Names of the models that have fewer instance groups than configured, see `drop`."""
        return [model for model, groups in self._groups.items() if len(groups) < self._full[model]]

    @property
    def full(self) -> bool:
        """Whether every model has all its instance groups."""
        return not self.short

    @property
    def release(self) -> str:
        """Id of the live release."""
        return _release(self.repository / self.model)

    def take(self, status_file: Path, takes_hangup: bool = False, source: Path | None = None) -> None:
        """Copy the release that is to be served.

        Args:
            source: the model repository to copy from; by default the one that is published to.
            status_file: noted beside the copy for other processes, as ``takes_hangup`` is, see `LiveServer`.

        Raises:
            ServerError: if there is no such model, or it cannot be copied.
        """
        source = source or self._published
        config_file(source, self.model)
        self.home = self._new_home()
        try:
            with disk_errors(f"copying the release of model {self.model}", self.home):
                stands_for(self.repository, source.absolute())
                self._lock = self._held_lock(status_file, takes_hangup)
                self._copy(source, self.repository)
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        self._read()

    def replace(self, source: Path, load: Callable[[], None], reload: Callable[[], None]) -> None:
        """Copy the release in ``source`` in the place of what is live and ``load`` it. If that fails, all is as it was.

        Args:
            source: a model repository.
            load: has Triton load what lies here, and raises if it does not work.
            reload: has Triton load what was live before, if ``load`` has got it to load the new.

        Raises:
            ServerError: if it cannot be copied or loaded.
        """
        new, old = self.home / "new", self.home / "old"
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        try:
            self._copy(source, new)
            _swap(self.repository, new, old)
            self._read()
            try:
                load()
            except BaseException:
                shutil.rmtree(new)
                _swap(self.repository, old, new)
                self._read()
                self.refill_all()
                for folder in self.repository.iterdir():
                    _touch(folder)
                reload()
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

    def groups(self, model: str) -> list[str]:
        """Names of the instance groups of a model; each is one process."""
        return self._groups[model]

    def drop(self, model: str, groups: Collection[str]) -> None:
        """Take instance groups out of the config of a model."""
        config = read_config(self._config(model))
        kept = [group for group in config.instance_group if group.name not in groups]
        del config.instance_group[:]
        config.instance_group.extend(kept)
        self._write(model, config)

    def refill(self, model: str, groups: Collection[str] = ()) -> None:
        """Give a model its full number of instance groups again: fresh ones in place of ``groups`` and of missing ones.

        Triton keeps the instances of the groups that stay, and starts the fresh ones.
        """
        config = read_config(self._config(model))
        stay = [group for group in config.instance_group if group.name not in groups]
        full = read_config(self._config(model, _FULL))
        one_process_each(full, self._numbers)
        missing = list(full.instance_group)
        for group in stay:  # a fresh one has the priority of the one whose place it takes
            alike = next(new for new in missing if new.rate_limiter == group.rate_limiter)
            missing.remove(alike)
        del config.instance_group[:]
        config.instance_group.extend([*stay, *missing])
        self._write(model, config)

    def leave_one(self) -> None:
        """Give every model a single fresh instance group, so that it soon answers; `refill` adds the others."""
        self.refill_all()
        for model in self.models:
            self.drop(model, self.groups(model)[1:])

    def refill_all(self) -> None:
        """Give every model fresh instance groups, so that none of them can be taken for one that was there before."""
        for model in self.models:
            self.refill(model, self.groups(model))

    def _config(self, model: str, file: str = CONFIG) -> Path:
        """The config of a model in this copy.

        Raises:
            ServerError: if somebody has deleted it.
        """
        path = self.repository / model / file
        if not path.is_file():
            raise ServerError(f"{path}: was deleted, and no process can be replaced without it: start the server again")
        return path

    def _write(self, model: str, config: Any) -> None:
        if read_config(self._config(model)) != config:  # a disk that is full keeps nobody from what lies there
            write_config(self.repository / model / CONFIG, config)
        self._groups = {**self._groups, model: [group.name for group in config.instance_group]}

    def _read(self) -> None:
        """Read the instance groups of the models that have processes."""
        configs = {folder.name: read_config(folder / CONFIG) for folder in sorted(self.repository.iterdir())}
        python = {name: config for name, config in configs.items() if config.backend == "python"}
        self._groups = {name: [group.name for group in config.instance_group] for name, config in python.items()}
        self._full = {name: len(groups) for name, groups in self._groups.items()}

    def configs(self) -> dict[str, str]:
        """Model -> text of its config, for `restore`."""
        return {model: self._config(model).read_text() for model in self.models}

    def groups_of(self, configs: Mapping[str, str]) -> set[str]:
        """Names of all instance groups in ``configs``."""
        return {group.name for text in configs.values() for group in parse_config(text).instance_group}

    def restore(self, configs: Mapping[str, str]) -> None:
        """Let the instance groups be those of ``configs``: another server has started with them."""
        for model, text in configs.items():
            self._write(model, parse_config(text))

    def remove(self) -> None:
        """Remove the copy; nothing happens if there is none."""
        if self._lock is None:
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self._lock.close()
        self._lock = None
        with suppress(OSError):  # not the last one, or not ours
            self.home.parent.rmdir()

    def _new_home(self) -> Path:
        name = f"{self.model}-{os.getpid()}-{secrets.token_hex(2)}"
        for parent in homes(self._published):
            if _PLAIN.fullmatch(str(parent)):
                with suppress(OSError):
                    parent.mkdir(mode=0o700, exist_ok=True)
                    remove_left(parent)
                    (parent / name).mkdir()
                    return parent / name
        tried = " nor ".join(map(str, homes(self._published)))
        raise ServerError(
            f"no place for a copy of the release, neither {tried}: Triton needs a folder that can be written to and no "
            "space or letter beyond ASCII in its path; set TMPDIR to one"
        )

    def _held_lock(self, status_file: Path, takes_hangup: bool) -> IO[str]:
        lock = (self.home / LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        here = str(self._published.absolute())
        json.dump(asdict(LiveServer(os.getpid(), self.model, here, str(status_file), takes_hangup)), lock)
        lock.flush()
        return lock

    def _copy(self, source: Path, folder: Path) -> None:
        """Copy the models in ``source`` to ``folder``."""

        def copy() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            self._copy_once(source, folder)

        copied(copy, source, self.model)

    def _copy_once(self, repository: Path, folder: Path) -> None:
        served = read_config(config_file(repository, self.model))
        steps = names_of(served)
        for name in [*steps, self.model]:
            source, target = repository / name, folder / name
            version = version_folder(source)
            target.mkdir(parents=True)
            copy_version(version, target / version.name, self._check_up_to)
            _prepare(target)
            config = read_config(source / CONFIG)
            if not steps:
                if not config.instance_group:
                    raise ArtifactError(f"{source / CONFIG}: has no instance_group; run `cascade run` again")
                config.instance_group[0].count = self._instances
            write_config(target / _FULL, config)
            if config.backend == "python":
                one_process_each(config, self._numbers)
            write_config(target / CONFIG, config)
        releases = {name: _release(folder / name) for name in [*steps, self.model]}
        if len(set(releases.values())) > 1:
            raise ArtifactError(f"its steps belong to several releases: {releases}; run `cascade run` again")


_FULL = ".full.pbtxt"
"""File beside config.pbtxt with the instance groups as they were configured."""


def _swap(place: Path, new: Path, old: Path) -> None:
    """Rename each model in ``place`` to ``old``, and those in ``new`` to ``place``."""
    old.mkdir(exist_ok=True)
    for model in list(place.iterdir()):
        model.rename(old / model.name)
    for model in list(new.iterdir()):
        model.rename(place / model.name)


def _prepare(model: Path) -> None:
    """Write what Python would write when a process starts, since Triton takes any new file for a new model."""
    for file in model.glob("*/model.py"):
        py_compile.compile(str(file))
    _touch(model)


def _touch(model: Path) -> None:
    """Give the model's newest file the time of now: Triton loads only what is newer than what it has."""
    for file in model.glob(f"*/{RELEASE}"):
        os.utime(file)


def _release(model: Path) -> str:
    file = next(model.glob(f"*/{RELEASE}"), None)
    if file is None:
        raise ArtifactError(f"{model}: its version has no {RELEASE}; run `cascade run` again")
    return ReleaseManifest.load(file).release
