"""Widens the catalogue of a trained pipeline: adds rows to its item tables and to its models' item embeddings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...core.artifact import MANIFEST
from ...core.errors import ArtifactError
from ...core.features import FeatureSchema
from ...core.files import link_or_copy, read_json

SPREAD = 0.5
"""Standard deviation of an added embedding around its original, in units of the table's standard deviation."""
CHUNK = 1 << 18
"""Rows that are drawn and written at a time."""
ITEM_ID = "item_id"
ITEM_TABLE, TABLES = "items.parquet", "tables.json"
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Widening:
    """Adds items until the catalogue has ``items``. Each copies a trained item that is drawn at random.

    A copy has the features of its original, a new id, and an embedding near that of its original.
    """

    etl: Path
    """The etl artifact of the trained pipeline."""
    items: int
    """Items after widening."""
    seed: int = 0

    @cached_property
    def schema(self) -> FeatureSchema:
        return FeatureSchema.load(self.etl / "schema.json")

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """Code of the id of each trained item, int32 [trained, 1]."""
        return np.asarray(np.load(self.etl / "items" / f"{ITEM_ID}.npy"))

    @cached_property
    def originals(self) -> NDArray[np.int32]:
        """Row of the trained item that each added item copies, int32 [items - trained]."""
        trained = len(self.codes)
        rng = np.random.default_rng([self.seed, 0])
        return rng.integers(0, trained, self.items - trained, dtype=np.int32)

    @property
    def cardinality(self) -> int:
        """Number of item id codes before widening. Added items have the codes after these."""
        return self.schema[ITEM_ID].cardinality

    def write_data(self, old: Path, folder: Path) -> None:
        """Write a copy of the data artifact ``old`` with a table of ``items`` items to ``folder``."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from ...workflows.data.write import write_table

        for path in old.iterdir():
            if path.name not in (MANIFEST, ITEM_TABLE, TABLES):
                link_or_copy(path, folder / path.name)
        table = pq.read_table(old / ITEM_TABLE)
        added = table.take(self.originals)
        at = added.column_names.index(ITEM_ID)
        added = added.set_column(at, ITEM_ID, pa.array(self._added_ids(np.asarray(table[ITEM_ID]))))
        write_table(pa.concat_tables([table, added]), folder / ITEM_TABLE)
        facts = read_json(old / TABLES)
        (folder / TABLES).write_text(json.dumps({**facts, "n_items": self.items}, indent=1))

    def write_etl(self, old: Path, folder: Path) -> None:
        """Write a copy of the etl artifact ``old`` with tables of ``items`` items to ``folder``.

        Raises:
            ArtifactError: if item ids are not whole numbers.
        """
        from ...workflows.etl.interaction_files import INTERACTIONS
        from ...workflows.transforms.lookup_tables import codes_for

        other = shutil.ignore_patterns(MANIFEST, "items", INTERACTIONS, "*item_*")
        shutil.copytree(old, folder, dirs_exist_ok=True, ignore=other)
        link_or_copy(old / INTERACTIONS, folder / INTERACTIONS)
        self._write_schema(folder / "schema.json")
        (folder / "items").mkdir()
        for feature in self.schema.side("item"):
            table = np.load(old / "items" / f"{feature.name}.npy")
            more = self._added_codes if feature.name == ITEM_ID else self._copied_rows
            write_rows(folder / "items" / f"{feature.name}.npy", table, self.items, more(table))
        ids = np.load(old / "item_ids.npy")
        if ids.dtype.kind != "i":
            raise ArtifactError(f"item_ids.npy: expected whole numbers to widen, holds {ids.dtype}")
        added = self._added_ids(ids)
        np.save(folder / "item_ids.npy", np.concatenate([ids, added]))
        counts = np.load(old / "item_counts.npy")
        np.save(folder / "item_counts.npy", np.concatenate([counts, np.zeros(len(added), counts.dtype)]))
        out = folder / "transforms"
        for file in (old / "transforms").glob("*item_*"):
            shutil.copy(file, out / file.name)
        codes_for(np.load(folder / "item_ids.npy"), np.arange(self.items)).save(out, "item_rows")
        np.save(out / "item_codes.npy", np.load(folder / "items" / f"{ITEM_ID}.npy")[:, 0])

    def write_models(self, old: Path, folder: Path) -> None:
        """Write a copy of the artifact ``old`` whose ONNX models have an embedding for each of ``items`` items.

        The table of item ids is recognized by its number of rows.

        Raises:
            ArtifactError: if the table of another feature has as many rows.
        """
        import onnx

        same = [
            f.name for f in self.schema if f.cardinality == self.cardinality and ITEM_ID not in (f.name, f.vocabulary)
        ]
        if same:
            raise ArtifactError(
                f"{old}: {', '.join(same)} and {ITEM_ID} have {self.cardinality} codes each, cannot widen"
            )
        shutil.copytree(
            old, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST, "*.onnx*", "checkpoint")
        )
        for file in sorted(old.glob("*.onnx")):
            model = onnx.load(str(file))
            for tensor in model.graph.initializer:
                if len(tensor.dims) == 2 and tensor.dims[0] == self.cardinality:
                    self._widen(tensor, folder)
            onnx.save(model, str(folder / file.name))

    def _added_ids(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids of the added items, beside those [trained] that are there."""
        added: NDArray[np.int64] = ids.max() + 1 + np.arange(self.items - len(ids))
        return added

    def _write_schema(self, file: Path) -> None:
        features = [asdict(feature) for feature in self.schema]
        for entry in features:
            if ITEM_ID in (entry["name"], entry["vocabulary"]):
                entry["cardinality"] += self.items - len(self.codes)
        file.write_text(json.dumps(features, indent=1))

    def _added_codes(self, table: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """The id codes of the added items, in chunks."""
        for at in range(0, len(self.originals), CHUNK):
            rows = np.arange(at, min(at + CHUNK, len(self.originals)))
            yield (self.cardinality + rows).astype(table.dtype)[:, None]

    def _copied_rows(self, table: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """The rows of the originals, in chunks."""
        for at in range(0, len(self.originals), CHUNK):
            yield table[self.originals[at : at + CHUNK]]

    def _widen(self, tensor: Any, folder: Path) -> None:
        """Move an embedding table to a file next to its model, and add the rows of the added items.

        Equal tables of several models share a file.
        """
        from onnx import numpy_helper
        from onnx.external_data_helper import set_external_data

        table = numpy_helper.to_array(tensor)
        file = folder / f"item_table_{hashlib.sha256(table.tobytes()).hexdigest()[:8]}.bin"
        if not file.exists():
            with file.open("wb") as out:
                for rows in (table, *self._embeddings(table)):
                    out.write(rows.tobytes())
        tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
        set_external_data(tensor, location=file.name, offset=0, length=file.stat().st_size)
        tensor.ClearField("raw_data")
        tensor.dims[0] = self.cardinality + len(self.originals)

    def _embeddings(self, table: Floats) -> Iterator[Floats]:
        """The embeddings of the added items, in chunks: those of their originals plus noise."""
        rng = np.random.default_rng([self.seed, 1])
        spread = np.float32(SPREAD * table.std())
        for at in range(0, len(self.originals), CHUNK):
            mean = table[self.codes[self.originals[at : at + CHUNK], 0]]
            yield mean + spread * rng.standard_normal(mean.shape, dtype=np.float32)


def write_rows(file: Path, first: NDArray[Any], rows: int, more: Iterator[NDArray[Any]]) -> None:
    """Write a .npy file [rows, ...] of ``first`` followed by ``more``, without holding all rows in memory."""
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (rows, *first.shape[1:])}
    with file.open("wb") as out:
        npy.write_array_header_1_0(out, header)  # type: ignore[no-untyped-call]
        for part in (first, *more):
            out.write(np.ascontiguousarray(part).tobytes())
