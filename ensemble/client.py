"""A client of the served model: raw ids in, recommendations out, over gRPC."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from ..core.errors import ConfigError, RequestError, ServerError
from .protocol.arms import ARM
from .protocol.call_errors import UnknownModelError, ask_for, one_line
from .protocol.inputs import ARM_INPUT
from .protocol.recommendation import RawId, Recommendation, recommendations
from .protocol.resend import pauses, worth_another_try
from .protocol.wire import WireType

if TYPE_CHECKING:
    import tritonclient.grpc as grpc

DEFAULT_URL = "127.0.0.1:8001"
LONGEST_S = 86_400
_CONTROLS = ("user_id", "exclude_items", "top_k", "temperature", "seed", ARM_INPUT.name)
"""The inputs that have meanings of their own; any other is a context column."""
_OUTPUTS = ("item_ids", "scores", "propensities", "reasons", "release", ARM)

_CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    # A server that comes back is found within a tenth of a second, and not after the default of one second or more.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Client:
    """A connection to a served model. Use as a context manager, or call ``close``.

    Args:
        url: ``host:port`` of the server's gRPC endpoint.
        model: name of the served model.
        timeout: seconds that one call may take, at most a day.

    Raises:
        ConfigError: ``url`` or ``model`` is not a string or empty, or ``timeout`` is no positive number of seconds.
    """

    _request_id = ""

    def __init__(self, url: str = DEFAULT_URL, model: str = "cascade", timeout: float = 10.0) -> None:
        for name, value in (("url", url), ("model", model)):
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{name}: expected a string, got {'an empty one' if value == '' else repr(value)}")
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= LONGEST_S:
            raise ConfigError(f"timeout: expected seconds, more than 0 and at most {LONGEST_S:,}, got {timeout!r}")
        self.url = url
        self.model = model
        self.timeout = timeout

    def recommend(
        self,
        users: Sequence[RawId],
        top_k: int | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        exclude: Sequence[RawId] | None = None,
        arm: str | None = None,
    ) -> list[Recommendation]:
        """Ask for recommendations for all users in one call; the answers have the order of ``users``.

        For numeric inputs, text that holds a number is converted. A number for ids that are text is refused.

        Args:
            users: raw user ids; for none of them the answer is an empty list, without a call.
            top_k: items per user. None leaves it to the server's default, as for every other argument.
            context: context column -> value, the same for all users.
            temperature: of the softmax that items are sampled from; 0 sorts by score.
            seed: makes sampling repeatable.
            exclude: raw ids of items that must not be recommended.
            arm: the arm that is to answer, or ``stable``, where the model has this input (``serving.arm_input``).

        Raises:
            RequestError: if the server or the model's config refuses the request; names the input.
            ServerError: if no server answers, or it answers with an internal error.
        """
        controls = {"top_k": top_k, "temperature": temperature, "seed": seed}
        users = _listed("users", users)
        if not users:
            return []
        if context is not None and not isinstance(context, Mapping):
            raise RequestError(f"context: expected a dict of context column -> value, got a {type(context).__name__}")
        named = {name: _one_number(name, value) for name, value in controls.items() if value is not None}
        named |= {self._context_name(name): value for name, value in (context or {}).items()}
        if arm is not None:
            if ARM_INPUT.name not in self._inputs:
                raise RequestError("arm: this model takes no such input; export it with serving.arm_input: true")
            named[ARM_INPUT.name] = arm
        wire = self._input("user_id")
        ids = [wire.identifier("user_id", user) for user in users]
        inputs = [wire.encode("user_id", [[user] for user in ids], (len(ids), 1))]
        inputs += [self._same_for_all(name, [value], len(ids)) for name, value in named.items()]
        excluded = [] if exclude is None else _listed("exclude", exclude)
        if excluded:
            items = [self._input("exclude_items").identifier("exclude", item) for item in excluded]
            inputs.append(self._same_for_all("exclude_items", items, len(ids)))
        answer = ask_for(lambda: self._infer(inputs), self.url)
        outputs = {name: answer.as_numpy(name) for name in _OUTPUTS}
        return recommendations(ids, outputs, self._stage_times(answer.as_numpy("stages_ms")[0].tolist()))

    def ready(self) -> bool:
        """Whether the server is up and has loaded the model. Triton also says so of a model whose process has died."""
        import tritonclient.grpc as grpc

        try:
            return bool(self._triton.is_model_ready(self.model, client_timeout=self.timeout))
        except grpc.InferenceServerException:
            return False

    def live(self) -> bool:
        """Whether the server is up; it need not have loaded a model yet."""
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
            return grpc.InferenceServerClient(self.url, channel_args=_CHANNEL)
        except grpc.InferenceServerException as error:
            raise ServerError(f"{self.url}: not an address to connect to: {one_line(error)}") from error

    def _infer(self, inputs: list[Any]) -> Any:
        """Triton's answer; a request that met an instance just as it died is sent again."""
        import tritonclient.grpc as grpc

        waits, until = pauses(), time.monotonic() + self.timeout
        while True:
            try:
                left = until - time.monotonic()
                return self._triton.infer(
                    self.model, inputs, request_id=self._request_id, client_timeout=max(left, 0.001)
                )
            except grpc.InferenceServerException as error:
                pause = next(waits, None)
                again = worth_another_try(error.status() or "", error.message() or "")
                if pause is None or not again or time.monotonic() + pause > until:
                    raise
                time.sleep(pause)

    @cached_property
    def _config(self) -> Any:
        """The model's config as the server has it (protobuf ``ModelConfig``)."""
        try:
            return self._config_of(self.model)
        except UnknownModelError as error:
            if served := self._served():
                raise UnknownModelError(
                    f"{self.url}: no model {self.model!r} is served, but {', '.join(served)}; name one of them: "
                    "`model=` of the client, `--model` beside `--url`, or export.model_name in the config"
                ) from error
            raise

    def _config_of(self, model: str) -> Any:
        call = partial(self._triton.get_model_config, model, client_timeout=self.timeout)
        return ask_for(call, self.url).config

    def _served(self) -> list[str]:
        """Names of the models that answer recommendation requests; the steps of an ensemble are left out."""
        # The repository's index would say so as well, but our servers keep it for those who have the control key.
        call = partial(self._triton.get_inference_statistics, client_timeout=self.timeout)
        loaded = sorted({entry.name for entry in ask_for(call, self.url).model_stats})
        return [name for name in loaded if "stages" in self._config_of(name).parameters]

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
            if not columns:
                raise RequestError(
                    f"context {name}: the model has no context columns; leave context out, or make that column of "
                    "interactions a feature in schema, then run and serve again"
                )
            raise RequestError(f"context {name}: expected one of {', '.join(columns)}")
        return name

    def _input(self, name: str) -> WireType:
        if name not in self._inputs:
            raise RequestError(f"{name}: model {self.model!r} has no such input, expected {', '.join(self._inputs)}")
        return self._inputs[name]

    def _same_for_all(self, name: str, row: Sequence[Any], users: int) -> Any:
        """An input tensor [users, len(row)] with ``row`` for each user."""
        return self._input(name).encode(name, [row] * users, (users, len(row)))

    def _stage_times(self, took_ms: list[float]) -> dict[str, float]:
        if len(took_ms) != len(self._stages):  # the server has loaded another release since the config was read
            self._forget()
        return dict(zip(self._stages, took_ms, strict=True))

    def _forget(self) -> None:
        """Forget the model's config, so that it is read again when it is needed."""
        for name in ("_config", "_inputs", "_stages"):
            self.__dict__.pop(name, None)


def _listed(name: str, ids: Any) -> list[Any]:
    """``ids`` as a list.

    Raises:
        RequestError: they are a single value or a table.
    """
    if isinstance(ids, Mapping) or hasattr(ids, "columns"):
        raise RequestError(f"{name}: expected a list of ids, got a {type(ids).__name__}")
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        raise RequestError(f"{name}: expected a list of ids, got {ids!r}")
    return list(ids)


def _one_number(name: str, value: Any) -> Any:
    if isinstance(value, bool) or (hasattr(value, "__len__") and not isinstance(value, (str, bytes))):
        raise RequestError(f"{name}: expected one number for all users, got {value!r}")
    return value
