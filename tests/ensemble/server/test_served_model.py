"""Backends and instances of a model that is to be served."""

import itertools
import os

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.protocol.config_file import read_config
from cascade.ensemble.server.served_model import check_backends, instance_count, one_process_each, write_config

PYTHON = """
name: "shop"
backend: "python"
input { name: "user_id" data_type: TYPE_INT64 dims: 1 }
instance_group { count: 1 kind: KIND_CPU }
parameters { key: "stages" value { string_value: "rank" } }
"""


@pytest.fixture
def backends(tmp_path):
    (tmp_path / "backends" / "python").mkdir(parents=True)
    return tmp_path / "backends"


@pytest.fixture
def repository(tmp_path):
    """An ensemble "shop" of "shop_a", and "alone"."""
    configs = {
        "shop": 'platform: "ensemble" ensemble_scheduling { step { model_name: "shop_a" model_version: -1 } }',
        "shop_a": 'name: "shop_a" backend: "onnxruntime"',
        "alone": 'name: "alone" backend: "python"',
    }
    for name, config in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(config)
    return tmp_path


def test_what_the_runtime_has_is_served(repository, backends):
    check_backends(repository, "alone", backends)
    (backends / "onnxruntime").mkdir()
    check_backends(repository, "shop", backends)


def test_a_backend_that_is_not_there_is_named_with_what_to_do(repository, backends):
    with pytest.raises(ServerError, match="'shop_a' .* backend 'onnxruntime'.*NVIDIA's own.*serving.backend: python"):
        check_backends(repository, "shop", backends)


def test_a_missing_step_and_a_config_that_is_none_are_named(repository, backends):
    (repository / "shop_a" / "config.pbtxt").unlink()
    with pytest.raises(ServerError, match="holds no model 'shop_a', which an ensemble there runs as a step"):
        check_backends(repository, "shop", backends)
    (repository / "alone" / "config.pbtxt").write_text("no such field: 1")
    with pytest.raises(ServerError, match="alone/config.pbtxt: is no model config"):
        check_backends(repository, "alone", backends)


def test_as_many_as_asked_for_or_as_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5})
    assert (instance_count(None), instance_count(1), instance_count(7)) == (3, 1, 7)


def test_each_group_is_one_process_with_a_name_of_its_own(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text(PYTHON)
    before, config, numbers = read_config(file), read_config(file), itertools.count(7)
    config.instance_group[0].count = 3
    one_process_each(config, numbers)
    names = [f"{config.name}-{number}" for number in (7, 8, 9)]
    assert [group.name for group in config.instance_group] == names
    assert [group.host_policy for group in config.instance_group] == names
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, before.instance_group[0].kind)] * 3
    assert [group.rate_limiter.priority for group in config.instance_group] == [1, 1000, 1000]
    del config.instance_group[:], before.instance_group[:]
    assert config == before


def test_what_is_no_config_is_named(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text("no such field: 1")
    with pytest.raises(ServerError, match="config.pbtxt: is no model config: 1:"):
        read_config(file)


def test_a_config_is_written_as_it_was_read(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text(PYTHON)
    config = read_config(file)
    write_config(file, config)
    assert read_config(file) == config
    assert [left.name for left in tmp_path.iterdir()] == ["config.pbtxt"]
