"""Mixed precision training."""

import json

import numpy as np
import pytest
from stage_runs import SECTIONS, run_stage

from cascade.models._merlin import tf
from cascade.models.ranker.stage import RANKER
from cascade.models.retriever.stage import TWO_TOWER
from cascade.models.retriever.two_tower import build
from cascade.models.training.precision import hidden_layers, mixed


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_hidden_layers_compute_in_16_bits_and_blocks_return_32(precision, tensors):
    model = build(tensors.schema, SECTIONS["two_tower"])
    layers = hidden_layers(model)
    assert [layer.units for layer in layers] == [16, 16]
    inputs = np.ones((2, 5), np.float32)
    with mixed(model, precision):
        assert all(
            layer(inputs).dtype == tf.as_dtype({"fp16": "float16", "bf16": "bfloat16"}[precision]) for layer in layers
        )
        last = model.query.blocks[1].layers[-1]
        assert last(layers[0](inputs)).dtype == tf.float32
    assert layers[0](inputs).dtype == layers[0].dense.kernel.dtype == tf.float32
    assert tf.keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("stage", [TWO_TOWER, RANKER], ids=lambda stage: stage.name)
def test_both_models_learn_and_are_exported_in_32_bits(stage, precision, parts, tmp_path):
    own = stage.sections[0]
    section = json.loads(SECTIONS[own].model_dump_json())
    section["training"] |= {"precision": precision, "epochs": 6}
    made = run_stage(tmp_path, stage, json.dumps(section), {name: parts[name] for name in stage.parents})
    score = next(name for name in ("valid_ndcg", "valid_auc") if name in made.metrics)
    assert np.isfinite(made.metrics["loss"]).all() and made.metrics["loss"][-1] < made.metrics["loss"][0]
    assert made.metrics[score] > 0.8 * parts[stage.name].metrics[score]
    assert made.metrics["onnx_max_difference"] < 1e-4
    assert tf.keras.mixed_precision.global_policy().name == "float32"
