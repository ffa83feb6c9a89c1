"""Equal weights are equal bytes, whatever else the process has built before; other names change no number."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cascade.core.features import Feature
from cascade.models._merlin import tf
from cascade.models.onnx.canonical import make_canonical
from cascade.models.onnx.export import export, specs

FEATURES = (Feature("code", "user", "categorical", 9, 2), Feature("size", "user", "continuous"))


def tower(seed: int):
    """A small model with an embedding, two dense layers and a branch on a value."""
    tf.keras.utils.set_random_seed(seed)
    table, first, second = (
        tf.keras.layers.Embedding(9, 4),
        tf.keras.layers.Dense(5, "relu"),
        tf.keras.layers.Dense(3),
    )

    def call(columns):
        codes = tf.reduce_mean(table(columns["code"]), axis=1)
        return tf.nn.l2_normalize(second(first(tf.concat([codes, columns["size"]], axis=1))), axis=1)

    return call


def exported(folder, seed: int) -> bytes:
    folder.mkdir()
    export(folder / "tower.onnx", tower(seed), specs(FEATURES, None), "query")
    return (folder / "tower.onnx").read_bytes()


def test_a_graph_that_is_exported_again_has_the_same_bytes(tmp_path):
    first = exported(tmp_path / "a", 1)
    for _ in range(12):  # moves every counter of Keras and TensorFlow, also from one digit to two
        tower(0)({"code": np.zeros((1, 2), np.int64), "size": np.zeros((1, 1), np.float32)})
    assert exported(tmp_path / "b", 1) == first != exported(tmp_path / "c", 2)


@st.composite
def graphs(draw):
    """A model of random operations on earlier values, some of them unused, and how its names and order are drawn."""
    count = draw(st.integers(1, 8))
    values, nodes, constants = ["x", "value_1"], [], []
    for at in range(count):
        constants.append(numpy_helper.from_array(np.float32(draw(st.integers(1, 4))), f"c{at}"))
        left, right = draw(st.sampled_from(values)), draw(st.sampled_from([*values, f"c{at}"]))
        nodes.append((draw(st.sampled_from(["Add", "Mul", "Sub"])), left, right, f"v{at}"))
        values.append(f"v{at}")
    return nodes, constants, draw(st.permutations(range(count)))


def model_of(nodes, constants, new_name):
    made = [
        helper.make_node(kind, [new_name(a), new_name(b)], [new_name(c)], name=new_name(c)) for kind, a, b, c in nodes
    ]
    made.append(helper.make_node("Identity", [new_name(nodes[-1][3])], ["y"], name=new_name("end")))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B"]) for name in ("x", "value_1", "y")]
    tensors = [numpy_helper.from_array(numpy_helper.to_array(tensor), new_name(tensor.name)) for tensor in constants]
    graph = helper.make_graph(made, new_name("graph"), values[:2], values[2:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.arange(3, dtype=np.float32), "value_1": np.full(3, 2, np.float32)})[0]


@given(graphs())
@settings(max_examples=50, deadline=None)
def test_names_and_the_order_of_constants_do_not_matter_and_numbers_stay(drawn):
    nodes, constants, order = drawn
    plain = model_of(nodes, constants, lambda name: name)
    other = model_of(
        nodes, [constants[at] for at in order], lambda name: name if name in ("x", "value_1", "y") else f"z/{name}:0"
    )
    expected = answer(plain)
    for model in (plain, other):
        make_canonical(model)
        onnx.checker.check_model(model)
    assert plain.SerializeToString() == other.SerializeToString()
    np.testing.assert_array_equal(answer(plain), expected)
    assert [value.name for value in (*plain.graph.input, *plain.graph.output)] == ["x", "value_1", "y"]


@pytest.mark.parametrize("names", ["abcd", "dcba"])
def test_branches_are_renamed_with_the_values_around_them(names):
    outer, low, high, flag = names

    def branch(kind, out):
        inner = helper.make_node(kind, ["x", outer], [out])
        return helper.make_graph([inner], out, [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["B"])])

    nodes = [
        helper.make_node("Add", ["x", "x"], [outer]),
        helper.make_node("ReduceSum", ["x"], [flag + "0"], keepdims=0),
        helper.make_node("Cast", [flag + "0"], [flag], to=TensorProto.BOOL),
        helper.make_node("If", [flag], ["y"], then_branch=branch("Add", low), else_branch=branch("Mul", high)),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B"]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    make_canonical(model)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for x, y in (([1.0, 2.0], [3.0, 6.0]), ([1.0, -1.0], [2.0, 2.0])):
        np.testing.assert_array_equal(session.run(None, {"x": np.array(x, np.float32)})[0], y)
