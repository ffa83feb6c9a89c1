"""Inputs of the ranker; the steps as a whole are tested with the export stage."""

import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.repository.ranker_steps import model_inputs
from cascade.testing.miniature import (
    DIM,
    ITEM_FEATURES,
    ITEM_INPUTS,
    USER_FEATURES,
    USER_INPUTS,
)
from cascade.testing.miniature_models import save_ranker


@pytest.fixture
def ranker(tmp_path):
    save_ranker(tmp_path / "ranker.onnx", USER_FEATURES[:2], ITEM_FEATURES, DIM)
    return tmp_path / "ranker.onnx"


def test_a_model_gets_the_inputs_that_it_has(ranker):
    users, items = model_inputs(ranker, {**USER_INPUTS, "query": ("float32", DIM)}, ITEM_INPUTS)
    assert list(users) == ["user_id", "gender"] and items == ITEM_INPUTS


def test_a_model_with_an_unknown_input_is_refused(ranker):
    with pytest.raises(ArtifactError, match="ranker.onnx: takes .*price; the graph offers user_id"):
        model_inputs(ranker, USER_INPUTS)
