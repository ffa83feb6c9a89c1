"""The memory estimate against a measured training, and the refusal of a training that does not fit."""

import subprocess
import sys
from pathlib import Path

import pytest
from stage_runs import RANKER, SECTIONS, TWO_TOWER, serving

from cascade.core.errors import ConfigError
from cascade.models.config import TowerConfig, TrainingConfig, TwoTowerConfig
from cascade.models.ranker.dlrm import build as build_dlrm
from cascade.models.retriever.two_tower import build
from cascade.models.training import memory_estimate
from cascade.models.training.memory_estimate import (
    check_memory,
    estimate,
)

TRAINING = SECTIONS["two_tower"].training


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["adam", "lazy_adam"])
def test_the_estimate_is_close_to_the_measured_peak(rule):
    """Within 30 %, for a table of 154 MB."""
    command = [sys.executable, Path(__file__).parents[1] / "peak_memory.py", "600000", rule]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    expected, taken = map(int, found[-2:])
    assert 0.7 * taken < expected < 1.3 * taken, (expected / 1e6, taken / 1e6)


def test_parts_by_hand(tensors):
    """200 users and 60 items; the history shares the items' table. 3 codes of each vocabulary are reserved."""
    found = estimate(build(tensors.schema, SECTIONS["two_tower"]), TRAINING)
    assert found.shapes == {
        "user_id_table": (203, 8), "city_table": (7, 8), "item_id_table": (63, 8), "genres_table": (7, 8)
    }  # fmt: skip
    assert sum(found.tables.values()) == 4 * 8 * (203 + 7 + 63 + 7)
    assert found.optimizer == 3 * found.parameters  # two moments and the moving average


def test_what_does_not_fit_is_refused_with_the_largest_tables(tensors, monkeypatch):
    monkeypatch.setattr(memory_estimate, "available", lambda: 20_000_000)
    tower = TowerConfig(default_dim=20_000, mlp=[16, 8])
    model = build(tensors.schema, TwoTowerConfig(user_tower=tower, item_tower=tower))
    with pytest.raises(ConfigError) as refused:
        check_memory("two_tower", model, TrainingConfig(batch_size=2))
    for part in (
        "two_tower: training needs 0.16 GB of memory",
        "0.02 GB are available",
        "largest tables user_id_table 203 x 20000, item_id_table 63 x 20000",
        "lower two_tower.user_tower.emb_dims and two_tower.item_tower.emb_dims",
    ):
        assert part in str(refused.value)


def test_the_batch_size_is_named_where_activations_dominate(tensors, monkeypatch):
    monkeypatch.setattr(memory_estimate, "available", lambda: 10_000_000)
    with pytest.raises(ConfigError, match=r"lower two_tower\.training\.batch_size"):
        check_memory("two_tower", build(tensors.schema, SECTIONS["two_tower"]), TrainingConfig(batch_size=65536))
    with pytest.raises(ConfigError, match=r"lower dlrm_ranker\.training\.batch_size"):
        check_memory("ranker", build_dlrm(tensors.schema, SECTIONS["dlrm_ranker"]), TrainingConfig(batch_size=65536))


def test_target_attention_counts(tensors):
    """A history of 5 items of width 8; for each of 2 heads, 2 numbers per item and a vector."""
    plain = SECTIONS["dlrm_ranker"]
    history = {"kind": "target_attention", "heads": 2}
    attending = type(plain).model_validate({**plain.model_dump(), "history": history})
    with_it, without = (build_dlrm(tensors.schema, own).step_size(10, 10).numbers for own in (attending, plain))
    more = with_it - without
    assert more == 10 * (5 * 8 + 2 * (2 * 5 + 8))


@pytest.mark.slow
def test_the_stages_name_what_they_hold_beside_the_tables(parts):
    sections = {**SECTIONS, **serving()}
    sections["two_tower"] = SECTIONS["two_tower"].model_copy(update={"linear": 16, "neighbours": 10})
    needs = {stage.name: stage.memory(sections, parts) for stage in (TWO_TOWER, RANKER)}
    found = {name: list(need.parts) for name, need in needs.items()}
    assert any("SVD and iALS, then EASE of 3,600 pairs" in part for part in found["two_tower"]), found
    assert any("20 candidates of" in part for part in found["ranker"]), found
    assert all(need.total < 600_000_000 for need in needs.values())
