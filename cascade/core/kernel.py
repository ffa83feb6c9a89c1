"""Functions that numba compiles, for argument types that are written down.

Importing this module imports numba. A kernel may call numba functions of its own file only: the cache that it is
kept in does not notice when another file changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from numba import njit, types

UINT8, INT32, INT64 = types.uint8, types.int32, types.int64
FLOAT32, FLOAT64, BOOL = types.float32, types.float64, types.boolean

logger = logging.getLogger(__name__)


def read(dtype: Any, ndim: int) -> Any:
    """Type of an array that is only read, so that memory-mapped ones are taken as well; C order."""
    return types.Array(dtype, ndim, "C", readonly=True)


def write(dtype: Any, ndim: int) -> Any:
    """Type of an array that is written into; C order."""
    return types.Array(dtype, ndim, "C")


class Kernel:
    """A function and the argument types that it is compiled for, at the first call or by ``compile``.

    Arguments of other types are refused and never lead to another compilation, which would take a second out of
    the middle of a request.
    """

    def __init__(self, function: Callable[..., Any], signatures: tuple[tuple[Any, ...], ...]) -> None:
        self.function, self.signatures = function, signatures
        self.__doc__ = function.__doc__
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        return (self._compiled or self.compile())(*arguments)

    def compile(self) -> Callable[..., Any]:
        """Compile, or read what an earlier process has compiled: beside the source file, else in the user's cache."""
        compiled = njit(nogil=True, error_model="numpy")(self.function)
        try:
            compiled.enable_caching()
        except RuntimeError as error:  # neither folder can be written
            logger.warning("compiled anew by every process: %s", error)
        for signature in self.signatures:
            compiled.compile(signature)
        compiled.disable_compile()
        self._compiled = compiled
        return self._compiled


def kernel(*signatures: tuple[Any, ...]) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function a kernel for one or more tuples of argument types."""
    return lambda function: Kernel(function, signatures)


def inner(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function one that the kernels of its file may call; ``options`` are those of ``numba.njit``."""
    made: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(nogil=True, error_model="numpy", **options)
    return made
