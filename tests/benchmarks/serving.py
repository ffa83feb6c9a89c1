"""Measure the served demo: start-up time, private memory, and recovery after a stub is killed under load.

Run it from the repository's root after ``make demo``: ``.venv/bin/python tests/benchmarks/serving.py``. The limits are
400 MB of private memory and an answer within 5 seconds after a kill. The exit code is 1 if one is exceeded.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from cascade.config.load import config_with_origins
from cascade.core.errors import CascadeError
from cascade.ensemble.client import Client
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs
from cascade.pipeline.stages import find

MEMORY_MB, HEALED_S = 400, 5
CLIENTS, KILLS, LONGEST_S = 4, 3, 60


def healed_after(server, answered):
    """Kill the stub: seconds until the new one answers."""
    [stub] = running_stubs(server.pid)
    os.kill(stub.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    # An answer of the killed stub may still arrive, so answers count only once there is a new process.
    while time.monotonic() < killed + LONGEST_S:
        fresh = [other for other in running_stubs(server.pid) if other.process.pid != stub.process.pid]
        if fresh and answered[-1] > killed + 0.2:
            return answered[-1] - killed
        time.sleep(0.01)
    return float("inf")


def ask(url, user, answered, stop):
    with Client(url, timeout=HEALED_S) as client:
        while not stop.is_set():
            try:
                client.recommend([user])
                answered.append(time.monotonic())
            except CascadeError:
                time.sleep(0.01)


def main():
    config, _ = config_with_origins(Path("pipeline.yaml"))
    users = np.load(find(config, Path("runs"), "etl").path / "user_ids.npy")[:500].tolist()
    server = TritonServer(
        Path(config.export.repository),
        config.export.model_name,
        feature_repo=Path(config.feature_store.repo),
        config=ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=1, standby=False),
        forward=lambda line: None,
    )
    start = time.monotonic()
    with server:
        print(f"ready after {time.monotonic() - start:.2f} s")
        with Client(server.grpc_url, timeout=60) as client:
            client.recommend(users)
        [stub] = running_stubs(server.pid)
        memory = stub.process.memory_full_info().uss / 1e6
        print(f"private memory {memory:.0f} MB")
        answered, stop = [0.0], threading.Event()
        threads = [
            threading.Thread(target=ask, args=(server.grpc_url, users[0], answered, stop)) for _ in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(2)
        healed = []
        for _ in range(KILLS):
            healed.append(healed_after(server, answered))
            print(f"answers {healed[-1]:.2f} s after a kill")
            time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join()
    return int(memory > MEMORY_MB or max(healed) > HEALED_S)


if __name__ == "__main__":
    sys.exit(main())
