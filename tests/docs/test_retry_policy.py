"""The retry policy that *Serve* shows for gRPC clients does what `cascade.Client` does by itself."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from shipping import ROOT
from tritonclient.grpc import InferenceServerException, service_pb2, service_pb2_grpc

from cascade.ensemble.protocol.resend import PAUSES_S

PAGE = (ROOT / "docs" / "how-to" / "serve.md").read_text()
CODE = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "retryPolicy" in block)


class Failing(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Fails its first calls with a status."""

    def __init__(self, status: grpc.StatusCode, failures: int) -> None:
        self.status, self.failures, self.calls = status, failures, 0

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.calls += 1
        if self.calls <= self.failures:
            context.abort(self.status, "Stub process 'a_0' is not healthy")
        return service_pb2.ServerLiveResponse(live=True)


def calls_with(status: grpc.StatusCode, failures: int) -> int:
    """How many calls the client of the page makes until it has an answer or gives up."""
    servicer = Failing(status, failures)
    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        found: dict[str, Any] = {}
        exec(CODE.replace("127.0.0.1:8001", f"127.0.0.1:{port}"), found)
        with found["client"] as client:
            assert client.is_server_live()
    except InferenceServerException:
        assert servicer.calls <= failures
    finally:
        server.stop(None)
    return servicer.calls


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_what_an_instance_that_dies_fails_with_is_asked_again(status: grpc.StatusCode) -> None:
    assert calls_with(status, 1) == 2


def test_a_request_that_is_wrong_is_not_asked_again() -> None:
    assert calls_with(grpc.StatusCode.INVALID_ARGUMENT, 1) == 1


@pytest.mark.slow
def test_it_gives_up_after_as_many_tries_as_the_client() -> None:
    assert calls_with(grpc.StatusCode.UNAVAILABLE, 100) == 1 + len(PAUSES_S)


def test_the_page_has_the_pauses() -> None:
    *first, last = PAUSES_S
    assert f"after {', '.join(map(str, first))} and {last} seconds" in PAGE
