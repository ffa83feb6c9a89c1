"""The trained ranker as a release serves it, at the level of the ops: whole, split and in int8."""

import shutil

import numpy as np
import pytest
from served import Served
from stage_runs import SECTIONS, request, serving

from cascade.core.artifact import Artifact
from cascade.ensemble.config import RankerServingConfig
from cascade.ensemble.graph.ops import Rank
from cascade.ensemble.repository.ranker_choice import choose_ranker
from cascade.models.onnx.export import run, session
from cascade.models.ranker import calibration, dlrm, item_part
from cascade.models.ranker import export as ranker_export
from cascade.models.ranker.calibration import Curve
from cascade.models.ranker.export import PairColumns, differences, export_ranker, relative
from cascade.models.ranker.quantize import to_int8
from cascade.models.ranker.score_fusion import Fusion, Ranker
from cascade.models.ranker.stage import RANKER
from cascade.models.training.rows import item_columns
from cascade.testing.op_contract import OpContract

pytestmark = pytest.mark.slow

USERS, CANDIDATES = 11, 20


@pytest.fixture(scope="module")
def asked(tensors, similarity):
    """Users and their candidates; the last candidate of each is padding."""
    found = request(tensors, USERS, CANDIDATES, similarity)
    users = {name: found[name] for name in (*tensors.schema.names("user", "context"), "query")}
    rows = np.arange(USERS * CANDIDATES).reshape(USERS, CANDIDATES) % len(tensors.item_ids)
    rows[:, -1] = -1
    return {**users, "candidate_rows": rows}


@pytest.fixture(scope="module")
def whole(parts, tensors, tmp_path_factory):
    return Served(parts, tensors, tmp_path_factory.mktemp("whole"), split="off")


@pytest.fixture(scope="module")
def split(parts, tensors, tmp_path_factory):
    return Served(parts, tensors, tmp_path_factory.mktemp("split"))


def some(asked, rows):
    return {name: values[rows] for name, values in asked.items()}


def test_split_and_whole_model_agree(whole, split, asked):
    assert whole.model.name == "ranker.onnx" and split.model.name == "ranker_pair.onnx"
    assert set(split.lookup.features) == {"item_slots", "item_share"}
    assert split.rank.reads.keys() & {"item_id", "genres", "price"} == set()
    expected, got = whole(asked), split(asked)
    assert got.dtype == np.float32 and np.isneginf(got[:, -1]).all() and np.isfinite(got[:, :-1]).all()
    assert len(np.unique(got[:, :-1])) > USERS * CANDIDATES / 2
    assert relative(got[:, :-1], expected[:, :-1]) <= 1e-5


@pytest.mark.parametrize("users", [1, 2, 8, 9])
def test_slices_of_a_batch_agree(split, asked, users, monkeypatch):
    expected = split(asked)
    monkeypatch.setattr(split.rank.model, "max_users", users)
    np.testing.assert_allclose(split(asked), expected, rtol=1e-5, atol=1e-6)


class TestSplitRank(OpContract):
    rtol = 1e-5

    @pytest.fixture
    def op(self, split, asked, tmp_path):
        self.given = split.columns(asked)
        shutil.copyfile(split.model, tmp_path / "ranker.onnx")
        op = Rank(**split.rank.params())
        op.load(tmp_path)
        return op

    def make_batch(self):
        return {name: values.copy() for name, values in self.given.items()}


def test_the_stage_reports_how_exact_the_split_is(parts):
    found = parts["ranker"].metrics["split"]
    assert found["widths"] == {
        "item_slots": 3 * 8,
        "item_share": 16,
    }  # item_id, genres and the bottom network's output for price
    assert found["max_difference"] <= 1e-5


@pytest.mark.parametrize("chunk", [7, 60, 1000])
def test_parts_of_all_items_chunk_by_chunk(parts, tensors, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(item_part, "CHUNK", chunk)
    tables = {f.name: parts["etl"].path / "items" / f"{f.name}.npy" for f in tensors.schema.side("item")}
    widths = parts["ranker"].metrics["split"]["widths"]
    files = item_part.write_item_part(parts["ranker"].path / "ranker_item.onnx", tables, widths, tmp_path)
    assert [file.name for file in files] == ["item_slots.npy", "item_share.npy"]
    model = session(parts["ranker"].path / "ranker_item.onnx")
    expected = run(model, item_columns(tensors, np.arange(len(tensors.item_ids))))
    got = np.concatenate([np.load(file) for file in files], axis=1)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rows", [1, 7, 60])
def test_parts_of_many_candidates_slice_by_slice(parts, tensors, similarity, monkeypatch, rows):
    widths = parts["ranker"].metrics["split"]["widths"]
    columns = PairColumns(similarity, tensors, parts["ranker"].path / "ranker_item.onnx", widths)
    items = item_columns(tensors, np.arange(60).reshape(3, 20))
    expected = columns.parts(items, (3, 20))
    monkeypatch.setattr(ranker_export, "PART_ROWS", rows)
    for name, values in columns.parts(items, (3, 20)).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-7)


