"""cascade: NVIDIA Merlin's multi-stage recommender made deployable.

What is in ``__all__`` is the public API; everything else may change between minor versions. A typical program::

    import cascade

    config = cascade.load_config("shop.yaml")
    artifacts = cascade.run(config)
    with cascade.open_release(config) as release:
        print(release.recommend([42, 43], top_k=10).to_frame())

Importing the package loads nothing heavy: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from .api.answers import Recommendations as Recommendations
    from .api.answers import SimilarItems as SimilarItems
    from .api.config import load_config as load_config
    from .api.evaluation import Evaluation as Evaluation
    from .api.evaluation import evaluate as evaluate
    from .api.explanation import Explanation as Explanation
    from .api.pipeline import run as run
    from .api.release import Release as Release
    from .api.release import open_release as open_release
    from .api.server import Server as Server
    from .config.pipeline import PipelineConfig as PipelineConfig
    from .core.artifact import Artifact as Artifact
    from .core.registry import register as register
    from .ensemble.client import Client as Client

__version__ = "0.2.0"

_HOMES = {
    "Artifact": ".core.artifact",
    "Client": ".ensemble.client",
    "Evaluation": ".api.evaluation",
    "Explanation": ".api.explanation",
    "PipelineConfig": ".config.pipeline",
    "Recommendations": ".api.answers",
    "Release": ".api.release",
    "Server": ".api.server",
    "SimilarItems": ".api.answers",
    "evaluate": ".api.evaluation",
    "load_config": ".api.config",
    "open_release": ".api.release",
    "register": ".core.registry",
    "run": ".api.pipeline",
}
"""Name -> the module that defines it."""

__all__ = [
    "Artifact",
    "Client",
    "Evaluation",
    "Explanation",
    "PipelineConfig",
    "Recommendations",
    "Release",
    "Server",
    "SimilarItems",
    "__version__",
    "errors",
    "evaluate",
    "load_config",
    "open_release",
    "register",
    "run",
]

# A library logs where the program has set up logging, and else nowhere.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module(".errors", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
