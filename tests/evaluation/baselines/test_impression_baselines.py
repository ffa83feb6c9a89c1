"""LightGBM and the factorization machine on a shop whose clicks depend on the tastes of users."""

from dataclasses import replace

import numpy as np
import pytest
from model_shop import make_shop
from sklearn.metrics import roc_auc_score

from cascade.evaluation.baselines.click_features import FEW, click_table
from cascade.evaluation.baselines.factorization_machine import (
    Encoder,
    FactorizationMachine,
    FactorizationSetting,
    factorization_logits,
    fit,
)
from cascade.evaluation.baselines.labelled import Labelled, joined, some_users
from cascade.evaluation.baselines.tuning import Tuner
from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.config import IMPRESSION_BASELINES
from cascade.evaluation.impressions import Logged, events_of_test, measure_impressions
from cascade.evaluation.ranking import RankedRows
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    shop = make_shop(tmp_path_factory.mktemp("clicks"), users=1500, label=True, labels=True)
    return Tensors.load(shop["etl"].path)


QUICK = Tuner(seconds=1e-9)
"""Tries the default and nothing else."""


def shown(tensors, history="at_event"):
    every = np.arange(len(tensors.interactions("test")))
    return events_of_test(tensors, every, history)


@pytest.mark.slow
def test_both_learn_the_taste_and_are_compared_with_the_ranker(clicks):
    test = shown(clicks)
    noise = np.random.default_rng(0).normal(size=len(test)).astype("f4")
    served = RankedRows(noise, test.label > 0, test.user_row, test.item_row, np.arange(len(test)))
    trained = {"valid_auc_of": {"like": 0.5}}
    got = measure_impressions(
        served, Logged.read(clicks, test), {"like": noise}, clicks, trained, IMPRESSION_BASELINES, Bootstrap(100), QUICK
    )["like"]
    assert list(got["methods"]) == ["ranker", "lightgbm", "factorization_machine"]
    assert got["methods"]["ranker"]["auc"] == pytest.approx(roc_auc_score(test.labels["like"] > 0, noise))
    assert got["methods"]["ranker"]["valid_auc"] == 0.5
    for name in IMPRESSION_BASELINES:
        figures, apart = got["methods"][name], got["differences"][f"ranker - {name}"]["auc"]
        assert figures["auc"] > 0.8 and figures["valid_auc"] > 0.8 and figures["ece"] < 0.2
        assert apart["value"] == pytest.approx(got["methods"]["ranker"]["auc"] - figures["auc"])
        assert apart["high"] < 0


def test_a_baseline_that_cannot_be_fitted_says_why(clicks):
    test = shown(clicks)
    logged = Logged.read(clicks, test)
    logged = replace(logged, valid=replace(logged.valid, label=np.ones_like(logged.valid.label)))
    served = RankedRows(test.label, test.label > 0, test.user_row, test.item_row, np.arange(len(test)))
    got = measure_impressions(served, logged, {"label": test.label}, clicks, {}, ["lightgbm"], Bootstrap(100), QUICK)[
        "label"
    ]
    assert got["methods"]["lightgbm"] == {"skipped": "the validation part does not hold both 0 and 1"}
    assert got["differences"] == {} and set(got["intervals"]) == {"ranker"}


def test_a_history_before_the_test_holds_all_earlier_positives(clicks):
    # each user has one test event, the last one, so the history before it is the history before the test part
    assert np.array_equal(shown(clicks, "before_test").moment["history"], shown(clicks).moment["history"])


def test_the_columns_of_the_table(clicks):
    events = Events.of(clicks.interactions("train"))
    table = click_table(clicks, [events, shown(clicks)], events.label, seed=1)
    want = ["user_id_rate", "user_id_count", "city", "age", "history_1"]
    assert (
        clicks.schema["history"].cardinality <= FEW
        and table.names[:5] == want
        and {"hour", "price", "genres_3"} <= set(table.names)
    )
    known, asked = table.matrices()
    assert known.shape == (len(events), len(table.names)) and asked.shape[0] == len(shown(clicks))
    assert table.names.index("city") in table.categorical
    counts = known[:, table.names.index("user_id_count")]
    assert np.array_equal(counts, np.bincount(events.user_row)[events.user_row])


def labelled(tensors, split, label=None):
    events = Events.of(tensors.interactions(split))
    return Labelled(events, events.label if label is None else label)


