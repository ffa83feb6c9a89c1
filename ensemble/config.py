"""Config sections of the serving side: serving, export, server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..core.extensible import NameOf
from ..core.section import ExtensibleSection, Section

if TYPE_CHECKING:
    from ..workflows.config import FeatureStoreConfig


class AnnConfig(Section):
    """The vector index."""

    type: Annotated[str, NameOf("index")] = "auto"
    """Kind of FAISS index. flat searches exactly, ivf and hnsw approximately. auto: flat below 20,000 items, ivf with
    fp16 vectors from 20,000 on. A gpu_ type falls back to its CPU twin where there is no GPU, and a notice is added to
    the release. A registered index type works as well."""
    topk: int = Field(default=200, ge=1)
    """Number of candidates that the index returns for each user and the ranker scores. Unit: items. Example:
    ``300``."""
    recall_target: float = Field(default=0.99, gt=0, le=1)
    """Share of the exact ``topk`` that an approximate index must find. Its search parameter is tuned to it on query
    vectors of the validation part. Example: ``0.95``."""


class RerankConfig(Section):
    """How scored candidates become the answer."""

    k: int = Field(default=50, ge=1)
    """Number of candidates that maximal marginal relevance (MMR) picks. Also the number of items in the answer to a
    request that does not set top_k. Unit: items. Example: ``20``."""
    diversity_lambda: float = Field(default=0.2, ge=0, le=1)
    """Weight of dissimilarity in MMR. With 0 the ranker's order stays as it is. Example: ``0.5``."""
    temperature: float = Field(default=0.0, ge=0)
    """Softmax sampling temperature of requests that do not set one. 0 sorts by score. Example: ``0.5``."""


class ThresholdsConfig(Section):
    """What a candidate must reach to be shown."""

    min_score: float = Field(default=0.0, ge=0, le=1)
    """Candidates whose score is below this are not shown. The score is the ranker's probability. Example: ``0.05``."""


class RankerServingConfig(Section):
    """How the ranker is computed when serving."""

    split: Literal["auto", "off"] = "auto"
    """auto: the part of the ranker that depends only on the item is computed once, at export, and read from a table.
    The whole ranker runs for every candidate if the scores would differ by more than 1e-5 or the table would not fit
    into ``item_part_mb``. off: the whole ranker always runs; quote it, because YAML reads off as false. Example:
    ``"off"``."""
    item_part_mb: int = Field(default=4096, ge=0)
    """Largest allowed size of the table of item parts. Unit: MiB. Example: ``8192``."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Number format of the ranker's weights. int8 is served only if it loses less than 0.001 AUC and keeps more than
    0.98 of the top 50; otherwise fp32 is."""


class TensorRtConfig(Section):
    """TensorRT acceleration of onnxruntime models, for NVIDIA's own server images."""

    enabled: bool = False
    """Whether onnxruntime models run on TensorRT."""
    precision: Literal["FP32", "FP16"] = "FP16"
    """Number format that TensorRT computes in."""
    max_workspace_mb: int = Field(default=1024, ge=1)
    """Memory that TensorRT may use while it builds its engines. Unit: MiB. Example: ``4096``."""


class ExtraOpConfig(Section):
    """A registered op that the request graph runs beside its own steps."""

    op: Annotated[str, NameOf("op")]
    """Name of the op: its ``kind``, under which it is registered. Example: ``block_list``."""
    after: Literal[
        "lookup_user",
        "transform",
        "encode_query",
        "retrieve",
        "drop_seen",
        "lookup_items",
        "rank",
        "order",
        "respond",
    ]
    """Step of the request graph that it follows. Of several ops after one step, the first in the list runs first.
    Example: ``order``."""
    params: dict[str, Any] = {}
    """Arguments of the op's constructor. Example: ``{items: [12, 40]}``."""


