"""The item-item scores of the retriever in the ranker: its inputs, its scores, its candidates, its ONNX model."""

from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.models._merlin import tf
from cascade.models.onnx.export import check_parity, export, run, session
from cascade.models.ranker import retriever_scores, rows
from cascade.models.ranker.retriever_scores import RetrieverScores
from cascade.models.ranker.rows import Retriever, ValidRows
from cascade.models.ranker.score_fusion import Fusion, Ranker
from cascade.models.retriever.neighbours import Neighbours
from cascade.models.retriever.user_items import UserItems
from cascade.models.training.rows import Events

CODES, ITEMS = 5, 6
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(ITEMS, 3)).astype(np.float32)
QUERIES = RNG.normal(size=(4, 3)).astype(np.float32)
HISTORY = np.array([[3, 4], [4, 0], [3, 0], [0, 0]])
WEIGHTS = csr_matrix(np.array([[0] * 6, [0] * 6, [0] * 6, [2, 0, 0, 1, 0, 0], [0, 0, 3, 0, 0, 0]], np.float32))
NEIGHBOURS = Neighbours(WEIGHTS)
EVENTS = Events(np.arange(4, dtype=np.int32), np.zeros(4, np.int32), np.ones(4, np.float32), {"history": HISTORY})
SUMS = QUERIES @ VECTORS.T + NEIGHBOURS.scores(HISTORY).toarray()


@pytest.fixture
def towers(monkeypatch):
    """A query tower whose queries are `QUERIES`, by the user's row."""

    def columns(_, events):
        return {"history": events.moment["history"], "row": events.user_row}

    for module in (retriever_scores, rows):
        monkeypatch.setattr(module, "user_columns", columns)
        monkeypatch.setattr(module, "run", lambda _, columns: QUERIES[columns["row"]])


def test_the_retrievers_score_is_the_sum(towers):
    candidates = np.array([[0, 2, -1], [2, 3, 5], [0, 3, -1], [1, 2, 3]], np.int32)
    found = RetrieverScores(None, VECTORS, None, NEIGHBOURS)(ValidRows(EVENTS, candidates, candidates == 0))
    expected = np.take_along_axis(SUMS, np.maximum(candidates, 0), axis=1)
    np.testing.assert_allclose(found, np.where(candidates < 0, -np.inf, expected), rtol=1e-5)


def test_without_neighbours_nothing_is_added(towers):
    columns = RetrieverScores(None, VECTORS, None).columns(EVENTS, np.zeros((4, 2), int))
    assert set(columns) == {"query", "item_vectors"}


@pytest.mark.parametrize("kind", ["Flat", "IVF1,Flat"])
def test_candidates_are_the_best_of_both_sources_that_are_not_seen(towers, kind):
    """The second index is exact as well, but is searched in another way."""
    index = faiss.index_factory(3, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    seen = csr_matrix((np.ones(2, bool), ([0, 3], [0, 5])), shape=(4, ITEMS))
    retriever = Retriever(None, index, 3, (NEIGHBOURS, VECTORS))
    found = retriever(SimpleNamespace(), EVENTS, UserItems(seen, EVENTS.user_row))
    expected = np.argsort(-np.where(seen.toarray(), -np.inf, SUMS), axis=1)[:, :3]
    np.testing.assert_array_equal(found, expected)
    alone = Retriever(None, index, 3)(SimpleNamespace(), EVENTS, UserItems(seen, EVENTS.user_row))
    assert (found[3] == alone[3]).all() and (found != alone).any()  # the last one has no history


@pytest.mark.parametrize("neighbours", [False, True])
def test_the_exported_model_reads_them_only_if_there_are_neighbours(tmp_path, neighbours):
    ranker = Ranker(None, Fusion(0.0, 2.0, 0.5), neighbours)
    specs = [tf.TensorSpec([None, 3], name="query"), tf.TensorSpec([None, None, 3], name="item_vectors")]
    specs += [tf.TensorSpec([None, None], name="neighbour_scores")] if neighbours else []
    export(tmp_path / "ranker.onnx", ranker, specs, "logits")
    scores = RNG.normal(size=(4, 2)).astype(np.float32)
    feed = {"query": QUERIES, "item_vectors": VECTORS[np.array([[0, 1]] * 4)], "neighbour_scores": scores}
    opened = session(tmp_path / "ranker.onnx")
    assert ("neighbour_scores" in {value.name for value in opened.get_inputs()}) == neighbours
    expected = 2 * (QUERIES @ VECTORS[:2].T + neighbours * scores) + 0.5
    np.testing.assert_allclose(run(opened, feed), expected, rtol=1e-5, atol=1e-5)
    assert check_parity(tmp_path / "ranker.onnx", ranker(feed).numpy(), feed) < 1e-5
