"""Triton with an exported release, for Python programs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from pathlib import Path
from types import NoneType

from ..config.pipeline import PipelineConfig
from ..core.errors import ConfigError, ServerError
from ..ensemble.client import Client
from ..ensemble.config import ServerConfig
from ..ensemble.server.server import TritonServer
from .arguments import expect, expect_path
from .locate import Source, connection_of, default_repo, hint_of_repo, locate, warn_of_other_features

FREE_PORTS = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, standby=False)

log = logging.getLogger(__name__)


class Server(TritonServer):
    """Triton Inference Server with one exported release. Use as a context manager, or call ``start`` and ``stop``.

    It starts on entry, answers a probe before the block runs, replaces model processes that die or hang, and leaves
    nothing behind. Attributes while it runs: ``grpc_url`` (``host:port``), ``http_url``, ``metrics_url``, ``release``
    (the release's id), ``pid``.

    Args:
        source: a `PipelineConfig` that `run` has exported with, or whatever else `open_release` takes.
        feature_repo: the Feast repository to look users up in; default: as for `open_release`.
        settings: host, ports and instances; default: the config's section ``server``, free ports for other sources.
            Port 0 is a free one.
        forward: takes each line of Triton's log; default: logging, logger ``cascade.api.server``, level INFO.
        startup_s: seconds until the model must have answered; default: ``server.startup_timeout_s``.

    Raises:
        ArtifactError: there is no release, or the repository of a config holds the release of another one.
        ConfigError: ``source`` is none of these, or another argument has another type.
        ServerError: on start, if it runs already, Triton cannot be assembled or started, a port is taken, or the model
            does not load.

    Example:
        >>> with cascade.Server(config) as server:
        ...     server.client().recommend([42], top_k=10)
    """

    def __init__(
        self,
        source: Source,
        *,
        feature_repo: str | Path | None = None,
        settings: ServerConfig | None = None,
        forward: Callable[[str], None] | None = None,
        startup_s: float | None = None,
    ) -> None:
        expect_path("feature_repo", feature_repo)
        expect("settings", settings, (ServerConfig, NoneType), "a ServerConfig, such as config.server")
        if forward is not None and not callable(forward):
            raise ConfigError(f"forward: expected a function of one line, got {forward!r:.60}")
        number = isinstance(startup_s, (int, float)) and not isinstance(startup_s, bool) and 0 < startup_s < inf
        if startup_s is not None and not number:
            raise ConfigError(f"startup_s: expected a positive number of seconds, got {startup_s!r:.60}")
        folder, repo = locate(source)
        own = source.server if isinstance(source, PipelineConfig) else FREE_PORTS
        super().__init__(
            folder.parent.parent,
            folder.parent.name,
            feature_repo=Path(feature_repo or repo or default_repo()),
            redis=connection_of(source),
            config=settings or own,
            forward=forward or log.info,
            startup_s=startup_s,
        )
        self._folder, self._hint = folder, hint_of_repo(source, feature_repo, repo)

    def start(self) -> None:
        """Start the server and return when the model has answered a request.

        Raises:
            ServerError: it runs already, or cannot be started; then nothing keeps running.
        """
        warn_of_other_features(self._folder, self.feature_repo)
        try:
            super().start()
        except ServerError as error:
            raise ServerError(f"{error}{self._hint}") from error

    def client(self, timeout: float = 10.0) -> Client:
        """A connection to this server.

        Args:
            timeout: seconds that one call may take.

        Raises:
            ServerError: the server does not run.
        """
        return Client(self.grpc_url, self.model, timeout)
