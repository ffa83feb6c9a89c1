"""The vector index compared with exact search."""

import logging
from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from cascade.models.index import vector_index as module
from cascade.models.index.vector_index import build_index, every_core, resolve


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    found = centres[rng.integers(0, 40, 4000)] + 0.3 * rng.normal(size=(4000, 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    """Some queries near items, some between the clusters."""
    between = vectors[:100] + vectors[100:200]
    return {"known": vectors[:300], "unknown": between / np.linalg.norm(between, axis=1, keepdims=True)}


def overlap(index, vectors, queries, topk):
    exact = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :topk]
    _, got = index.search(queries, topk)
    return np.mean([len(set(a) & set(b)) / topk for a, b in zip(exact, got, strict=True)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("target", [0.8, 0.99])
def test_each_group_finds_its_share_of_exact_search(kind, target, vectors, queries):
    index, info = build_index(vectors, kind, queries, topk=50, recall_target=target)
    assert (info["type"], info["items"], info["recall_target"], info["notices"]) == (kind, 4000, target, [])
    for group, found in queries.items():
        told = info["queries"][group]
        assert told["count"] == len(found) and told["recall"] >= target
        assert told["recall"] == pytest.approx(overlap(index, vectors, found, 50), abs=1e-3)


@pytest.mark.slow
def test_a_higher_target_looks_further(vectors, queries):
    probes = [build_index(vectors, "ivf", queries, 50, target)[1]["search"]["nprobe"] for target in (0.5, 0.9, 0.99)]
    assert probes == sorted(set(probes))


def test_flat_is_exact(vectors, queries):
    index, info = build_index(vectors, "flat", queries, topk=50)
    assert info["recall"] == overlap(index, vectors, queries["known"], 50) == 1 and info["search"] == {}


def test_a_target_out_of_reach_takes_all_lists_and_adds_a_notice(vectors, queries, caplog):
    rough = np.round(vectors, 2) + 1e-5 * vectors  # closer to each other than fp16 can tell
    rough = np.repeat(rough[:100], 40, axis=0) * np.linspace(1, 1.0002, 4000, dtype=np.float32)[:, None]
    with caplog.at_level(logging.WARNING):
        index, info = build_index(rough, "ivf", queries, topk=50, recall_target=1.0)
    assert index.nprobe == info["search"]["nprobe"] == index.nlist and info["recall"] < 1
    assert info["notices"] == caplog.messages
    assert info["notices"][0].startswith(
        f"serving.ann.recall_target 1: with nprobe {index.nlist} the recall of the exact top"
    )
    assert f"{info['recall']:.4f} (all)" in info["notices"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "search"), [("ivf", {"nprobe": 12}), ("hnsw", {"efSearch": 512})])
def test_without_queries_it_is_not_tuned_and_a_notice_is_added(kind, search, vectors):
    _, info = build_index(vectors, kind, {"known": vectors[:0]})
    assert (info["search"], info["recall"], info["queries"]) == (search, None, {})
    (setting,) = (f"{name} {value}" for name, value in search.items())
    assert info["notices"] == [f"serving.ann.recall_target: no events to measure recall on, so {setting} is not tuned"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tolerance"), [("flat", 1e-6), ("ivf", 1e-3), ("hnsw", 1e-6)])
def test_scores_are_inner_products_and_ids_are_rows(kind, tolerance, vectors):
    index, _ = build_index(vectors, kind)
    scores, rows = index.search(vectors[:5], 1)
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(scores[:, 0], 1.0, rtol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_search_parameters_survive_the_file(kind, vectors, queries, tmp_path):
    _, info = build_index(vectors, kind, queries)
    index, _ = build_index(vectors, kind, queries)
    faiss.write_index(index, str(tmp_path / "index"))
    again = faiss.read_index(str(tmp_path / "index"))
    got = {"nprobe": again.nprobe} if kind == "ivf" else {"efSearch": again.hnsw.efSearch}
    assert got == info["search"]


def test_ivf_holds_fp16(vectors):
    index, _ = build_index(vectors, "ivf")
    assert (index.sq.qtype, index.code_size) == (faiss.ScalarQuantizer.QT_fp16, 2 * vectors.shape[1])


def test_memory_mapped_vectors_give_the_same_index(vectors, queries, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped, told = build_index(np.load(tmp_path / "vectors.npy", mmap_mode="r"), "ivf", queries, 50)
    index, info = build_index(vectors, "ivf", queries, 50)
    assert info == told
    np.testing.assert_array_equal(index.search(vectors[:9], 50)[1], mapped.search(vectors[:9], 50)[1])


def test_ivf_of_a_handful_of_items(vectors):
    index, info = build_index(vectors[:3], "ivf", {"known": vectors[:3]})
    assert info["search"] == {"nprobe": 1} and info["recall"] == 1
    assert index.search(vectors[:1], 3)[1].tolist()[0][0] == 0


def test_k_means_sees_a_sample_and_lists_are_bounded(vectors, monkeypatch):
    monkeypatch.setattr(module, "MOST_LISTS", 7)
    asked = []
    monkeypatch.setattr(module, "_find_centroids", lambda index, sample: asked.append(len(sample)))
    index, _ = build_index(vectors, "ivf", {"known": vectors[:50]}, topk=10)
    assert index.nlist == 7 and asked == [7 * module.POINTS_PER_LIST]


def test_a_served_index_in_this_process_keeps_its_settings():
    threads, threshold = faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold
    try:
        faiss.omp_set_num_threads(1)
        faiss.cvar.distance_compute_blas_threshold = 10**6
        with pytest.raises(KeyError, match="stop"), every_core():
            assert faiss.cvar.distance_compute_blas_threshold == 20
            raise KeyError("stop")
        assert (faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold) == (1, 10**6)
    finally:
        faiss.omp_set_num_threads(threads)
        faiss.cvar.distance_compute_blas_threshold = threshold


@pytest.mark.parametrize(("count", "kind"), [(1, "flat"), (19_999, "flat"), (20_000, "ivf"), (10_000_000, "ivf")])
def test_auto_is_flat_below_20_thousand_items(count, kind):
    assert resolve("auto", count) == (kind, None)


def test_what_is_asked_for_is_built_at_any_size():
    assert resolve("ivf", 10) == ("ivf", None) and resolve("flat", 10**7) == ("flat", None)


@pytest.mark.parametrize("base", ["flat", "ivf", "hnsw"])
def test_gpu_runs_its_cpu_twin_and_says_so(base, monkeypatch, caplog, vectors):
    monkeypatch.setattr(module, "gpus", lambda: 0)
    with caplog.at_level(logging.WARNING):
        _, info = build_index(vectors[:400], f"gpu_{base}", {"known": vectors[:9]}, topk=5)
    assert info["type"] == base
    assert info["notices"] == [f"serving.ann.type gpu_{base}: no GPU that FAISS can use, runs as {base}"]
    assert caplog.messages == info["notices"]


class FakeGpu:
    """A stand-in for FAISS's GPU build: it copies indexes there and back, and records the calls."""

    def __init__(self):
        self.calls = []

    def to_gpu(self, resources, device, index):
        self.calls.append(("to gpu", device, type(index).__name__))
        train, add = index.train, index.add
        return SimpleNamespace(
            is_trained=index.is_trained,
            train=lambda x: (self.calls.append(("train", len(x))), train(x)),
            add=lambda x: (self.calls.append(("add", len(x))), add(x)),
            cpu=index,
        )


@pytest.mark.parametrize(("base", "name"), [("flat", "IndexFlatIP"), ("ivf", "IndexIVFScalarQuantizer")])
def test_a_gpu_trains_and_fills_and_the_index_comes_back(base, name, vectors, queries, monkeypatch):
    fake = FakeGpu()
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", fake.to_gpu, raising=False)
    monkeypatch.setattr(faiss, "index_gpu_to_cpu", lambda on_gpu: on_gpu.cpu, raising=False)
    monkeypatch.setattr(module, "CHUNK", 3000)
    index, info = build_index(vectors, f"gpu_{base}", queries, topk=50)
    trained = [("train", 4000)] if base == "ivf" else []
    assert fake.calls == [("to gpu", 0, name), *trained, ("add", 3000), ("add", 1000)]
    assert info["type"] == base and info["recall"] >= 0.99 and info["notices"] == [] and index.ntotal == 4000


def test_faiss_has_no_hnsw_on_the_gpu(monkeypatch):
    monkeypatch.setattr(module, "gpus", lambda: 1)
    assert resolve("gpu_hnsw", 10) == ("hnsw", "serving.ann.type gpu_hnsw: FAISS has no HNSW on the GPU, runs as hnsw")
