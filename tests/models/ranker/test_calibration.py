"""The isotonic curve: by hand, compared with scikit-learn, and in ONNX."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from cascade.models import metrics
from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig
from cascade.models.onnx.export import export, run, session
from cascade.models.ranker.calibration import (
    INFORMATION,
    KNOTS,
    MIN_SLOPE,
    Curve,
    fit_curve,
)
from cascade.models.ranker.score_fusion import (
    MIN_POSITIVES,
    Fusion,
    apply_curve,
    calibration_notices,
    fit_fusion,
)
from cascade.models.ranker.stage import fuse

HAND = Curve((-1.0, 0.0, 2.0), (-2.0, 1.0, 2.0))


def bent_sample(n, seed, rate=-3.0):
    """Logits and labels whose log-odds rise more steeply above ``rate`` than below, so that no line fits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(rate, 1.5, n).astype("f4")
    truth = rate + np.where(logits > rate, 1.8, 0.3) * (logits - rate)
    return logits, rng.random(n) < expit(truth), truth


def test_a_curve_by_hand():
    got = HAND(np.array([-3, -1, -0.5, 0, 1, 2, 5], np.float32))
    assert got.tolist() == pytest.approx([-4, -2, -0.5, 1, 1.5, 2, 5])
    assert got.dtype == np.float32


def test_fitting_by_hand(monkeypatch):
    monkeypatch.setattr("cascade.models.ranker.calibration.INFORMATION", 2.0)
    logits = np.repeat(logit([0.2, 0.5, 0.8]), [20, 20, 20]).astype("f4")  # informations 3.2, 5, 3.2
    label = np.zeros(60, bool)
    label[:10] = label[20:28] = label[40:56] = True  # rates 0.5 and 0.4, a pool, and 0.8
    curve = fit_curve(logits, label)
    pooled = (10 + 0.2 + 8 + 0.5) / 42  # each bin has one additional, average row
    assert expit(curve.x).tolist() == pytest.approx([0.35, 0.8], rel=1e-6)
    assert expit(curve.y).tolist() == pytest.approx([pooled, (16 + 0.8) / 21], rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30_000), st.floats(-6, 2))
@settings(max_examples=30)
def test_it_rises_strictly_and_has_few_knots(seed, n, rate):
    logits, label, _ = bent_sample(n, seed, rate)
    curve = fit_curve(logits, label)
    if curve is None:
        assert (expit(logits.astype(float)) * expit(-logits.astype(float))).sum() < 2 * INFORMATION or n < 100
        return
    assert 2 <= len(curve.x) <= KNOTS
    assert np.diff(curve.x).min() > 0 and curve.slopes.min() >= MIN_SLOPE * 0.999
    grid = np.linspace(-12, 8, 4001, dtype="f4")
    assert np.diff(curve(grid)).min() > 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_order_of_the_rows_does_not_matter(seed):
    logits, label, _ = bent_sample(6000, 1)
    order = np.random.default_rng(seed).permutation(6000)
    curve, other = fit_curve(logits, label), fit_curve(logits[order], label[order])
    np.testing.assert_allclose([other.x, other.y], [curve.x, curve.y], rtol=1e-9)


def test_it_is_near_scikit_learn_on_all_rows():
    logits, label, _ = bent_sample(200_000, 2)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(logits, label)
    curve = fit_curve(logits, label)
    inside = np.linspace(*np.quantile(logits, [0.05, 0.995]), 200).astype("f4")
    apart = np.abs(expit(curve(inside)) - oracle.predict(inside))
    assert apart.mean() < 0.005 and apart.max() < 0.04  # the oracle has a step even where only a few rows make one


def fitted(logits, cosine, label, *kind):
    """Fit the fusion on requests with one candidate each; all arrays are [M]."""
    return fit_fusion(*(values[:, None] for values in (logits, cosine, label)), *kind)


def test_it_calibrates_what_platt_cannot():
    logits, label, _ = bent_sample(100_000, 3)
    fresh, happened, _ = bent_sample(100_000, 4)
    nothing = np.zeros_like(logits)
    platt, isotonic = (fitted(logits, nothing, label, kind) for kind in ("platt", "isotonic"))
    ece = [metrics.ece(expit(f(fresh, nothing).astype(float)), happened) for f in (platt, isotonic)]
    assert ece[1] < 0.005 < ece[0]


