"""Lookup tables: build the one that suits the values, or load one that was saved.

They give the codes that NVTabular 23.8 gives, bit for bit, without NVTabular. Tables of numbers and large tables of
text are memory-mapped, so that the instances of a server share one copy and load at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.files import read_json
from .codes import Codes
from .number_tables import load_number_codes, number_codes
from .text_tables import MAPPED_FROM, MappedTextCodes, TextCodes


def codes_for(values: Sequence[str] | NDArray[Any], codes: NDArray[np.int64]) -> Codes:
    """The table of ``values`` and their ``codes`` [n].

    Args:
        values: [n], all different, none missing: strings, or numbers as an int64 or float64 array.
    """
    if isinstance(values, np.ndarray):
        numbers = values.astype(np.float64 if values.dtype.kind == "f" else np.int64, copy=False)
        order = np.argsort(numbers, kind="stable")
        return number_codes(numbers[order], codes[order])
    if len(values) >= MAPPED_FROM:
        return MappedTextCodes.build(values, codes)
    return TextCodes(dict(zip(values, codes.tolist(), strict=True)))


def load_codes(folder: Path, name: str) -> Codes:
    """The table ``name`` that ``Codes.save`` wrote into ``folder``; afterwards no kernel needs compiling."""
    if (file := folder / f"{name}.json").is_file():
        return TextCodes({value: int(code) for value, code in read_json(file)})
    if (folder / f"{name}.text.npy").is_file():
        return MappedTextCodes.load(folder, name)
    return load_number_codes(folder, name)
