"""The search loop on objectives that take no time: in process, through Dask, interrupted, pruned."""

import os
import time

import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import TrialPruned

from cascade.core.errors import ConfigError
from cascade.tuning.executors import InProcessExecutor, trial_executor, worker_environment
from cascade.tuning.outcome import Outcome
from cascade.tuning.results import results_of
from cascade.tuning.search import SearchBudget, search
from cascade.tuning.study import check_setup, open_study, requeue_interrupted, study_lock
from cascade.tuning.trial import EpochReporter

RANGE = {"x": FloatDistribution(-4, 4)}


def parabola(drawn, reporter):
    """Has its maximum at 1."""
    return Outcome("complete", -((drawn["x"] - 1) ** 2))


def report_process(drawn, reporter):
    """Report the process that runs the trial and the number of threads that it may use."""
    time.sleep(0.2)
    watch = reporter.watch("stage")
    watch("other stage", 1, -1.0)
    watch("stage", 1, 0.5)
    return Outcome("complete", 0.0, artifact=f"{os.getpid()}/{os.environ['OMP_NUM_THREADS']}")


def dies(drawn, reporter):
    os._exit(1)


def by_epochs(drawn, reporter):
    """Report the same score for three epochs."""
    watch = reporter.watch("stage")
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


def run(study, url, attempt, executor, budget, pruner="median"):
    search(study, RANGE, attempt, executor, budget, lambda trial: EpochReporter(url, "s", trial._trial_id, pruner))
    return results_of(study, "m")


@pytest.mark.slow
def test_finds_the_best_value_and_can_be_resumed(url):
    first = run(opened(url), url, parabola, InProcessExecutor(), SearchBudget(15))
    again = run(opened(url), url, parabola, InProcessExecutor(), SearchBudget(15))
    assert [len(first.trials), len(again.trials)] == [15, 30]
    assert again.trials[:15] == first.trials
    assert abs(again.best.params["x"] - 1) < 0.2
    drawn = [trial.params["x"] for trial in again.trials]
    assert len(set(drawn)) == 30, "a resumed study does not draw the same values again"


@pytest.mark.slow
def test_the_same_seed_draws_the_same_values(tmp_path):
    urls = [f"sqlite:///{tmp_path / name}.db" for name in "ab"]
    first, second = (run(opened(url), url, parabola, InProcessExecutor(), SearchBudget(12)) for url in urls)
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


@pytest.mark.slow
def test_two_dask_workers(url):
    with trial_executor(2) as (executor, at_once):
        found = run(opened(url), url, report_process, executor, SearchBudget(8, at_once))
    assert [trial.reason for trial in found.trials] == [""] * 8
    processes = {trial.artifact.split("/")[0] for trial in found.trials}
    assert len(processes) == 2 and str(os.getpid()) not in processes
    assert {trial.artifact.split("/")[1] for trial in found.trials} == {worker_environment(2)["OMP_NUM_THREADS"]}
    assert all(trial.epochs == {1: 0.5} for trial in found.trials), "workers report to the same study"


@pytest.mark.slow
def test_a_worker_that_dies_fails_only_its_own_trial(url):
    with trial_executor(2) as (executor, at_once):
        study = opened(url)
        run(study, url, dies, executor, SearchBudget(1, at_once))
        found = run(study, url, report_process, executor, SearchBudget(1, at_once))
    assert [trial.state for trial in found.trials] == ["fail", "complete"]
    assert "KilledWorker" in found.trials[0].reason


@pytest.mark.slow
def test_trials_behind_the_median_are_pruned(url):
    study = opened(url)
    for x in (1, 1, 1, 1, 1, 0, 2):
        study.enqueue_trial({"x": x})
    found = run(study, url, by_epochs, InProcessExecutor(), SearchBudget(7))
    assert [trial.state for trial in found.trials] == ["complete"] * 5 + ["pruned", "complete"]
    assert found.trials[5].reason == "epoch 1: 0.0000 is behind earlier trials"
    assert found.trials[5].epochs == {1: 0.0} and len(found.trials[6].epochs) == 3


def test_halving_prunes_trials_that_are_behind_at_the_first_rung(url):
    study = opened(url, pruner="halving")
    for x in (2, 1, 0):
        study.enqueue_trial({"x": x})
    found = run(study, url, by_epochs, InProcessExecutor(), SearchBudget(3), pruner="halving")
    assert found.trials[0].state == "complete" and found.trials[2].state == "pruned"


def test_without_a_pruner_nothing_is_reported(url):
    assert EpochReporter(url, "s", 0, "none").watch("stage") is None


def test_an_interrupted_trial_is_repeated_first(url):
    def interrupted(drawn, reporter):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(opened(url), url, interrupted, InProcessExecutor(), SearchBudget(3))
    study = opened(url)
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]
    assert requeue_interrupted(study) == 1
    assert requeue_interrupted(study) == 0, "it is enqueued once"
    found = run(study, url, parabola, InProcessExecutor(), SearchBudget(1))
    assert [trial.state for trial in found.trials] == ["fail", "complete"]
    assert found.trials[0].params == found.trials[1].params and found.trials[0].reason == "interrupted"


def test_no_trial_starts_after_the_time_limit(url):
    assert run(opened(url), url, parabola, InProcessExecutor(), SearchBudget(5, seconds=0)).trials == []


def test_a_study_keeps_its_setup(url):
    study = opened(url)
    check_setup(study, {"metric": "a", "space": 1})
    check_setup(study, {"metric": "a", "space": 1})
    with pytest.raises(ConfigError, match="--study s: was made for another space; give a new study a new name"):
        check_setup(study, {"metric": "a", "space": 2})


def test_a_study_is_run_by_one_process_at_a_time(tmp_path):
    busy = pytest.raises(ConfigError, match="--study s: another process")
    with study_lock(tmp_path, "s"), busy, study_lock(tmp_path, "s"):
        pass


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("cascade.tuning.executors.WAIT_SECONDS", 1)
    refused = pytest.raises(ConfigError, match="--scheduler tcp://127.0.0.1:1: no Dask scheduler answers")
    with refused, trial_executor(1, "tcp://127.0.0.1:1"):
        pass