class ServingConfig(ExtensibleSection):
    """The request path."""

    for_extensions: ClassVar[tuple[str, ...]] = ("ops",)

    layout: Literal["fused", "ensemble"] = "fused"
    """fused: one Triton model runs all steps of the request path. ensemble: a Triton ensemble with one model for each
    step."""
    backend: Literal["python", "onnxruntime"] = "python"
    """ensemble only: what runs the query tower and the ranker. NVIDIA's server images have the onnxruntime backend; the
    Triton that is installed from PyPI has not."""
    tensorrt: TensorRtConfig = TensorRtConfig()
    max_queue_size: int = Field(default=1024, ge=1)
    """Number of requests that may share one pass of a model. Requests beyond that are refused as UNAVAILABLE. Example:
    ``256``."""
    queue_delay_us: int = Field(default=0, ge=0)
    """How long a request may wait for others to share its pass. 0 takes only the requests that already wait. Unit:
    microseconds. Example: ``100``."""
    step_instances: dict[str, int] = {}
    """ensemble only: step -> number of instances of its model; 1 for steps that are not named. Steps that share a
    model, as ``order`` and ``respond`` do, get the larger number. Example: ``{rank: 2}``."""
    seen: Literal["auto", "drop", "keep"] = "auto"
    """What to do with items that a user had before. drop: they are not recommended again. keep: they are, and training
    and evaluation count them like any other item; only items that the user rejected and those of ``exclude_items`` are
    left out. auto: keep if on average at least a tenth of a user's later positives are of an item that the user had
    before, as in groceries, music or places."""
    ann: AnnConfig = AnnConfig()
    ranker: RankerServingConfig = RankerServingConfig()
    rerank: RerankConfig = RerankConfig()
    thresholds: ThresholdsConfig = ThresholdsConfig()
    max_batch_size: int = Field(default=1024, ge=1)
    """Largest number of users in one request. A larger request is refused. Unit: users. Example: ``256``."""
    arm_input: bool = False
    """Whether a request may name the arm that answers it, in an input ``ask_arm``: to look at a canary before users see
    it, not for clients, whose answers would no longer be a fair sample. Example: ``true``."""
    ops: list[ExtraOpConfig] = []
    """Registered ops to run beside the steps of the request graph. Triton knows those of installed packages only.
    Example: ``[{op: block_list, after: retrieve, params: {items: [12, 40]}}]``."""


class ExportConfig(Section):
    """The Triton model repository."""

    repository: str = Field(default="model_repository", min_length=1)
    """Folder of the Triton model repository to publish to. Example: ``/srv/models``."""
    model_name: str = Field(default="cascade", pattern="^[A-Za-z0-9_-]+$")
    """Name of the model: its folder in the repository, and what clients ask for. Letters, digits, ``_`` and ``-``.
    Pipelines with different names can share a repository. Example: ``shop``."""
    version: int = Field(default=1, ge=1)
    """Version of the Triton model. Example: ``2``."""
    golden_requests: int = Field(default=300, ge=0)
    """Number of requests whose answers a release records at its export, so that `cascade release verify` can tell
    whether it still answers the same. The release then holds ids and histories of so many users; 0 records none. Unit:
    requests. Example: ``0``."""


def pipeline_name(store: FeatureStoreConfig, export: ExportConfig) -> str:
    """What releases and notes of runs call a pipeline: its Feast project, by default the name of its file."""
    return store.project or export.model_name


class GatewayConfig(Section):
    """What the HTTP endpoint takes from clients."""

    max_body_mb: int = Field(default=64, ge=1, le=2048)
    """Largest body of a request, also after it is unpacked. Unit: MiB. Example: ``8``."""
    max_connections: int | None = Field(default=None, ge=1)
    """Number of open connections. A new one beyond that takes the place of the one that is idle longest. Default:
    10,000, or as many as the limit of open files allows. Example: ``2000``."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """How long a client may take to send a request, and to read its answer. Then the connection is ended. Unit:
    seconds. Example: ``5``."""
    idle_timeout_s: float = Field(default=120.0, gt=0)
    """How long a connection may stay open without a request. Unit: seconds. Example: ``60``."""


class SkewSampleConfig(Section):
    """Requests that are kept with the features that they saw, to be compared with those that the data gives.

    They are kept without user ids, but with histories and profiles, in a folder of the model repository that only the
    user of `cascade serve` can read. Ask whoever is in charge of personal data first.
    """

    share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that are kept; 0 keeps none. Example: ``0.01``."""
    requests: int = Field(default=10_000, ge=100)
    """Number of requests that are kept; of more, the newest. Unit: requests. Example: ``2000``."""


