"""The search itself, on objectives that take no time: alone, through Dask, interrupted, pruned."""

import os
import time

import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import TrialPruned

from cascade.core.errors import ConfigError
from cascade.tuning.crew import Alone, crew, environment
from cascade.tuning.results import results_of
from cascade.tuning.search import Plan, search
from cascade.tuning.study import (
    check_meaning,
    only_one,
    open_study,
    settle,
)
from cascade.tuning.trial import Outcome, Ticket

RANGE = {"x": FloatDistribution(-4, 4)}


def parabola(drawn, ticket):
    """Best at 1."""
    return Outcome("complete", -((drawn["x"] - 1) ** 2))


def where(drawn, ticket):
    """The process that runs it, and the threads that it may use."""
    time.sleep(0.2)
    watch = ticket.watch("stage")
    watch("other stage", 1, -1.0)
    watch("stage", 1, 0.5)
    return Outcome("complete", 0.0, artifact=f"{os.getpid()}/{os.environ['OMP_NUM_THREADS']}")


def dies(drawn, ticket):
    os._exit(1)


def by_epochs(drawn, ticket):
    """Three epochs of the same score."""
    watch = ticket.watch("stage")
    try:
        for epoch in (1, 2, 3):
            watch("stage", epoch, drawn["x"])
    except TrialPruned as error:
        return Outcome("pruned", reason=str(error))
    return Outcome("complete", drawn["x"])


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


def opened(url, sampler="tpe", pruner="median", seed=0):
    return open_study(url, "s", "maximize", sampler, pruner, seed)


def run(study, url, attempt, executor, plan, pruner="median"):
    search(study, RANGE, attempt, executor, plan, lambda trial: Ticket(url, "s", trial._trial_id, pruner))
    return results_of(study, "m")


def test_finds_the_best_and_goes_on_where_it_stopped(url):
    first = run(opened(url), url, parabola, Alone(), Plan(15))
    again = run(opened(url), url, parabola, Alone(), Plan(15))
    assert [len(first.trials), len(again.trials)] == [15, 30]
    assert again.trials[:15] == first.trials
    assert abs(again.best.params["x"] - 1) < 0.2
    drawn = [trial.params["x"] for trial in again.trials]
    assert len(set(drawn)) == 30, "a study that goes on does not draw the same numbers again"


def test_the_same_seed_draws_the_same(tmp_path):
    urls = [f"sqlite:///{tmp_path / name}.db" for name in "ab"]
    first, second = (run(opened(url), url, parabola, Alone(), Plan(12)) for url in urls)
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


def test_two_dask_workers(url):
    with crew(2) as (executor, at_once):
        found = run(opened(url), url, where, executor, Plan(8, at_once))
    assert [trial.reason for trial in found.trials] == [""] * 8
    processes = {trial.artifact.split("/")[0] for trial in found.trials}
    assert len(processes) == 2 and str(os.getpid()) not in processes
    assert {trial.artifact.split("/")[1] for trial in found.trials} == {environment(2)["OMP_NUM_THREADS"]}
    assert all(trial.epochs == {1: 0.5} for trial in found.trials), "workers report to the same study"


def test_a_worker_that_dies_takes_only_its_trial_along(url):
    with crew(2) as (executor, at_once):
        study = opened(url)
        run(study, url, dies, executor, Plan(1, at_once))
        found = run(study, url, where, executor, Plan(1, at_once))
    assert [trial.state for trial in found.trials] == ["fail", "complete"]
    assert "KilledWorker" in found.trials[0].reason


def test_trials_behind_the_median_end_early(url):
    study = opened(url)
    for x in (1, 1, 1, 1, 1, 0, 2):
        study.enqueue_trial({"x": x})
    found = run(study, url, by_epochs, Alone(), Plan(7))
    assert [trial.state for trial in found.trials] == ["complete"] * 5 + ["pruned", "complete"]
    assert found.trials[5].reason == "epoch 1: 0.0000 is behind earlier trials"
    assert found.trials[5].epochs == {1: 0.0} and len(found.trials[6].epochs) == 3


def test_halving_ends_what_is_behind_at_the_first_rung(url):
    study = opened(url, pruner="halving")
    for x in (2, 1, 0):
        study.enqueue_trial({"x": x})
    found = run(study, url, by_epochs, Alone(), Plan(3), pruner="halving")
    assert found.trials[0].state == "complete" and found.trials[2].state == "pruned"


def test_without_a_pruner_nothing_is_reported(url):
    assert Ticket(url, "s", 0, "none").watch("stage") is None


def test_an_interrupted_trial_is_first_in_line(url):
    def interrupted(drawn, ticket):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(opened(url), url, interrupted, Alone(), Plan(3))
    study = opened(url)
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]
    assert settle(study) == 1
    assert settle(study) == 0, "once is enough"
    found = run(study, url, parabola, Alone(), Plan(1))
    assert [trial.state for trial in found.trials] == ["fail", "complete"]
    assert found.trials[0].params == found.trials[1].params and found.trials[0].reason == "interrupted"


def test_no_trial_begins_after_the_time_is_up(url):
    assert run(opened(url), url, parabola, Alone(), Plan(5, seconds=0)).trials == []


def test_a_study_means_one_thing(url):
    study = opened(url)
    check_meaning(study, {"metric": "a", "space": 1})
    check_meaning(study, {"metric": "a", "space": 1})
    with pytest.raises(ConfigError, match="--study s: was made for another space; give a new study a new name"):
        check_meaning(study, {"metric": "a", "space": 2})


def test_one_process_a_study(tmp_path):
    busy = pytest.raises(ConfigError, match="--study s: another process")
    with only_one(tmp_path, "s"), busy, only_one(tmp_path, "s"):
        pass


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr("cascade.tuning.crew.WAIT_SECONDS", 1)
    refused = pytest.raises(ConfigError, match="--scheduler tcp://127.0.0.1:1: no Dask scheduler answers")
    with refused, crew(1, "tcp://127.0.0.1:1"):
        pass
