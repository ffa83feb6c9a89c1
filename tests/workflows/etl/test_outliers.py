"""A number that flattens its column by standardizing is noticed; wide distributions are not."""

import numpy as np
import pytest

from cascade.workflows.etl.outliers import _notice


def test_the_stage_names_column_and_value(run_data, run_etl, caplog):
    values = [0.5, 1, 2, 10] * 10
    tables = {
        "interactions": {"user_id": [*range(20)] * 2, "item_id": [0] * 20 + [*range(20)], "timestamp": [*range(40)]},
        "users": {"user_id": [*range(40)], "age": [*values[:8], -1e29, *values[9:]], "height": values},
        "items": {"item_id": [*range(40)], "price": [*values[:5], None, 1e6, *values[7:]]},
    }
    tables["interactions"]["cost"] = [*values[:3], 1e9, *values[4:]]
    schema = {"sparse": ["user_id", "item_id"], "dense": ["age", "height", "price", "cost"]}
    data = run_data(schema, tables, split={"by": "time", "valid_share": 0.01, "test_share": 0.01})
    notices = run_etl(data, schema).metrics["notices"]
    assert [notice.partition(" is so far")[0] for notice in notices] == [
        "users.age: -1e+29",
        "interactions.cost: 1e+09",
        "items.price: 1e+06",
    ]
    assert all("most of which are 0.5 to 10, that" in notice and notice in caplog.text for notice in notices)


RNG = np.random.default_rng(7)
WIDE = {
    "normal": RNG.normal(size=1000),
    "log-normal": np.exp(2 * RNG.normal(size=1000)),
    "prices": np.exp(RNG.normal(3, 1.5, size=1000)).round(2),
    "counts": RNG.zipf(2.0, size=1000).clip(max=1000),
    "truth": np.arange(1000) % 2,
    "rarely true": np.arange(1000) == 5,
    "one value": np.full(1000, 7.0),
    "one value and another": np.append(np.full(999, 7.0), 1e29),
    "two groups": np.append(RNG.normal(size=500), RNG.normal(1e6, 1, size=500)),
    "two": np.array([1.0, 1e29]),
    "times": 1.7e9 + np.arange(1000) * 60.0,
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_distributions_are_not_noticed(name):
    values = WIDE[name].astype(np.float64)
    assert not _notice("x", values, values.std())


@pytest.mark.parametrize("share", [0.001, 0.01, 0.04])
@pytest.mark.parametrize("far", [1e29, -1e6])
def test_a_few_far_numbers_are_noticed(share, far):
    values = RNG.uniform(0, 10, size=1000)
    values[: int(1000 * share)] = far
    assert f"{far:g} is so far" in _notice("x", values, values.std())[0]


def test_three_values():
    assert _notice("x", np.array([1.0, 2.0, 1e6]), 1e6 / 3**0.5)
