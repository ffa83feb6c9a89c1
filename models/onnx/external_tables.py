"""Big tables of ONNX models lie in files of their own, which ONNX Runtime maps into memory instead of reading them.

So the processes of one machine share a table, and so do models of one folder: the file is named after what it holds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

OUT_FROM = 8 << 20
"""Bytes from which a table gets its own file."""


def move_tables_out(model: Any, folder: Path, out_from: int = OUT_FROM) -> None:
    """Write the constants of a ModelProto that take ``out_from`` bytes or more into ``folder``; save it there, too."""
    from onnx.external_data_helper import set_external_data

    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < out_from:
            continue
        name = f"table_{hashlib.sha256(tensor.raw_data).hexdigest()[:12]}.bin"
        if not (folder / name).exists():
            (folder / name).write_bytes(tensor.raw_data)
        set_external_data(tensor, location=name, offset=0, length=len(tensor.raw_data))
        tensor.ClearField("raw_data")


def model_files(model: Path, name: str) -> dict[str, Path]:
    """The files of an ONNX model: itself, to be called ``name``, and its tables, which must keep theirs."""
    import onnx

    tensors = onnx.load(str(model), load_external_data=False).graph.initializer
    tables = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return {name: model, **{table: model.parent / table for table in sorted(tables)}}
