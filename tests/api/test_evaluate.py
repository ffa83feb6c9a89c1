"""Metrics of a release on a table, against the same by hand."""

import numpy as np
import pandas as pd
import pytest

import cascade
from cascade.errors import ConfigError, DataError, RequestError
from cascade.evaluation.list_metrics import metric_values
from examples import hit_rate


@pytest.fixture
def table():
    """Unknown users and items are among them, and pairs that are there twice."""
    rng = np.random.default_rng(0)
    columns = {"user_id": rng.integers(98, 121, 90), "item_id": rng.integers(998, 1032, 90)}
    return pd.DataFrame({**columns, "hour": rng.integers(0, 24, 90), "timestamp": rng.permutation(90)})


def by_hand(release, made, table, k):
    """(recall, ndcg, map, mrr) of each user with something to find, and the items shown."""
    seen = dict(zip(made.user_ids.tolist(), map(set, made.seen), strict=True))
    values, shown = [], set()
    for user, rows in table.sort_values("timestamp").groupby("user_id"):
        wanted = (set(rows["item_id"]) & set(made.item_ids.tolist())) - seen.get(user, set())
        if not wanted:
            continue
        context = {"hour": rows["hour"].iloc[0]}
        answer = release.recommend([user], top_k=k, context=context, temperature=0).item_ids[0].tolist()
        shown |= {item for item in answer if item != -1}
        hits = np.array([item in wanted for item in answer])
        ranks = np.flatnonzero(hits) + 1
        best = min(len(wanted), k)
        values.append(
            (
                len(ranks) / len(wanted),
                (1 / np.log2(1 + ranks)).sum() / (1 / np.log2(1 + np.arange(1, best + 1))).sum(),
                (np.arange(1, len(ranks) + 1) / ranks).sum() / best,
                1 / ranks[0] if len(ranks) else 0,
            )
        )
    return np.array(values), shown


def test_equals_the_metrics_by_hand(release, mini, table):
    found = cascade.evaluate(release, table, k=5, replicates=200)
    values, shown = by_hand(release, mini[1], table, 5)
    expected = dict(zip(["recall@5", "ndcg@5", "map@5", "mrr@5"], values.mean(axis=0), strict=True))
    assert found.metrics == pytest.approx({**expected, "coverage@5": len(shown) / 30})
    assert found.users == len(values)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high
    assert list(found.intervals) == list(expected)


def test_counts_what_is_left_out(release, mini, table):
    made, pairs = mini[1], set(zip(table["user_id"], table["item_id"], strict=True))
    seen = {(user, item) for user, items in zip(made.user_ids, made.seen, strict=True) for item in items}
    unknown = {pair for pair in pairs if pair[1] not in made.item_ids}
    found = cascade.evaluate(release, table, k=5, replicates=100)
    assert found.already_seen == len(pairs & seen) > 0
    assert found.unknown_items == len(unknown) > 0
    assert found.relevant == len(pairs - seen - unknown)
    left = {user for user, _ in pairs - seen - unknown}
    assert (found.users, found.users_without_relevant) == (len(left), table["user_id"].nunique() - len(left))
    assert found.unknown_users == len(left - set(made.user_ids.tolist())) > 0


def test_a_label_says_what_is_positive(release, table):
    label = np.arange(len(table)) % 3 == 0
    found = cascade.evaluate(release, table.assign(label=label.astype(int)), k=5, replicates=100)
    assert found == cascade.evaluate(release, table[label], k=5, replicates=100)
    assert found == cascade.evaluate(release, table.assign(label=label), k=5, replicates=100)


def test_any_table(release, table, tmp_path):
    found = cascade.evaluate(release, table, replicates=100)
    table.to_parquet(tmp_path / "held-out.parquet")
    table.to_csv(tmp_path / "held-out.csv", index=False)
    for other in (tmp_path / "held-out.parquet", str(tmp_path / "held-out.csv"), {**table.to_dict("list")}):
        assert cascade.evaluate(release, other, replicates=100) == found
    frame = found.to_frame()
    assert list(frame) == ["metric", "value", "low", "high"] and len(frame) == 5


