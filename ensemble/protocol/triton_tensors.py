"""Outputs as Triton's tensors; text that comes again and again is written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Signature
from .wire import encode_text

_KEPT = 256
"""Tensors of text to keep; a few hundred bytes each, in the shared memory of the stub, too."""
_FEW_ROWS = 16


class Tensors:
    """Makes the tensors of a response.

    Triton's ``Tensor`` encodes text value by value, which takes longer than all other outputs together. A tensor may
    go out with any number of responses, so short columns of one text for each user (why an answer is degraded, the
    release) are looked up by their content.
    """

    def __init__(self, tensor: Callable[[str, NDArray[Any]], Any], outputs: Signature) -> None:
        self._tensor = tensor
        self._labels = frozenset(name for name, spec in outputs.items() if (spec.dtype, spec.dims) == ("object", (1,)))
        self._label = lru_cache(_KEPT)(self._text)

    def of(self, name: str, array: NDArray[Any]) -> Any:
        """The tensor of an output column [B, ...]."""
        if name in self._labels and len(array) <= _FEW_ROWS:
            return self._label(name, *array[:, 0].tolist())
        wire = encode_text(array) if array.dtype == object else np.ascontiguousarray(array)
        return self._tensor(name, wire)

    def _text(self, name: str, *values: str) -> Any:
        return self._tensor(name, encode_text(np.array(values, dtype=object).reshape(-1, 1)))
