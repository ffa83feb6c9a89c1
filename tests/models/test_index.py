"""The vector index against exact search."""

import logging

import numpy as np
import pytest

from cascade.models import index as module
from cascade.models.index import build_index, resolve


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    found = centres[rng.integers(0, 40, 4000)] + 0.3 * rng.normal(size=(4000, 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("kind", "least"), [("flat", 1.0), ("ivf", 0.95), ("hnsw", 0.99)])
def test_recall_against_exact_search(kind, least, vectors):
    index, _ = build_index(vectors, kind)
    queries = vectors[:200]
    exact = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :100]
    _, got = index.search(queries, 100)
    assert np.mean([len(set(a) & set(b)) / 100 for a, b in zip(exact, got, strict=True)]) >= least


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_scores_are_inner_products_and_ids_are_rows(kind, vectors):
    index, _ = build_index(vectors, kind)
    scores, rows = index.search(vectors[:5], 1)
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(scores[:, 0], 1.0, rtol=1e-5)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_search_parameters_survive_the_file(kind, vectors, tmp_path):
    import faiss

    index, search = build_index(vectors, kind)
    faiss.write_index(index, str(tmp_path / "index"))
    again = faiss.read_index(str(tmp_path / "index"))
    got = {"nprobe": again.nprobe} if kind == "ivf" else {"efSearch": again.hnsw.efSearch}
    assert got == search


def test_ivf_of_a_handful_of_items(vectors):
    index, search = build_index(vectors[:3], "ivf")
    assert search == {"nprobe": 1} and index.search(vectors[:1], 3)[1].tolist()[0][0] == 0


@pytest.mark.parametrize("base", ["flat", "ivf", "hnsw"])
def test_gpu_runs_its_cpu_twin_and_says_so(base, monkeypatch, caplog):
    monkeypatch.setattr(module, "gpus", lambda: 0)
    with caplog.at_level(logging.WARNING):
        kind, notice = resolve(f"gpu_{base}")
    assert kind == base
    assert notice == f"serving.ann.type gpu_{base}: no GPU that FAISS can use, runs as {base}"
    assert caplog.messages == [notice]


def test_cpu_types_come_without_a_notice():
    assert resolve("hnsw") == ("hnsw", None)
