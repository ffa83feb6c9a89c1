"""Replay of an exported release with the real ops."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.ensemble.graph.executor import Executor
from cascade.evaluation.held_out import HeldOut
from cascade.evaluation.ranking_lists import drop
from cascade.evaluation.replay import EVENT_COLUMNS, rank_logged, replay
from cascade.testing.miniature import miniature_repository


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
