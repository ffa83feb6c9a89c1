"""Backends that a repository needs."""

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server.backend_check import check_backends


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
