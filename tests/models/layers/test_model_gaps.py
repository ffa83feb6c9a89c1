"""Time gaps of the history as a list feature of the models."""

import numpy as np
import onnx
import pytest
from model_shop import make_shop
from stage_runs import run_stages

from cascade.models.layers.feature_gather import Lookup
from cascade.models.onnx.export import run, session
from cascade.models.training.rows import Events, unknown_user, user_columns
from cascade.workflows.etl.tensors import Tensors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gaps")
    return run_stages(folder, make_shop(folder, users=60, items=30, gaps=True))


@pytest.fixture(scope="module")
def tensors(parts):
    return Tensors.load(parts["etl"].path)


def test_columns_of_an_event(tensors):
    """A user's eleven earlier events were at 1, 3, 9, ... 59049 seconds: the gaps are 39366, 13122, 4374, 1458."""
    events = Events.of(tensors.interactions("test")).take(np.array([0, 7]))
    codes = [1, *(2 + gap.bit_length() for gap in (39366, 13122, 4374, 1458))]
    assert user_columns(tensors, events)["history_gap"].tolist() == [codes, codes]
    assert events.queries()["history_gap"].dtype == np.int32


def test_an_unknown_user_has_none(tensors):
    assert unknown_user(tensors.schema, tensors.users)["history_gap"].tolist() == [0] * 5
    events = Events.of(tensors.interactions("test"))
    shown = Lookup(tensors).users(events.queries(), id_dropout=1.0)
    assert not np.asarray(shown["history_gap"]).any()


@pytest.mark.parametrize("model", ["two_tower/query_tower.onnx", "ranker/ranker.onnx"])
def test_exported_models_read_them(parts, tensors, model):
    stage, _, file = model.partition("/")
    model = parts[stage].path / file
    assert "history_gap" in [entry.name for entry in onnx.load(str(model), load_external_data=False).graph.input]
    if stage == "two_tower":
        columns = user_columns(tensors, Events.of(tensors.interactions("test")))
        longer = {**columns, "history_gap": np.where(columns["history_gap"] > 1, 25, columns["history_gap"])}
        before, after = (run(session(model), given) for given in (columns, longer))
        assert np.abs(before - after).max() > 1e-4
