"""Hard negatives compared with a search in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.core.errors import ConfigError
from cascade.models._merlin import tf
from cascade.models.config import NegativesConfig
from cascade.models.retriever import hard_negatives
from cascade.models.retriever.hard_negatives import Miner

USERS, WIDTH = 6, 4


def random_case(seed, items):
    """Query vectors, item vectors, user and item rows of a batch, and the users' positives."""
    rng = np.random.default_rng(seed)
    queries, vectors = (rng.normal(size=(n, WIDTH)).astype(np.float32) for n in (9, items))
    users, own = rng.integers(0, USERS, 9), rng.integers(0, items, 9)
    have = rng.random((USERS, items)) < 0.2
    have[users, own] = True
    return queries, vectors, users, own, have


def miner(config, case):
    queries, vectors, _, _, have = case
    made = Miner(config, lambda batch: queries, lambda: vectors, csr_matrix(have), WIDTH)
    made.vectors.assign(vectors)
    return made


def oracle(config, wanted, case):
    """The expected result, by a full sort."""
    queries, vectors, users, own, have = case
    scores = tf.matmul(queries, vectors, transpose_b=True).numpy()
    found = np.full((len(queries), wanted), -1)
    for at, row in enumerate(scores):
        order = np.argsort(-row, kind="stable")
        fits = [i for i in order if row[i] < row[own[at]] - np.float32(config.margin) and not have[users[at], i]]
        chosen = fits[config.skip : config.skip + wanted]
        found[at, : len(chosen)] = chosen
    return found


@pytest.mark.slow
@given(
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.4, -0.4, -2.0, 2.0]),
    st.integers(0, 3),
    st.integers(1, 5),
    st.sampled_from([7, 40]),
)
@settings(max_examples=60)
def test_mined_are_what_a_full_sort_finds(seed, margin, skip, wanted, items):
    config = NegativesConfig(per_query=wanted, share=1, margin=margin, skip=skip)
    case = random_case(seed, items)
    got = miner(config, case).search(case[0], case[2], case[3])
    assert got.dtype == np.int32 and got.shape == (9, wanted)
    np.testing.assert_array_equal(got, oracle(config, wanted, case))


def test_blocks_of_queries_find_the_same(monkeypatch):
    config, case = NegativesConfig(per_query=3, share=1), random_case(5, 40)
    whole = miner(config, case).search(case[0], case[2], case[3])
    monkeypatch.setattr(hard_negatives, "BLOCK", 2 * 40)
    np.testing.assert_array_equal(miner(config, case).search(case[0], case[2], case[3]), whole)


def test_item_vectors_are_computed_anew_every_so_many_steps():
    queries, vectors, users, own, have = random_case(1, 40)
    calls = []

    def items():
        calls.append(len(calls))
        return vectors if len(calls) == 1 else -vectors

    config = NegativesConfig(per_query=2, share=1, refresh_steps=3)
    made = Miner(config, lambda batch: queries, items, csr_matrix(have), WIDTH)
    found = [made({"user_row": users, "item_row": own}) for _ in range(4)]
    assert len(calls) == 2
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[3], oracle(config, 2, (queries, -vectors, users, own, have)))


def test_to_skip_the_whole_catalogue_is_refused():
    with pytest.raises(ConfigError, match="two_tower.negatives.skip: is 40, but there are only 40 items"):
        miner(NegativesConfig(skip=40), random_case(0, 40))
