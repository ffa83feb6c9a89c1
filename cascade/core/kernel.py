"""Functions that numba compiles for declared argument types.

Importing this module imports numba. A kernel may call only numba functions of its own file, because numba's cache does
not notice changes of other files.
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
    """Type of an array that is only read, memory-mapped arrays included; C order."""
    return types.Array(dtype, ndim, "C", readonly=True)


def write(dtype: Any, ndim: int) -> Any:
    """Type of an array that is written to; C order."""
    return types.Array(dtype, ndim, "C")


class Kernel:
    """A function, compiled for given argument types at its first call or by `compile`.

    Arguments of other types raise `TypeError`. They are never compiled for, because that would delay a request by a
    second.
    """

    def __init__(self, function: Callable[..., Any], signatures: tuple[tuple[Any, ...], ...]) -> None:
        self.function, self.signatures = function, signatures
        self.__doc__ = function.__doc__
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        return (self._compiled or self.compile())(*arguments)

    def compile(self) -> Callable[..., Any]:
        """Compile the function, or load it from numba's cache beside the source file or in the user's cache folder.

        Once in a process: what is compiled again is never freed.
        """
        if self._compiled is not None:
            return self._compiled
        compiled = njit(nogil=True, error_model="numpy")(self.function)
        try:
            compiled.enable_caching()
        except RuntimeError as error:  # neither folder can be written
            logger.warning("compiled again by every process: %s", error)
        for signature in self.signatures:
            compiled.compile(signature)
        compiled.disable_compile()
        self._compiled = compiled
        return self._compiled


def kernel(*signatures: tuple[Any, ...]) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorator that makes a function a `Kernel`.

    Args:
        signatures: one tuple of argument types for each variant.
    """
    return lambda function: Kernel(function, signatures)


def inner(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for a function that kernels of the same file call.

    Args:
        options: keyword arguments of ``numba.njit``.
    """
    decorator: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(nogil=True, error_model="numpy", **options)
    return decorator
