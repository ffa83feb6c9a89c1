"""A kept release as its refresh reads it: ops, files, and what was exported to renew the items with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ReleaseError
from ...core.files import read_json
from ...core.registry import find
from ...ensemble.config import ServingConfig
from ...ensemble.graph.graph_file import read_signature
from ...ensemble.graph.ops import OPS
from ...ensemble.graph.ops.base import Op
from ...ensemble.graph.request_graph import Step
from ...ensemble.protocol.inputs import Input
from ...ensemble.protocol.release_names import GRAPH, NODES
from ...ensemble.repository.refresh_files import REFRESH, SPEC, ItemSpec
from ...ensemble.repository.release import ReleaseManifest
from ..releases.release_files import read_manifest, version_folder
from ..releases.store import ReleaseStore
from .changes import as_arrow, joined

if TYPE_CHECKING:
    import pyarrow as pa

GONE, ON_PURPOSE = "gone_ids.npy", "gone_on_purpose.npy"
"""Files among those to renew the items with, see `taken_off`."""
TRAINED = "trained_"
"""Such files begin with it that are as they were before the first refresh."""


@dataclass(frozen=True)
class KeptRelease:
    """A release in the store."""

    folder: Path
    """Of the version of the model that clients call."""
    manifest: ReleaseManifest

    @classmethod
    def open(cls, store: ReleaseStore, release: str) -> KeptRelease:
        """A release whose items can be renewed.

        Raises:
            ReleaseError: it is not kept, or was exported without what that needs.
            ArtifactError: its description is damaged.
        """
        folder = store.folder(release)
        found = cls(version_folder(folder / store.model), read_manifest(folder, store.model))
        if not (found.folder / REFRESH / SPEC).is_file():
            raise ReleaseError(
                f"release {release}: was exported by an earlier version of this package, without its item tower; "
                "`cascade run` exports it again"
            )
        return found

    @cached_property
    def graph(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = read_json(self.folder / GRAPH)
        return found

    @cached_property
    def spec(self) -> ItemSpec:
        return ItemSpec.load(self.folder / REFRESH / SPEC)

    @property
    def serving(self) -> ServingConfig:
        return ServingConfig(**self.manifest.settings)

    @property
    def inputs(self) -> list[Input]:
        return [Input.from_json(entry) for entry in self.graph["inputs"]]

    @property
    def refresh_files(self) -> dict[str, Path]:
        """Name -> file of those to renew the items with."""
        return {file.name: file for file in sorted((self.folder / REFRESH).iterdir())}

    @cached_property
    def steps(self) -> dict[str, Step]:
        """Name in graph.json -> op, not loaded, and its files.

        Raises:
            ReleaseError: an op of an extension has files, of which nothing is known.
        """
        found = {entry["name"]: Step(_op(entry), self._files(entry)) for entry in self.graph["nodes"]}
        for step in found.values():
            if step.files and step.op.kind not in OPS:
                raise ReleaseError(
                    f"release {self.manifest.release}: the op {step.op.kind} has files of its own "
                    f"({', '.join(step.files)}), which a refresh cannot renew; train and export again"
                )
        return found

    def step(self, kind: str) -> Step | None:
        """The step of an op; None if the graph has none."""
        return next((step for step in self.steps.values() if step.op.kind == kind), None)

    def op(self, kind: str) -> Any:
        """The op of a step that every graph has."""
        step = self.step(kind)
        if step is None:
            raise ReleaseError(f"release {self.manifest.release}: has no step {kind}, so its items cannot be renewed")
        return step.op

    def file(self, kind: str, name: str) -> Path:
        """A file of the step of an op that every graph has."""
        step = self.step(kind)
        if step is None or name not in step.files:
            raise ReleaseError(f"release {self.manifest.release}: its step {kind} has no {name}; export it again")
        return step.files[name]

    @property
    def tables(self) -> Path:
        """The folder with the lookup tables of the ETL."""
        return self.file("transform", "item_codes.npy").parent

    @property
    def outputs(self) -> dict[str, Any]:
        """Output -> dtype and dims, as its last writer declares them."""
        written: dict[str, Any] = {}
        for entry in self.graph["nodes"]:
            written |= read_signature(entry["writes"])
        return {name: written[name] for name in self.graph["outputs"]}

    @cached_property
    def item_ids(self) -> NDArray[Any]:
        """[n] raw ids, by row."""
        found: NDArray[Any] = np.load(self.file("respond", "item_ids.npy"), mmap_mode="r")
        return found

    def trained_file(self, kind: str, name: str) -> Path:
        """A file of a step as it was before the first refresh: an item that comes back finds in it what was counted."""
        return self.refresh_files.get(f"{TRAINED}{name}") or self.file(kind, name)

    @property
    def known_ids(self) -> pa.Array:
        """[n + g], the ids with a row: the items, and behind them what refreshes have taken off."""
        ids = as_arrow(self.item_ids)
        return joined(ids, as_arrow(self.gone[0]).cast(ids.type))

    @property
    def gone(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `taken_off`."""
        return taken_off(self.folder)

    def _files(self, entry: Mapping[str, Any]) -> dict[str, Path]:
        folder = self.folder / entry.get("folder", f"{NODES}/{entry['name']}")
        return {file.name: file for file in sorted(folder.iterdir())} if folder.is_dir() else {}


def taken_off(version: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """What refreshes have taken off a release: raw ids [g], and bool [g], whether an operator named them.

    Args:
        version: folder of a version of the model that clients call.
    """
    folder = version / REFRESH
    if not (folder / GONE).is_file():
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    return np.load(folder / GONE), np.load(folder / ON_PURPOSE)


def _op(entry: Mapping[str, Any]) -> Op:
    kind: type[Op] = find("op", entry["op"], OPS)
    return kind(**entry["params"])
