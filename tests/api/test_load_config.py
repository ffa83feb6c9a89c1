"""Configs from Python: a file, the environment, overrides."""

import pytest

import cascade
from cascade.ensemble.config import AnnConfig
from cascade.errors import ConfigError

SMALL = {"schema.sparse": ["user_id", "item_id"]}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(
        "schema: {sparse: [user_id, item_id], dense: [price]}\nserving: {ann: {topk: 300}, rerank: {k: 30}}\n"
        "data: {source: tables, path: tables}\ntwo_tower: {user_tower: {emb_dims: {history: 16}}}\n"
    )
    return file


def test_a_file(file):
    for given in (file, str(file)):
        config = cascade.load_config(given)
        assert (config.serving.ann.topk, config.schema_.dense) == (300, ["price"])
        assert config.data.path == str(file.parent / "tables")
        assert config.feature_store.project == "shop"


def test_python_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"schema": {"sparse": ["user_id", "item_id"]}, "data": {"source": "tables", "path": "tables"}}
    config = cascade.load_config(overrides=given)
    assert config.schema_.sparse == ["user_id", "item_id"]
    assert config.data.path == str(tmp_path / "tables")
    assert config.feature_store.project == "cascade"


@pytest.mark.parametrize(
    "overrides",
    [
        {"serving.ann.topk": 50},
        {"serving": {"ann": {"topk": 50}}},
        {"serving": {"ann.topk": 50}},
        {"serving.ann": {"topk": 50}},
        {"serving.ann": AnnConfig(topk=50)},
    ],
)
def test_dotted_and_nested_keys_leave_others_alone(file, overrides):
    config = cascade.load_config(file, overrides)
    assert config.serving.ann.topk == 50
    assert config.serving.rerank.k == 30


def test_a_mapping_of_names_is_merged(file):
    config = cascade.load_config(file, {"two_tower.user_tower.emb_dims": {"user_id": 8}, "data.path": file.parent})
    assert config.two_tower.user_tower.emb_dims == {"history": 16, "user_id": 8}
    assert config.data.path == str(file.parent)


def test_tuned_keys(file):
    config = cascade.load_config(file, {"tune": {"two_tower.loss": ["bpr", "softmax"]}})
    assert list(config.tune) == ["two_tower.loss"]


def test_overrides_come_last(file, monkeypatch):
    monkeypatch.setenv("CASCADE_SERVING__ANN__TOPK", "77")
    assert cascade.load_config(file).serving.ann.topk == 77
    assert cascade.load_config(file, {"serving.ann.topk": 78}).serving.ann.topk == 78


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({**SMALL, "serving.ann.topk": 0}, r"serving.ann.topk: is 0, .*greater than or equal to 1 \(overrides\)"),
        ({**SMALL, "serving.an.topk": 3}, r"serving.an: no such key; did you mean serving.ann\? \(overrides\)"),
        ({**SMALL, "serving..topk": 3}, "overrides: 'serving..topk' is no key, expected e.g. serving.ann.topk"),
        ({**SMALL, 3: 4}, "overrides: 3 is no key"),
        ({**SMALL, "data.source": "tables"}, "data.path: required with data.source: tables"),
        ({}, "schema: required, and not given"),
    ],
)
def test_what_is_wrong_is_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        cascade.load_config(overrides=overrides)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": 3}, "path: expected the path of a YAML file, got 3"),
        ({"overrides": ["serving.ann.topk=3"]}, "overrides: expected a mapping of keys, got \\['serving"),
        ({"overrides": {**SMALL, "export.model_name": "a b"}}, "export.model_name: is 'a b', .*A-Za-z0-9_-"),
        ({"overrides": {**SMALL, "export.model_name": "../shop"}}, "export.model_name: is '../shop', "),
        ({"overrides": {**SMALL, "export.model_name": ""}}, "export.model_name: is '', "),
        ({"overrides": {**SMALL, "export.repository": ""}}, "export.repository: is '', .*at least 1 character"),
    ],
)
def test_wrong_arguments_and_names_are_errors(arguments, message):
    with pytest.raises(ConfigError, match=message):
        cascade.load_config(**arguments)


def test_a_mapping_that_holds_itself_is_an_error():
    serving = {}
    serving["serving"] = serving
    with pytest.raises(ConfigError, match="overrides: nested too deeply, or a mapping holds itself"):
        cascade.load_config(overrides=serving)
