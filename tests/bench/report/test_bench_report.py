"""The points of a load test, its JSON, its text and its page."""

import json
import re
from dataclasses import replace

import pytest

from cascade.bench.compare import comparison, rival
from cascade.bench.load.generator import Load, LoadResult
from cascade.bench.load.point import Point, best
from cascade.bench.probe import Interval, Snapshot
from cascade.bench.report.page import render
from cascade.bench.report.results import Report, machine
from cascade.bench.report.text import as_text
from cascade.bench.run import BenchOptions, run
from cascade.bench.sizing.card import LAST_BENCH, Measured
from cascade.bench.stock import measure
from cascade.bench.targets import ExportedPipeline
from cascade.config.pipeline import PipelineConfig
from cascade.core.errors import ConfigError
from cascade.models.config import DlrmConfig, TransitionsConfig
from cascade.workflows.config import EtlConfig, SchemaConfig

CONFIG = PipelineConfig(schema=SchemaConfig(sparse=["user_id", "item_id"]))
STAGES = {"lookup_user": 0.25, "rank": 0.5}
POINT = Point(
    "fused", "concurrency", 4, 1, 1000.0, 1000.0, 3.5, 5.25, 8.0, 0.9, 0.1, 2.5, errors=0, error="", stages_ms=STAGES
)


@pytest.fixture
def report():
    parts = {"tritonserver": {"pss": 50.0, "rss": 100.0, "own": 20.0}}
    memory = {"pss": 150.0, "rss": 300.0, "own": 80.0, "processes": parts}
    return Report(
        generator="cascade",
        notes=["no <perf_analyzer> here"],
        points=[POINT, replace(POINT, mode="rate", level=800.0), replace(POINT, batch=8)],
        stages_ms=STAGES,
        memory_mb={"fused": memory},
        startup_s={"fused": 1.5},
        soak={
            "seconds": 300.0,
            "rate": 800.0,
            "errors": 0,
            "p95_ms": 6.0,
            "memory_ratio": {"total": 1.004},
            "memory_mb": {"seconds": [1.0, 2.0], "own": {"total": [100.0, None]}},
        },
        compare={"requests_per_s": 10.0, "ratio": 100.0, "cpu_ratio": None, "points": []},
        machine=machine(),
    )


def test_a_point_combines_generator_and_server():
    interval = Interval(Snapshot(0, 0, 0, 0, {1: 0.0}), Snapshot(50, 0, 400, 20, {1: 0.1}), {"rank": 0.5})
    point = Point.of("fused", Load("concurrency", 4, 8, 2.0), LoadResult(25.0, 1.0, 2.0, 3.0, cpu_s=0.05), interval)
    assert (point.requests_per_s, point.users_per_s) == (25.0, 200.0)
    assert (point.cpu_ms_per_request, point.generator_cpu_ms_per_request) == (2.0, 1.0)
    assert (point.effective_batch, point.stages_ms, point.errors) == (20.0, {"rank": 0.5}, 0)


def test_the_larger_of_both_error_counts_is_reported():
    failed = Interval(Snapshot(0, 2, 0, 0), Snapshot(9, 7, 9, 9))
    load = Load("rate", 10.0, 1, 1.0)
    assert Point.of("fused", load, LoadResult(0, None, None, None, 0.0, 1, "why"), failed).errors == 5
    refused = LoadResult(0, None, None, None, 0.0, 3, "not reached")
    assert Point.of("fused", load, refused, Interval(failed.after, failed.after)).errors == 3


def test_the_best_point_has_no_errors():
    slow, wrong = replace(POINT, requests_per_s=900.0), replace(POINT, requests_per_s=2000.0, errors=1)
    assert best([slow, wrong, POINT]) == POINT
    assert best([wrong, replace(POINT, mode="rate")]) is None


def test_the_json_has_the_promised_keys(report):
    shown = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert {"points", "stages_ms", "memory_mb", "compare"} <= set(shown)
    promised = {"layout", "mode", "level", "batch", "requests_per_s", "cpu_ms_per_request", "errors"}
    assert all(promised | {"p50_ms", "p95_ms", "p99_ms"} <= set(point) for point in shown["points"])
    assert {"requests_per_s", "ratio"} <= set(shown["compare"])
    assert {"generator", "machine", "soak", "startup_s", "workload", "notes"} <= set(shown)


