"""Replay of an exported release with the real ops."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.ensemble.graph.executor import Executor
from cascade.evaluation import replay as measured
from cascade.evaluation.held_out import HeldOut
from cascade.evaluation.ranking_lists import drop
from cascade.evaluation.replay import EVENT_COLUMNS, rank_logged, replay
from cascade.evaluation.retrieval import HistoryScores, exact_top
from cascade.testing.miniature import item_neighbours, miniature_repository


@pytest.fixture(scope="module", params=[False, True], ids=["numbers", "strings"])
def release(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    made = miniature_repository(folder, string_ids=request.param)
    return made, Executor.load(next(folder.glob("*/1")), validate=True)


@pytest.fixture
def held_out(release):
    made, executor = release
    relevant = np.random.default_rng(3).random((len(made.user_ids), len(made.item_ids))) < 0.2
    relevant[:, 0] = True
    dtype = executor.inputs[0].dtype
    columns = {"user_id": made.user_ids.astype(dtype)[:, None], "hour": np.full((len(made.user_ids), 1), 20)}
    users = np.arange(len(made.user_ids))
    return HeldOut(columns, users, csr_matrix(relevant), users)


def test_every_relevant_item_has_a_fate(release, held_out):
    _, executor = release
    got = replay(executor, held_out, 0.0, batch_size=7)
    assert len(got.fates) == held_out.relevant.nnz


def test_of_too_many_candidates_those_of_some_users_are_measured(release, held_out, monkeypatch):
    """At most 12 candidates of each of 20 users: 50 pairs leave those of four users, and no answer changes."""
    _, executor = release
    every = replay(executor, held_out, 0.0, batch_size=7)
    monkeypatch.setattr(measured, "MOST_RANKED", 50)
    some = replay(executor, held_out, 0.0, batch_size=7)
    users = np.unique(some.candidates.users)
    assert len(users) == 4 and len(some.candidates) <= 50
    own = np.isin(every.candidates.users, users)
    for name in ("logits", "label", "users", "items", "events"):
        assert np.array_equal(getattr(some.candidates, name), getattr(every.candidates, name)[own])
    assert np.array_equal(some.answers, every.answers) and np.array_equal(some.fates, every.fates)


def test_seen_holds_the_items_that_the_users_have_seen(release, held_out):
    made, executor = release
    got = replay(executor, held_out, 0.0, batch_size=7)
    want = [sorted(made.item_ids.tolist().index(item) for item in items) for items in made.seen]
    assert [sorted(row.indices.tolist()) for row in got.seen] == want
    assert np.array_equal(drop(got.answers, got.seen, 10), got.answers)


def test_a_logged_item_has_the_same_score_as_among_the_candidates(release, held_out):
    _, executor = release
    columns, _ = executor.run(held_out.columns, ["candidate_rows", "logits"])
    first = columns["candidate_rows"][:, :1]
    alone = rank_logged(executor, {**held_out.columns, "candidate_rows": first}, batch_size=6)
    np.testing.assert_allclose(alone, columns["logits"][:, 0], rtol=1e-5)


def test_the_history_of_an_event_replaces_the_stored_one(release, held_out):
    _, executor = release
    columns, _ = executor.run(held_out.columns, ["candidate_rows", "logits", "history"])
    first = {**held_out.columns, "candidate_rows": columns["candidate_rows"][:, :1]}
    same = rank_logged(executor, {**first, EVENT_COLUMNS["history"]: columns["history"]}, batch_size=6)
    np.testing.assert_allclose(same, columns["logits"][:, 0], rtol=1e-5)
    other = np.roll(columns["history"], 1, axis=0)
    got = rank_logged(executor, {**first, EVENT_COLUMNS["history"]: other}, batch_size=6)
    moved = (other != columns["history"]).any(axis=1)
    assert moved.any() and not np.isclose(got, same)[moved].all()
    np.testing.assert_array_equal(got[~moved], same[~moved])


def test_a_graph_with_two_sources_says_what_each_found(tmp_path, held_out):
    """The index is exact and no weight is negative, so what is served is what exact search finds."""
    miniature_repository(tmp_path / "models", neighbours=True)
    executor = Executor.load(tmp_path / "models" / "cascade" / "1", validate=True)
    columns = dict(held_out.columns, user_id=np.arange(100, 120)[:, None])
    got = replay(executor, replace(held_out, columns=columns), 0.0, batch_size=7)
    vectors = np.load(tmp_path / "models-parts" / "item_vectors.npy")
    of_history = HistoryScores(item_neighbours(), got.histories)
    assert np.array_equal(got.retrieved, exact_top(got.queries, vectors, got.seen, 12, 8, of_history))
    plain = exact_top(got.queries, vectors, got.seen, 12, 8)
    users, items = held_out.relevant.nonzero()
    listed, by_vector = ((lists[users] == items[:, None]).any(axis=1) for lists in (got.retrieved, plain))
    assert np.array_equal(listed, got.sources["two_tower"] | got.sources["neighbours"])
    assert (listed & by_vector <= got.sources["two_tower"]).all()
    alone = listed & ~got.sources["two_tower"]
    assert alone.any() and (by_vector & ~listed).any() and not (alone & by_vector).any()


def test_a_graph_with_one_source_says_so(release, held_out):
    got = replay(release[1], held_out, 0.0, batch_size=7)
    assert list(got.sources) == ["two_tower"] and got.histories.shape == (20, 0)
    assert got.retrieved.shape == (20, 12)