def test_calibrated_logits_stay_as_they_are():
    rng = np.random.default_rng(5)
    logits = rng.normal(-3, 1, 100_000).astype("f4")
    curve = fit_curve(logits, rng.random(len(logits)) < expit(logits))
    some = np.linspace(-6, 0, 50, dtype="f4")
    np.testing.assert_allclose(curve(some), some, atol=0.5)


class TestFitFusion:
    def test_none_fits_nothing(self):
        logits, label, _ = bent_sample(5000, 6)
        found = fitted(logits, logits, label, "none")
        assert found == Fusion() and found.calibration == "none"

    def test_platt_is_the_default_and_has_no_curve(self):
        logits, label, _ = bent_sample(5000, 6)
        found = fitted(logits, np.zeros_like(logits), label)
        assert found == fitted(logits, np.zeros_like(logits), label, "platt")
        assert found.curve is None and found.calibration == "platt"

    @pytest.mark.parametrize("positives", [MIN_POSITIVES - 1, 2000 - MIN_POSITIVES + 1])
    def test_too_few_labels_of_one_kind_are_a_notice(self, positives, caplog):
        logits, _, _ = bent_sample(2000, 7)
        label = np.zeros(2000, bool)
        label[np.argsort(-logits)[:positives]] = True
        found = fitted(logits, np.zeros_like(logits), label, "isotonic")
        assert found.curve is None
        (notice,) = calibration_notices(found, "isotonic", logits[:, None], label[:, None])
        assert notice.startswith(f"dlrm_ranker.calibration: isotonic cannot be fitted to {positives:,} positives among")
        assert notice.endswith(f"2,000 validation rows, so it is {found.calibration}")
        assert caplog.messages == [notice]

    def test_a_score_that_falls_where_the_label_rises_is_a_notice_with_that_reason(self):
        logits = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
        label = np.random.default_rng(0).random((400, 1)) < 0.5 - 0.4 * logits
        found = fit_fusion(logits, 0 * logits, label, "platt", (1.0, 0.0))
        (notice,) = calibration_notices(found, "platt", logits, label)
        assert notice == (
            f"dlrm_ranker.calibration: platt cannot be fitted to {label.sum()} positives among 400 validation rows, "
            "because the served score is lower for them than for the others, so it is none"
        )

    def test_there_is_no_notice_if_it_is_as_configured(self, caplog):
        assert calibration_notices(Fusion(), "none") == [] == calibration_notices(Fusion(bias=1.0), "platt")
        assert not caplog.messages

    def test_without_a_validation_part_there_is_a_notice(self):
        found = fuse(None, None, None, None, None, DlrmConfig())
        assert found.judged == {} and found.fusion.order == "retriever"
        assert found.notices == [
            "dlrm_ranker.order_by: auto needs a validation part with positives and negatives, and there is none, so it "
            "is retriever: the ranker is left out of the release, because nothing shows that it is better (order_by: "
            "dlrm)",
            "dlrm_ranker.calibration: platt needs a validation part, so it is none",
        ]

    def test_it_is_restored_from_a_manifest(self):
        for fusion in (Fusion(), Fusion(2.0, 0.5, -1.0), Fusion(2.0, 0.5, -1.0, HAND)):
            assert Fusion.of(json.loads(json.dumps(asdict(fusion)))) == fusion
        assert Fusion.of({"ranker": 1.0, "retriever": 0.0, "bias": 0.0}) == Fusion()


def test_tensorflow_and_onnx_equal_numpy(tmp_path):
    logits, label, _ = bent_sample(50_000, 8)
    curve = fit_curve(logits, label)
    assert len(curve.x) > 20
    grid = np.linspace(-15, 12, 5000, dtype="f4").reshape(50, 100)
    model = tf.function(lambda columns: apply_curve(columns["x"], curve))
    export(tmp_path / "curve.onnx", model, [tf.TensorSpec([None, None], name="x")], "y")
    got = run(session(tmp_path / "curve.onnx"), {"x": grid})
    np.testing.assert_allclose(got, curve(grid), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(apply_curve(tf.constant(grid), curve).numpy(), got, rtol=1e-6, atol=1e-6)
    fine = np.linspace(-4, 1, 200_001, dtype="f4")[None]
    assert np.diff(run(session(tmp_path / "curve.onnx"), {"x": fine})).min() >= 0
