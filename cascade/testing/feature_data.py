"""A data artifact by hand, for tests of what is made from one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.artifact import Artifact, write_artifact
from ..workflows.feature_tables import arrow_type

Table = Mapping[str, Sequence[Any]]


def data_artifact(
    path: Path, kinds: Mapping[str, Mapping[str, str]], interactions: Table, users: Table, items: Table
) -> Artifact:
    """Write a data artifact to ``path``.

    Args:
        kinds: table -> column -> int, float, string, list_int, list_float or list_string.
        interactions: user_id, item_id, timestamp and split, sorted by user and time.
    """

    def fill(folder: Path) -> None:
        tables = {"interactions": interactions, "users": users, "items": items}
        for name, columns in tables.items():
            inside = name == "interactions"
            write_table(folder / (f"{name}/part-00000" if inside else name), columns, kinds[name])
        (folder / "tables.json").write_text(json.dumps({"columns": kinds}))

    return write_artifact(path, "data", {}, fill)


def write_table(file: Path, columns: Table, kinds: Mapping[str, str]) -> None:
    """Write ``file``.parquet; a column without a kind (``split``) is a string."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pa.array(values, arrow_type(kinds.get(name, "string"))) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), file.with_name(f"{file.name}.parquet"))
