"""The exceptions of this package. Each message names its own cause: the key, the column, the input, the file.

All derive from `CascadeError`, so ``except cascade.errors.CascadeError`` catches every one of them.
"""

from .core.errors import (
    ArtifactError,
    CascadeError,
    ConfigError,
    CrashError,
    DataError,
    DiskError,
    DivergedError,
    FeatureStoreError,
    ReleaseError,
    RequestError,
    ServerError,
    WiringError,
    WorkerError,
)

__all__ = [
    "ArtifactError",
    "CascadeError",
    "ConfigError",
    "CrashError",
    "DataError",
    "DiskError",
    "DivergedError",
    "FeatureStoreError",
    "ReleaseError",
    "RequestError",
    "ServerError",
    "WiringError",
    "WorkerError",
]