def test_the_sizing_card_reads_what_is_saved(report, tmp_path):
    report.save(tmp_path / LAST_BENCH)
    measured = Measured.last_bench(tmp_path)
    assert measured.t_infer == pytest.approx(0.001) and measured.stages_ms == STAGES
    assert [file.name for file in (tmp_path / LAST_BENCH).parent.iterdir()] == [LAST_BENCH.name]


def test_the_text_holds_every_result(report):
    text = as_text(report)
    row = next(line for line in text.splitlines() if "concurrency" in line)
    assert " ".join(row.split()) == "fused 1 concurrency 4 1,000 1,000 3.50 5.25 8.00 0.90 0.10 2.50 0"
    for part in (
        "load by cascade",
        "no <perf_analyzer> here",
        "rank 0.500",
        "MB: 80 (tritonserver 20); 150 with mapped files",
        "1.5 s",
        "total 1.004",
        "100.0 times",
    ):
        assert part in text


@pytest.mark.slow
def test_the_page_is_self_contained(report):
    page = render(report)
    assert page.count("data:image/svg+xml;base64,") == 4  # two batch sizes, stages, soak
    assert "no &lt;perf_analyzer&gt; here" in page and "Comparison" in page
    assert not re.search(r'(src|href)="(?!data:)|<script|@import|url\(', page)


def test_the_page_of_a_bench_with_few_results():
    bare = Report("cascade", points=[replace(POINT, p50_ms=None, p95_ms=None, p99_ms=None, stages_ms={}, errors=1)])
    page = render(bare)
    assert "Where the time" not in page and "Soak" not in page and "1 user a request" in page


def test_the_ratio_compares_the_best_rates_with_one_user():
    theirs = [replace(POINT, requests_per_s=8.0), replace(POINT, requests_per_s=10.0, cpu_ms_per_request=90.0)]
    ours = [POINT, replace(POINT, batch=8, requests_per_s=5000.0)]
    found = comparison(ours, theirs, {"agreement": 1e-5})
    assert (found["requests_per_s"], found["ratio"], found["agreement"]) == (10.0, 100.0, 1e-5)
    assert (found["cpu_ms_per_request"], found["cpu_ratio"], len(found["points"])) == (90.0, 100.0, 2)


def test_a_comparison_needs_a_rate_on_both_sides():
    with pytest.raises(ConfigError, match="the served model has no such load .*: no closed loop of one user"):
        comparison([replace(POINT, batch=8)], [POINT], {})
    with pytest.raises(ConfigError, match="the rival has no such load .*: it broke"):
        comparison([POINT], [replace(POINT, errors=1, error="it broke")], {})


def test_an_unknown_rival_is_an_error():
    with pytest.raises(ConfigError, match="--compare tensorflow: expected one of merlin"):
        rival("tensorflow", CONFIG)


def test_a_config_that_the_rival_cannot_serve_is_an_error_before_anything_is_measured():
    """The stock graph encodes the item ids of a history by their vocabulary."""
    assert rival("merlin", CONFIG) is measure
    hashed = CONFIG.model_copy(update={"etl": EtlConfig(hash_buckets={"item_id": 500, "user_id": 50})})
    message = "etl.hash_buckets.item_id: the stock graph .* expected one, but it is hashed into 500 buckets"
    with pytest.raises(ConfigError, match=message):
        rival("merlin", hashed)
    followed = CONFIG.model_copy(update={"dlrm_ranker": DlrmConfig(transitions=TransitionsConfig(last=5))})
    with pytest.raises(ConfigError, match=r"dlrm_ranker.transitions.last: .* expected 0, got 5"):
        rival("merlin", followed)
    nothing = ExportedPipeline(hashed, lambda name: pytest.fail(f"{name} was read"))
    with pytest.raises(ConfigError, match=message):
        run(nothing, BenchOptions(("fused",), compare="merlin"), on_point=lambda point: pytest.fail("was measured"))
