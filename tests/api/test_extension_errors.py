"""Errors of registered losses, interactions, sources, baselines and indexes name the extension."""

import re

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

import cascade
from cascade.errors import ConfigError
from cascade.extensions import Source
from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source
from examples import margin


def fails(*_):
    raise KeyError("odd")


LOSSES = {
    "scalar": (lambda tf, shared: tf.reduce_mean(shared), "got float32()"),
    "all_logits": (lambda tf, shared: shared, "got float32(3, 4)"),
    "integers": (lambda tf, shared: tf.cast(shared[:, 0], tf.int32), "got int32(3,)"),
    "nothing": (lambda tf, shared: None, "got NoneType"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_returns_a_number_for_each_query(name):
    from cascade.models._merlin import tf
    from cascade.models.retriever.losses import loss_of

    loss, found = LOSSES[name]
    cascade.register("loss", name, lambda shared, own=None: loss(tf, shared))
    mean, _ = loss_of(name)
    message = f"loss '{name}': expected a number for each query, float32(3,), {found}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        mean(tf.zeros([3, 4]), None)
    with pytest.raises(ConfigError, match=f"loss '{name}': expected a number for each query"):
        tf.function(mean)(tf.zeros([3, 4]), None)


def test_a_loss_that_fails_is_named_and_a_right_one_runs():
    from cascade.models._merlin import tf
    from cascade.models.retriever.losses import loss_of

    cascade.register("loss", "fails", fails)
    cascade.register("loss", "margin", margin)
    with pytest.raises(ConfigError, match="loss 'fails': raised KeyError: 'odd'"):
        tf.function(loss_of("fails")[0])(tf.zeros([3, 4]), None)
    shared = tf.random.stateless_normal([3, 4], [0, 1])
    batches = tf.function(loss_of("margin")[0], input_signature=[tf.TensorSpec([None, None])] * 2)
    np.testing.assert_allclose(batches(shared, shared), tf.reduce_mean(margin(shared, shared)), rtol=1e-6)


def test_a_source_that_fails_is_named():
    cascade.register("source", "fails", fails)
    cascade.register("source", "none", lambda config: None)
    with pytest.raises(ConfigError, match="source 'fails': raised KeyError: 'odd'"):
        open_source(DataConfig(source="fails"))
    with pytest.raises(ConfigError, match="source 'none': expected a Source, got NoneType"):
        open_source(DataConfig(source="none"))


def test_a_source_that_fails_while_it_is_read_is_named():
    def chunks():
        yield pa.table({"user_id": [1]})
        raise OSError("gone")

    cascade.register("source", "breaks", lambda config: Source(chunks, 2))
    read = open_source(DataConfig(source="breaks")).interactions()
    assert next(read).num_rows == 1
    with pytest.raises(ConfigError, match="source 'breaks': raised OSError: gone"):
        next(read)


def test_a_baseline_that_fails_is_named():
    from cascade.evaluation.baselines.registered import rank_registered

    cascade.register("baseline", "fit_fails", fails)
    cascade.register("baseline", "score_fails", lambda positives, sequences: fails)
    taken, popular = csr_matrix(np.eye(3, dtype=bool)), np.zeros(2, np.int64)
    for name in ("fit_fails", "score_fails"):
        with pytest.raises(ConfigError, match=f"baseline '{name}': raised KeyError: 'odd'"):
            rank_registered(name, taken, None, np.arange(3), taken, popular, 1)


def test_an_index_that_fails_is_named():
    from cascade.models.index.vector_index import build_index

    cascade.register("index", "fails", fails)
    with pytest.raises(ConfigError, match="index 'fails': raised KeyError: 'odd'"):
        build_index(np.eye(4, dtype=np.float32), "fails")
