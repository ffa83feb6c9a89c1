"""Servers to send load to: the exported model, another layout of it, or a server that is already running."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.artifact import Artifact
from ..core.errors import ConfigError, ServerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config.pipeline import PipelineConfig

Layout = Literal["fused", "ensemble"]
LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")
ANSWER_S = 30.0
"""Timeout of a request to the server about itself, in seconds."""


@dataclass(frozen=True)
class ExportedPipeline:
    """A pipeline that has been exported."""

    config: PipelineConfig
    artifact: Callable[[str], Artifact]
    """Stage -> its finished artifact."""

    @property
    def user_ids(self) -> NDArray[Any]:
        """[users] raw ids, int64 or text."""
        import numpy as np

        ids: NDArray[Any] = np.load(self.artifact("etl").path / "user_ids.npy")
        return ids


@dataclass(frozen=True)
class Target:
    """A served model that answers requests."""

    url: str
    """``host:port`` of the gRPC endpoint."""
    model: str
    metrics_url: str | None = None
    pid: int | None = None
    """Of tritonserver, if it runs on this machine."""
    layout: str = ""
    """As in the report."""
    startup_s: float | None = None
    """Seconds from the start of the server to its first answer. None if we did not start it."""
    repository: Path | None = None
    """The model repository, if we started the server."""


@contextlib.contextmanager
def serve(pipeline: ExportedPipeline, layout: Layout, forward: Callable[[str], None]) -> Iterator[Target]:
    """Run a server on free ports with the model in ``layout``. The exported repository is not changed.

    Args:
        forward: called with each line of the server's log.
    """
    from ..ensemble.server.server import TritonServer

    config = pipeline.config
    with tempfile.TemporaryDirectory(prefix="cascade-bench-") as folder:
        exported = layout == config.serving.layout
        repository = Path(config.export.repository) if exported else export_layout(pipeline, layout, Path(folder))
        server = TritonServer(
            repository,
            config.export.model_name,
            feature_repo=Path(config.feature_store.repo),
            redis=config.feature_store.connection,
            config=config.server.model_copy(
                update={"http_port": 0, "grpc_port": 0, "metrics_port": 0, "standby": False}
            ),
            forward=forward,
        )
        start = time.monotonic()
        with server:
            startup_s = time.monotonic() - start
            yield Target(server.grpc_url, server.model, server.metrics_url, server.pid, layout, startup_s, repository)


def export_layout(pipeline: ExportedPipeline, layout: Layout, folder: Path) -> Path:
    """Write a model repository of the same artifacts in another layout to ``folder``, and return it.

    Raises:
        ConfigError: if a stage is not up to date.
    """
    from ..ensemble.repository.stage import EXPORT

    config = pipeline.config
    changed = config.model_copy(update={"serving": config.serving.model_copy(update={"layout": layout})})
    sections = {key: changed.section(key) for key in EXPORT.sections}
    EXPORT.fill(folder, sections, export_parents(pipeline))
    return folder


def export_parents(pipeline: ExportedPipeline) -> dict[str, Artifact]:
    """The artifacts that an export reads.

    Raises:
        ConfigError: if a stage is not up to date.
    """
    from ..ensemble.repository.stage import EXPORT

    return {name: pipeline.artifact(name) for name in EXPORT.parents}


def running_server(url: str, model: str, metrics_url: str | None) -> Target:
    """A server that is already running. Its CPU time and memory can be measured only if it is on this machine.

    Raises:
        ConfigError: if ``url`` is not ``HOST:PORT``.
        ServerError: if the server does not answer, or has no such model.
    """
    import tritonclient.grpc as grpc

    from ..ensemble.protocol.call_errors import ask_for

    host, _, port = url.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--url {url}: expected HOST:PORT")
    try:
        with grpc.InferenceServerClient(url) as client:
            config = ask_for(lambda: client.get_model_config(model, client_timeout=ANSWER_S), url).config
    except grpc.InferenceServerException as error:
        raise ServerError(f"{url}: cannot connect to this address: {error.message()}") from error
    layout = "ensemble" if config.ensemble_scheduling.step else "fused"
    pid = listening_pid(int(port)) if host in LOCAL else None
    return Target(url, model, metrics_url, pid, layout)


def listening_pid(port: int) -> int | None:
    """Id of the process on this machine that listens on ``port``. None if there is none, or it is another user's."""
    import psutil

    listening = (entry for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN)
    return next((entry.pid for entry in listening if entry.laddr and entry.laddr.port == port), None)
