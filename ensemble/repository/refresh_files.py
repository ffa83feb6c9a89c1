"""What a release carries so that its items can be renewed without the artifacts that it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.artifact import Artifact
from ...core.files import read_json
from ...models.index.stage import query_vectors
from ...models.onnx.external_tables import model_files
from ...models.ranker.model_files import ITEM as RANKER_ITEM
from ...models.retriever.stage import ITEM as ITEM_TOWER
from ...models.retriever.stage import QUERY as QUERY_TOWER
from ...workflows.config import TextConfig
from ...workflows.etl.compile import ITEM_PARAMS
from ...workflows.etl.tensors import Tensors
from ...workflows.tables.canonical import arrow_type
from ...workflows.tables.parquet import row_groups
from ...workflows.transforms.row_hashes import row_hashes
from ..config import ServingConfig
from .ranker_choice import choose_ranker

if TYPE_CHECKING:
    import pyarrow as pa

REFRESH = "refresh"
"""Folder in the version of the model that clients call. Nothing in it is loaded for a request."""
SPEC, HASHES = "items.json", "row_hashes.npy"
"""An `ItemSpec`; the hash int64 [items] of each item's raw values, see `row_hashes`."""
KNOWN, UNKNOWN = "queries_known.npy", "queries_unknown.npy"
"""Query vectors float32 [n, D] that an index is tuned with, see `query_vectors`; missing if there are none."""
ITEM_ID = "item_id"


@dataclass(frozen=True)
class ItemSpec:
    """How the columns of an item become what the models read."""

    kinds: Mapping[str, str]
    """Raw column -> ``int``, ``float``, ``string``, or ``list_`` of these."""
    features: Sequence[Mapping[str, Any]]
    """In schema order, as `Transform.features`; also those of kind text and vector."""
    text: Mapping[str, Any]
    """`TextConfig` as JSON."""
    part_widths: Mapping[str, int] | None
    """Table of the ranker's item part -> its width; None if the whole ranker is served."""

    @property
    def columns(self) -> list[str]:
        """The raw columns beside the id, whose values are hashed."""
        return [name for name in self.kinds if name != ITEM_ID]

    def empty_table(self) -> pa.Table:
        """A table of no items."""
        import pyarrow as pa

        return pa.schema([(name, arrow_type(kind)) for name, kind in self.kinds.items()]).empty_table()

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> ItemSpec:
        """The one that ``save`` wrote."""
        return cls(**read_json(file))


def refresh_files(
    parts: Mapping[str, Artifact], serving: ServingConfig, text: TextConfig, work: Path
) -> dict[str, Path]:
    """The files for `REFRESH`: name -> where it is now. Some are written into ``work``.

    Args:
        parts: the artifacts data, etl, two_tower and ranker.
    """
    data, etl, towers = (parts[name].path for name in ("data", "etl", "two_tower"))
    features = read_json(etl / "transforms" / ITEM_PARAMS)
    kinds = read_json(data / "tables.json")["columns"]["items"]
    used = sorted({name for feature in features for name in feature["raw"]})
    widths = choose_ranker(parts, serving.ranker).part_widths
    spec = ItemSpec({name: kinds[name] for name in used}, features, text.model_dump(mode="json"), widths)
    spec.save(work / SPEC)
    hashes = [row_hashes(group.read([*spec.kinds]), spec.columns) for group in row_groups(data / "items.parquet")]
    np.save(work / HASHES, np.concatenate(hashes))
    queries = query_vectors(Tensors.load(etl), towers / QUERY_TOWER)
    for name, file in (("known", KNOWN), ("unknown", UNKNOWN)):
        if name in queries:
            np.save(work / file, queries[name])
    own = {name: work / name for name in (SPEC, HASHES, KNOWN, UNKNOWN) if (work / name).is_file()}
    models = model_files(towers / ITEM_TOWER, ITEM_TOWER)
    if widths is not None:
        models |= model_files(parts["ranker"].path / RANKER_ITEM, RANKER_ITEM)
    return own | models
