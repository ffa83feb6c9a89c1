"""Which run folders each pipeline came to last, so that `cascade plan` compares a config with its own last run.

One file for each pipeline, ``<runs>/.last/<its name>.json``, holds stage -> name of the run folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, unquote

from ..core.errors import ArtifactError
from ..core.files import write_text
from .run_record import RunRecord

FOLDER = ".last"


def note(runs: Path, pipeline: str, stage: str, name: str) -> None:
    """Note that a pipeline has come to the run folder ``name`` of a stage. If that is noted, nothing is written."""
    known = noted(runs, pipeline)
    if known.get(stage) == name:
        return
    file = _file(runs, pipeline)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps({**known, stage: name}, indent=1))


def noted(runs: Path, pipeline: str) -> dict[str, str]:
    """Stage -> name of the run folder that a pipeline came to last; empty if it has not run.

    Raises:
        ArtifactError: the note is damaged.
    """
    file = _file(runs, pipeline)
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{file}: damaged ({error}); delete this file, and run again") from error


def last_record(runs: Path, pipeline: str, stage: str) -> RunRecord | None:
    """The record of the last run of a pipeline's stage; None if there is none."""
    name = noted(runs, pipeline).get(stage)
    file = runs / stage / f"{name}.json"
    return RunRecord.load(file) if name is not None and file.is_file() else None


def pipelines(runs: Path) -> list[str]:
    """Every pipeline that has run."""
    return sorted(unquote(file.stem) for file in (runs / FOLDER).glob("[!.]*.json"))


def newest(runs: Path) -> str | None:
    """The pipeline that was the last to come to other run folders than before; None if none has run."""
    files = (runs / FOLDER).glob("[!.]*.json")
    file = max(files, key=lambda found: found.stat().st_mtime_ns, default=None)
    return None if file is None else unquote(file.stem)


def _file(runs: Path, pipeline: str) -> Path:
    return runs / FOLDER / f"{quote(pipeline, safe='')}.json"
