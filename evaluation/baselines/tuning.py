"""Chooses the settings of baselines on the validation part, within a time budget, and remembers the choices.

A choice is a file, named by a hash of all that it depends on. So a second evaluation of the same data does not tune
again, and other data, or another list of values, does.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when the code of a baseline chooses otherwise from the same inputs."""
Setting = TypeVar("Setting")
"""A frozen dataclass."""
Score = Callable[[Setting], NDArray[np.float64]]
"""The validation score of a setting: the mean of an array, for example of one value for each user; higher is better."""
Grid = Mapping[str, Sequence[Any]]
"""Field of the setting -> values to try."""


@dataclass(frozen=True)
class Choice(Generic[Setting]):
    """What was chosen."""

    setting: Setting
    score: float | None = None
    """On the validation part, higher is better; None if nothing was tried."""
    tried: int = 0

    def facts(self) -> dict[str, Any]:
        """For metrics.json."""
        return {"setting": asdict(self.setting), "score": self.score, "tried": self.tried}  # type: ignore[call-overload]


def tuning_lines(tuned: Mapping[str, Mapping[str, Any]], by: str) -> list[str]:
    """A line for each baseline: ``ease: regularization 300.0; the best of 5, validation NDCG@20 0.1234``.

    Args:
        tuned: name -> `Choice.facts`.
        by: name of the score.
    """
    lines = []
    for name, found in tuned.items():
        setting = ", ".join(f"{field} {value}" for field, value in found["setting"].items())
        how = f"the best of {found['tried']}, validation {by} {found['score']:.4f}" if found["tried"] else "not tuned"
        lines.append(f"{name}: {setting}; {how}")
    return lines


@dataclass(frozen=True)
class Tuner:
    """Tunes several baselines on the same data."""

    folder: Path | None = None
    """Folder of the choices; None keeps none."""
    inputs: str = ""
    """What all choices depend on, for example the digest of the etl artifact."""
    seconds: float = 20
    """For each baseline: no value is tried after this time. With 0, the default is taken."""

    def choose(
        self, name: str, default: Setting, grid: Grid, score: Score[Setting] | None, inputs: str = ""
    ) -> Choice[Setting]:
        """The best setting of the baseline ``name``: one field after the other, the others at the best so far.

        Another setting than the default has to be better by more than one standard error.

        Args:
            default: tried first.
            grid: in the order of the search. Values that equal the default's are not tried twice.
            score: None if there is nothing to validate on.
            inputs: what this choice depends on in addition.
        """
        if score is None or self.seconds <= 0:
            return Choice(default)
        file = self._file(name, default, grid, inputs)
        if file is not None and file.is_file():
            return _read(file, default)
        choice = self._search(name, default, grid, score)
        if file is not None:
            _write(file, choice)
        return choice

    def _search(self, name: str, default: Setting, grid: Grid, score: Score[Setting]) -> Choice[Setting]:
        start, best, found = time.monotonic(), default, score(default)
        at_default, tried = found, {default}
        for field, value in ((field, value) for field, values in grid.items() for value in values):
            setting = replace(best, **{field: value})  # type: ignore[type-var]
            if setting in tried:
                continue
            if time.monotonic() - start > self.seconds:
                log.warning("baseline %s: tuning stops after %.0f s, see evaluation.tuning_seconds", name, self.seconds)
                break
            values = score(setting)
            tried.add(setting)
            if values.mean() > found.mean():
                best, found = setting, values
        gain = found - at_default
        if gain.mean() <= gain.std() / np.sqrt(len(gain)):
            best, found = default, at_default
        choice = Choice(best, float(found.mean()), len(tried))
        shown = ", ".join(f"{field} {getattr(best, field)}" for field in grid)
        log.info("baseline %s: %s (the best of %d, %.1f s)", name, shown, len(tried), time.monotonic() - start)
        return choice

    def _file(self, name: str, default: Any, grid: Grid, inputs: str) -> Path | None:
        if self.folder is None:
            return None
        pins = [VERSION, name, self.inputs, inputs, self.seconds, asdict(default), {f: [*v] for f, v in grid.items()}]
        key = hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()[:12]
        return self.folder / f"{name}-{key}.json"


def _read(file: Path, default: Setting) -> Choice[Setting]:
    try:
        found = json.loads(file.read_text())
        return Choice(type(default)(**found["setting"]), float(found["score"]), int(found["tried"]))
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{file}: damaged ({error}); delete this file, and run again") from error


def _write(file: Path, choice: Choice[Any]) -> None:
    """Write the file at once, for those who read it meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(json.dumps(choice.facts(), indent=1))
    aside.rename(file)
