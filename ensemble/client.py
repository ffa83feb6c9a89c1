"""A small client of the served model: raw ids in, recommendations out, over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RequestError, ServerError
from .protocol.wire import WireType, ask_for, one_line

if TYPE_CHECKING:
    import tritonclient.grpc as grpc

RawId = int | str
DEFAULT_URL = "127.0.0.1:8001"
_CONTROLS = ("user_id", "exclude_items", "top_k", "temperature", "seed")
"""The inputs that every model has; any other is a context column."""


@dataclass(frozen=True)
class RecommendedItem:
    """One item of an answer."""

    item_id: RawId
    score: float
    """The ranker's probability."""
    propensity: float
    """Probability that sampling picked this item at this place; 1 where nothing is sampled."""


@dataclass(frozen=True)
class Recommendation:
    """The answer for one user, best item first."""

    user_id: RawId
    items: list[RecommendedItem]
    reasons: list[str]
    """Why the answer is degraded, e.g. ``unknown_user``; empty if it is not."""
    release: str
    stages_ms: dict[str, float]
    """Milliseconds that each stage of the graph took for the whole call."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Client:
    """A connection to a served model. Use as a context manager, or call ``close``.

    Args:
        url: ``host:port`` of the server's gRPC endpoint.
        timeout: seconds that one call may take.
    """

    def __init__(self, url: str = DEFAULT_URL, model: str = "cascade", timeout: float = 10.0) -> None:
        self.url = url
        self.model = model
        self.timeout = timeout

    def recommend(
        self,
        user_ids: Sequence[RawId],
        top_k: int | None = None,
        context: Mapping[str, Any] | None = None,
        exclude_items: Sequence[RawId] | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> list[Recommendation]:
        """Ask for all users in one call; the answers come in the order of ``user_ids``.

        Where the model takes numbers, text that holds one is as good.

        Args:
            top_k: items per user; the server's default if None, like every other argument.
            context: context column -> value, the same for all users.
            exclude_items: raw ids of items that must not come back.
            temperature: of the softmax that items are sampled from; 0 sorts by score.
            seed: makes sampling repeatable.

        Raises:
            RequestError: if the server or the model's config refuses the request; names the input.
            ServerError: if no server answers, or it answers with an internal error.
        """
        controls = {"top_k": top_k, "temperature": temperature, "seed": seed}
        named = {name: value for name, value in controls.items() if value is not None}
        named |= {self._context_name(name): value for name, value in (context or {}).items()}
        wire = self._input("user_id")
        users = [wire.value("user_id", user) for user in user_ids]
        inputs = [wire.encode("user_id", [[user] for user in users], (len(users), 1))]
        inputs += [self._same_for_all(name, [value], len(users)) for name, value in named.items()]
        if exclude_items:
            inputs.append(self._same_for_all("exclude_items", exclude_items, len(users)))
        answer = ask_for(lambda: self._triton.infer(self.model, inputs, client_timeout=self.timeout), self.url)
        return self._recommendations(users, answer)

    def ready(self) -> bool:
        """Whether the server is up and has loaded the model; Triton says so of a model whose process died, too."""
        import tritonclient.grpc as grpc

        try:
            return bool(self._triton.is_model_ready(self.model, client_timeout=self.timeout))
        except grpc.InferenceServerException:
            return False

    def live(self) -> bool:
        """Whether the server is up; it may have no model yet."""
        import tritonclient.grpc as grpc

        try:
            return bool(self._triton.is_server_live(client_timeout=self.timeout))
        except grpc.InferenceServerException:
            return False

    @property
    def context_columns(self) -> list[str]:
        """Names of the context columns that the model takes."""
        return [name for name in self._inputs if name not in _CONTROLS]

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        if "_triton" in self.__dict__:
            self._triton.close()
            del self._triton

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def _triton(self) -> grpc.InferenceServerClient:
        import tritonclient.grpc as grpc

        try:
            return grpc.InferenceServerClient(self.url)
        except grpc.InferenceServerException as error:
            raise ServerError(f"{self.url}: not an address to connect to: {one_line(error)}") from error

    @cached_property
    def _config(self) -> Any:
        """The model's config as the server has it (protobuf ``ModelConfig``)."""
        call = partial(self._triton.get_model_config, self.model, client_timeout=self.timeout)
        return ask_for(call, self.url).config

    @cached_property
    def _inputs(self) -> dict[str, WireType]:
        return {entry.name: WireType.of_config(entry.data_type) for entry in self._config.input}

    @cached_property
    def _stages(self) -> list[str]:
        """Names of the stages, in the order of the output ``stages_ms``."""
        return [name for name in self._config.parameters["stages"].string_value.split(",") if name]

    def _context_name(self, name: str) -> str:
        columns = self.context_columns
        if name not in columns:
            raise RequestError(f"context {name}: expected one of {', '.join(columns) or 'no context column at all'}")
        return name

    def _input(self, name: str) -> WireType:
        if name not in self._inputs:
            raise RequestError(f"{name}: model {self.model!r} has no such input, expected {', '.join(self._inputs)}")
        return self._inputs[name]

    def _same_for_all(self, name: str, row: Sequence[Any], users: int) -> Any:
        """An input tensor [users, len(row)] with ``row`` for each user."""
        return self._input(name).encode(name, [row] * users, (users, len(row)))

    def _recommendations(self, users: Sequence[RawId], answer: Any) -> list[Recommendation]:
        columns = {name: answer.as_numpy(name) for name in ("item_ids", "scores", "propensities")}
        reasons, releases = answer.as_numpy("reasons"), answer.as_numpy("release")
        stages_ms = self._stage_times(answer.as_numpy("stages_ms")[0].tolist())
        return [
            Recommendation(
                user_id=user,
                items=_items(*(column[row] for column in columns.values())),
                reasons=[name for name in reasons[row, 0].decode().split(",") if name],
                release=releases[row, 0].decode(),
                stages_ms=dict(stages_ms),
            )
            for row, user in enumerate(users)
        ]

    def _forget(self) -> None:
        """Read the model's config again when it is needed."""
        for name in ("_config", "_inputs", "_stages"):
            self.__dict__.pop(name, None)

    def _stage_times(self, took_ms: list[float]) -> dict[str, float]:
        if len(took_ms) != len(self._stages):  # the server has loaded another release since the config was read
            self._forget()
        return dict(zip(self._stages, took_ms, strict=True))


def _items(ids: NDArray[Any], scores: NDArray[np.float32], propensities: NDArray[np.float32]) -> list[RecommendedItem]:
    """One row of the outputs, each [k], without its padding (id -1 or "", propensity 0)."""
    items = []
    for raw, score, propensity in zip(ids, scores, propensities, strict=True):
        item_id: RawId = raw.decode() if isinstance(raw, bytes) else int(raw)
        if item_id not in (-1, "") or propensity > 0:
            items.append(RecommendedItem(item_id, float(score), float(propensity)))
    return items
