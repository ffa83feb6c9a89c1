"""Measure requests/s and latency while Redis answers, while it hangs (SIGSTOP), and after it goes on.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/redis_outage.py``. It serves the miniature with
one instance, and asks 100 times a second in turns of five seconds. The limit is a median latency during the outage of
1.1 times the usual one. The exit code is 1 if it is exceeded.
"""

import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from redis_process import USER, RedisServer, lookup, write_user  # noqa: E402

from cascade.ensemble.client import Client  # noqa: E402
from cascade.ensemble.config import ServerConfig  # noqa: E402
from cascade.ensemble.server.server import TritonServer  # noqa: E402
from cascade.testing.miniature import miniature_repository  # noqa: E402

TURNS, SECONDS, RATE, LIMIT = 5, 5, 100, 1.1


def drive(client, seconds=SECONDS):
    """Milliseconds of each answer, at RATE a second, and whether it was stale."""
    took, stale, start = [], [], time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        time.sleep(max(0.0, start + len(took) / RATE - now))
        asked = time.perf_counter()
        [answer] = client.recommend([USER])
        took.append(1000 * (time.perf_counter() - asked))
        stale.append("features_stale" in answer.reasons)
    return np.array(took), np.array(stale)


def main():
    phases = {name: [] for name in ("answers", "first second of a hang", "hangs", "goes on")}
    folder = Path(tempfile.mkdtemp())
    free = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=1)
    with RedisServer(folder) as redis:
        write_user(redis)
        miniature_repository(folder / "models", lookup_user=lookup(redis, retry=1.0, timeout=0.2))
        server = TritonServer(folder / "models", "cascade", feature_repo=folder, config=free, forward=lambda _: None)
        with server, Client(server.grpc_url, timeout=60) as client:
            drive(client)
            for _ in range(TURNS):
                phases["answers"].append(drive(client))
                redis.signal(signal.SIGSTOP)
                phases["first second of a hang"].append(drive(client, 1))
                phases["hangs"].append(drive(client))
                redis.signal(signal.SIGCONT)
                phases["goes on"].append(drive(client))
    print("| Redis | p50 ms | p95 ms | longest ms | stale |\n|---|---|---|---|---|")
    medians = {}
    for name, turns in phases.items():
        took, stale = (np.concatenate(part) for part in zip(*turns, strict=True))
        medians[name] = np.median(took)
        row = f"{medians[name]:.2f} | {np.percentile(took, 95):.2f} | {took.max():.0f} | {stale.sum()} of {len(took)} |"
        print(f"| {name} | {row}")
    return int(medians["hangs"] > LIMIT * medians["answers"])


if __name__ == "__main__":
    sys.exit(main())
