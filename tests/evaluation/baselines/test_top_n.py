"""The top-N baselines on a data set that is small enough to know the right answers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from model_shop import make_shop
from scipy.sparse import csr_matrix

from cascade.evaluation.baselines import top_n, validation
from cascade.evaluation.baselines.past import Past
from cascade.evaluation.baselines.popularity import PopularitySetting
from cascade.evaluation.baselines.sequences import UserSequences
from cascade.evaluation.baselines.tuning import Choice, Tuner
from cascade.evaluation.baselines.validation import Validation
from cascade.workflows.etl.tensors import Tensors

pytestmark = pytest.mark.slow

# Two tastes, repeated ten times: users 0-3 like items 0-2, users 4-7 like items 3-5. Nobody has item 6; user 80 is new.
TASTES = np.array(
    [[1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0]]
    + [[0, 0, 0, 1, 1, 1, 0]] * 4,
    dtype=bool,
)
POSITIVES = csr_matrix(np.vstack([np.tile(TASTES, (10, 1)), np.zeros((1, 7), bool)]))
SEQUENCES = UserSequences(*(rows.astype(np.int32) for rows in POSITIVES.nonzero()), *POSITIVES.shape)
PAST = Past(SEQUENCES, np.arange(len(SEQUENCES.users)))
DEFAULTS = {name: Choice(method.default) for name, method in top_n.METHODS.items()}
PERSONAL = ["ials", "item_knn", "ease", "recency_ease", "markov"]
USERS = np.array([0, 3, 80])
SEEN = POSITIVES[USERS]


def ranked(k=3):
    return top_n.rank_baselines(PAST, DEFAULTS, USERS, SEEN, k, top_n.BASELINES)


def test_popularity_counts_users_and_breaks_ties_by_row():
    # users, in tens: item 0 has 4, items 1 and 2 have 3, items 3 to 5 have 4
    assert ranked(7)["popularity"].tolist() == [
        [3, 4, 5, 2, -1, -1, -1],
        [3, 4, 5, 1, -1, -1, -1],
        [0, 3, 4, 5, 1, 2, -1],
    ]


@pytest.mark.parametrize("name", PERSONAL)
def test_personalized_baselines_find_the_taste(name):
    assert ranked()[name][:2, 0].tolist() == [2, 1]


@pytest.mark.parametrize("name", PERSONAL)
def test_a_new_user_gets_popular_items(name):
    assert ranked()[name][2].tolist() == [0, 3, 4]


@pytest.mark.parametrize("name", ["popularity", *PERSONAL])
def test_seen_items_are_masked_even_if_not_positive(name):
    shown = csr_matrix(np.array([[1, 1, 0, 1, 1, 0, 0], [1, 0, 1, 0, 0, 1, 0], [0] * 7], dtype=bool))
    found = top_n.rank_baselines(PAST, DEFAULTS, USERS, shown, 7, [name])
    assert list(found) == [name]
    for user, rows in zip(shown.toarray(), found[name], strict=True):
        assert not user[rows[rows >= 0]].any()


def test_items_without_a_positive_are_not_recommended():
    assert all((rows != 6).all() for rows in ranked(7).values())


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The last item of each user is the test part, the one before it the validation part."""
    return Tensors.load(make_shop(tmp_path_factory.mktemp("shop"), users=300)["etl"].path)


def test_without_times_there_is_no_markov_chain(shop, monkeypatch):
    schema = shop.schema
    unordered = replace(schema, features=tuple(replace(f, ordered=f.name != "history") for f in schema))
    choices = top_n.tune_baselines(top_n.BASELINES, replace(shop, schema=unordered), Tuner(seconds=1e-9))
    assert set(choices) == {"popularity", "ials", "item_knn", "ease"} and choices["popularity"].tried == 0
    found = top_n.rank_baselines(PAST, choices, USERS, SEEN, 3, ["popularity", "markov", "recency_ease"])
    assert found["popularity"].shape == (3, 3)
    assert all("no timestamps" in found[name] for name in ("markov", "recency_ease"))


def test_the_validation_part_follows_the_training_part(shop, monkeypatch):
    monkeypatch.setattr(validation, "ENOUGH_USERS", 300)
    found = Validation.read(shop)
    train, valid = shop.interactions("train"), shop.interactions("valid")
    assert len(found.past.times) == train.positive.sum() and found.relevant.nnz == valid.positive.sum()
    at = np.repeat(np.arange(300), np.diff(found.relevant.indptr))
    assert np.array_equal(found.relevant.indices, valid.item_row[valid.positive]) and np.array_equal(at, valid.user_row)


def test_a_small_validation_part_gets_the_last_positives_of_other_users(shop, monkeypatch):
    read = Past.read

    def few(tensors, splits):  # users 0 to 99 validate
        past = read(tensors, splits)
        return past.keep(past.sequences.users < 100) if splits == ["valid"] else past

    monkeypatch.setattr(Past, "read", few)
    found, train, valid = Validation.read(shop), read(shop, ["train"]), read(shop, ["valid"])
    last = np.flatnonzero(np.diff(train.sequences.users, append=-1))
    want = np.append(valid.sequences.items[:100], train.sequences.items[last[100:]])
    assert np.array_equal(found.users, np.arange(300)) and np.array_equal(found.relevant.indices, want)
    kept = np.delete(np.arange(len(train.times)), last[100:])
    assert np.array_equal(found.past.sequences.items, train.sequences.items[kept])


def test_ndcg_ranks_what_is_new_to_the_user(shop, monkeypatch):
    def by_row(users):
        return np.tile(-np.arange(60.0), (len(users), 1))

    monkeypatch.setattr(validation, "ENOUGH_USERS", 300)
    found = Validation.read(shop)
    seen, wanted = found.past.matrix.toarray() > 0, found.relevant.indices
    for known, repeats in ((seen, False), (0 * seen, True)):
        above = np.array([row + 1 - known[user, : row + 1].sum() for user, row in enumerate(wanted)])
        want = np.where(above <= 20, 1 / np.log2(1 + np.maximum(above, 1)), 0)
        assert replace(found, repeats=repeats).ndcg(by_row) == pytest.approx(want)


def test_the_better_value_is_chosen(monkeypatch):
    """400 users took items 0 to 4 long ago, 100 took items 5 to 9 since, and 50 take one of these next."""
    owner, lists = np.repeat(np.arange(500), 3), [np.arange(3) + user % 3 + 5 * (user >= 400) for user in range(500)]
    users, items = (np.asarray(part, np.int32) for part in (owner, np.concatenate(lists)))
    past = Past(UserSequences(users, items, 550, 10), np.arange(len(users)))
    wanted = csr_matrix((np.ones(50, bool), (np.arange(50), 5 + np.arange(50) % 5)), shape=(50, 10))
    planted = Validation(past, np.arange(500, 550), wanted)
    monkeypatch.setattr(Validation, "read", lambda *some: planted)
    tensors = SimpleNamespace(schema={"history": SimpleNamespace(ordered=True)})
    choices = top_n.tune_baselines(["popularity", "ease"], tensors, Tuner())
    assert choices["popularity"].setting in [PopularitySetting(share) for share in (0.2, 0.1, 0.05, 0.02)]
    assert choices["popularity"].score > 0.5 and choices["ease"].tried == 0  # it cannot be tried on unknown users
    ranked = top_n.rank_baselines(past, choices, np.array([549]), csr_matrix((1, 10), dtype=bool), 5, ["popularity"])
    assert sorted(ranked["popularity"][0]) == [5, 6, 7, 8, 9]
