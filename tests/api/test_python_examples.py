"""The scripts of examples/ run as they stand, on small data."""

import subprocess
import sys
from pathlib import Path

import pytest
from shipping import ROOT, clean_environment

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
TINY = {
    "CASCADE_DATA__SYNTHETIC__INTERACTIONS": "10000",
    "CASCADE_TWO_TOWER__TRAINING__EPOCHS": "1",
    "CASCADE_DLRM_RANKER__TRAINING__EPOCHS": "1",
    "CASCADE_EVALUATION__TUNING_SECONDS": "0",
}


def run(folder, script, *arguments):
    command = [sys.executable, EXAMPLES / script, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=clean_environment() | TINY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_recommend_from_dataframes(tmp_path):
    shown = run(tmp_path, "recommend_from_dataframes.py")
    assert "recall@10 of the retriever:" in shown and "unknown_user" in shown and "not_picked" in shown


@pytest.mark.slow
def test_one_shop_is_compared_and_served(tmp_path):
    losses = run(tmp_path, "compare_losses.py", EXAMPLES / "shop.yaml").splitlines()
    assert [line.split()[0] for line in losses] == ["sampled_softmax", "softmax", "bpr"]
    first, *answers = run(tmp_path, "serve_and_ask.py", EXAMPLES / "shop.yaml").splitlines()
    assert "Triton answers on 127.0.0.1:" in first and len(answers) == 3


def test_every_script_is_run_here():
    here = Path(__file__).read_text()
    assert all(f'"{script.name}"' in here for script in EXAMPLES.glob("*.py"))
