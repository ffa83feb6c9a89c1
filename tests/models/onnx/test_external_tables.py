"""ONNX models with large tables in separate files."""

import shutil

import numpy as np
import onnx
import pytest

from cascade.models.onnx.export import run, session
from cascade.models.onnx.external_tables import model_files, move_tables_out

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
CODES = {"code": np.array([3, 0])}


def save(file, *, scale=1.0, out_from=48):
    """``rows = table[code] * scale``; the table takes 48 bytes."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("Gather", ["table", "code"], ["row"]),
        helper.make_node("Mul", ["row", "scale"], ["rows"]),
    ]
    inputs = [helper.make_tensor_value_info("code", onnx.TensorProto.INT64, ["B"])]
    outputs = [helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["B", 3])]
    constants = {"table": TABLE, "scale": np.array([scale], np.float32)}
    kept = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "rows", inputs, outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    move_tables_out(model, file.parent, out_from)
    onnx.save(model, str(file))
    return file


def test_a_model_runs_from_any_folder(tmp_path):
    model = save(tmp_path / "small.onnx")
    files = model_files(model, "other.onnx")
    assert len(files) == 2 and files["other.onnx"] == model
    (tmp_path / "elsewhere").mkdir()
    for name, file in files.items():
        shutil.copyfile(file, tmp_path / "elsewhere" / name)
        file.unlink()
    np.testing.assert_array_equal(run(session(tmp_path / "elsewhere" / "other.onnx"), CODES), TABLE[[3, 0]])


def test_models_share_a_table(tmp_path):
    first, second = save(tmp_path / "first.onnx"), save(tmp_path / "second.onnx", scale=2)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".bin", ".onnx", ".onnx"]
    assert set(model_files(first, "a")) - {"a"} == set(model_files(second, "b")) - {"b"}
    np.testing.assert_array_equal(run(session(second), CODES), 2 * TABLE[[3, 0]])


def test_a_small_table_stays_in_the_model(tmp_path):
    model = save(tmp_path / "whole.onnx", out_from=49)
    assert model_files(model, "whole.onnx") == {"whole.onnx": model}
    np.testing.assert_array_equal(run(session(model), CODES), TABLE[[3, 0]])


def test_a_missing_table_is_an_error(tmp_path):
    model = save(tmp_path / "small.onnx")
    next(tmp_path.glob("*.bin")).unlink()
    with pytest.raises(Exception, match="table_"):
        session(model)
