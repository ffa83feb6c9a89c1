"""Runs the graph before the first request, so that a model that is ready is also warm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.executor import Executor
from ..protocol.inputs import Input

USERS = (1, 8)
"""Users of the passes: one request alone, and several that share a pass."""
_TEMPERATURE = 0.5
"""Above 0, so that sampling is run as well."""


def warm_up(executor: Executor) -> None:
    """Run passes with and without the optional inputs: files are read, memory is allocated, kernels are compiled.

    Raises:
        Exception: whatever a step raises; such a model must not become ready.
    """
    for users in (min(users, executor.max_users) for users in USERS):
        every = {spec.name: sample(spec, users) for spec in executor.inputs}
        executor.run({spec.name: every[spec.name] for spec in executor.inputs if spec.required})
        executor.run(every)


def sample(spec: Input, users: int) -> NDArray[Any]:
    """Values that the input accepts, [users, *dims]; lists have one value."""
    if spec.name == "temperature":
        return np.full((users, 1), _TEMPERATURE, dtype=spec.dtype)
    value: Any = "?" if spec.dtype == "object" else max(0, spec.minimum or 0)
    return np.full((users, *(1 if isinstance(dim, str) else dim for dim in spec.dims)), value, dtype=spec.dtype)
