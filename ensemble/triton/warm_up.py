"""First requests before the first request: ready means warm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.executor import Executor
from ..protocol.inputs import Input

USERS = (1, 8)
"""Users of the passes that are run: a request alone, and some that share a pass."""
_SAMPLING = 0.5
"""A temperature, so that sampling is run as well."""


def warm_up(executor: Executor) -> None:
    """Run passes, without and with the optional inputs: files are read, arenas allocated, kernels compiled.

    Raises:
        Exception: whatever a step raises; such a model must not become ready.
    """
    for users in (min(users, executor.max_users) for users in USERS):
        every = {spec.name: sample(spec, users) for spec in executor.inputs}
        executor.run({spec.name: every[spec.name] for spec in executor.inputs if spec.required})
        executor.run(every)


def sample(spec: Input, users: int) -> NDArray[Any]:
    """Values that the input accepts, [users, *dims]; where the length varies, one."""
    if spec.name == "temperature":
        return np.full((users, 1), _SAMPLING, dtype=spec.dtype)
    value: Any = "?" if spec.dtype == "object" else max(0, spec.minimum or 0)
    return np.full((users, *(1 if isinstance(dim, str) else dim for dim in spec.dims)), value, dtype=spec.dtype)
