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
from ..load.workload import REQUESTS, draw_users
from ..memory import memory_of, summary
from ..probe import Target
from ..report.results import Point
from ..serving import Subject
from .build import StockServed, build
from .check import check
from .server import StockServer

AGREE = 1e-4
"""Largest difference of logits with which both graphs count as doing the same work."""


def measure(subject: Subject, folder: Path, send: Send) -> tuple[Sequence[Point], Mapping[str, Any]]:
    """The points that ``send`` measured, and how the stock ensemble was served; see `cascade.bench.compare.Measure`.

    Raises:
        ConfigError: if the stock operators cannot take this pipeline.
        ServerError: if its scores are not ours.
    """
    artifacts = {name: subject.artifact(name) for name in (*EXPORT.parents, EXPORT.name)}
    served = build(subject.config, artifacts, folder / "stock")
    requests = folder / "requests.json"
    write_requests(served, requests)
    start = time.monotonic()
    with StockServer(served) as server:
        startup_s = time.monotonic() - start
        agreement = check(subject.config, artifacts, server)
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


def write_requests(served: StockServed, file: Path, seed: int = 0) -> None:
    """perf_analyzer's input data, as skewed as our own load, without the unknown users whom it cannot answer."""
    users = draw_users(served.users, REQUESTS, np.random.default_rng(seed), unknown=0.0).tolist()
    # With its shape: the model takes no batches, so its first axis is not added.
    entries = [{served.input: {"content": [user], "shape": [1]}} for user in users]
    file.write_text(json.dumps({"data": entries}))
