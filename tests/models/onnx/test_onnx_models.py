"""Export to ONNX, and the parity check."""

import numpy as np
import pytest

from cascade.core.errors import ArtifactError
from cascade.core.features import Feature
from cascade.models._merlin import tf
from cascade.models.onnx.export import (
    check_parity,
    export,
    run,
    session,
    specs,
)

FEATURES = (Feature("code", "user", "categorical", 9, 2), Feature("size", "user", "continuous"))


def total(columns):
    return tf.reduce_sum(tf.cast(columns["code"], tf.float32), axis=1, keepdims=True) + columns["size"]


def batch(rows):
    return {"code": np.arange(2 * rows).reshape(rows, 2), "size": np.ones((rows, 1), np.float32)}


@pytest.fixture
def file(tmp_path):
    export(tmp_path / "total.onnx", total, specs(FEATURES, None), "answer")
    return tmp_path / "total.onnx"


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_names_types_and_any_number_of_rows(file, rows):
    model = session(file)
    assert {v.name: v.type for v in model.get_inputs()} == {"code": "tensor(int64)", "size": "tensor(float)"}
    assert [v.name for v in model.get_outputs()] == ["answer"]
    np.testing.assert_allclose(run(model, batch(rows)), total(batch(rows)))


def test_parity_is_the_largest_difference(file):
    expected = total(batch(3)).numpy()
    expected[1] += 5e-5
    assert check_parity(file, expected, batch(3)) == pytest.approx(5e-5, rel=0.1)


@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_a_difference_above_the_tolerance_is_an_error(file, error):
    with pytest.raises(ArtifactError, match=r"total.onnx: differs by .* from TensorFlow on 3 rows"):
        check_parity(file, total(batch(3)).numpy() + np.float32(error), batch(3))
