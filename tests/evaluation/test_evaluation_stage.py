"""How the served graph is found and configured; whole runs of the stage are in tests/integration/test_bars.py."""

import os

import pytest

from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.evaluation.served_graph import feature_repo_at, version_folder


@pytest.mark.parametrize("before", [None, "elsewhere"])
def test_the_environment_is_restored(tmp_path, monkeypatch, before):
    if before is None:
        monkeypatch.delenv(REPO_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(REPO_VARIABLE, before)
    with pytest.raises(ZeroDivisionError), feature_repo_at(str(tmp_path)):
        assert os.environ[REPO_VARIABLE] == str(tmp_path.resolve())
        raise ZeroDivisionError
    assert os.environ.get(REPO_VARIABLE) == before


def test_the_version_folder_is_found_for_any_name_and_number(tmp_path):
    version = tmp_path / "model" / "7"
    version.mkdir(parents=True)
    (version / "graph.json").write_text("{}")
    assert version_folder(tmp_path) == version
