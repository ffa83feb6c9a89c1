"""The request graph of a retriever with item-item weights: what is retrieved, what the ranker gets, who found it."""

import numpy as np
import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.repository.ranker_steps import model_inputs
from cascade.evaluation.replay import EVENT_COLUMNS, part_of, rank_logged, with_event_history
from cascade.testing.miniature import (
    DECAY,
    DIM,
    ITEM_INPUTS,
    SERVING,
    USER_INPUTS,
    item_neighbours,
    miniature,
    miniature_repository,
)

TOPK = SERVING.ann.topk
KEPT = ("query", "history", "seen_rows", "retrieved_rows", "candidate_rows", "neighbour_scores", "logits")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Layout -> its graph, and the miniature's vectors and user ids."""
    folder, executors = tmp_path_factory.mktemp("neighbours"), {}
    for layout in ("fused", "ensemble"):
        serving = SERVING.model_copy(update={"layout": layout})
        mini = miniature_repository(folder / layout, serving=serving, neighbours=True)
        executors[layout] = Executor.load(folder / layout / "cascade" / "1", validate=True)
    return executors, np.load(folder / "fused-parts" / "item_vectors.npy"), mini


def asked(mini):
    return {"user_id": mini.user_ids[:, None], "hour": np.full((len(mini.user_ids), 1), 20)}


@pytest.mark.parametrize("layout", ["fused", "ensemble"])
def test_candidates_are_the_best_of_all_unseen_items_by_the_sum(made, layout):
    executors, vectors, mini = made
    columns, _ = executors[layout].run(asked(mini), KEPT)
    of_neighbours, weights = np.zeros((len(mini.user_ids), len(vectors))), item_neighbours().weights.toarray()
    for user, own in enumerate(columns["history"]):
        for age, code in enumerate(own[own > 0]):
            of_neighbours[user] += DECAY**age * weights[code] / np.sqrt((own > 0).sum())
    total = columns["query"] @ vectors.T + of_neighbours
    for user, seen in enumerate(columns["seen_rows"]):
        total[user, seen[seen >= 0]] = -np.inf
    rows = columns["candidate_rows"]
    assert np.array_equal(rows, np.argsort(-total, axis=1)[:, :TOPK])
    assert (rows != np.argsort(-np.where(np.isinf(total), total, total - of_neighbours), axis=1)[:, :TOPK]).any()
    np.testing.assert_allclose(columns["neighbour_scores"], np.take_along_axis(of_neighbours, rows, axis=1), rtol=1e-6)


def test_both_layouts_give_one_answer(made):
    executors, _, mini = made
    fused, ensemble = (executors[layout].run(asked(mini))[0] for layout in ("fused", "ensemble"))
    for name in ("item_ids", "scores", "propensities"):
        assert np.array_equal(fused[name], ensemble[name])


def test_the_ranker_gets_the_scores_of_the_history_that_it_is_asked_for(made):
    executors, _, mini = made
    columns, _ = executors["fused"].run(asked(mini), KEPT)
    one = {**asked(mini), "candidate_rows": columns["candidate_rows"][:, :1]}
    np.testing.assert_allclose(rank_logged(executors["fused"], one, 8), columns["logits"][:, 0], rtol=1e-5)
    part = part_of(with_event_history(executors["fused"]), ["neighbour_scores"], ["candidate_rows"])
    nobody = {EVENT_COLUMNS["history"]: np.zeros_like(columns["history"])}
    assert not part(one | nobody)["neighbour_scores"].any()


def test_a_ranker_that_wants_scores_that_nothing_gives_is_refused(tmp_path):
    miniature(tmp_path, neighbours=True)
    with pytest.raises(ArtifactError, match="ranker.onnx: takes neighbour_scores; the graph offers"):
        model_inputs(tmp_path / "ranker.onnx", {**USER_INPUTS, "query": ("float32", DIM)}, ITEM_INPUTS)
