"""serving.layout, and the keys that need one of its values."""

import pytest

from cascade.config.load import config_with_origins
from cascade.core.errors import ConfigError

GOOD = [
    "serving.layout=fused",
    "serving.layout=ensemble serving.step_instances.rank=2 serving.step_instances.order=3",
    "serving.layout=ensemble serving.backend=onnxruntime",
    "serving.layout=ensemble serving.backend=onnxruntime serving.tensorrt.enabled=true",
]
BAD = {
    "serving.backend=onnxruntime": r"serving.backend: .* serving.layout is fused: set serving.layout: ensemble",
    "serving.layout=ensemble serving.tensorrt.enabled=true": (
        "serving.tensorrt.enabled: .* serving.backend is python: set serving.backend: onnxruntime"
    ),
    "serving.step_instances.rank=2": "serving.step_instances: .* it is fused; use server.instances for that",
    "serving.layout=ensemble serving.step_instances.ranks=2": (
        "serving.step_instances.ranks: the request path has no such step; did you mean 'rank'"
    ),
    "serving.layout=ensemble serving.step_instances.rank=0": "serving.step_instances.rank: is 0, must be at least 1",
}


@pytest.fixture
def config_file(tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text("schema:\n  sparse: [user_id, item_id, brand]\n")
    return file


@pytest.mark.parametrize("sets", GOOD)
def test_valid_combinations(config_file, sets):
    config_with_origins(config_file, sets.split())


@pytest.mark.parametrize("sets", BAD)
def test_a_conflict_names_the_keys_and_the_remedy(config_file, sets):
    with pytest.raises(ConfigError, match=BAD[sets]):
        config_with_origins(config_file, sets.split())
