"""The guide's formulas, compared with the guide's own figures and with figures computed by hand."""

import json

import pytest
from typer.testing import CliRunner

from cascade.bench.sizing import formulas
from cascade.bench.sizing.card import (
    LAST_BENCH,
    Measured,
    SizingInputs,
    card,
)
from cascade.bench.sizing.formulas import Table
from cascade.cli.main import app
from cascade.core.errors import ConfigError


@pytest.mark.parametrize(
    ("memory", "dim", "millions"),
    [(24, 64, 151), (48, 64, 302), (80, 64, 503), (24, 128, 75), (48, 128, 151), (80, 128, 252)],
)
def test_the_guide_s_table(memory, dim, millions):
    assert formulas.embeddings_that_fit(memory, dim, "fp16") / 1e6 == pytest.approx(millions, abs=0.5)


def test_twice_the_bytes_half_the_embeddings():
    assert formulas.embeddings_that_fit(24, 64, "fp32") == formulas.embeddings_that_fit(24, 128, "fp16")
    assert formulas.embeddings_that_fit(24, 64, "int8") == 2 * formulas.embeddings_that_fit(24, 64, "bf16")


def test_cost_rate_and_machines_by_hand():
    # 2 ms a request, 70 % used, 1.80 an hour: 350 a second, 1.26 million an hour.
    assert formulas.requests_per_s(0.002, 0.7) == pytest.approx(350)
    assert formulas.cost_per_million(0.002, 0.7, 1.8) == pytest.approx(1.8 / 1.26)
    assert [formulas.machines(qps, 0.002, 0.7) for qps in (0, 349, 350, 351, 3500)] == [1, 1, 1, 2, 10]
    assert formulas.machines(700, 0.001, 0.7) == 1, "a machine that is exactly full is enough"


def test_an_epoch_by_hand():
    assert formulas.epoch_seconds(7_000_000, 100_000, 2, 0.7) == pytest.approx(50)


def test_memory_by_hand():
    tables = [Table("user_id", 1000, 64), Table("item_id", 500, 32)]
    assert formulas.parameter_bytes(tables, "fp32") == 4 * (64_000 + 16_000)
    parts = formulas.training_bytes(tables, "fp16", "adam")
    assert parts == {"parameters": 160_000, "gradients": 160_000, "optimizer": 320_000, "total": 640_000}
    assert formulas.training_bytes(tables, "fp16", "sgd")["total"] == 320_000


def test_latency_is_the_sum_of_its_terms():
    stages = dict(lookup_user=1.0, transform=2.0, encode_query=4.0, retrieve=8.0, drop_seen=16.0, lookup_items=32.0)
    found = formulas.latency_ms({**stages, "rank": 64.0, "order": 128.0, "respond": 256.0})
    want = {"features": 3.0, "ann": 28.0, "join": 32.0, "rank": 64.0, "rules": 384.0, "transport": 0.0, "total": 511.0}
    assert found == want
    with pytest.raises(ConfigError, match="stages_ms: .* got mystery"):
        formulas.latency_ms({"mystery": 1.0})


@pytest.mark.parametrize("text", ["item_id", "item_id=", "a=10", "a=10x", "=10x2", "a=0x2", "a=1.5x2"])
def test_invalid_tables(text):
    with pytest.raises(ConfigError, match="--table: expected NAME=ROWSxDIM"):
        Table.parse(text)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [({"utilization": 0}, "utilization"), ({"utilization": 2}, "utilization"), ({"samples": 3}, "samples")],
)
def test_invalid_inputs(wrong, flag):
    with pytest.raises(ConfigError, match=f"--{flag}"):
        SizingInputs(**wrong)


POINT = {"layout": "fused", "mode": "concurrency", "level": 8, "batch": 1, "requests_per_s": 500.0, "errors": 0}


def write_bench(runs, *points):
    file = runs / LAST_BENCH
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"points": points, "stages_ms": {"rank": 0.25, "pack": 0.5, "total": 9.0}}))


def test_reads_the_best_point_of_the_last_bench(tmp_path):
    failed = {**POINT, "requests_per_s": 900.0, "errors": 3}
    eight = {**POINT, "requests_per_s": 700.0, "batch": 8}
    write_bench(tmp_path, {**POINT, "requests_per_s": 400.0}, POINT, failed, eight)
    measured = Measured.last_bench(tmp_path)
    assert measured == Measured(0.002, "500 requests/s at concurrency 8, fused", {"rank": 0.25, "pack": 0.5})
    assert card(measured, SizingInputs())["latency_ms"]["total"] == 0.75


def test_the_error_says_what_is_missing_in_a_bench(tmp_path):
    with pytest.raises(ConfigError, match="--t-infer-ms: not given, and .*last.json does not exist"):
        Measured.last_bench(tmp_path)
    write_bench(tmp_path, {**POINT, "errors": 1})
    with pytest.raises(ConfigError, match="without errors"):
        Measured.last_bench(tmp_path)


def test_the_command_prints_the_card_and_its_json():
    flags = (
        "size --t-infer-ms 2 --price-per-hour 1.8 --qps 351 --table item_id=1000000x64 --samples 700 --samples-per-s 10"
    )
    text = CliRunner().invoke(app, flags.split()).output
    assert "machines" in text and " 151 " in text and "503.3" in text
    found = json.loads(CliRunner().invoke(app, [*flags.split(), "--json"]).output)
    assert (found["serving"]["machines"], found["serving"]["price_per_hour"]) == (2, 3.6)
    assert found["memory_gib"]["item_id"] == pytest.approx(128e6 / 2**30)
    assert found["memory_gib"]["training: total"] == pytest.approx(4 * 128e6 / 2**30)
    assert found["training"]["epoch_s"] == pytest.approx(100)