def test_rows_are_codes_and_values(clicks):
    encoder, events = Encoder(clicks), Events.of(clicks.interactions("valid")).take(np.arange(20))
    codes, values = encoder.rows(events)
    assert codes.max() < encoder.size == sum(f.cardinality or 1 for f in clicks.schema)
    at, first = {}, 0
    for feature in clicks.schema:
        at[feature.name], first = first, first + feature.dims[0]
    users = np.arange(1500)[events.user_row]
    assert np.array_equal(codes[:, at["user_id"]], users + 3) and (values[:, at["user_id"]] == 1).all()
    assert np.array_equal(values[:, at["age"]], clicks.users["age"][events.user_row, 0])
    history = values[:, at["history"] : at["history"] + 5]
    assert np.square(history).sum(axis=1) == pytest.approx((history > 0).any(axis=1).astype(float))
    starts = np.cumsum([0, *(f.cardinality or 1 for f in clicks.schema)])
    assert all(
        np.isin(np.searchsorted(starts, column, "right") - 1, number).all()
        for number, feature in enumerate(clicks.schema)
        for column in codes[:, at[feature.name] : at[feature.name] + feature.dims[0]].T
    )


def test_the_factorization_machine_sums_over_all_pairs(clicks):
    encoder, events = Encoder(clicks), Events.of(clicks.interactions("valid")).take(np.arange(20))
    model = FactorizationMachine(encoder, FactorizationSetting(width=3))
    rng = np.random.default_rng(0)
    model.linear[:], model.factors[:], model.bias[0] = (
        rng.normal(size=model.linear.shape),
        rng.normal(size=model.factors.shape),
        0.3,
    )
    codes, values = encoder.rows(events)
    terms = model.factors[codes] * values[..., None]
    pairs = sum((terms[:, a] * terms[:, b]).sum(axis=1) for a in range(terms.shape[1]) for b in range(a))
    want = 0.3 + (model.linear[codes] * values).sum(axis=1) + pairs
    np.testing.assert_allclose(model.logits(events), want, rtol=1e-3, atol=1e-3)


def test_a_first_step_goes_down_the_gradient(clicks):
    """From zero weights and squares of 1: w -= rate * g / sqrt(1 + g^2), with g = (sigmoid(0) - label) * x."""
    encoder, valid = Encoder(clicks), labelled(clicks, "valid")
    one = Labelled(valid.events.take(np.array([5])), np.ones(1, np.float32))
    model = FactorizationMachine(encoder, FactorizationSetting(width=2, l2=0.0))
    model.factors[:] = 0
    model.epoch(one)
    codes, values = encoder.rows(one.events)
    gradient = -0.5 * values[0]
    assert model.linear[codes[0]][values[0] != 0] == pytest.approx(
        (-0.1 * gradient / np.sqrt(1 + gradient**2))[values[0] != 0], rel=1e-4
    )
    assert model.bias[0] == pytest.approx(0.1 * 0.5 / np.sqrt(1.25)) and not model.factors.any()


def planted(tensors, split, seed):
    """Labels that depend on whether the parities of user and item are equal, and on neither by itself."""
    events = Events.of(tensors.interactions(split))
    rng = np.random.default_rng(seed)
    equal = (events.user_row + events.item_row) % 2 == 0
    return Labelled(events, (rng.random(len(events)) < np.where(equal, 0.9, 0.1)).astype(np.float32))


def test_the_factorization_machine_learns_a_planted_interaction(clicks):
    train, valid, test = (planted(clicks, split, seed) for seed, split in enumerate(("train", "valid", "test")))
    made = factorization_logits(clicks, train, valid, [test.events], QUICK, "")
    best = roc_auc_score(test.label, (test.events.user_row + test.events.item_row) % 2 == 0)
    assert roc_auc_score(test.label, made.others[0]) > best - 0.05


def test_the_validation_part_is_learned_in_the_end(clicks):
    train, valid, test = (planted(clicks, split, seed) for seed, split in enumerate(("train", "valid", "test")))
    flipped = Labelled(valid.events, 1 - valid.label)
    made = factorization_logits(clicks, train, flipped, [valid.events], QUICK, "")
    alone = fit(Encoder(clicks), FactorizationSetting(), train, flipped)
    assert roc_auc_score(flipped.label, made.others[0]) > roc_auc_score(flipped.label, alone.logits) + 0.03


def test_parts_are_joined_row_by_row(clicks):
    parts = [labelled(clicks, split) for split in ("train", "valid")]
    both = joined(parts)
    assert len(both) == sum(map(len, parts)) and np.array_equal(both.label, np.concatenate([p.label for p in parts]))
    for name in ("history", "hour"):
        want = np.concatenate([np.asarray(part.events.moment[name]) for part in parts])
        assert np.array_equal(np.asarray(both.events.moment[name]), want)
    assert np.array_equal(both.events.labels["like"], np.concatenate([p.events.labels["like"] for p in parts]))


def test_a_sample_has_whole_users(clicks):
    parts = [labelled(clicks, split) for split in ("train", "valid")]
    assert some_users(*parts, 1500, len(parts[0])) == tuple(parts)
    train, valid = some_users(*parts, 1500, len(parts[0]) // 5)
    rows = np.bincount(parts[0].events.user_row)
    users = np.unique(train.events.user_row)
    assert 200 < len(users) < 400 and len(train) == rows[users].sum()
    assert set(valid.events.user_row) <= set(users)
