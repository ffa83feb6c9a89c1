"""`cascade bench --compare merlin`: builds, serves, checks and measures the stock ensemble."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import ServerError
from ...ensemble.repository.stage import EXPORT
from ..compare import Send
from ..load.point import Point
from ..load.workload import REQUESTS, draw_users
from ..memory import memory_of, summary
from ..targets import ExportedPipeline, Target
from .build import StockEnsemble, build
from .check import check
from .server import StockServer

AGREE = 1e-4
"""Largest difference of logits up to which both graphs count as doing the same work."""


def measure(pipeline: ExportedPipeline, folder: Path, send: Send) -> tuple[Sequence[Point], Mapping[str, Any]]:
    """The points that ``send`` measured, and how the stock ensemble was served; see `cascade.bench.compare.Measure`.

    Raises:
        ConfigError: if the stock operators do not support this pipeline.
        ServerError: if the scores of the stock ensemble differ from ours.
    """
    artifacts = {name: pipeline.artifact(name) for name in (*EXPORT.parents, EXPORT.name)}
    served = build(pipeline.config, artifacts, folder / "stock")
    requests = folder / "requests.json"
    write_requests(served, requests)
    start = time.monotonic()
    with StockServer(served) as server:
        startup_s = time.monotonic() - start
        agreement = check(pipeline.config, artifacts, server)
        if agreement.logit > AGREE:
            raise ServerError(
                f"stock ensemble: its logits differ from ours by {agreement.logit:.2g}: not the same work"
            )
        points = send(Target(server.grpc_url, served.model, None, server.pid), requests)
        memory = summary(memory_of(server.pid))
    return points, {
        "agreement": agreement.to_json(),
        "candidates": served.candidates,
        "shown": served.shown,
        "index": served.index,
        "startup_s": round(startup_s, 2),
        "memory_mb": memory,
    }


def write_requests(served: StockEnsemble, file: Path, seed: int = 0) -> None:
    """Write perf_analyzer's input data: the same distribution as our own load, but without unknown users."""
    users = draw_users(served.users, REQUESTS, np.random.default_rng(seed), unknown=0.0).tolist()
    # The shape is given, since the model takes no batches and perf_analyzer must not add a batch axis.
    entries = [{served.input: {"content": [user], "shape": [1]}} for user in users]
    file.write_text(json.dumps({"data": entries}))
