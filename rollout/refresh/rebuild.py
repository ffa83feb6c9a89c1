"""Writes a release with another catalogue: the files with rows of items are renewed, all others are links."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.disk import disk_errors
from ...core.features import ascii_name
from ...ensemble.graph.ops import LookupItems, MergeNeighbours, Respond, Retrieve, Transform
from ...ensemble.graph.request_graph import Step
from ...ensemble.repository.golden import record_again
from ...ensemble.repository.layout import Exported, write
from ...ensemble.repository.refresh_files import HASHES, KNOWN, UNKNOWN
from ...ensemble.repository.release import ReleaseManifest
from ...models.index.refill import refill_index
from ...models.index.stage import FAISS, VECTORS
from ...workflows.transforms.lookup_tables import codes_for
from .changes import CatalogueChanges, as_arrow, as_numpy, joined, places
from .kept_release import GONE, ON_PURPOSE, TRAINED, KeptRelease
from .renewed_items import RenewedItems
from .row_files import renewed_table
from .trained_counts import renew_counts, trained_files

if TYPE_CHECKING:
    import pyarrow as pa

Files = dict[str, Path]
"""Name in the folder of a step -> where it is now."""
ROWS, CODES, IDS = "item_rows", "item_codes.npy", "item_ids.npy"


@dataclass(frozen=True)
class Rebuild:
    """A release, its new catalogue, and a folder for what is written for it."""

    release: KeptRelease
    changes: CatalogueChanges
    renewed: RenewedItems
    named: pa.Array
    """Ids that an operator has asked to take off."""
    work: Path

    def write(self, repository: Path) -> ReleaseManifest:
        """Write the new release into ``repository``; returns its description.

        Raises:
            DiskError: a disk is full.
        """
        with disk_errors("renewing the items", self.work):
            index, notices = self._index()
            gone, on_purpose = self._gone()
            np.save(self.work / IDS, as_numpy(self.changes.ids))
            manifest = self._manifest(notices, gone, on_purpose)
            files = {
                Transform.kind: self._id_tables(gone),
                Retrieve.kind: index,
                Respond.kind: {IDS: self.work / IDS},
                **self._of_items(),
            }
            steps = {name: _renewed(step, files, manifest) for name, step in self.release.steps.items()}
            parts = self.release.inputs, self.release.outputs, manifest, self.release.serving
            exported = Exported(steps, *parts, self._refresh_files(gone, on_purpose))
            write(exported, repository, manifest.model, int(self.release.folder.name))
            record_again(self.release.folder, repository / manifest.model / self.release.folder.name)
        return manifest

    def _of_items(self) -> dict[str, Files]:
        """The item snapshot, and item-item weights where the graph has them."""
        folder = self.release.file(LookupItems.kind, VECTORS).parent
        names = {name: f"{ascii_name(name)}.npy" for name in self.release.op(LookupItems.kind).features}
        for name, file in names.items():
            renewed_table(folder / file, self.renewed.tables[name], self.changes, self.work / file)
        if trained := trained_files(self.release):
            renew_counts(trained, self.changes.ids, self.work)
        found = {LookupItems.kind: [*names.values(), VECTORS, *trained], MergeNeighbours.kind: [VECTORS, *trained]}
        return {
            kind: {name: self.work / name for name in files if name in step.files}
            for kind, files in found.items()
            if (step := self.release.step(kind))
        }

    def _index(self) -> tuple[Files, list[str]]:
        """The vectors and their index, and what is to be said of it."""
        import faiss

        old = self.release.file(LookupItems.kind, VECTORS)
        renewed_table(old, self.renewed.tables[Path(VECTORS).stem], self.changes, self.work / VECTORS)
        vectors, ann = np.load(self.work / VECTORS, mmap_mode="r"), self.release.serving.ann
        files = self.release.refresh_files
        queries = {name: np.load(files[name]) for name in (KNOWN, UNKNOWN) if name in files}
        before = faiss.read_index(str(self.release.file(Retrieve.kind, FAISS)))
        index, info = refill_index(before, vectors, ann.type, queries, ann.topk, ann.recall_target)
        faiss.write_index(index, str(self.work / FAISS))
        return {FAISS: self.work / FAISS}, info["notices"]

    def _gone(self) -> tuple[pa.Array, NDArray[np.bool_]]:
        """Ids that this and earlier refreshes have taken off, and which of them an operator has named."""
        ids, flags = self.release.gone
        removed = as_arrow(self.release.item_ids[self.changes.removed])
        gone = joined(removed, as_arrow(ids).cast(removed.type))
        named = np.concatenate([places(removed, self.named) >= 0, flags])
        stays = np.flatnonzero(places(gone, self.changes.ids) < 0)
        return gone.take(stays), named[stays]

    def _id_tables(self, gone: pa.Array) -> Files:
        """From ids to rows, and from rows to codes.

        What is gone has rows behind those of the catalogue, so that the histories that hold it mean the same as before.
        """
        old_codes, changes = np.load(self.release.file(Transform.kind, CODES)), self.changes
        codes = old_codes[np.maximum(changes.old_row, 0)]
        codes[changes.renewed] = self.renewed.codes
        of_gone = old_codes[places(gone, self.release.known_ids)]
        np.save(self.work / CODES, np.concatenate([codes, of_gone]))
        ids = as_numpy(joined(changes.ids, gone))
        codes_for(ids if ids.dtype.kind == "i" else ids.tolist(), np.arange(len(ids))).save(self.work, ROWS)
        return {file.name: file for file in self.work.glob(f"{ROWS}.*")} | {CODES: self.work / CODES}

    def _refresh_files(self, gone: pa.Array, on_purpose: NDArray[np.bool_]) -> Files:
        np.save(self.work / HASHES, self.changes.hashes)
        np.save(self.work / GONE, as_numpy(gone))
        np.save(self.work / ON_PURPOSE, on_purpose)
        before = {f"{TRAINED}{name}": file for name, file in trained_files(self.release).items()}
        own = {name: self.work / name for name in (HASHES, GONE, ON_PURPOSE)}
        return {**self.release.refresh_files, **before, **own}

    def _manifest(self, notices: list[str], gone: pa.Array, on_purpose: NDArray[np.bool_]) -> ReleaseManifest:
        """The new release; its id is a hash of the one before and of all items."""
        before, changes = self.release.manifest, self.changes
        digest = hashlib.sha256(json.dumps([before.release, len(changes.ids)]).encode())
        for values in (as_numpy(changes.ids), changes.hashes, as_numpy(gone), on_purpose):
            digest.update(np.ascontiguousarray(values).tobytes())
        kept = [notice for notice in before.notices if not notice.startswith("serving.ann.recall_target")]
        return replace(
            before,
            release=digest.hexdigest()[:12],
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            notices=tuple(dict.fromkeys([*kept, *notices])),
            refreshed={
                "from": before.release,
                "new": changes.new,
                "changed": changes.changed,
                "removed": len(changes.removed),
            },
        )


def _renewed(step: Step, files: Mapping[str, Files], manifest: ReleaseManifest) -> Step:
    """A step with its renewed files, and the id of the release where it gives that to the caller."""
    op: Any = replace(step.op, release=manifest.release) if isinstance(step.op, Respond) else step.op
    own = files.get(step.op.kind, {})
    kept = {name: file for name, file in step.files.items() if not name.startswith(f"{ROWS}.")}
    return Step(op, kept | own)
