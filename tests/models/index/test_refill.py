"""An index with other vectors: an ivf index keeps its centroids, and its nprobe while the recall is reached."""

import faiss
import numpy as np
import pytest

from cascade.models.index.refill import refill_index
from cascade.models.index.vector_index import build_index

DIM, TOPK = 8, 10


def vectors(count, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


QUERIES = {"known": vectors(50, seed=9)}


def centroids(index):
    return faiss.downcast_index(index.quantizer).reconstruct_n(0, index.nlist)


def test_an_ivf_index_keeps_what_was_trained_and_finds_the_new_vectors():
    before = vectors(4000)
    old, info = build_index(before, "ivf", QUERIES, TOPK, 0.95)
    trained, nprobe = centroids(old), old.nprobe
    after = np.concatenate([before[100:], vectors(100, seed=1)])
    index, made = refill_index(old, after, "ivf", QUERIES, TOPK, 0.95)
    np.testing.assert_array_equal(centroids(index), trained)
    assert index.ntotal == made["items"] == 4000 and index.nprobe == nprobe and made["search"] == info["search"]
    assert made["recall"] >= 0.94 and made["type"] == "ivf"
    index.nprobe = index.nlist
    exact = np.argsort(-(QUERIES["known"] @ after.T), axis=1)[:, 0]
    assert (index.search(QUERIES["known"], 1)[1][:, 0] == exact).mean() > 0.95  # fp16


def test_nprobe_grows_where_the_recall_is_missed():
    before = vectors(4000)
    old, _ = build_index(before, "ivf", QUERIES, TOPK, 0.95)
    old.nprobe = 1
    index, made = refill_index(old, before[1:], "ivf", QUERIES, TOPK, 0.95)
    assert index.nprobe > 1 and made["recall"] >= 0.95


def test_nprobe_stays_where_there_is_nothing_to_measure_with():
    old, _ = build_index(vectors(4000), "ivf", QUERIES, TOPK, 0.95)
    old.nprobe = 7
    index, made = refill_index(old, vectors(3999), "ivf", {}, TOPK, 0.95)
    assert index.nprobe == 7 and made["recall"] is None


@pytest.mark.parametrize(
    ("kind", "count", "wanted"),
    [
        ("ivf", 40_000, faiss.IndexIVFScalarQuantizer),  # has grown
        ("hnsw", 500, faiss.IndexHNSWFlat),
        ("flat", 500, faiss.IndexFlatIP),
        ("auto", 500, faiss.IndexFlatIP),
    ],
)
def test_others_are_built_anew(kind, count, wanted):
    old, _ = build_index(vectors(600), "ivf", QUERIES, TOPK, 0.95)
    lists = old.nlist
    index, made = refill_index(old, vectors(count, seed=2), kind, QUERIES, TOPK, 0.9)
    assert isinstance(faiss.downcast_index(index), wanted) and index.ntotal == made["items"] == count
    assert getattr(index, "nlist", 0) != lists
