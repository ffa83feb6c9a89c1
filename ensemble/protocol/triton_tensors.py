"""Output columns as Triton's tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Signature
from .wire import encode_text

_CACHED = 256
"""Text tensors in the cache; each takes a few hundred bytes, also in the shared memory of the stub."""
_FEW_ROWS = 16


class ResponseTensors:
    """Makes the tensors of a response.

    Triton's ``Tensor`` encodes text value by value, which takes longer than all other outputs together. A tensor may be
    part of any number of responses, so short columns with one text per user (the reasons, the release) are cached by
    their content.
    """

    def __init__(self, tensor: Callable[[str, NDArray[Any]], Any], outputs: Signature) -> None:
        self._tensor = tensor
        self._labels = frozenset(name for name, spec in outputs.items() if (spec.dtype, spec.dims) == ("object", (1,)))
        self._cached_label = lru_cache(_CACHED)(self._label)

    def of(self, name: str, array: NDArray[Any]) -> Any:
        """The tensor of an output column [B, ...]."""
        if name in self._labels and len(array) <= _FEW_ROWS:
            return self._cached_label(name, *array[:, 0].tolist())
        wire = encode_text(array) if array.dtype == object else np.ascontiguousarray(array)
        return self._tensor(name, wire)

    def _label(self, name: str, *values: str) -> Any:
        return self._tensor(name, encode_text(np.array(values, dtype=object).reshape(-1, 1)))
