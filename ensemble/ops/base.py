"""The contract of an op: columns in, columns out, batch first, no I/O before ``load``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from enum import IntFlag
from pathlib import Path
from typing import Any, ClassVar

from ...core.signature import Columns, Signature


class Reason(IntFlag):
    """Why an answer was degraded; travels as a bit field int32 [B, 1] in column ``reason_bits``."""

    UNKNOWN_USER = 1
    FEWER_ITEMS = 2


class Op(ABC):
    """One step of the request graph. Subclasses are dataclasses whose fields are their JSON parameters.

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
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    def load(self, folder: Path) -> None:  # noqa: B027  (most ops have nothing to load)
        """Read this op's files from ``folder``; called once, before the first call."""

    @abstractmethod
    def __call__(self, columns: Columns) -> Columns: ...
