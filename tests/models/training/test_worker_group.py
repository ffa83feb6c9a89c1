"""Two worker processes learn what a single one learns."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from model_shop import make_shop
from stage_runs import SECTIONS, STAGES, TOWER, export_nothing, run_stage
from worker_processes import WITHIN_S, finish, start

from cascade.core.artifact import RESUME
from cascade.core.errors import ConfigError
from cascade.models.retriever.stage import CHECKPOINT
from cascade.models.retriever.two_tower import build
from cascade.models.training.loop import WEIGHTS
from cascade.models.training.memory_estimate import estimate
from cascade.models.training.tf_config import (
    EXAMPLE,
    ClusterTask,
    cluster_task,
    tf_config,
)

TOLERANCE = 1e-4
"""Relative; the workers sum in another order."""


def case(stage, training=None, shop="plain", free=(), **options):
    """A stage, its section as JSON and the name of its shop: two epochs, no dropout; keys of ``free`` are not set."""
    section = SECTIONS[STAGES[stage].sections[0]].model_dump()
    section |= {"id_dropout": 0.0, **({"dropout": 0.0} if stage == "ranker" else {}), **options}
    section["training"] |= {"epochs": 2, **(training or {})}
    return stage, json.dumps({key: value for key, value in section.items() if key not in free}), shop


HARD = {"per_query": 4, "share": 0.5, "memory": 150, "refresh_steps": 5}
READING = {**TOWER.model_dump(), "history": {"kind": "transformer", "dropout": 0.0, "targets": 4, "hidden": 16}}
EVERYTHING = {
    "batch_size": 101,
    "accumulate": 2,
    "clip_norm": 0.5,
    "embedding_l2": 1e-3,
    "embedding_optimizer": "lazy_adam",
    "warmup_steps": 5,
}
CASES = {
    "retriever, after variants that the chief tries alone": case(
        "two_tower", free=["user_id_dropout"], auto=True, auto_minutes=20
    ),
    "ranker": case("ranker"),
    "ranker of impressions, refitted": case("ranker", shop="logged", refit=True, warm_start=None),
    "mined, and a memory, bpr": case("two_tower", loss="bpr", neg_sampling="hard", negatives=HARD),
    "mined, corrected": case("two_tower", neg_sampling="hard", negatives={**HARD, "memory": 0}),
    "windows, mined, in batches so small that a single item matters": case(
        # With seed 42 two items nearly tie: a single worker mines one, two workers the other, and the losses diverge.
        "two_tower",
        {"batch_size": 33, "seed": 7},
        user_tower=READING,
        neg_sampling="hard",
        negatives={**HARD, "memory": 0},
    ),
    "mixed, and every option of training": case(
        "two_tower", EVERYTHING, neg_sampling="mixed", negatives={"drawn": 32}, learn_temperature=True
    ),
}
"""101 rows and their 133 items are odd numbers, so the two workers' shares differ."""
TO_BE_KILLED = case("two_tower", {"checkpoint_minutes": 1e-9, "epochs": 2}, id_dropout=0.3)
"""With dropout: the workers' random states are restored as well."""


@pytest.fixture(scope="module")
def shops(parts, tmp_path_factory):
    """Name -> artifacts: of the small shop, and of one that logs impressions, ranked after the same retriever."""
    return {"plain": parts, "logged": {**parts, **make_shop(tmp_path_factory.mktemp("logged"), label=True)}}


@pytest.fixture(scope="module")
def together(shops, tmp_path_factory):
    """The metrics of each case, and of the one that another group is killed in, trained by two workers."""
    workers = start(tmp_path_factory.mktemp("together"), shops, [*CASES.values(), TO_BE_KILLED])
    return dict(zip([*CASES, "unbroken"], finish(workers), strict=True))


