"""What the gateway changes in Triton's metrics."""

import os
import subprocess
import sys

from cascade.ensemble.gateway.metrics import of_running


def test_series_of_processes_that_have_ended_are_left_out():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    text = """# HELP recsys_requests_total Requests
# TYPE recsys_requests_total counter
recsys_requests_total{{model="m",pid="{here}"}} 1
recsys_requests_total{{model="m",pid="{ended}"}} 2
recsys_latency_seconds_bucket{{pid="{ended}",stage="rank",le="0.1"}} 3
nv_inference_count{{model="m",version="{ended}"}} 4
"""
    lines = text.format(here=os.getpid(), ended=ended.pid).splitlines(True)
    assert of_running("".join(lines)) == "".join([*lines[:3], lines[5]])
