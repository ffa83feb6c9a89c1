"""Widening a trained pipeline's catalogue: more rows in its item tables and in its models' item embeddings."""

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
from ...core.files import place

SPREAD = 0.5
"""Standard deviation of siblings around their item's embedding, in that of all embeddings."""
CHUNK = 1 << 18
"""Rows that are drawn and written at once."""
ITEM_ID = "item_id"
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Widening:
    """From the trained items to ``items``: item n beyond them is a sibling of a trained one that is drawn at random.

    A sibling has the features of its item, an id of its own, and an embedding near its item's.
    """

    etl: Path
    """The trained pipeline's etl artifact."""
    items: int
    seed: int = 0

    @cached_property
    def schema(self) -> FeatureSchema:
        return FeatureSchema.load(self.etl / "schema.json")

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """Code of each trained item's id, int32 [trained, 1]."""
        return np.asarray(np.load(self.etl / "items" / f"{ITEM_ID}.npy"))

    @cached_property
    def siblings(self) -> NDArray[np.int32]:
        """Row of the trained item that each further one is a sibling of, int32 [items - trained]."""
        trained = len(self.codes)
        rng = np.random.default_rng([self.seed, 0])
        return rng.integers(0, trained, self.items - trained, dtype=np.int32)

    @property
    def cardinality(self) -> int:
        """Codes of item ids before widening; further items have the codes after them."""
        return self.schema[ITEM_ID].cardinality

    def write_etl(self, old: Path, folder: Path) -> None:
        """A copy of the etl artifact with the tables of ``items`` items."""
        from ...workflows.etl.interaction_files import INTERACTIONS
        from ...workflows.transforms.lookup_tables import codes_for

        other = shutil.ignore_patterns(MANIFEST, "items", INTERACTIONS, "*item_*")
        shutil.copytree(old, folder, dirs_exist_ok=True, ignore=other)
        place(old / INTERACTIONS, folder / INTERACTIONS)
        self._write_schema(folder / "schema.json")
        (folder / "items").mkdir()
        for feature in self.schema.side("item"):
            table = np.load(old / "items" / f"{feature.name}.npy")
            more = self._codes if feature.name == ITEM_ID else self._inherited
            write_rows(folder / "items" / f"{feature.name}.npy", table, self.items, more(table))
        ids = np.load(old / "item_ids.npy")
        if ids.dtype.kind != "i":
            raise ArtifactError(f"item_ids.npy: expected whole numbers to widen, holds {ids.dtype}")
        further = ids.max() + 1 + np.arange(self.items - len(ids))
        np.save(folder / "item_ids.npy", np.concatenate([ids, further]))
        counts = np.load(old / "item_counts.npy")
        np.save(folder / "item_counts.npy", np.concatenate([counts, np.zeros(len(further), counts.dtype)]))
        out = folder / "transforms"
        for file in (old / "transforms").glob("*item_*"):
            shutil.copy(file, out / file.name)
        codes_for(np.load(folder / "item_ids.npy"), np.arange(self.items)).save(out, "item_rows")
        np.save(out / "item_codes.npy", np.load(folder / "items" / f"{ITEM_ID}.npy")[:, 0])

    def write_models(self, old: Path, folder: Path) -> None:
        """A copy of the artifact ``old`` whose ONNX models have an item embedding for each of ``items`` items.

        Raises:
            ArtifactError: if another feature's table cannot be told from that of item ids by its size.
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

    def _write_schema(self, file: Path) -> None:
        features = [asdict(feature) for feature in self.schema]
        for entry in features:
            if ITEM_ID in (entry["name"], entry["vocabulary"]):
                entry["cardinality"] += self.items - len(self.codes)
        file.write_text(json.dumps(features, indent=1))

    def _codes(self, table: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for at in range(0, len(self.siblings), CHUNK):
            rows = np.arange(at, min(at + CHUNK, len(self.siblings)))
            yield (self.cardinality + rows).astype(table.dtype)[:, None]

    def _inherited(self, table: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for at in range(0, len(self.siblings), CHUNK):
            yield table[self.siblings[at : at + CHUNK]]

    def _widen(self, tensor: Any, folder: Path) -> None:
        """Move an embedding table into a file beside its model, with the rows of all items; equal tables share one."""
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
        tensor.dims[0] = self.cardinality + len(self.siblings)

    def _embeddings(self, table: Floats) -> Iterator[Floats]:
        """Rows near those of the siblings' items."""
        rng = np.random.default_rng([self.seed, 1])
        spread = np.float32(SPREAD * table.std())
        for at in range(0, len(self.siblings), CHUNK):
            mean = table[self.codes[self.siblings[at : at + CHUNK], 0]]
            yield mean + spread * rng.standard_normal(mean.shape, dtype=np.float32)


def write_rows(file: Path, first: NDArray[Any], rows: int, more: Iterator[NDArray[Any]]) -> None:
    """A .npy file [rows, ...] of ``first`` and ``more`` after it, without holding all of it."""
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (rows, *first.shape[1:])}
    with file.open("wb") as out:
        npy.write_array_header_1_0(out, header)  # type: ignore[no-untyped-call]
        for part in (first, *more):
            out.write(np.ascontiguousarray(part).tobytes())
