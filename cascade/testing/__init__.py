"""Contract tests for extensions, and small artifacts to test with.

A contract is a test class to inherit from, one for each kind of extension, e.g. `LossContract`. They need pytest.
`miniature` makes a complete release in a second or two, `feature_data` small data and features artifacts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .baseline_contract import BaselineContract as BaselineContract
    from .index_contract import IndexContract as IndexContract
    from .interaction_contract import InteractionContract as InteractionContract
    from .loss_contract import LossContract as LossContract
    from .metric_contract import MetricContract as MetricContract
    from .op_contract import OpContract as OpContract
    from .source_contract import SourceContract as SourceContract

__all__ = [
    "BaselineContract",
    "IndexContract",
    "InteractionContract",
    "LossContract",
    "MetricContract",
    "OpContract",
    "SourceContract",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{name.removesuffix('Contract').lower()}_contract", __name__)
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