@pytest.fixture
def no_export(monkeypatch):
    monkeypatch.setattr("cascade.models.retriever.stage.export_towers", export_nothing)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_workers_learn_what_a_single_one_learns(name, together, shops, tmp_path, no_export):
    stage, section, shop = CASES[name]
    made, found = run_stage(tmp_path, STAGES[stage], section, shops[shop]), together[name]
    single = made.metrics
    assert (single["workers"], found["workers"]) == (1, 2)
    np.testing.assert_allclose(found["loss"], single["loss"], rtol=TOLERANCE)
    assert found["loss"][1] < found["loss"][0]
    keys = {"valid_ndcg", "valid_auc", "temperature", "recsys_hardneg_share"} & single.keys()
    assert {"valid_ndcg", "valid_auc"} & keys
    assert ("variants" in found) == ("alone" in name)
    for key in keys:
        assert found[key] == pytest.approx(single[key], rel=1e-3, abs=1e-3), key
    if stage == "ranker":  # its weights are those of the refit, if there is one
        assert found["refit"] == single["refit"] == (shop == "logged")
        assert found["warm_start"] == single["warm_start"] and ("valid_auc_of_starts" in found) == (shop == "logged")
        one, two = weights(made.path), weights(Path(found["path"]))
        assert one.keys() == two.keys()
        for key, values in one.items():
            np.testing.assert_allclose(two[key], values, atol=1e-4, err_msg=key)


def weights(path):
    """Name -> the values of the weights in an artifact's checkpoint."""
    found = {}
    with h5py.File(path / CHECKPOINT / WEIGHTS) as file:
        file.visititems(lambda name, values: found.update({name: values[()]}) if hasattr(values, "shape") else None)
    return found


@pytest.mark.slow
def test_a_killed_group_resumes_exactly(together, shops, tmp_path):
    workers = start(tmp_path, shops, [TO_BE_KILLED], saves=20)
    assert workers[0].wait(WITHIN_S) == -9
    _, errors = workers[1].communicate(timeout=WITHIN_S)  # it is told that the chief has ended
    assert workers[1].returncode == 1 and "another worker has ended" in errors
    assert list((tmp_path / "two_tower").glob(f"*{RESUME}"))
    [resumed] = finish(start(tmp_path, shops, [TO_BE_KILLED]))
    np.testing.assert_allclose(resumed["loss"], together["unbroken"]["loss"], atol=1e-6)
    assert resumed["valid_ndcg"] == pytest.approx(together["unbroken"]["valid_ndcg"], abs=1e-6)


@pytest.mark.slow
def test_workers_with_different_configs_are_refused(shops, tmp_path):
    workers = start(tmp_path, shops, [case("two_tower")], others=[case("two_tower", {"seed": 7})])
    for worker in workers:
        _, errors = worker.communicate(timeout=WITHIN_S)
        assert worker.returncode == 1
        assert "training: workers differ in run folder" in errors


def test_tasks_of_a_cluster():
    cluster = {"chief": ["a:1"], "worker": ["a:2", "b:1"]}
    tasks = [(job, at) for job in cluster for at in range(len(cluster[job]))]
    environments = [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": t, "index": i}})} for t, i in tasks]
    found = [cluster_task(environment) for environment in environments]
    assert [(p.index, p.on_this_machine) for p in found] == [(0, 2), (1, 2), (2, 1)]
    assert found[0].addresses == ("a:1", "a:2", "b:1")
    assert cluster_task({"TF_CONFIG": tf_config(["a:1", "b:2"], 1)}) == ClusterTask(("a:1", "b:2"), 1)
    assert cluster_task({}) is None and cluster_task({"TF_CONFIG": tf_config(["a:1"], 0)}) is None
    assert cluster_task({"TF_CONFIG": EXAMPLE}).index == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG: is '{', expected e.g."),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "expected e.g."),
        (
            '{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            "TF_CONFIG: has ps",
        ),
        (tf_config(["a:1", "b:1"], 2), "its task is worker 2, its cluster has none"),
    ],
)
def test_an_invalid_variable_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        cluster_task({"TF_CONFIG": text})


def test_a_worker_holds_the_whole_model_and_its_share_of_a_batch(tensors):
    model, training = build(tensors.schema, SECTIONS["two_tower"]), SECTIONS["two_tower"].training
    one, half = estimate(model, training), estimate(model, training, workers=2)
    assert (half.parameters, half.optimizer, half.tables) == (one.parameters, one.optimizer, one.tables)
    assert one.activations / 2 < half.activations < one.activations
