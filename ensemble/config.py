"""Config sections of the serving side: serving, export, server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..core.section import Section


class AnnConfig(Section):
    """The vector index."""

    type: Literal["auto", "flat", "ivf", "hnsw", "gpu_flat", "gpu_ivf", "gpu_hnsw"] = "auto"
    """auto: flat below 20,000 items, ivf with fp16 vectors from there on. gpu_* runs its CPU twin where there is no
    GPU, and says so."""
    topk: int = Field(default=200, ge=1)
    """Candidates per user that reach the ranker."""
    recall_target: float = Field(default=0.99, gt=0, le=1)
    """Share of the exact ``topk`` that an approximate index must find, on query vectors of the validation part."""


class RerankConfig(Section):
    """From scored candidates to the answer."""

    k: int = Field(default=50, ge=1)
    """Size of the diverse pool that MMR picks, and how many items a request gets that names no top_k."""
    diversity_lambda: float = Field(default=0.2, ge=0, le=1)
    """Weight of dissimilarity in MMR; 0 leaves the ranker's order alone."""
    temperature: float = Field(default=0.0, ge=0)
    """Softmax sampling temperature of a request that names none; 0 sorts by score."""


class ThresholdsConfig(Section):
    """What a candidate must reach to be shown."""

    min_score: float = Field(default=0.0, ge=0, le=1)


class RankerServingConfig(Section):
    """How the ranker is run; what it computes stays the same."""

    split: Literal["auto", "off"] = "auto"
    """auto: what depends on the item alone is computed once at export, if the answer stays the same to 1e-5 and
    the table fits ``item_part_mb``; else the whole ranker runs for every candidate."""
    item_part_mb: int = Field(default=4096, ge=0)
    """Largest table of item parts, MiB."""
    precision: Literal["fp32", "int8"] = "fp32"
    """int8 is served only where it loses less than 0.001 AUC and keeps more than 0.98 of the top 50."""


class TensorRtConfig(Section):
    """TensorRT acceleration of onnxruntime models, for NVIDIA's own server images."""

    enabled: bool = False
    precision: Literal["FP32", "FP16"] = "FP16"
    max_workspace_mb: int = Field(default=1024, ge=1)


class ServingConfig(Section):
    """The request path."""

    layout: Literal["fused", "ensemble"] = "fused"
    """fused: one python model runs all steps. ensemble: a Triton ensemble of one model for each step."""
    backend: Literal["python", "onnxruntime"] = "python"
    """ensemble only: what runs the query tower and the ranker. onnxruntime is not among the backends that come from
    PyPI; NVIDIA's own server images have it."""
    tensorrt: TensorRtConfig = TensorRtConfig()
    max_queue_size: int = Field(default=1024, ge=1)
    """Requests that may wait for one pass of a model; more are refused, as UNAVAILABLE."""
    queue_delay_us: int = Field(default=0, ge=0)
    """How long a request may wait for others to share its pass, microseconds; 0 takes what waits already."""
    step_instances: dict[str, int] = {}
    """ensemble only: step -> instances of its model; 1 by default."""
    ann: AnnConfig = AnnConfig()
    ranker: RankerServingConfig = RankerServingConfig()
    rerank: RerankConfig = RerankConfig()
    thresholds: ThresholdsConfig = ThresholdsConfig()
    max_batch_size: int = Field(default=1024, ge=1)
    """Users in one call; more is an error."""


class ExportConfig(Section):
    """The Triton model repository."""

    repository: str = "model_repository"
    model_name: str = "cascade"
    """Its folder in the repository, and what clients call it; pipelines with names of their own share a repository."""
    version: int = Field(default=1, ge=1)


class ServerConfig(Section):
    """tritonserver."""

    host: str = "127.0.0.1"
    http_port: int = Field(default=8000, ge=0, le=65535)
    """0 picks a free port, here and below."""
    grpc_port: int = Field(default=8001, ge=0, le=65535)
    metrics_port: int = Field(default=8002, ge=0, le=65535)
    instances: int | None = Field(default=None, ge=1)
    """Processes that answer, of the fused model; cores that steps run on, of an ensemble. As many as the server's CPU
    cores by default."""
