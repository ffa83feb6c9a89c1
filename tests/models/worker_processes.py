"""Start and await a worker group on this machine; each worker runs ``worker_run``."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cascade.core.processes import end_with_parent
from cascade.models.training.tf_config import tf_config
from cascade.pipeline.launch import free_ports

SCRIPT = Path(__file__).with_name("worker_run.py")
WITHIN_S = 480
"""Longer than any of these trainings takes on a busy machine."""


def start(folder, shops, cases, others=None, count=2, saves=0):
    """Start worker processes that train ``cases`` (stage, section as JSON, name of the shop) one after the other.

    Args:
        shops: name -> the artifacts that stages read.
        others: cases for all workers but the chief.
        saves: number of checkpoints after which the chief kills itself; 0 for never.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    paths = json.dumps({shop: {name: str(part.path) for name, part in parts.items()} for shop, parts in shops.items()})
    every = [cases, *[others or cases] * (count - 1)]
    return [
        subprocess.Popen(
            [*end_with_parent(), sys.executable, SCRIPT, folder, str(saves), json.dumps(every[index]), paths],
            env={**os.environ, "TF_CONFIG": tf_config(addresses, index), "TF_NUM_INTRAOP_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def finish(workers):
    """Wait for the workers; the metrics that the chief prints for each case."""
    try:
        outputs = [worker.communicate(timeout=WITHIN_S) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, errors[-3000:]
    return [json.loads(line) for line in outputs[0][0].splitlines()]
