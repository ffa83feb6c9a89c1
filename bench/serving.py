"""What a load test is sent to: the exported model, another layout of it, or a server that runs already."""

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
from .probe import ANSWER_S, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config.pipeline import PipelineConfig

Layout = Literal["fused", "ensemble"]
LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")


@dataclass(frozen=True)
class Subject:
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
class Served:
    """A target that answers."""

    target: Target
    layout: str
    startup_s: float | None
    """From starting the server to the first answer; None for one that ran already."""
    repository: Path | None = None
    """What it serves, where we started it."""


@contextlib.contextmanager
def served(subject: Subject, layout: Layout, forward: Callable[[str], None]) -> Iterator[Served]:
    """A server on free ports with the model in ``layout``; what is exported stays as it is.

    Args:
        forward: takes each line of the server's log.
    """
    from ..ensemble.server.server import Server

    config = subject.config
    with tempfile.TemporaryDirectory(prefix="cascade-bench-") as folder:
        exported = layout == config.serving.layout
        repository = Path(config.export.repository) if exported else export_aside(subject, layout, Path(folder))
        server = Server(
            repository,
            config.export.model_name,
            feature_repo=Path(config.feature_store.repo),
            config=config.server.model_copy(update={"http_port": 0, "grpc_port": 0, "metrics_port": 0}),
            forward=forward,
        )
        start = time.monotonic()
        with server:
            target = Target(server.grpc_url, server.model, server.metrics_url, server.pid)
            yield Served(target, layout, time.monotonic() - start, repository)


def export_aside(subject: Subject, layout: Layout, folder: Path) -> Path:
    """A model repository with the same artifacts in another layout.

    Raises:
        ConfigError: if a stage is not up to date.
    """
    from ..ensemble.repository.stage import EXPORT

    config = subject.config
    changed = config.model_copy(update={"serving": config.serving.model_copy(update={"layout": layout})})
    sections = {key: changed.section(key) for key in EXPORT.sections}
    EXPORT.fill(folder, sections, parts(subject))
    return folder


def parts(subject: Subject) -> dict[str, Artifact]:
    """What an export is made from.

    Raises:
        ConfigError: if a stage is not up to date.
    """
    from ..ensemble.repository.stage import EXPORT

    return {name: subject.artifact(name) for name in EXPORT.parents}


def running(url: str, model: str, metrics_url: str | None) -> Served:
    """A server that runs already; CPU time and memory are known of one on this machine only.

    Raises:
        ServerError: if it does not answer, or has no such model.
    """
    import tritonclient.grpc as grpc

    from ..ensemble.protocol.wire import ask_for

    host, _, port = url.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--url {url}: expected HOST:PORT")
    try:
        with grpc.InferenceServerClient(url) as client:
            config = ask_for(lambda: client.get_model_config(model, client_timeout=ANSWER_S), url).config
    except grpc.InferenceServerException as error:
        raise ServerError(f"{url}: not an address to connect to: {error.message()}") from error
    layout = "ensemble" if config.ensemble_scheduling.step else "fused"
    pid = listener(int(port)) if host in LOCAL else None
    return Served(Target(url, model, metrics_url, pid), layout, None)


def listener(port: int) -> int | None:
    """The process of this machine that listens on ``port``, if we may know it."""
    import psutil

    listening = (entry for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN)
    return next((entry.pid for entry in listening if entry.laddr.port == port), None)
