"""A run, and the commands for features, take nothing from the release that is live."""

import json
from pathlib import Path
from typing import Any

import pytest
from release_exports import write_export
from typer.testing import CliRunner
from user_columns import looked_up

from cascade.cli import main as cli
from cascade.config.load import config_with_origins
from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import Artifact
from cascade.core.errors import ReleaseError
from cascade.ensemble.graph.ops import LookupUser
from cascade.ensemble.repository.user_lookup import user_lookup
from cascade.pipeline.stages import run
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.feature_data import write_table
from cascade.workflows.data.stage import DATA
from cascade.workflows.features.stage import FEATURES

PIPELINE = "schema: { sparse: [user_id, item_id%s] }\ndata: { source: tables, path: tables }\n"


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interactions in the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = {"user_id": [1, 1, 2, 2], "item_id": [*"abab"], "timestamp": [*range(900_000_000, 900_000_004)]}
    kinds = {"user_id": "int", "item_id": "string", "timestamp": "int"}
    write_table(tmp_path / "tables" / "interactions", rows, kinds)


def config() -> PipelineConfig:
    return config_with_origins(Path("pipeline.yaml"))[0]


def run_with(**columns: list[Any]) -> Artifact:
    """Run the stages data and features with these columns of the users 1 and 2."""
    Path("pipeline.yaml").write_text(PIPELINE % "".join(f", {name}" for name in columns))
    kinds = {name: "string" if isinstance(values[0], str) else "int" for name, values in columns.items()}
    write_table(Path("tables") / "users", {"user_id": [1, 2], **columns}, {"user_id": "int", **kinds})
    return run(config(), Path("runs"), stages=(DATA, FEATURES))["features"]


def live_release(features: Artifact) -> LookupUser:
    """Make a release of these features the stable one; returns how it reads users."""
    users = user_lookup(features.path, config().feature_store)
    write_export(Path("export"), "9fba")
    store = ReleaseStore(Path(config().export.repository), config().export.model_name)
    (Path("export") / "shop").rename(Path("export") / config().export.model_name)
    store.add(Path("export"))
    graph = store.folder("9fba") / store.model / "1" / "graph.json"
    graph.unlink()
    graph.write_text(json.dumps({"nodes": [{"name": "00", "op": users.kind, "params": users.params()}]}))
    LiveSets(store.repository, store.model).change(lambda _: LiveSet("9fba"), actor="test", reason="")
    return users


def test_a_run_keeps_what_the_live_release_reads() -> None:
    users = live_release(run_with(age=[30, 40]))
    run_with(city=["Rome", "Bonn"])
    assert looked_up(users, config().feature_store, (1, 2))["age"] == [30, 40]
    for command in ("apply", "materialize"):
        done = CliRunner().invoke(cli.app, ["features", command], catch_exceptions=False)
        assert done.exit_code == 0 and "user_profile" in done.output
        assert looked_up(users, config().feature_store, (1, 2))["age"] == [30, 40]


def test_a_run_that_would_change_a_type_is_refused() -> None:
    users = live_release(run_with(age=[30, 40]))
    with pytest.raises(ReleaseError, match=r"release 9fba \(stable\) reads user_profile.age as int"):
        run_with(age=["old", "young"])
    for command in ("apply", "materialize"):
        with pytest.raises(ReleaseError, match="the new data has string"):
            CliRunner().invoke(cli.app, ["features", command], catch_exceptions=False)
    assert looked_up(users, config().feature_store, (1, 2))["age"] == [30, 40]


def test_a_run_without_a_live_set_is_not_stopped() -> None:
    run_with(age=[30, 40])
    LiveSets(Path(config().export.repository), config().export.model_name).file.parent.mkdir(parents=True)
    LiveSets(Path(config().export.repository), config().export.model_name).file.write_text("{")
    users = user_lookup(run_with(age=["old", "young"]).path, config().feature_store)
    assert looked_up(users, config().feature_store, (1, 2))["age"] == ["old", "young"]
