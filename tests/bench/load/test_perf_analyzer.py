"""perf_analyzer's own words, recorded from version 2.50.0, and a stand-in that says them."""

from pathlib import Path

import pytest

from cascade.bench.load.generator import Load
from cascade.bench.load.perf_analyzer import PerfAnalyzer, parse_csv
from cascade.bench.load.perf_tool import PerfTool
from cascade.core.errors import ServerError

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "perf_analyzer"


@pytest.mark.parametrize(
    ("file", "batch", "requests_per_s", "percentiles"),
    [
        ("concurrency.csv", 1, 278.685, (13.903, 21.987, 26.138)),
        ("batch_of_8.csv", 8, 649.895 / 8, (50.188, 67.036, 82.092)),  # the file counts users
        ("rate.csv", 1, 378.679, (656.915, 1064.454, 1176.774)),
    ],
)
def test_microseconds_and_users_become_milliseconds_and_requests(file, batch, requests_per_s, percentiles):
    driven = parse_csv((ASSETS / file).read_text(), batch, cpu_s=0.5)
    assert driven.requests_per_s == pytest.approx(requests_per_s)
    assert (driven.p50_ms, driven.p95_ms, driven.p99_ms) == percentiles
    assert (driven.cpu_s, driven.errors) == (0.5, 0)


@pytest.fixture
def analyzer(tmp_path):
    """A stand-in: writes down its arguments, then runs ``body``."""

    def make(body):
        script = tmp_path / "perf_analyzer"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n{body}\n')
        script.chmod(0o755)
        return PerfAnalyzer(PerfTool(script))

    return make


def arguments(folder):
    words = (folder / "arguments").read_text().splitlines()
    return {word: words[at + 1] if at + 1 < len(words) else "" for at, word in enumerate(words) if word[0] == "-"}


def drive(analyzer, load):
    return analyzer.drive("127.0.0.1:1", "cascade", Path("requests.json"), load)


def test_closed_loop_is_asked_for_in_three_windows(analyzer, tmp_path):
    report = f'while [ "$1" != -f ]; do shift; done; cp {ASSETS}/batch_of_8.csv "$2"'
    driven = drive(analyzer(report), Load("concurrency", 4, 8, seconds=6))
    asked = arguments(tmp_path)
    assert driven.p50_ms == 50.188
    assert {"-m": "cascade", "-u": "127.0.0.1:1", "-i": "grpc", "-b": "8"}.items() <= asked.items()
    assert (asked["--input-data"], asked["--concurrency-range"]) == ("requests.json", "4")
    assert asked["--measurement-interval"] == "2000"  # milliseconds; it measures three
    assert "--sync" in asked and "--request-rate-range" not in asked


def test_open_loop_is_asynchronous_and_poisson(analyzer, tmp_path):
    report = f'while [ "$1" != -f ]; do shift; done; cp {ASSETS}/rate.csv "$2"'
    drive(analyzer(report), Load("rate", 123.456, 1, seconds=3))
    asked = arguments(tmp_path)
    assert (asked["--request-rate-range"], asked["--request-distribution"]) == ("123.46", "poisson")
    assert "--async" in asked and "--sync" not in asked


def test_requests_that_fail_are_counted_with_the_first_reason(analyzer):
    driven = drive(analyzer(f"cat {ASSETS}/failed_requests.txt >&2; exit 99"), Load("concurrency", 4, 1, 1))
    assert (driven.requests_per_s, driven.p50_ms, driven.errors) == (0.0, None, 2)
    assert driven.error == "top_k: expected 1 to 200, got 9999"


def test_a_load_without_answers_is_an_error_of_that_load(analyzer):
    said = "No valid requests recorded within time interval. Please use a larger time window."
    driven = drive(analyzer(f"echo {said!r} >&2; exit 99"), Load("rate", 5000, 1, 1))
    assert (driven.errors, driven.error) == (1, said)


def test_any_other_end_is_raised(analyzer):
    failing = analyzer("echo 'error: failed to get model metadata' >&2; exit 99")
    with pytest.raises(ServerError, match="ended with code 99: error: failed to get model metadata"):
        drive(failing, Load("concurrency", 1, 1, 1))


def test_cpu_time_is_that_of_the_process(analyzer):
    burn = "python3 -c 'import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass'"
    report = f'while [ "$1" != -f ]; do shift; done; cp {ASSETS}/rate.csv "$2"'
    assert drive(analyzer(f"{burn}; {report}"), Load("rate", 1, 1, 1)).cpu_s >= 0.3
