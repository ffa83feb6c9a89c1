"""The models for serving.backend: onnxruntime, against the ops that they replace."""

import numpy as np
import onnx
import onnxruntime
import pytest

from cascade.core.errors import ArtifactError, WiringError
from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.request_graph import Step
from cascade.ensemble.repository.layout import BY_ONNXRUNTIME
from cascade.ensemble.repository.onnx_step import write_model
from cascade.ensemble.repository.step_plan import plan, release_number
from cascade.testing.miniature import DIM, RELEASE

OUTPUTS = ("item_ids", "scores", "propensities", "reasons", "release")


@pytest.fixture(scope="module")
def steps(mini):
    """Kind -> plan and source of the steps that onnxruntime runs."""
    sources = {step.op.kind: step for step in mini.steps.named.values()}
    ops = {kind: step.op for kind, step in sources.items()}
    written = {name: spec for op in ops.values() for name, spec in op.writes.items()}
    plans = plan(ops, mini.inputs, {name: written[name] for name in OUTPUTS}, BY_ONNXRUNTIME)
    return {step.name: (step, sources[step.name]) for step in plans if not step.timed}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("logits", "rank: the first step of an ensemble, and those that answer, must be python models"),
        ("known_user", "miniature_users: the first step of an ensemble cannot write an output"),
    ],
)
def test_steps_that_answer_are_one_python_model_behind_the_first(mini, output, message):
    """An arm answers in place of every step that writes an output."""
    ops = {step.op.kind: step.op for step in mini.steps.named.values()}
    written = {name: spec for op in ops.values() for name, spec in op.writes.items()}
    last = plan(ops, mini.inputs, {name: written[name] for name in OUTPUTS}, BY_ONNXRUNTIME)[-1]
    assert (last.name, last.stages) == ("respond", ["order", "respond"])
    with pytest.raises(WiringError, match=message):
        plan(ops, mini.inputs, {name: written[name] for name in (output, *OUTPUTS)}, BY_ONNXRUNTIME)


@pytest.fixture
def session(steps, tmp_path):
    def start(kind):
        write_model(*steps[kind], RELEASE.release, tmp_path)
        return onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])

    return start


def trace(step, users, number=None):
    width = step.reads["trace"].dims[0]
    number = release_number(RELEASE.release) if number is None else number
    return np.tile(np.array([[number, *range(1, width)]], np.float32), (users, 1))


def columns(step, users):
    """Random values of every column that the step's op reads; some candidates are padding."""
    rng, made = np.random.default_rng(3), {}
    [op] = step.ops.values()
    for name, spec in op.reads.items():
        shape = (users, *(12 if isinstance(dim, str) else dim for dim in spec.dims))
        made[name] = rng.integers(0, 4, shape) if spec.dtype == "int64" else rng.random(shape, np.float32)
    if "candidate_rows" in made:
        made["candidate_rows"] = rng.integers(-1, 3, (users, 12))
        made["candidate_rows"][0] = -1
    return made


@pytest.mark.parametrize("kind", BY_ONNXRUNTIME)
@pytest.mark.parametrize("users", [1, 5])
def test_gives_what_the_op_gives(steps, session, kind, users):
    step, source = steps[kind]
    batch = columns(step, users)
    before = trace(step, users)
    [output] = source.op.writes
    got, traced = session(kind).run([output, "traced"], {**batch, "trace": before})
    expected = source.op(batch)[output]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert got.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(traced, before)


def test_where_there_is_no_candidate_the_score_is_minus_infinity(steps, session):
    step, _ = steps["rank"]
    batch = columns(step, 4)
    [logits] = session("rank").run(["logits"], {**batch, "trace": trace(step, 4)})
    absent = batch["candidate_rows"] < 0
    assert absent[0].all() and not absent.all()
    np.testing.assert_array_equal(np.isneginf(logits), absent)


def test_a_request_that_another_release_began_is_marked_for_the_next_step(steps, session):
    step, _ = steps["encode_query"]
    foreign = trace(step, 3)
    foreign[1, 0] += 1
    [traced] = session("encode_query").run(["traced"], {**columns(step, 3), "trace": foreign})
    np.testing.assert_array_equal(traced[[0, 2]], foreign[[0, 2]])
    assert traced[1, 0] == -1


@pytest.mark.parametrize("kind", BY_ONNXRUNTIME)
def test_takes_and_gives_the_step_s_columns(steps, session, kind):
    """Triton compares names, dtypes and dims with config.pbtxt; B varies, as max_batch_size requires."""
    step, _ = steps[kind]
    made = session(kind)
    for entries, specs in ((made.get_inputs(), step.reads), (made.get_outputs(), step.writes)):
        assert {entry.name for entry in entries} == set(specs)
        for entry in entries:
            assert entry.type == {"int64": "tensor(int64)", "float32": "tensor(float)"}[specs[entry.name].dtype]
            assert not isinstance(entry.shape[0], int)
            fixed = [dim if isinstance(dim, int) else "varies" for dim in entry.shape[1:]]
            assert fixed == [dim if isinstance(dim, int) else "varies" for dim in specs[entry.name].dims], entry.name


def test_weights_in_a_file_of_their_own_come_along(steps, tmp_path):
    step, source = steps["encode_query"]
    big = tmp_path / "tower" / "query_tower.onnx"
    big.parent.mkdir()
    model = onnx.load(source.files["query_tower.onnx"])
    onnx.save(model, big, save_as_external_data=True, location="tower.data", size_threshold=256)
    folder = tmp_path / "1"
    folder.mkdir()
    write_model(step, Step(source.op, {"query_tower.onnx": big}), RELEASE.release, folder)
    assert sorted(file.name for file in folder.iterdir()) == ["model.onnx", "tower.data"]
    batch = columns(step, 2)
    served = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    [query] = served.run(["query"], {**batch, "trace": trace(step, 2)})
    assert query.shape == (2, DIM)
    np.testing.assert_allclose(query, source.op(batch)["query"], rtol=1e-5)


def test_a_model_that_takes_something_else_is_refused(steps, tmp_path):
    from dataclasses import replace

    step, source = steps["encode_query"]
    wrong = replace(step, reads={"mood": ColumnSpec("int64"), **step.reads})
    with pytest.raises(ArtifactError, match=r"encode_query: its model takes \['gender', .*\], the step \[.*'mood'"):
        write_model(wrong, source, RELEASE.release, tmp_path)
    with pytest.raises(ArtifactError, match="encode_query: expected one ONNX file to serve, found 0"):
        write_model(step, Step(source.op), RELEASE.release, tmp_path)