def test_parts_that_are_not_exact_are_not_served(parts, tensors, similarity, tmp_path, monkeypatch):
    model = dlrm.build(tensors.schema, SECTIONS["dlrm_ranker"])
    model(request(tensors, 2, 3))  # builds its weights
    exact = dlrm.Dlrm.pair
    monkeypatch.setattr(dlrm.Dlrm, "pair", lambda self, columns: exact(self, columns) + 5e-5)
    ranker = Ranker(model, Fusion(1.0, 0.5, 0.0))
    columns = export_ranker(tmp_path, ranker, similarity, tensors)
    of_whole, of_split = differences(tmp_path, ranker, columns)
    assert of_whole < 1e-5 and of_split == pytest.approx(5e-5, rel=0.1)
    measured = {"split": {"widths": columns.widths, "max_difference": of_split}}
    made = {"etl": parts["etl"], "ranker": Artifact(tmp_path, "ranker", "", {}, measured)}
    choice = choose_ranker(made, RankerServingConfig())
    assert choice.model == "ranker.onnx" and "differ by 5e-05" in choice.notices[0]


def test_an_isotonic_curve_is_in_all_models(tensors, similarity, tmp_path):
    model = dlrm.build(tensors.schema, SECTIONS["dlrm_ranker"])
    feed = request(tensors, USERS, CANDIDATES, similarity)
    logits, cosine = model(feed).numpy(), np.einsum("nd,nkd->nk", feed["query"], feed["item_vectors"])
    knots = np.quantile(logits + 0.5 * cosine, [0.05, 0.3, 0.5, 0.8])
    fusion = Fusion(1.0, 0.5, 0.0, Curve(tuple(knots), tuple(knots[0] + np.cumsum([0, 0.1, 0.7, 0.2]))))
    ranker = Ranker(model, fusion)
    columns = export_ranker(tmp_path, ranker, similarity, tensors)
    of_whole, of_split = differences(tmp_path, ranker, columns)
    assert of_whole < 1e-5 and of_split < 1e-5
    feed |= columns.parts({f.name: feed[f.name] for f in tensors.schema.side("item")}, logits.shape)
    for name in ("ranker.onnx", "ranker_pair.onnx"):
        np.testing.assert_allclose(run(session(tmp_path / name), feed), fusion(logits, cosine), rtol=1e-5, atol=1e-5)
    halves = [{name: values[half] for name, values in feed.items()} for half in (slice(4), slice(4, None))]
    for name, batches in {"int8": [feed], "halves": halves}.items():
        to_int8(tmp_path / "ranker_pair.onnx", tmp_path / f"{name}.onnx", iter(batches))
    rounded, of_halves = (run(session(tmp_path / f"{name}.onnx"), feed) for name in ("int8", "halves"))
    np.testing.assert_array_equal(of_halves, rounded)
    assert 0 < np.abs(rounded - fusion(logits, cosine)).max() < 0.2 * logits.std() + 0.1


def test_the_stage_fits_and_exports_the_curve(parts, tensors, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "INFORMATION", 5.0)  # the shop's validation part is small
    config = SECTIONS["dlrm_ranker"].model_copy(update={"calibration": "isotonic"})
    sections = {"dlrm_ranker": config, **serving()}
    ranker = RANKER.run(tmp_path / "runs", sections, {name: parts[name] for name in RANKER.parents})
    found = ranker.metrics
    assert found["calibration"] == "isotonic" and len(found["fusion"]["curve"]["x"]) >= 2
    assert found["onnx_max_difference"] < 1e-4 and found["split"]["max_difference"] <= 1e-5 and found["int8"]
    assert found["valid_fused"] == pytest.approx(parts["ranker"].metrics["valid_fused"], abs=1e-6)  # the same order
    served = Served({**parts, "ranker": ranker}, tensors, tmp_path)
    assert parts["ranker"].metrics["fusion"] == {**found["fusion"], "curve": None}
    (tmp_path / "line").mkdir()
    expected = Fusion.of(found["fusion"]).curve(Served(parts, tensors, tmp_path / "line")(asked)[:, :-1])
    np.testing.assert_allclose(served(asked)[:, :-1], expected, rtol=1e-4, atol=1e-4)


def test_int8_scores_nearly_the_same_whoever_shares_the_batch(parts, tensors, split, asked, tmp_path):
    measured = parts["ranker"].metrics["int8"]
    assert abs(measured["auc_loss"]) < 0.02 and 0.8 < measured["top50_overlap"] <= 1
    good = {**parts["ranker"].metrics, "int8": {"auc_loss": 0.0, "top50_overlap": 1.0}}
    ranker = Artifact(parts["ranker"].path, "ranker", "", {}, good)
    int8 = Served({**parts, "ranker": ranker}, tensors, tmp_path, precision="int8")
    assert int8.model.name == "ranker_pair_int8.onnx"
    expected, got = split(asked)[:, :-1], int8(asked)[:, :-1]
    assert 0 < np.abs(got - expected).max() < 0.2 * expected.std()
    alone = np.concatenate([int8(some(asked, slice(row, row + 1))) for row in range(USERS)])
    np.testing.assert_allclose(int8(asked), alone, rtol=1e-4, atol=1e-5)


def test_relative_differences_by_hand():
    got, expected = np.array([[0.1, 10.0]], np.float32), np.array([[0.0, 8.0]], np.float32)
    assert relative(got, expected) == pytest.approx(0.25)
    assert relative(got, expected[:, :1]) == np.inf