def test_registered_metrics(release, table):
    cascade.register("metric", "hit_rate", hit_rate)
    cascade.register("metric", "broken", lambda hits, relevant, k: hits[0])
    found = cascade.evaluate(release, table, k=5, metrics=["hit_rate"], replicates=100)
    assert found.metrics["recall@5"] <= found.metrics["hit_rate@5"] <= 1
    assert "hit_rate@5" in found.intervals
    assert found == cascade.evaluate(release, table, k=5, metrics="hit_rate", replicates=100)
    with pytest.raises(ConfigError, match="metric 'broken': expected a finite number for each of"):
        cascade.evaluate(release, table, metrics=["broken"])
    with pytest.raises(ConfigError, match="metric 'hitrate': no such metric; did you mean 'hit_rate'"):
        cascade.evaluate(release, table, metrics=["hitrate"])


def test_what_everybody_has_seen_is_an_error_and_no_zero(release, mini):
    made = mini[1]
    pairs = [(user, item) for user, items in zip(made.user_ids, made.seen, strict=True) for item in items]
    seen = pd.DataFrame([*pairs, (100, 5)], columns=["user_id", "item_id"])
    with pytest.raises(
        DataError, match=f"release does not hold 1, and {len(pairs)} are items that the user had seen before"
    ):
        cascade.evaluate(release, seen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="item_id"), "table: no column item_id; it has user_id, hour, timestamp"),
        (lambda t: t.assign(label=0), "table: no row is positive"),
        (lambda t: t.assign(label="1"), "table: label: expected numbers or booleans, .* got .*string"),
        (lambda t: t.iloc[:0], "table: no row is positive"),
        (lambda t: 5, "table: expected a DataFrame, an Arrow table or the path of a .parquet or .csv file, got a int"),
        (lambda t: "held-out.txt", "table: expected a .parquet or .csv file, got held-out.txt"),
    ],
)
def test_what_cannot_be_measured_is_named(release, table, change, message):
    with pytest.raises(DataError, match=message):
        cascade.evaluate(release, change(table))


def test_longer_lists_than_the_release_gives(release, table):
    with pytest.raises(RequestError, match="top_k: expected 1 to 12, got 20"):
        cascade.evaluate(release, table, k=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k: expected a positive integer, got 0"),
        ({"k": 2.5}, "k: expected a positive integer, got 2.5"),
        ({"k": True}, "k: expected a positive integer, got True"),
        ({"replicates": 0}, "replicates: expected a positive integer, got 0"),
    ],
)
def test_wrong_arguments_are_named(release, table, arguments, message):
    with pytest.raises(ConfigError, match=message):
        cascade.evaluate(release, table, **arguments)


def test_a_metric_can_neither_change_the_hits_nor_fail_without_its_name():
    cascade.register("metric", "writes", lambda hits, relevant, k: hits.fill(False))
    hits = np.ones((2, 3), bool)
    with pytest.raises(ConfigError, match="metric 'writes': raised ValueError: .*read-only"):
        metric_values("writes", hits, np.ones(2, np.int64), 3)
    assert hits.all()


def test_what_is_no_release_cannot_be_evaluated(table):
    with pytest.raises(ConfigError, match="release: expected what cascade.open_release gives, got None"):
        cascade.evaluate(None, table)


@pytest.mark.parametrize(
    "given",
    [{"metrics": 3}, {"metrics": None}, {"metrics": [3]}, {"seed": -1}, {"seed": "x"}, {"seed": 1.5}, {"seed": None}],
    ids=str,
)
def test_arguments_are_named(release, table, given):
    with pytest.raises(ConfigError, match=f"^{next(iter(given))}: expected "):
        cascade.evaluate(release, table, k=5, **given)
