"""Retrieval with each type of index: rows of a batch do not depend on each other."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.ops.retrieve import Retrieve, margin
from cascade.testing.op_contract import OpContract

ITEMS, DIM = 400, 8


def vectors(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def index(kind, items=None):
    items = vectors(ITEMS) if items is None else items
    if kind == "hnsw":
        made = faiss.IndexHNSWFlat(DIM, 8, faiss.METRIC_INNER_PRODUCT)
        made.hnsw.efSearch = 20
    elif kind == "ivf":
        made = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(DIM), DIM, 8, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        made.train(items)
        made.nprobe = 2
    else:
        made = faiss.IndexFlatIP(DIM)
    made.add(items)
    return made


def loaded(folder, kind="flat", topk=10, items=None):
    faiss.write_index(index(kind, items), str(folder / "index.faiss"))
    op = Retrieve(topk=topk, dim=DIM)
    op.load(folder)
    return op


def seen(*counts):
    out = np.full((len(counts), max(counts)), -1, dtype=np.int64)
    for row, count in zip(out, counts, strict=True):
        row[:count] = np.arange(count)
    return out


class RetrieveContract(OpContract):
    index_kind: str

    def make_op(self, folder):
        return loaded(folder, self.index_kind)

    def make_batch(self):
        counts = [0, 1, 40, 3, 399, *[2] * 40]
        return {"query": vectors(len(counts), seed=1), "seen_rows": seen(*counts)}


class TestFlat(RetrieveContract):
    index_kind = "flat"


class TestIvf(RetrieveContract):
    index_kind = "ivf"


class TestHnsw(RetrieveContract):
    index_kind = "hnsw"


@pytest.mark.parametrize(("have", "expected"), [([0, 1, 16, 17, 33], [0, 16, 16, 32, 64])])
def test_margin_rounds_up_to_few_sizes(have, expected):
    assert margin(np.array(have)).tolist() == expected


def test_flat_is_exact_and_asks_for_one_more_for_each_seen(tmp_path):
    query = vectors(3, seed=2)
    got = loaded(tmp_path)({"query": query, "seen_rows": seen(0, 5, 2)})["retrieved_rows"]
    best = np.argsort(-(query @ vectors(ITEMS).T), axis=1)
    assert got.shape == (3, 15)
    for row, order, count in zip(got, best, (10, 15, 12), strict=True):
        assert row[:count].tolist() == order[:count].tolist()
        assert (row[count:] == -1).all()


def test_flat_and_ivf_search_once_for_all_rows(tmp_path, monkeypatch):
    for kind in ("flat", "ivf"):
        op, asked = loaded(tmp_path, kind), []
        search = op.index.search
        monkeypatch.setattr(op.index, "search", lambda q, k, s=search, a=asked: a.append((len(q), k)) or s(q, k))
        op({"query": vectors(4, seed=2), "seen_rows": seen(0, 5, 2, 90)})
        assert asked == [(4, 101)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(different=st.integers(1, 60), counts=st.lists(st.integers(0, 150), min_size=1, max_size=6))
def test_items_with_the_same_vector_do_not_make_a_row_depend_on_its_batch(kind, different, counts, tmp_path):
    few = vectors(different)[np.random.default_rng(0).integers(0, different, ITEMS)]
    op, query, have = loaded(tmp_path, kind, items=few), vectors(len(counts), seed=1), seen(*counts)
    together = op({"query": query, "seen_rows": have})["retrieved_rows"]
    for row, count in enumerate(counts):
        alone = op({"query": query[row : row + 1], "seen_rows": have[row : row + 1]})["retrieved_rows"][0]
        assert together[row, : 10 + count].tolist() == alone.tolist()
        assert len(set(alone[alone >= 0])) == (alone >= 0).sum()
        scores = few[alone[alone >= 0]] @ query[row]
        assert (np.diff(scores) <= 0.01).all()


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_the_index_is_mapped_from_its_file(kind, tmp_path):
    op = loaded(tmp_path, kind)
    assert op.index.ntotal == ITEMS
    assert str(tmp_path / "index.faiss") in Path("/proc/self/maps").read_text()


def test_a_catalogue_smaller_than_topk_returns_all_items(tmp_path):
    small = faiss.IndexFlatIP(DIM)
    small.add(vectors(3))
    faiss.write_index(small, str(tmp_path / "index.faiss"))
    op = Retrieve(topk=10, dim=DIM)
    op.load(tmp_path)
    got = op({"query": vectors(1, seed=3), "seen_rows": seen(2)})["retrieved_rows"]
    assert sorted(got[0]) == [0, 1, 2]


def test_index_of_another_width_is_refused(tmp_path):
    faiss.write_index(index("flat"), str(tmp_path / "index.faiss"))
    with pytest.raises(ArtifactError, match="expected vectors of 9 dims, has 8"):
        Retrieve(topk=10, dim=9).load(tmp_path)


def test_nprobe_and_ef_search_are_those_of_the_index(tmp_path):
    assert loaded(tmp_path, "ivf").index.nprobe == 2
    assert loaded(tmp_path, "hnsw").index.hnsw.efSearch == 20
