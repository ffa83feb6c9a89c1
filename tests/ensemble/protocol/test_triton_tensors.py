"""Output columns as Triton's tensors."""

import numpy as np

from cascade.core.signature import ColumnSpec
from cascade.ensemble.protocol.triton_tensors import ResponseTensors

OUTPUTS = {
    "scores": ColumnSpec("float32", ("k",)),
    "item_ids": ColumnSpec("object", ("k",)),
    "reasons": ColumnSpec("object"),
}


class Tensor:
    made = 0

    def __init__(self, name, array):
        self.name, self.array = name, array
        Tensor.made += 1


def text(*values):
    return np.array(values, dtype=object).reshape(len(values), -1)


def test_text_is_encoded_and_numbers_are_not():
    tensors, scores = ResponseTensors(Tensor, OUTPUTS), np.ones((2, 5), np.float32)[:, :3]
    assert tensors.of("item_ids", text(["ü", "b"])).array.tolist() == [["ü".encode(), b"b"]]
    got = tensors.of("scores", scores).array
    assert got.tolist() == scores.tolist() and got.flags.c_contiguous


def test_repeated_labels_are_encoded_once():
    tensors, before = ResponseTensors(Tensor, OUTPUTS), Tensor.made
    first, second = tensors.of("reasons", text("", "stale")), tensors.of("reasons", text("", "stale"))
    assert first is second and first.array.tolist() == [[b""], [b"stale"]]
    assert tensors.of("reasons", text("stale", "")).array.tolist() == [[b"stale"], [b""]]
    assert Tensor.made - before == 2


def test_long_columns_are_not_cached():
    tensors, column = ResponseTensors(Tensor, OUTPUTS), text(*["x"] * 100)
    assert tensors.of("reasons", column) is not tensors.of("reasons", column)
