"""The contract of an op: columns in, columns out, batch first, no I/O before ``load``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from ....core.signature import Columns, Signature


class Reason(StrEnum):
    """Why an answer was degraded; they travel comma-joined in column ``reasons``."""

    FEATURES_STALE = "features_stale"
    """The feature store could not be read, so nothing is known of the user."""
    UNKNOWN_USER = "unknown_user"
    FEWER_ITEMS = "fewer_items"


class Op(ABC):
    """One step of the request graph. Subclasses are dataclasses whose ``init`` fields are their JSON parameters.

    ``reads`` and ``writes`` are known after construction. Heavy resources come in through ``load``.
    Calling an op never changes its input columns, and B rows in one call give what B calls of one row give.
    """

    kind: ClassVar[str]
    """Name of the class in graph.json."""

    @property
    @abstractmethod
    def reads(self) -> Signature: ...

    @property
    @abstractmethod
    def writes(self) -> Signature: ...

    def params(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}  # type: ignore[arg-type]

    def load(self, folder: Path) -> None:  # noqa: B027  (most ops have nothing to load)
        """Read this op's files from ``folder``; called once, before the first call."""

    @abstractmethod
    def __call__(self, columns: Columns) -> Columns: ...
