"""A training that is killed in the middle of an epoch and run again ends like an uninterrupted one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_shop import make_shop
from stage_runs import SECTIONS, STAGES, TOWER, export_nothing, run_stage

from cascade.core.artifact import RESUME
from cascade.models.config import UserTowerConfig
from cascade.models.training.checkpoints import STATE

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1]
OPTIONS = {
    "two_tower": {"id_dropout": 0.3},
    "ranker": {"id_dropout": 0.3, "dropout": 0.2, "training": {"renew_embeddings": True}},
    "two_tower with everything": {
        "subsample": 0.02,
        "id_dropout": 0.3,
        "training": {
            "precision": "fp16",
            "accumulate": 2,
            "clip_norm": 1.0,
            "embedding_optimizer": "lazy_adam",
            "embedding_l2": 1e-4,
            "warmup_steps": 5,
            "decay_steps": 60,
            "average": 0.5,
        },
    },
    "two_tower with a transformer on windows": {
        "id_dropout": 0.3,
        "user_tower": UserTowerConfig(
            **TOWER.model_dump(), history={"kind": "transformer", "features": ["genres"], "targets": 3}
        ),
        "training": {"accumulate": 2},
    },
}


def section(name):
    """A stage and its section as JSON: three epochs, with a checkpoint at every step."""
    stage = name.split()[0]
    base = SECTIONS[STAGES[stage].sections[0]]
    options = OPTIONS[name]
    training = base.training.model_copy(update={"checkpoint_minutes": 1e-9, "epochs": 3, **options.get("training", {})})
    return stage, base.model_copy(update={**options, "training": training}).model_dump_json()


def weights(artifact):
    import h5py

    found = {}
    with h5py.File(artifact.path / "checkpoint" / "model.weights.h5") as file:
        file.visititems(lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None)
    return found


def flat(metrics, prefix=""):
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@pytest.mark.parametrize("name", OPTIONS)
def test_a_killed_run_resumes_exactly(name, parts, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("cascade.models.retriever.stage.export_towers", export_nothing)
    stage, own = section(name)
    parents = {parent: parts[parent] for parent in STAGES[stage].parents}
    unbroken = run_stage(tmp_path / "unbroken", STAGES[stage], own, parents)
    command = [sys.executable, HERE / "killed_run.py", tmp_path / "broken", stage, own, "25"]
    died = subprocess.run([*command, *(f"{name}={part.path}" for name, part in parents.items())], capture_output=True)
    assert died.returncode == -9, died.stderr.decode()[-2000:]
    [kept] = (tmp_path / "broken" / stage).glob(f"*{RESUME}")
    with np.load(kept / "checkpoint" / STATE) as found:
        assert '"step": 0' not in str(found["progress"])  # in the middle of an epoch
    resumed = run_stage(tmp_path / "broken", STAGES[stage], own, parents)
    assert "resuming in epoch" in caplog.text and not kept.exists()
    expected = dict(flat(unbroken.metrics))
    for key, value in flat(resumed.metrics):
        assert value == (pytest.approx(expected[key], abs=1e-6) if isinstance(value, float | list) else expected[key])
    for key, value in weights(resumed).items():
        np.testing.assert_allclose(value, weights(unbroken)[key], atol=1e-6, err_msg=key)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    from cascade.core.errors import ArtifactError
    from cascade.models._merlin import tf
    from cascade.models.training.checkpoints import Checkpoints, CheckpointState

    kept = Checkpoints(tmp_path, 0, lambda: [tf.Variable([1.0, 2.0])])
    kept.save(CheckpointState(np.random.default_rng(0).bit_generator.state))
    with pytest.raises(ArtifactError, match=r"of shape \(2,\), not \(3,\); remove the folder"):
        Checkpoints(tmp_path, 0, lambda: [tf.Variable([1.0, 2.0, 3.0])]).restore(tmp_path / "w.h5")
    with pytest.raises(ArtifactError, match="it holds 1 variables, not 2"):
        Checkpoints(tmp_path, 0, lambda: [tf.Variable(1.0)] * 2).restore(tmp_path / "w.h5")


RANDOM = {
    "RandomUniform",
    "RandomUniformInt",
    "RandomStandardNormal",
    "TruncatedNormal",
    "Multinomial",
    "RandomShuffle",
}
"""TensorFlow's stateful random ops, whose state no checkpoint can hold."""


def operations(concrete):
    graph = concrete.graph.as_graph_def()
    return {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}


def test_steps_draw_only_from_the_checkpointed_generator(tmp_path, monkeypatch):
    """Both models, with everything random that they have."""
    from cascade.models.config import DlrmConfig
    from cascade.models.ranker import training as ranker_training
    from cascade.models.ranker.rows import ImpressionRows
    from cascade.models.retriever import training as two_tower_training
    from cascade.workflows.etl.tensors import Tensors

    tensors = Tensors.load(make_shop(tmp_path, users=30, items=12, events=5, label=True)["etl"].path)
    drawn = []

    def look(model, config, title, steps, batches, step, *rest, **more):
        batch = next(iter(batches(np.random.default_rng(0))))
        drawn.append(operations(step.run.get_concrete_function(batch)))
        raise InterruptedError

    for module in (two_tower_training, ranker_training):
        monkeypatch.setattr(module, "fit", look)
        monkeypatch.setattr(module, "traced_once", lambda compiled: compiled)
    with pytest.raises(InterruptedError):
        two_tower_training.train(tensors, SECTIONS["two_tower"], tmp_path / "made")
    config = DlrmConfig(dropout=0.2)
    with pytest.raises(InterruptedError):
        ranker_training.train(tensors, ImpressionRows(tensors, config), config, tmp_path / "made")
    assert len(drawn) == 2 and all("RngReadAndSkip" in ops and not ops & RANDOM for ops in drawn)
