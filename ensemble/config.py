"""Config sections of the serving side: serving, export, server, evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.section import Section


class AnnConfig(Section):
    """The vector index."""

    type: Literal["flat", "ivf", "hnsw", "gpu_flat", "gpu_ivf", "gpu_hnsw"] = "flat"
    """gpu_* runs its CPU twin where there is no GPU, and says so."""
    topk: int = Field(200, ge=1)
    """Candidates per user that reach the ranker."""


class RerankConfig(Section):
    """From scored candidates to the answer."""

    k: int = Field(50, ge=1)
    """Size of the diverse pool that MMR picks, and how many items a request gets that names no top_k."""
    diversity_lambda: float = Field(0.2, ge=0, le=1)
    """Weight of dissimilarity in MMR; 0 leaves the ranker's order alone."""
    temperature: float = Field(0.0, ge=0)
    """Softmax sampling temperature of a request that names none; 0 sorts by score."""


class ThresholdsConfig(Section):
    """What a candidate must reach to be shown."""

    min_score: float = Field(0.0, ge=0, le=1)


class ServingConfig(Section):
    """The request path."""

    ann: AnnConfig = AnnConfig()
    rerank: RerankConfig = RerankConfig()
    thresholds: ThresholdsConfig = ThresholdsConfig()
    max_batch_size: int = Field(1024, ge=1)
    """Users in one call; more is an error."""


class ExportConfig(Section):
    """The Triton model repository."""

    repository: str = "model_repository"
    model_name: str = "cascade"
    """Its folder in the repository, and what clients call it; pipelines with names of their own share a repository."""
    version: int = Field(1, ge=1)


class ServerConfig(Section):
    """tritonserver."""

    host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=0, le=65535)
    """0 picks a free port, here and below."""
    grpc_port: int = Field(8001, ge=0, le=65535)
    metrics_port: int = Field(8002, ge=0, le=65535)


class EvaluationConfig(Section):
    """Offline evaluation."""

    batch_size: int = Field(256, ge=1)
    max_users: int | None = None
    """Evaluate a seeded sample of the test users; all of them by default."""
    seed: int = 0
