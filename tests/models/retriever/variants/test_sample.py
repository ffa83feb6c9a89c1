"""The users that variants are tried on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from model_shop import make_shop

from cascade.models.retriever.variants.sample import drawn, sample
from cascade.workflows.etl.tensors import Tensors


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(0, 200), st.integers(0, 9))
def test_as_many_users_as_there_is_room_for(counts, most, seed):
    counts = np.array(counts)
    found = drawn(counts, most, seed)
    assert found.any()
    assert counts[found].sum() <= most or found.sum() == 1
    assert found.all() or counts[found].sum() + counts[~found].max() > most, "another one would have fitted"
    np.testing.assert_array_equal(found, drawn(counts, most, seed))


def test_drawn_users_have_all_their_positives(tmp_path):
    tensors = Tensors.load(make_shop(tmp_path, users=50, items=30, dislikes=True)["etl"].path)
    parts = {split: tensors.interactions(split) for split in ("train", "valid")}
    train, valid = sample(tensors, 7, most=120)
    users = set(train.user_row)
    assert 5 < len(users) < 25 and len(train) <= 120
    for events, part in ((train, parts["train"]), (valid, parts["valid"])):
        own = np.flatnonzero(part.positive & np.isin(part.user_row, list(users)))
        np.testing.assert_array_equal(events.item_row, part.item_row[own])
    every, _ = sample(tensors, 7)
    assert len(every) == parts["train"].positive.sum()
