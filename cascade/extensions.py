"""What extensions are written with: base classes, contracts and the types in their signatures.

Each kind of extension is registered under a name, by `cascade.register` in a process or by an entry point of an
installed package, and has contract tests in `cascade.testing`:

| kind          | entry points             | contract         | named by                         |
|---------------|--------------------------|------------------|----------------------------------|
| `source`      | `cascade.sources`        | `OpenSource`     | `data.source`                    |
| `op`          | `cascade.ops`            | `Op`             | `serving.ops`                    |
| `interaction` | `cascade.interactions`   | `Interaction`    | `dlrm_ranker.interactions`       |
| `loss`        | `cascade.losses`         | `Loss`           | `two_tower.loss`                 |
| `index`       | `cascade.indexes`        | `IndexType`      | `serving.ann.type`               |
| `baseline`    | `cascade.baselines`      | `Baseline`       | `evaluation.baselines`           |
| `metric`      | `cascade.metrics`        | `Metric`         | `evaluation.metrics`             |

Take TensorFlow from here, ``from cascade.extensions import tf``: the models are built with Keras 2, which has to be
chosen before TensorFlow is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.signature import Columns as Columns
    from .core.signature import ColumnSpec as ColumnSpec
    from .core.signature import Signature as Signature
    from .ensemble.graph.ops.base import Op as Op
    from .evaluation.baselines.registered import Baseline as Baseline
    from .evaluation.baselines.sequences import UserSequences as UserSequences
    from .evaluation.list_metrics import Metric as Metric
    from .models._merlin import tf as tf
    from .models.config import DlrmConfig as DlrmConfig
    from .models.index.vector_index import IndexType as IndexType
    from .models.ranker.interactions.base import Interaction as Interaction
    from .models.ranker.side import Layout as Layout
    from .models.retriever.losses import Loss as Loss
    from .models.retriever.losses import candidate_mask as candidate_mask
    from .models.retriever.losses import negative_mask as negative_mask
    from .workflows.config import DataConfig as DataConfig
    from .workflows.sources.source import OpenSource as OpenSource
    from .workflows.sources.source import Source as Source

_HOMES = {
    "Baseline": ".evaluation.baselines.registered",
    "ColumnSpec": ".core.signature",
    "Columns": ".core.signature",
    "DataConfig": ".workflows.config",
    "DlrmConfig": ".models.config",
    "IndexType": ".models.index.vector_index",
    "Interaction": ".models.ranker.interactions.base",
    "Layout": ".models.ranker.side",
    "Loss": ".models.retriever.losses",
    "Metric": ".evaluation.list_metrics",
    "Op": ".ensemble.graph.ops.base",
    "OpenSource": ".workflows.sources.source",
    "Signature": ".core.signature",
    "Source": ".workflows.sources.source",
    "UserSequences": ".evaluation.baselines.sequences",
    "negative_mask": ".models.retriever.losses",
    "tf": ".models._merlin",
    "candidate_mask": ".models.retriever.losses",
}
"""Name -> the module that defines it; imported when it is first used, as some import TensorFlow."""

__all__ = [
    "Baseline",
    "ColumnSpec",
    "Columns",
    "DataConfig",
    "DlrmConfig",
    "IndexType",
    "Interaction",
    "Layout",
    "Loss",
    "Metric",
    "Op",
    "OpenSource",
    "Signature",
    "Source",
    "UserSequences",
    "candidate_mask",
    "negative_mask",
    "tf",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name], __package__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