class ServerConfig(Section):
    """The server: tritonserver, and the HTTP endpoint before it."""

    host: str = "127.0.0.1"
    """Address to listen on; ``grpc_host`` and ``metrics_host`` may differ. Another than this machine's own needs
    ``expose``. Example: ``0.0.0.0``."""
    grpc_host: str | None = None
    """Address of the gRPC endpoint, which is Triton's own. Set it where other machines are to reach HTTP only. Default:
    ``host``. Example: ``127.0.0.1``."""
    metrics_host: str | None = None
    """Address of the Prometheus metrics. Default: ``grpc_host`` if that is set, else ``host``. Example:
    ``10.0.0.5``."""
    expose: bool = False
    """Whether other machines may reach the server. Requests are neither encrypted nor authenticated, so that needs a
    proxy or a network policy before it. Example: ``true``."""
    shared_memory: bool = False
    """Whether clients on this machine may hand over tensors in shared memory. Only regions whose names begin with
    ``cascade-client-`` can be registered, through HTTP. Example: ``true``."""
    http_port: int = Field(default=8000, ge=0, le=65535)
    """Port of the HTTP endpoint; 0 picks a free one. Example: ``9000``."""
    grpc_port: int = Field(default=8001, ge=0, le=65535)
    """Port of the gRPC endpoint; 0 picks a free one. Example: ``9001``."""
    metrics_port: int = Field(default=8002, ge=0, le=65535)
    """Port of the Prometheus metrics; 0 picks a free one. Example: ``9002``."""
    instances: int | None = Field(default=None, ge=1)
    """fused: number of processes that answer. ensemble: number of CPU cores that steps run on. Default: the number of
    CPU cores of the server. Example: ``4``."""
    check_files_mb: int = Field(default=256, ge=0)
    """Before a release is loaded, the content of each file of at most this size is compared with the digest that was
    written with it; of larger ones only the size is. A release with another file is refused. Unit: MiB. Example:
    ``4096``."""
    startup_timeout_s: float = Field(default=600.0, gt=0)
    """How long loading the release may take. The first start on a machine compiles code, which takes a minute or more
    if the machine is busy. Unit: seconds. Example: ``1800``."""
    arm_timeout_s: float = Field(default=0.25, gt=0)
    """How long the users of a canary, or of an arm of an A/B test, wait for its release before the stable one answers
    them with the reason ``canary_unavailable`` or ``arm_unavailable``. Others whose requests share a pass with theirs
    wait as well. Unit: seconds. Example: ``0.1``."""
    drain_s: float = Field(default=3.0, ge=0)
    """How long the server goes on answering after SIGTERM while it says that it is not ready, so that a load balancer
    sends nothing more. Unit: seconds. Example: ``15``."""
    gateway: GatewayConfig = GatewayConfig()
    skew_sample: SkewSampleConfig = SkewSampleConfig()
    """Requests that are kept for the gate of train/serve skew, see `cascade release verify`."""
    standby: bool = True
    """Whether a second tritonserver waits with the model loaded and takes over at once when the first one dies, is
    stopped or hangs. It costs the memory of another server and no CPU time. Without it, a restart takes seconds."""
    restart: Literal["on_failure", "never"] = "on_failure"
    """on_failure: `cascade serve` starts tritonserver again when it dies, is stopped or hangs. never: it ends with exit
    code 70 instead, for example because systemd or Kubernetes restarts it."""
    max_restarts: int = Field(default=20, ge=1)
    """Restarts of tritonserver within an hour after which `cascade serve` gives up and ends with exit code 70. Example:
    ``5``."""
