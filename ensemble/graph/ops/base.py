"""The contract of an op: columns in, columns out, batch first, no I/O before ``load``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from ....core.artifact import Artifact
from ....core.signature import Columns, Signature


class Reason(StrEnum):
    """Why an answer is degraded; the column ``reasons`` holds them joined by commas."""

    FEATURES_STALE = "features_stale"
    """The feature store could not be read, so nothing is known about the user."""
    UNKNOWN_USER = "unknown_user"
    """The feature store does not have the user."""
    FEWER_ITEMS = "fewer_items"
    """Fewer candidates than top_k were left."""


class Op(ABC):
    """One step of the request graph. Subclasses are dataclasses whose ``init`` fields are their JSON parameters.

    ``reads`` and ``writes`` are known after construction; files and connections are opened by ``load``. A call never
    changes its input columns, and one call with B rows returns the same as B calls with one row.
    """

    kind: ClassVar[str]
    """Name of the class in graph.json."""

    @property
    @abstractmethod
    def reads(self) -> Signature:
        """The columns that the op needs."""

    @property
    @abstractmethod
    def writes(self) -> Signature:
        """The columns that the op returns."""

    def params(self) -> dict[str, Any]:
        """The constructor's arguments; JSON can hold them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}  # type: ignore[arg-type]

    def files(self, parts: Mapping[str, Artifact]) -> Mapping[str, Path]:
        """For an op of ``serving.ops``: what the export places in the folder that ``load`` is given.

        Args:
            parts: the artifacts of the release: data, etl, features, two_tower, index and ranker.

        Returns:
            Name in the folder -> path of the file now, for example name ``item_ids.npy`` and path
            ``parts["etl"].path / "item_ids.npy"``. By default there are no files.
        """
        return {}

    def load(self, folder: Path) -> None:  # noqa: B027  (most ops have nothing to load)
        """Read this op's files from ``folder``; called once, before the first call."""

    @abstractmethod
    def __call__(self, columns: Columns) -> Columns:
        """Compute the columns of ``writes`` from those of ``reads``, [B, ...] each."""
