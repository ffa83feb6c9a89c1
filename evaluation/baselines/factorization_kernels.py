"""The two loops of the factorization machine, compiled.

A row is a list of S pairs of a code and a value; a value of 0 is padding. Shapes: n rows, C codes, W factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import FLOAT32, INT32, kernel, read, write

Floats = NDArray[np.float32]
_MODEL = (write(FLOAT32, 1), write(FLOAT32, 2))


@kernel((read(INT32, 2), read(FLOAT32, 2), read(FLOAT32, 1), *_MODEL, *_MODEL, write(FLOAT32, 1), FLOAT32, FLOAT32))
def learn_rows(
    codes: NDArray[np.int32], values: Floats, label: Floats, linear: Floats, factors: Floats,
    linear_squares: Floats, factor_squares: Floats, bias: Floats, rate: float, l2: float,
) -> Any:  # fmt: skip
    """A step of AdaGrad on the log-loss of each row, in order.

    Args:
        codes: int32 [n, S].
        values: [n, S].
        label: 0 or 1, [n].
        linear: [C]. ``factors``: [C, W].
        linear_squares: [C], the sums of squared gradients so far, and ``factor_squares`` [C, W].
        bias: [2], the bias and its sum of squared gradients.
        rate: learning rate.
        l2: weight of the regularization, of the codes of the row.
    """
    width = factors.shape[1]
    total, square = np.empty(width, np.float32), np.empty(width, np.float32)
    one, half = np.float32(1), np.float32(0.5)
    for row in range(len(codes)):
        total[:] = 0
        square[:] = 0
        logit = bias[0]
        for slot in range(codes.shape[1]):
            value = values[row, slot]
            if value != 0:
                own = factors[codes[row, slot]]
                logit += linear[codes[row, slot]] * value
                for k in range(width):
                    term = own[k] * value
                    total[k] += term
                    square[k] += term * term
        for k in range(width):
            logit += half * (total[k] * total[k] - square[k])
        slope = one / (one + np.exp(-logit)) - label[row]
        bias[1] += slope * slope
        bias[0] -= rate * slope / np.sqrt(bias[1])
        for slot in range(codes.shape[1]):
            value = values[row, slot]
            if value != 0:
                code = codes[row, slot]
                step = slope * value
                gradient = step + l2 * linear[code]
                linear_squares[code] += gradient * gradient
                linear[code] -= rate * gradient / np.sqrt(linear_squares[code])
                own, own_squares = factors[code], factor_squares[code]
                for k in range(width):
                    gradient = step * (total[k] - own[k] * value) + l2 * own[k]
                    own_squares[k] += gradient * gradient
                    own[k] -= rate * gradient / np.sqrt(own_squares[k])


@kernel((read(INT32, 2), read(FLOAT32, 2), *_MODEL, FLOAT32, write(FLOAT32, 1)))
def score_rows(
    codes: NDArray[np.int32], values: Floats, linear: Floats, factors: Floats, bias: float, out: Floats
) -> Any:
    """Fill ``out`` [n] with the logits of the rows; see `learn_rows` for the arguments."""
    width = factors.shape[1]
    total, square = np.empty(width, np.float32), np.empty(width, np.float32)
    half = np.float32(0.5)
    for row in range(len(codes)):
        total[:] = 0
        square[:] = 0
        logit = bias
        for slot in range(codes.shape[1]):
            value = values[row, slot]
            if value != 0:
                own = factors[codes[row, slot]]
                logit += linear[codes[row, slot]] * value
                for k in range(width):
                    term = own[k] * value
                    total[k] += term
                    square[k] += term * term
        for k in range(width):
            logit += half * (total[k] * total[k] - square[k])
        out[row] = logit
