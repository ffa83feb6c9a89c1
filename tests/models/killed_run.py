"""Run one stage and kill the process in the middle of an epoch, like `kill -9`.

Arguments: folder of runs, stage, its section as JSON, number of checkpoints before the kill, ``name=path`` of each
parent.
"""

import os
import signal
import sys
from pathlib import Path

from stage_runs import STAGES, run_stage

from cascade.core.artifact import Artifact
from cascade.models.training.checkpoints import Checkpoints


def main(folder, stage, section, saves, *parents):
    die_after(int(saves))
    parts = {name: Artifact.load(Path(path), name) for name, path in (parent.split("=") for parent in parents)}
    run_stage(Path(folder), STAGES[stage], section, parts)


def die_after(saves):
    """Kill this process after it has saved that many checkpoints."""
    save, left = Checkpoints.save, [saves]

    def save_or_die(self, progress):
        save(self, progress)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.save = save_or_die


if __name__ == "__main__":
    main(*sys.argv[1:])
