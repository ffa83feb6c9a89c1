"""Whoever reaches a port can ask the model, and nothing else: every call of a real server, tried without its key."""

import http.client
import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2
from waiting import HANG_S

from cascade.ensemble.server.control_key import GRPC_HEADER, RESTRICTED
from cascade.ensemble.server.model_control import ModelControl
from cascade.ensemble.server.runtime import triton_version
from cascade.ensemble.server.stubs import running_stubs

METHODS = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
OPEN = {
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "ModelInfer",
    "ModelStreamInfer",
}
"""Calls that ask. Any other controls the server, also one that a later Triton may bring."""
WITHOUT_KEY = [
    (),
    ((GRPC_HEADER, ""),),
    ((GRPC_HEADER, "*" * 64),),
    ((GRPC_HEADER, "a"), (GRPC_HEADER, "b")),
    (("cascade-key", "a"),),
    ((GRPC_HEADER + "-bin", b"a"),),
]
REQUESTS = {
    "RepositoryModelLoad": {"model_name": "cascade"},
    "RepositoryModelUnload": {"model_name": "cascade"},
    "SystemSharedMemoryRegister": {"name": "a", "key": "/a", "byte_size": 1},
}
HTTP_CONTROL = [
    "repository/models/cascade/load",
    "repository/models/cascade/unload",
    "systemsharedmemory/status",
    "systemsharedmemory/region/a/register",
    "systemsharedmemory/unregister",
    "cudasharedmemory/status",
    "cudasharedmemory/region/a/register",
    "cudasharedmemory/region/a/unregister",
    "trace/setting",
    "models/cascade/trace/setting",
    "logging",
]


def call(url, method, metadata=(), **fields):
    """The status and the text of a gRPC call that is refused; None if it is answered."""
    message = getattr(service_pb2, METHODS[method].input_type.name)(**fields)
    with grpc.insecure_channel(url) as channel:
        ask = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", type(message).SerializeToString)
        try:
            ask(message, metadata=metadata, timeout=HANG_S)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return None


def post(url, path, body=None, method="POST"):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HANG_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("method", sorted(set(METHODS) - OPEN))
def test_a_control_call_over_grpc_is_refused(server, client, method):
    for metadata in WITHOUT_KEY:
        status, text = call(server.grpc_url, method, metadata, **REQUESTS.get(method, {}))
        assert status != "OK" and "restricted" in text, metadata
    assert client.recommend([101])[0].items


def test_the_same_calls_work_with_the_key(server):
    with ModelControl(server.grpc_url, control_key=server.control_key) as control:
        assert control.probe()
    assert call(server.grpc_url, "RepositoryIndex", ((GRPC_HEADER, server.control_key),)) is None


@pytest.mark.parametrize("path", HTTP_CONTROL)
def test_a_control_call_over_http_is_refused(server, client, path):
    for method in ("GET", "POST", "PUT", "DELETE"):
        for spelled in (path, path + "/", "/" + path, path.upper(), path.replace("/", "%2F"), f"../v2/{path}"):
            for body in (None, b"{}", b'{"parameters": {"config": "{}"}}'):
                status, answer = post(server.http_url, f"/v2/{spelled}", body, method)
                assert status in (403, 404, 405) and list(json.loads(answer)) == ["error"], spelled
    assert client.recommend([101])[0].items


def test_the_chain_from_a_region_s_name_to_writing_into_it_is_broken_at_each_link(server, client):
    (stub,) = running_stubs(server.pid)
    # The name is not told: an error that holds it comes without it, see test_refusals. Say that it is known anyway.
    register = {"name": "a", "key": f"/{stub.region}", "byte_size": 1024}
    assert call(server.grpc_url, "SystemSharedMemoryRegister", **register)[0] == "UNAVAILABLE"
    assert post(server.http_url, "/v2/systemsharedmemory/region/a/register", json.dumps(register).encode())[0] == 403
    for region in ("a", stub.region):
        parameters = {"shared_memory_region": region, "shared_memory_byte_size": 8}
        entry = {"name": "user_id", "datatype": "INT64", "shape": [1, 1]}
        body = {"inputs": [{**entry, "data": [101]}], "outputs": [{"name": "item_ids", "parameters": parameters}]}
        assert post(server.http_url, "/v2/models/cascade/infer", json.dumps(body).encode())[0] == 403
        body = {"inputs": [{**entry, "parameters": parameters}]}
        assert post(server.http_url, "/v2/models/cascade/infer", json.dumps(body).encode())[0] == 403
        message = service_pb2.ModelInferRequest(model_name="cascade")
        tensor = message.inputs.add(name="user_id", datatype="INT64", shape=[1, 1])
        tensor.parameters["shared_memory_region"].string_param = region
        tensor.parameters["shared_memory_byte_size"].int64_param = 8
        with grpc.insecure_channel(server.grpc_url) as channel:
            ask = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer", service_pb2.ModelInferRequest.SerializeToString
            )
            with pytest.raises(grpc.RpcError, match="Unable to find shared memory region"):
                ask(message, timeout=HANG_S)
    assert client.recommend([101])[0].items


def test_no_process_shows_the_key_in_its_arguments(server):
    shown = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert any("--grpc-restricted-protocol=" + ",".join(RESTRICTED) in argument for line in shown for argument in line)
    assert not any(server.control_key in argument for line in shown for argument in line)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to become another user")
def test_another_user_of_the_machine_finds_neither_the_key_nor_the_tensors(server):
    (stub,) = running_stubs(server.pid)
    arguments = psutil.Process(server.pid).cmdline()
    socket = next(Path(text.partition("unix:")[2]) for text in arguments if "unix:" in text)
    script = f"""
        cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ
        cat /dev/shm/{stub.region} >/dev/null && echo READABLE
        ls {socket.parent} && echo READABLE
        cat /proc/{server.pid}/mem >/dev/null && echo READABLE
        cat /proc/{server.pid}/environ >/dev/null && echo READABLE
    """
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", script]
    found = subprocess.run(nobody, capture_output=True, timeout=HANG_S).stdout
    assert b"--grpc-restricted-protocol" in found
    assert server.control_key.encode() not in found
    assert not found.endswith(b"READABLE\n")


def test_metrics_come_from_triton_the_gateway_and_are_read_only(server, client):
    client.recommend([101])
    url = server.metrics_url.removesuffix("/metrics")
    status, text = post(url, "/metrics", method="GET")
    assert status == 200
    for line in (
        'nv_inference_request_success{model="cascade"',
        "recsys_latency_seconds",
        "recsys_gateway_connections ",
        f'recsys_triton_info{{version="{triton_version().split()[0]}"}} 1',
    ):
        assert line in text.decode()
    assert post(url, "/metrics")[0] == 405
    assert post(url, "/v2/health/live", method="GET")[0] == 404
