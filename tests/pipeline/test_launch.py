"""``cascade run --workers 2``: two processes train one artifact, and none of them is left afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pipelines import ASSETS, write_string_interactions
from shipping import clean_environment
from waiting import HANG_S, wait_until

from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError, WorkerError
from cascade.core.processes import end_with_parent
from cascade.core.stage import Stage
from cascade.models.training import tf_config
from cascade.pipeline.launch import free_ports, launch
from cascade.pipeline.worker import DONE, run_as_worker


@pytest.fixture
def folder(tmp_path):
    """A pipeline of 40 users and 30 items."""
    (tmp_path / "tables").mkdir()
    write_string_interactions(tmp_path / "tables" / "interactions.csv")
    (tmp_path / "strings.yaml").write_text((ASSETS / "strings.yaml").read_text())
    return tmp_path


def run(folder, *arguments):
    """Start `cascade run --only two_tower` in a new process."""
    command = [sys.executable, "-c", "from cascade.cli.main import main; main()", "run", "-c", "strings.yaml"]
    return subprocess.Popen(
        [*end_with_parent(), *command, "--only", "two_tower", *arguments],
        cwd=folder,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def of_two_tower(folder):
    [path] = [path.parent for path in (folder / "runs" / "two_tower").glob("*/manifest.json")]
    return Artifact.load(path)


@pytest.mark.slow
def test_one_command_trains_with_two_workers(folder):
    launcher = run(folder, "--workers", "2", "--set", "two_tower.id_dropout=0")
    _, errors = launcher.communicate(timeout=HANG_S)
    assert launcher.returncode == 0, errors
    assert re.search(r"two_tower +[\d.]+ s", errors)
    found = of_two_tower(folder)
    assert found.metrics["workers"] == 2 and "| workers" in (found.path / "MODEL_CARD.md").read_text()
    again = run(folder, "--workers", "2", "--set", "two_tower.id_dropout=0")  # one process would find the same artifact
    assert "two_tower   up to date" in again.communicate(timeout=HANG_S)[1]


LONG = ("--set", "two_tower.training.epochs=100000", "--set", "two_tower.training.patience=100000")


def workers_of(launcher):
    """The worker processes of ``launcher``, the chief first, as soon as all of them train."""
    found = {}

    def training():
        found.clear()
        running = [child for child in psutil.Process(launcher.pid).children() if child.is_running()]
        found.update((worker.environ().get("TF_CONFIG"), worker) for worker in running)
        folder = Path(psutil.Process(launcher.pid).cwd())
        return len(found) == 2 and list(folder.glob("runs/two_tower/*.resume/*/*.npz"))

    wait_until(training, 0.2)
    return sorted(found.values(), key=lambda p: json.loads(p.environ()["TF_CONFIG"])["task"]["index"])


@pytest.mark.slow
@pytest.mark.parametrize("who", ["worker", "chief", "launcher"])
def test_one_that_is_killed_ends_them_all(who, folder):
    launcher = run(folder, "--workers", "2", *LONG)
    workers = workers_of(launcher)
    victim = {"worker": workers[1].pid, "chief": workers[0].pid, "launcher": launcher.pid}[who]
    os.kill(victim, signal.SIGKILL)
    _, errors = launcher.communicate(timeout=HANG_S)
    _, left = psutil.wait_procs(workers, timeout=HANG_S)
    assert not left
    if who != "launcher":
        assert launcher.returncode == 2
        assert f"error: worker {1 if who == 'worker' else 0} of 2 was ended by signal 9" in errors


FAILING = """
import os, sys, time
if '"index": 0' in os.environ["TF_CONFIG"]:
    time.sleep(900)
print("a line", file=sys.stderr)
sys.exit(3)
"""


def test_the_error_shows_the_last_lines_of_the_worker(monkeypatch):
    monkeypatch.setattr("cascade.pipeline.launch.COMMAND", [sys.executable, "-c", FAILING])
    with pytest.raises(WorkerError, match=r"^worker 1 of 2 ended with exit code 3; its last lines:\na line$"):
        launch(2, [])


def test_a_worker_that_does_not_see_the_chiefs_artifact_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("cascade.pipeline.worker.wait_for_chief", lambda: DONE)
    monkeypatch.setattr("cascade.pipeline.worker.VISIBLE_S", 0)
    stage = Stage("a", "first", ["data"], [], lambda folder, sections, parents: None)
    config = PipelineConfig.model_validate({"schema": {"sparse": ["user_id", "item_id"]}})
    with pytest.raises(WorkerError, match=rf"^a: the chief's artifact is not in {tmp_path}/a/\w+: all workers need"):
        run_as_worker(config, tmp_path, [stage])


def test_workers_and_tf_config_exclude_each_other(monkeypatch):
    monkeypatch.setenv(tf_config.VARIABLE, tf_config.EXAMPLE)
    with pytest.raises(ConfigError, match="--workers: .* TF_CONFIG already names the workers: leave one out"):
        launch(2, [])


def test_ports_differ():
    assert len(set(free_ports(20))) == 20
