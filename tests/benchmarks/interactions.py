"""Compare the ranker's interactions on MovieLens 100k: the cost of a request, and the quality after two epochs.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/interactions.py [key=value ...]``. Models are
written to ``runs/``, and stages that are up to date there are reused. Times are medians of ONNX Runtime on one thread
for 1 user with 200 candidates. The models take turns, so compare times within a run, not between runs. A star means
target attention; its time is also given as a multiple of the same interaction without it.
"""

import sys
import time
from pathlib import Path

import numpy as np

from cascade.config.load import config_with_origins
from cascade.models import metrics
from cascade.models.config import DlrmConfig
from cascade.models.onnx.export import session
from cascade.models.ranker.export import PairColumns
from cascade.models.ranker.model_files import ITEM, PAIR
from cascade.models.ranker.quantize import scores
from cascade.models.ranker.retriever_scores import RetrieverScores
from cascade.models.ranker.rows import CandidateRows, padded_items
from cascade.models.ranker.stage import RANKER, retriever
from cascade.models.ranker.transition_features import TransitionFeatures
from cascade.pipeline.stages import run
from cascade.workflows.etl.tensors import Tensors

RUNS, EPOCHS, CANDIDATES, TURNS = Path("runs"), 2, 200, 2000
PLAIN = {
    "dot": {"interactions": "dot"},
    "concat": {"interactions": "concat"},
    "cross": {"interactions": "cross"},
    "cross, rank 64": {"interactions": "cross", "cross": {"rank": 64}},
    "cross, rank 16": {"interactions": "cross", "cross": {"rank": 16}},
}
ATTENDING = {"history": {"kind": "target_attention"}}
KINDS = {**PLAIN, **{f"{name} *": {**options, **ATTENDING} for name, options in PLAIN.items()}}
"""Name in the table -> config keys; a star means target attention."""


def train(config, parts):
    """Name -> its ranker artifact."""
    section = config.dlrm_ranker.model_dump()
    training = {**section["training"], "epochs": EPOCHS}
    made = {}
    for name, options in KINDS.items():
        own = DlrmConfig.model_validate({**section, **options, "training": training})
        sections = {"dlrm_ranker": own, **{key: config.section(key) for key in RANKER.sections[1:]}}
        parents = {parent: parts[parent] for parent in RANKER.parents}
        pins = {parent: artifact.digest for parent, artifact in parents.items()}
        made[name] = RANKER.find(RUNS, sections, pins) or RANKER.run(RUNS, sections, parents)
    return made


def microseconds(feeds, models):
    """Name -> median microseconds of a call."""
    sessions = {name: session(model) for name, model in models.items()}
    taken = {name: [value.name for value in opened.get_inputs()] for name, opened in sessions.items()}
    feeds = {name: {column: feeds[name][column] for column in columns} for name, columns in taken.items()}
    took = {name: [] for name in models}
    for _ in range(TURNS):
        for name, opened in sessions.items():
            start = time.perf_counter()
            opened.run(None, feeds[name])
            took[name].append(time.perf_counter() - start)
    return {name: 1e6 * float(np.median(values)) for name, values in took.items()}


def main():
    config, _ = config_with_origins(Path("pipeline.yaml"), sys.argv[1:])
    parts = run(config, RUNS, only=["index"])
    made, tensors = train(config, parts), Tensors.load(parts["etl"].path)
    similarity = RetrieverScores.of_training_part(parts, tensors)
    reads = config.dlrm_ranker.transitions
    columns = {
        name: PairColumns(
            *(similarity, tensors, artifact.path / ITEM, artifact.metrics["split"]["widths"]),
            TransitionFeatures.open(artifact.path, reads),
        )
        for name, artifact in made.items()
    }
    rows = CandidateRows(tensors, retriever(tensors, parts, CANDIDATES), config.dlrm_ranker).valid(seed=0)
    one, shown = rows.events.take(np.arange(1)), padded_items(rows.candidates[:1])
    models = {name: artifact.path / PAIR for name, artifact in made.items()}
    took = microseconds({name: make(one, shown) for name, make in columns.items()}, models)
    valid = rows.candidates >= 0
    print(
        f"{'interaction':<16} {'us':>6} {'of dot':>6} {'of plain':>8} {'floats/item':>11} {'ndcg':>7} {'auc':>7} "
        f"{'int8 top50':>10}"
    )
    for name, artifact in made.items():
        [logits] = scores([models[name]], columns[name], rows.events, rows.candidates)
        auc, plain = metrics.auc(logits[valid], rows.label[valid], name), took[name.removesuffix(" *")]
        print(
            f"{name:<16} {took[name]:6.0f} {took[name] / took['dot']:6.2f} {took[name] / plain:8.2f} "
            f"{sum(columns[name].widths.values()):11d} "
            f"{artifact.metrics['valid_dlrm']:7.4f} {auc:7.4f} {artifact.metrics['int8']['top50_overlap']:10.3f}"
        )


if __name__ == "__main__":
    main()
