"""LightGBM and the factorization machine on a shop whose clicks depend on the tastes of users."""

from dataclasses import replace

import numpy as np
import pytest
from model_shop import make_shop
from sklearn.metrics import roc_auc_score

from cascade.evaluation.baselines.click_features import FEW, click_table
from cascade.evaluation.baselines.factorization_machine import FactorizationMachine, columns_of
from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.config import IMPRESSION_BASELINES
from cascade.evaluation.impressions import Logged, events_of_test, measure_impressions
from cascade.evaluation.ranking import RankedRows
from cascade.models._merlin import tf
from cascade.models.layers.feature_gather import Lookup
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    shop = make_shop(tmp_path_factory.mktemp("clicks"), users=1500, label=True, labels=True)
    return Tensors.load(shop["etl"].path)


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
        served, Logged.read(clicks, test), {"like": noise}, clicks, trained, IMPRESSION_BASELINES, Bootstrap(100)
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
    got = measure_impressions(served, logged, {"label": test.label}, clicks, {}, ["lightgbm"], Bootstrap(100))["label"]
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


def test_the_factorization_machine_sums_over_all_pairs(clicks):
    schema = clicks.schema
    model = FactorizationMachine([*schema.side("user", "context"), *schema.side("item")], width=3)
    events = Events.of(clicks.interactions("valid")).take(np.arange(20))
    columns = columns_of(Lookup(clicks), {**events.queries(), "items": events.item_row})
    model(columns)
    model.bias.assign(0.3)
    model.numbers.assign(tf.random.stateless_normal(model.numbers.shape, [1, 2]))
    rows = [values.numpy()[:, 0] for values in model.vectors(columns).values()]
    numbers = [f.name for f in model.features if f.kind == "continuous"]
    rows += [np.asarray(columns[name]) * model.numbers.numpy()[at] for at, name in enumerate(numbers)]
    pairs = sum((a[:, 1:] * b[:, 1:]).sum(axis=1) for at, a in enumerate(rows) for b in rows[:at])
    want = 0.3 + sum(row[:, 0] for row in rows) + pairs
    np.testing.assert_allclose(model(columns).numpy(), want, rtol=1e-4, atol=1e-5)
