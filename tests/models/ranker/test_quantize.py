"""The loss by int8, by hand, and the layers that are quantized."""

import numpy as np
import onnx
import pytest

from cascade.models.ranker.quantize import auc_loss, candidate_layers, overlap

INF = np.inf


def test_auc_loss_by_hand():
    """Of the 4 pairs of a positive and a negative, fp32 orders 3 correctly, int8 2."""
    label = np.array([[True, False], [True, False], [False, True]])
    fp32 = np.array([[4.0, 1.0], [2.0, 3.0], [-INF, -INF]], np.float32)
    int8 = np.array([[2.0, 3.0], [1.5, 1.0], [-INF, -INF]], np.float32)
    assert auc_loss(fp32, int8, label) == pytest.approx(3 / 4 - 2 / 4)
    assert auc_loss(fp32, fp32, label) == 0


def test_overlap_by_hand():
    fp32 = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    int8 = np.array([[4.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0]])
    assert overlap(fp32, int8) == (1 / 2 + 1) / 2
    assert overlap(fp32, int8, most=1) == (1 + 0) / 2
    assert overlap(fp32[:, :1], int8[:, :1]) == 1


def test_layers_of_the_candidates_are_found():
    """The graph: a user layer, a product of user and item, and two layers of the pair."""
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["age", "w0"], ["user"], "of_user"),
        node("MatMul", ["item_slots", "user"], ["cross"], "across"),
        node("Relu", ["cross"], ["first"]),
        node("MatMul", ["first", "w1"], ["second"], "inner"),
        node("Gemm", ["second", "w2", "b2"], ["logits"], "outer"),
    ]
    weights = [onnx.numpy_helper.from_array(np.zeros(1, np.float32), name) for name in ("w0", "w1", "w2", "b2")]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "pair", [], [], weights))
    assert candidate_layers(model) == ["inner", "outer"]
