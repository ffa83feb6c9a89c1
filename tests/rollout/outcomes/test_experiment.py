"""The state of an experiment, from files of events to the decision."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from outcome_events import event, write

from cascade.ensemble.protocol.assignment import Assignment
from cascade.rollout.config import OutcomesConfig
from cascade.rollout.outcomes.canary_gate import outcome_verdicts
from cascade.rollout.outcomes.event_log import EventLog
from cascade.rollout.outcomes.experiment import ExperimentStatus, experiment_status
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets

CONFIG = OutcomesConfig(planned_users=2000)


def begin(sets: LiveSets, *arms: Arm) -> LiveSet:
    """An experiment that runs, beside the stable release s."""
    sets.change(lambda _: LiveSet("s"), actor="test", reason="")
    return sets.change(lambda live: replace(live, arms=arms), actor="test", reason="")


def feed(sets: LiveSets, file: Path, users: int, rates: dict[str, float], seed: int = 0, **columns: object) -> None:
    """Users who are shown something, of whom these shares of an arm click."""
    live = sets.read()
    assert live
    rng = np.random.default_rng(seed)
    ids = rng.permutation(users * 3)[:users]
    assignment = Assignment(live.salt, [(arm.name, arm.share) for arm in live.arms])
    rate = np.array([rates[name] for name in assignment.names])[assignment.arms(ids)]
    clicked = ids[rng.random(users) < rate]
    table = {
        "user_id": np.concatenate([ids, clicked]),
        "time": np.full(users + len(clicked), time.time()),
        "event": ["impression"] * users + ["click"] * len(clicked),
    }
    pq.write_table(pa.table({**table, **columns}), file)
    EventLog(sets).ingest(file)


def status(sets: LiveSets, config: OutcomesConfig = CONFIG, **options: float) -> ExperimentStatus:
    found = experiment_status(sets, config, **options)
    assert found
    json.dumps(found.to_json(), allow_nan=False)
    return found


def test_without_any_arm_there_is_no_experiment(sets) -> None:
    assert experiment_status(sets, CONFIG) is None
    sets.change(lambda _: LiveSet("s"), actor="test", reason="")
    assert experiment_status(sets, CONFIG) is None


def test_no_events_hold(sets) -> None:
    begin(sets, Arm("a", "r", 0.5))
    (arm,) = status(sets).arms
    assert (arm.decision, arm.users) == ("hold", 0) and "0 users" in arm.reason
    assert arm.metrics[0].value is None


def test_no_data_for_an_hour_holds_whatever_was_counted(sets, tmp_path) -> None:
    begin(sets, Arm("a", "r", 0.5))
    feed(sets, tmp_path / "e.parquet", 5000, {"stable": 0.1, "a": 0.2})
    assert status(sets).arms[0].decision == "ship"
    for minutes, decision in ((50, "ship"), (62, "hold"), (600, "hold")):
        assert status(sets, now_s=time.time() + 60 * minutes).arms[0].decision == decision
    assert "No data came" in status(sets, now_s=time.time() + 3700).arms[0].reason


@pytest.mark.parametrize(("rate", "decision"), [(0.2, "ship"), (0.05, "stop"), (0.1, "hold")])
def test_an_effect_is_found(rate: float, decision: str, sets, tmp_path) -> None:
    begin(sets, Arm("a", "r", 0.5))
    feed(sets, tmp_path / "e.parquet", 5000, {"stable": 0.1, "a": rate})
    found = status(sets)
    (arm,) = found.arms
    (click,) = arm.metrics
    assert arm.decision == decision
    assert click.low < rate - 0.1 < click.high and found.sample_ratio_p > 0.01
    assert arm.users + found.stable_users == 5000 and abs(click.value - rate) < 0.03


@pytest.mark.slow
def test_equal_arms_are_seldom_declared_different_however_often_one_looks(tmp_path) -> None:
    """The whole path: 40 experiments with 8 looks each; at most 5 % may be declared different at any of them.

    `test_error_rates` has the 1,000 runs of the statistics alone.
    """
    different = 0
    for run in range(40):
        folder = tmp_path / str(run)
        folder.mkdir()
        sets = LiveSets(folder, "shop")
        begin(sets, Arm("a", "r", 0.5))
        states = []
        for look in range(8):
            feed(sets, folder / "e.parquet", 400, {"stable": 0.1, "a": 0.1}, seed=1000 * run + look)
            states.append(status(sets).arms[0].decision)
        different += any(state != "hold" for state in states)
    assert different <= 5  # of 40 at a probability of 0.05, more are drawn with a probability of 1 in 70


def test_arms_whose_users_do_not_fit_the_shares_are_stopped(sets, tmp_path) -> None:
    live = begin(sets, Arm("a", "r", 0.5))
    ids = np.arange(4000)
    arms = Assignment(live.salt, [("a", 0.5)]).arms(ids)
    seen = ids[(arms == 0) | (ids % 4 > 0)]
    columns = {"user_id": seen, "time": np.full(len(seen), time.time()), "event": ["impression"] * len(seen)}
    events = pa.table(columns)
    pq.write_table(events, tmp_path / "e.parquet")
    EventLog(sets).ingest(tmp_path / "e.parquet")
    found = status(sets)
    assert found.arms[0].decision == "stop" and "cannot be compared" in found.arms[0].reason
    assert found.sample_ratio_p < 0.001


def test_what_was_before_the_experiment_narrows_the_interval(sets, tmp_path) -> None:
    """Each user clicks as often as before, give or take one."""
    begin(sets, Arm("a", "r", 0.5))
    rng, now = np.random.default_rng(3), time.time()
    ids = np.arange(2000)
    habit = rng.poisson(5, 2000)
    after, before = habit + rng.integers(0, 2, 2000), habit + rng.integers(0, 2, 2000)
    users = np.concatenate([ids, np.repeat(ids, after), np.repeat(ids, before)])
    times = np.concatenate([np.full(2000 + after.sum(), now + 1), np.full(before.sum(), now - 3600)])
    names = ["impression"] * 2000 + ["click"] * int(after.sum() + before.sum())
    pq.write_table(pa.table({"user_id": users, "time": times, "event": names}), tmp_path / "e.parquet")
    EventLog(sets).ingest(tmp_path / "e.parquet")
    widths = []
    for days in (28.0, 0.0):
        found = status(sets, OutcomesConfig(planned_users=2000, pre_period_days=days))
        click = found.arms[0].metrics[0]
        assert click.low < 0 < click.high
        widths.append(click.high - click.low)
        assert found.pre_period_users == (np.count_nonzero(before) if days else 0)
    assert widths[0] < 0.35 * widths[1]  # the correlation is 5 / 5.25, so the spread is 0.30 of what it was


def test_several_arms_have_their_own_decision_and_a_part_of_alpha(sets, tmp_path) -> None:
    begin(sets, Arm("good", "g", 0.3), Arm("bad", "b", 0.3))
    feed(sets, tmp_path / "e.parquet", 20_000, {"stable": 0.1, "good": 0.14, "bad": 0.06})
    found = status(sets, OutcomesConfig(guards={"conversion": "higher"}))
    assert [arm.decision for arm in found.arms] == ["ship", "stop"]
    assert [each.metric for each in found.arms[0].metrics] == ["click", "conversion"]


def test_a_change_of_the_shares_starts_anew_and_the_end_is_kept(sets, tmp_path) -> None:
    begin(sets, Arm("a", "r", 0.5))
    feed(sets, tmp_path / "e.parquet", 5000, {"stable": 0.1, "a": 0.2})
    time.sleep(0.01)  # times of the audit log are whole milliseconds
    sets.change(lambda live: replace(live, arms=(Arm("a", "r", 0.6),)), actor="test", reason="")
    assert status(sets).arms[0].users == 0
    feed(sets, tmp_path / "f.parquet", 5000, {"stable": 0.1, "a": 0.2}, seed=1)
    time.sleep(0.01)
    sets.change(lambda live: replace(live, arms=()), actor="test", reason="")
    found = status(sets, now_s=time.time() + 1e6)
    assert found.ended_us and found.arms[0].decision == "ship"


def test_an_arm_with_all_the_users_or_none_holds(sets, tmp_path) -> None:
    for share in (0.0, 1.0):
        begin(sets, Arm(f"a{share}", "r", share))
        feed(sets, tmp_path / "e.parquet", 500, {"stable": 0.1, f"a{share}": 0.2})
        assert "nothing to compare" in status(sets).arms[0].reason


class TestGateOfACanary:
    """`outcome_verdicts`."""

    def verdicts(self, sets: LiveSets) -> list[str]:
        live = sets.read()
        assert live
        return [each.state for each in outcome_verdicts(sets, live, CONFIG)]

    def test_without_events_it_does_not_judge(self, sets) -> None:
        begin(sets, Arm("canary", "r", 0.5))
        assert self.verdicts(sets) == []

    @pytest.mark.parametrize(("rate", "state"), [(0.1, "pass"), (0.2, "pass"), (0.04, "fail")])
    def test_a_canary_need_not_be_better(self, rate: float, state: str, sets, tmp_path) -> None:
        begin(sets, Arm("canary", "r", 0.5))
        feed(sets, tmp_path / "e.parquet", 5000, {"stable": 0.1, "canary": rate})
        assert self.verdicts(sets) == [state]

    def test_few_users_and_a_step_without_events_are_inconclusive(self, sets, tmp_path) -> None:
        begin(sets, Arm("canary", "r", 0.2))
        feed(sets, tmp_path / "e.parquet", 300, {"stable": 0.1, "canary": 0.1})
        assert self.verdicts(sets) == ["inconclusive"]
        time.sleep(0.01)
        sets.change(lambda live: replace(live, arms=(Arm("canary", "r", 0.5),)), actor="test", reason="")
        assert self.verdicts(sets) == ["inconclusive"]

    def test_events_of_another_experiment_do_not_count(self, sets, tmp_path) -> None:
        begin(sets, Arm("canary", "r", 0.5))
        EventLog(sets).ingest(write(tmp_path / "e.jsonl", [event(1, time.time())]))
        sets.change(lambda live: replace(live, arms=()), actor="test", reason="")
        begin(sets, Arm("canary", "q", 0.5))
        assert self.verdicts(sets) == []
