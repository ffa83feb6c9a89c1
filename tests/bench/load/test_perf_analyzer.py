"""Output recorded from perf_analyzer 2.50.0, and a stand-in for it that prints this output."""

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
    result = parse_csv((ASSETS / file).read_text(), batch, cpu_s=0.5)
    assert result.requests_per_s == pytest.approx(requests_per_s)
    assert (result.p50_ms, result.p95_ms, result.p99_ms) == percentiles
    assert (result.cpu_s, result.errors) == (0.5, 0)


@pytest.fixture
def analyzer(tmp_path):
    """A stand-in for perf_analyzer that writes its arguments to a file, then runs the shell commands ``body``."""

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


def test_a_closed_loop_is_measured_in_three_windows(analyzer, tmp_path):
    report = f'while [ "$1" != -f ]; do shift; done; cp {ASSETS}/batch_of_8.csv "$2"'
    result = drive(analyzer(report), Load("concurrency", 4, 8, seconds=6))
    flags = arguments(tmp_path)
    assert result.p50_ms == 50.188
    assert {"-m": "cascade", "-u": "127.0.0.1:1", "-i": "grpc", "-b": "8"}.items() <= flags.items()
    assert (flags["--input-data"], flags["--concurrency-range"]) == ("requests.json", "4")
    assert flags["--measurement-interval"] == "2000"  # milliseconds, of one of three windows
    assert "--sync" in flags and "--request-rate-range" not in flags


def test_an_open_loop_is_asynchronous_and_poisson(analyzer, tmp_path):
    report = f'while [ "$1" != -f ]; do shift; done; cp {ASSETS}/rate.csv "$2"'
    drive(analyzer(report), Load("rate", 123.456, 1, seconds=3))
    flags = arguments(tmp_path)
    assert (flags["--request-rate-range"], flags["--request-distribution"]) == ("123.46", "poisson")
    assert "--async" in flags and "--sync" not in flags


def test_failed_requests_are_counted_with_the_first_error(analyzer):
    result = drive(analyzer(f"cat {ASSETS}/failed_requests.txt >&2; exit 99"), Load("concurrency", 4, 1, 1))
    assert (result.requests_per_s, result.p50_ms, result.errors) == (0.0, None, 2)
    assert result.error == "top_k: expected 1 to 200, got 9999"


def test_a_load_without_answers_is_an_error_of_that_load(analyzer):
    said = "No valid requests recorded within time interval. Please use a larger time window."
    result = drive(analyzer(f"echo {said!r} >&2; exit 99"), Load("rate", 5000, 1, 1))
    assert (result.errors, result.error) == (1, said)


def test_any_other_failure_is_raised(analyzer):
    failing = analyzer("echo 'error: failed to get model metadata' >&2; exit 99")
    with pytest.raises(ServerError, match="ended with code 99: error: failed to get model metadata"):
        drive(failing, Load("concurrency", 1, 1, 1))


def test_cpu_time_is_that_of_the_process(analyzer):
    burn = "python3 -c 'import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass'"
    report = f'while [ "$1" != -f ]; do shift; done; cp {ASSETS}/rate.csv "$2"'
    assert drive(analyzer(f"{burn}; {report}"), Load("rate", 1, 1, 1)).cpu_s >= 0.3
