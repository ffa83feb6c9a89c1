"""What the stage decides by itself; whole runs of it are in tests/integration/test_bars.py."""

import json
import os

import pytest

from cascade.ensemble.evaluation.stage import exported, feature_repo, on_impressions
from cascade.ensemble.ops.lookup_user import REPO_VARIABLE


@pytest.mark.parametrize(
    ("train_on", "has_label", "expected"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("impressions", False, True),
        ("candidates", True, False),
    ],
)
def test_the_ranker_is_measured_on_what_it_learns_from(tmp_path, train_on, has_label, expected):
    (tmp_path / "tables.json").write_text(json.dumps({"has_label": has_label}))
    assert on_impressions(train_on, tmp_path) is expected


@pytest.mark.parametrize("before", [None, "elsewhere"])
def test_the_environment_is_put_back(tmp_path, monkeypatch, before):
    if before is None:
        monkeypatch.delenv(REPO_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(REPO_VARIABLE, before)
    with pytest.raises(ZeroDivisionError), feature_repo(str(tmp_path)):
        assert os.environ[REPO_VARIABLE] == str(tmp_path.resolve())
        raise ZeroDivisionError
    assert os.environ.get(REPO_VARIABLE) == before


def test_the_version_is_found_whatever_its_name_and_number(tmp_path):
    version = tmp_path / "model" / "7"
    version.mkdir(parents=True)
    (version / "graph.json").write_text("{}")
    assert exported(tmp_path) == version
