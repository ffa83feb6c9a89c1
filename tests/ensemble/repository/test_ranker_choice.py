"""Which ranker is served, by the measurements of the ranker stage and the config."""

from pathlib import Path

import numpy as np
import pytest

from cascade.core.artifact import Artifact
from cascade.ensemble.config import RankerServingConfig
from cascade.ensemble.repository.ranker_choice import choose_ranker

WIDTHS = {"item_slots": 320, "item_share": 128}
EXACT = {"widths": WIDTHS, "max_difference": 3e-7}
GOOD = {"auc_loss": 0.0009, "top50_overlap": 0.981}


@pytest.fixture
def choose(tmp_path):
    np.save(tmp_path / "item_ids.npy", np.arange(1000))

    def with_metrics(measured=EXACT, int8=GOOD, **config):
        metrics = {"split": measured, "int8": int8}
        parts = {"etl": Artifact(tmp_path, "etl", "", {}), "ranker": Artifact(Path(), "ranker", "", {}, metrics)}
        return choose_ranker(parts, RankerServingConfig(**config))

    return with_metrics


def test_an_exact_split_is_served(choose):
    got = choose()
    assert (got.model, got.part_widths, got.notices) == ("ranker_pair.onnx", WIDTHS, ())


def test_split_off_gives_no_notice(choose):
    got = choose(split="off")
    assert (got.model, got.part_widths, got.notices) == ("ranker.onnx", None, ())


@pytest.mark.parametrize("difference", [1.1e-5, float("nan"), float("inf")])
def test_an_inexact_split_is_not(choose, difference):
    got = choose({"widths": WIDTHS, "max_difference": difference})
    assert got.model == "ranker.onnx" and got.part_widths is None
    (notice,) = got.notices
    assert notice.startswith("serving.ranker.split: the split logits differ by") and "whole ranker runs" in notice


def test_a_ranker_without_parts_is_served_whole(choose):
    got = choose(None)
    assert got.model == "ranker.onnx"
    assert got.notices == ("serving.ranker.split: the ranker stage wrote no item part; the whole ranker runs",)


def test_tables_that_are_too_large_are_not_made(choose):
    """1000 items of 448 floats: 1.71 MiB."""
    assert choose(item_part_mb=2).model == "ranker_pair.onnx"
    got = choose(item_part_mb=1)
    assert got.model == "ranker.onnx" and got.part_widths is None
    assert "the items' parts take 2 MiB, more than item_part_mb 1" in got.notices[0]


def test_int8_is_served_where_it_loses_next_to_nothing(choose):
    assert choose().model == "ranker_pair.onnx"
    got = choose(precision="int8")
    assert (got.model, got.part_widths, got.notices) == ("ranker_pair_int8.onnx", WIDTHS, ())


@pytest.mark.parametrize(
    ("int8", "notice"),
    [
        ({"auc_loss": 0.001, "top50_overlap": 0.99}, "int8 loses 0.0010 AUC (less than 0.001 wanted)"),
        ({"auc_loss": 0.0, "top50_overlap": 0.98}, "keeps 0.9800 of the top 50 (more than 0.98 wanted); fp32 runs"),
        (None, "int8 was not judged for want of a validation part; fp32 runs"),
    ],
)
def test_int8_that_loses_too_much_is_not(choose, int8, notice):
    got = choose(int8=int8, precision="int8")
    assert (got.model, got.part_widths) == ("ranker_pair.onnx", WIDTHS)
    assert got.notices[0].startswith("serving.ranker.precision: int8") and notice in got.notices[0]


def test_int8_needs_the_split(choose):
    got = choose(split="off", precision="int8")
    assert got.model == "ranker.onnx"
    assert got.notices == ("serving.ranker.precision: int8 is for the split ranker; fp32 runs",)
