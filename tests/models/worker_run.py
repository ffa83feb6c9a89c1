"""One worker of a group that trains models on a small shop.

Arguments: folder of runs; number of checkpoints after which the chief kills itself, 0 for never; the trainings as JSON,
each a stage, its section and its shop; as JSON, shop -> artifact -> its path. The chief prints the metrics and the path
of each artifact.
"""

import json
import os
import sys
from pathlib import Path

from killed_run import die_after
from stage_runs import STAGES, export_nothing, run_stage, section_of

from cascade.core.artifact import Artifact
from cascade.models.retriever import stage as retriever_stage
from cascade.models.training.worker_group import joined


def main(folder, saves, cases, paths):
    retriever_stage.export_towers = export_nothing
    shops = {
        shop: {name: Artifact.load(Path(path), name) for name, path in parts.items()}
        for shop, parts in json.loads(paths).items()
    }
    with joined(os.environ) as group, group.watched():
        if group.chief and int(saves):
            die_after(int(saves))
        for name, section, shop in json.loads(cases):
            stage, parts = STAGES[name], shops[shop]
            if group.chief:
                made = run_stage(Path(folder), stage, section, parts)
                print(json.dumps({**made.metrics, "path": str(made.path)}), flush=True)
            else:
                stage.join(Path(folder), section_of(stage, section), {name: parts[name] for name in stage.parents})


if __name__ == "__main__":
    main(*sys.argv[1:])
