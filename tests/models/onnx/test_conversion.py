"""Conversion to ONNX: large tables are no part of tf2onnx's work, but of the model."""

import numpy as np
import onnx
import pytest
from tf2onnx import tfonnx

from cascade.models._merlin import compiled, tf
from cascade.models.onnx.conversion import to_onnx
from cascade.models.onnx.export import export, run, session

INPUTS = [tf.TensorSpec([None, 2], tf.int64, name="codes"), tf.TensorSpec([None, 3], name="numbers")]
ROWS = {"codes": np.array([[0, 4], [99, 1]]), "numbers": np.array([[1, 2, 3], [0.5, 0, -1]], np.float32)}
RNG = np.random.default_rng(0)
CONSTANT, BOTH = RNG.normal(size=(100, 3)).astype(np.float32), RNG.normal(size=(100, 3)).astype(np.float32)
TABLE = tf.Variable(RNG.normal(size=(100, 3)).astype(np.float32))


def rows(columns):
    """Gathers from a constant, from a variable, and from a constant that is multiplied as well."""
    tables = (tf.constant(CONSTANT), TABLE, tf.constant(BOTH))
    gathered = sum(tf.reduce_sum(tf.gather(table, columns["codes"]), axis=1) for table in tables)
    return gathered + tf.matmul(tf.matmul(columns["numbers"], tables[2], transpose_b=True), tables[2])


@pytest.fixture
def converted(monkeypatch):
    """Sizes in bytes of the constants that tf2onnx is given, for each graph."""
    sizes, convert = [], tfonnx.process_tf_graph

    def process(graph, **options):
        sizes.append([op.outputs[0].shape.num_elements() * 4 for op in graph.get_operations() if op.type == "Const"])
        return convert(graph, **options)

    monkeypatch.setattr(tfonnx, "process_tf_graph", process)
    return sizes


@pytest.mark.parametrize(("aside_from", "given"), [(1, 1200), (1200, 1200), (1201, 3600)])
def test_tables_that_rows_are_only_gathered_from_are_kept_aside(tmp_path, converted, aside_from, given):
    @compiled(input_signature=INPUTS)
    def graph(codes, numbers):
        return tf.identity(rows({"codes": codes, "numbers": numbers}), name="answer")

    model = to_onnx(graph, INPUTS, 17, aside_from)
    assert sum(size for size in converted[0] if size == 1200) == given
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.input] == ["codes", "numbers"]
    onnx.save(model, str(tmp_path / "rows.onnx"))
    np.testing.assert_allclose(run(session(tmp_path / "rows.onnx"), ROWS), rows(ROWS), rtol=1e-5)


def test_an_exported_model_has_its_large_tables(tmp_path, converted):
    large = tf.constant(RNG.normal(size=(100_000, 3)).astype(np.float32))
    export(tmp_path / "rows.onnx", lambda columns: tf.gather(large, columns["codes"]), INPUTS[:1], "answer")
    assert max(converted[0]) < 100
    codes = {"codes": np.array([[7, 99_999]])}
    np.testing.assert_array_equal(run(session(tmp_path / "rows.onnx"), codes), large.numpy()[codes["codes"]])
