"""The parts of the comparison with the stock ensemble that need no server."""

import importlib
import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.bench.stock.build import StockEnsemble, build
from cascade.bench.stock.check import Agreement
from cascade.bench.stock.index import fewest, write_index
from cascade.bench.stock.measure import measure, write_requests
from cascade.bench.targets import ExportedPipeline
from cascade.config.pipeline import PipelineConfig
from cascade.core.errors import ConfigError, ServerError
from cascade.models.retriever.neighbours import Neighbours


@pytest.fixture(scope="module")
def vectors():
    found = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize(("candidates", "kind"), [(20, "IVF32,Flat"), (1999, "Flat")])
def test_an_index_always_finds_enough_candidates(tmp_path, vectors, candidates, kind):
    ids = np.arange(2000) * 3 + 7
    assert write_index(tmp_path / "index", ids, vectors, candidates) == kind
    found = faiss.read_index(str(tmp_path / "index")).search(vectors[:50], candidates)[1]
    assert (found >= 0).all()
    assert found[:, 0].tolist() == ids[:50].tolist()  # each vector is nearest to itself


def test_a_catalogue_with_fewer_items_than_lists_gets_a_flat_index(tmp_path, vectors):
    assert write_index(tmp_path / "index", np.arange(10), vectors[:10], 5) == "Flat"


def test_fewest_sums_the_smallest_lists():
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(1), 1, 10, faiss.METRIC_INNER_PRODUCT)
    index.train(np.arange(10, dtype=np.float32)[:, None])
    sizes = [9, 1, 8, 2, 7, 3, 6, 4, 5, 5]
    for at, size in enumerate(sizes):
        ids, codes = np.arange(size), np.zeros((size, 4), np.uint8)
        index.invlists.add_entries(at, size, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
    assert fewest(index) == 1 + 2 + 3 + 4 + 5 + 5 + 6 + 7


def test_requests_hold_only_users_that_it_can_answer(tmp_path):
    users = np.array([5, 8, 13])
    write_requests(StockEnsemble(Path("/nowhere"), users, {}, 10, 5, "Flat"), tmp_path / "requests.json")
    entries = json.loads((tmp_path / "requests.json").read_text())["data"]
    assert {entry["user_id"]["content"][0] for entry in entries} == set(users.tolist())
    assert all(entry["user_id"]["shape"] == [1] for entry in entries)


def test_different_scores_are_an_error(tmp_path, monkeypatch):
    """Nothing is measured if the scores differ."""
    served = StockEnsemble(tmp_path, np.array([5]), {}, 10, 5, "Flat")
    module = importlib.import_module("cascade.bench.stock.measure")
    monkeypatch.setattr(module, "build", lambda *given: served)
    monkeypatch.setattr(module, "StockServer", nullcontext)
    monkeypatch.setattr(module, "check", lambda *given: Agreement(1, 5, logit=2e-4, probability=5e-5))
    with pytest.raises(ServerError, match="logits differ from ours by 0.0002: not the same work"):
        measure(ExportedPipeline(None, {}.get), tmp_path, lambda *given: pytest.fail("was measured"))


def test_a_retriever_with_item_item_weights_is_refused(tmp_path):
    """Before anything is built: the stock graph would retrieve other items."""
    parts = {name: SimpleNamespace(path=tmp_path / name) for name in ("two_tower", "ranker")}
    for folder in (tmp_path / "two_tower", tmp_path / "ranker" / "checkpoint"):
        folder.mkdir(parents=True)
    Neighbours(csr_matrix((3, 2), dtype=np.float32)).save(tmp_path / "two_tower")
    config = PipelineConfig.model_validate({"schema": {"sparse": ["user_id", "item_id"]}})
    with pytest.raises(ConfigError, match="two_tower.popular: .* expected 0 and 0, got 100 and 500: set both to 0"):
        build(config, parts, tmp_path / "stock")
    assert not (tmp_path / "stock").exists()
