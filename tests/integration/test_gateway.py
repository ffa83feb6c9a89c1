"""The gateway answers as Triton's own HTTP endpoint does: the same requests to both, side by side."""

import csv
import gzip
import http.client
import json
import os
import shutil
import socket
import struct
import subprocess
import zlib
from multiprocessing.shared_memory import SharedMemory

import identity_model
import numpy as np
import psutil
import pytest
import tritonclient.http as triton
from gateway_server import exchange
from waiting import HANG_S

from cascade.bench.load.perf_tool import NoPerfAnalyzerError, perf_tool
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.gateway.backend import KEY_HEADER
from cascade.ensemble.gateway.process import GatewayProcess
from cascade.ensemble.gateway.settings import HTTP_SOCKET, Settings
from cascade.ensemble.server.ports import claim_ports
from cascade.ensemble.server.stubs import running_stubs
from cascade.ensemble.server.triton_process import TritonProcess

FREE = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, standby=False)


@pytest.fixture(scope="module")
def sockets(tmp_path_factory):
    return tmp_path_factory.mktemp("sockets")


@pytest.fixture(scope="module")
def server(tmp_path_factory, sockets):
    """A server with the identity model."""
    models = tmp_path_factory.mktemp("models")
    identity_model.write(models)
    server = TritonProcess(models, FREE, arguments=["--load-model=identity"], sockets=sockets)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def urls(server, sockets):
    """The gateway's ``host:port``, and the socket of Triton's own HTTP endpoint."""
    ports = server.ports
    gateway = GatewayProcess(
        Settings(str(sockets), server.control_key), [("127.0.0.1", ports.http), ("127.0.0.1", ports.metrics)]
    )
    ours = f"127.0.0.1:{ports.http}"
    try:
        gateway.start()
        server.wait_until(lambda: gateway.answers() and status(ours) == 200, "identity")
        yield ours, str(sockets / HTTP_SOCKET)
    finally:
        gateway.stop()


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(HANG_S)
        self.sock.connect(self.host)


def ask(url, method, path, body=None, headers=None):
    """(status, headers, body)"""
    connection = UnixConnection("/") if url.startswith("/") else http.client.HTTPConnection(url, timeout=HANG_S)
    connection.host = url if url.startswith("/") else connection.host
    return exchange(connection, method, path, body, headers)


def status(url):
    return ask(url, "GET", "/v2/models/identity/ready")[0]


def infer(url, request, tail=b"", **headers):
    body = json.dumps(request).encode() if not isinstance(request, bytes) else request
    if tail:
        headers["Inference-Header-Content-Length"] = str(len(body))
    return ask(url, "POST", "/v2/models/identity/infer", body + tail, headers)


def one(datatype, shape, data, **more):
    return {"inputs": [{"name": datatype, "datatype": datatype, "shape": shape, "data": data}], **more}


EXTREMES = {
    "BOOL": [True, False],
    **{f"INT{bits}": [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": [0, 2**bits - 1] for bits in (8, 16, 32, 64)},
    "FP32": [0.1, -3.5e38 / 10, 1e-7, 16777216.0, 1.0, 3],
    "FP64": [0.1, 1e300, -5e-324, 1.0, 12345678901234567890.0, 3],
    "BYTES": ["", 'ä€\n"\\', "a" * 300],
}
ALIKE = {
    **{name: one(name, [1, len(values)], values) for name, values in EXTREMES.items()},
    "nested": one("INT32", [2, 2], [[1, 2], [3, 4]]),
    "empty": one("INT32", [0, 2], []),
    "with an id": one("INT32", [1, 1], [1], id="seven"),
    "parameters": one("INT32", [1, 1], [1], parameters={"a": 1, "b": "x", "c": True}),
    "two inputs": {"inputs": one("INT32", [1, 1], [1])["inputs"] + one("BYTES", [1, 1], ["x"])["inputs"]},
    "chosen outputs": one("INT32", [1, 1], [1], outputs=[{"name": "OUT_INT32"}]),
}


@pytest.mark.parametrize("name", ALIKE)
def test_json_is_answered_alike(urls, name):
    (status, headers, body), (their_status, their_headers, theirs) = (infer(url, ALIKE[name]) for url in urls)
    assert status == their_status == 200, (body, theirs)
    assert headers["Content-Type"] == their_headers["Content-Type"]
    assert json.loads(body) == json.loads(theirs)


@pytest.mark.parametrize("by", ["output", "request"])
@pytest.mark.parametrize("datatype", ["INT64", "FP16", "BYTES"])
def test_binary_tensors_are_answered_alike(urls, datatype, by):
    raw = {"INT64": struct.pack("<2q", -1, 2), "FP16": struct.pack("<2e", 0.5, -2), "BYTES": b"\1\0\0\0a\2\0\0\0\xff\0"}
    entry = {"name": datatype, "datatype": datatype, "shape": [2, 1]}
    request = {"inputs": [{**entry, "parameters": {"binary_data_size": len(raw[datatype])}}]}
    if by == "request":
        request["parameters"] = {"binary_data_output": True}
    else:
        request["outputs"] = [{"name": f"OUT_{datatype}", "parameters": {"binary_data": True}}]
    answers = [infer(url, request, raw[datatype]) for url in urls]
    for status, headers, body in answers:
        assert status == 200, body
        assert headers["Content-Type"] == "application/octet-stream"
        assert body[int(headers["Inference-Header-Content-Length"]) :] == raw[datatype]
    ours, theirs = (json.loads(body[: int(headers["Inference-Header-Content-Length"])]) for _, headers, body in answers)
    assert ours == theirs


@pytest.mark.parametrize(
    "path", ["/v2/models/identity", "/v2/models/identity/config", "/v2/models/identity/versions/1"]
)
def test_what_the_server_says_of_a_model_is_alike(urls, path):
    (status, _, body), (their_status, _, theirs) = (ask(url, "GET", path) for url in urls)
    assert (status, json.loads(body)) == (their_status, json.loads(theirs))


def test_statistics_and_the_index_are_alike(urls, server):
    for url in urls:
        infer(url, ALIKE["INT32"])
    (_, _, ours), (_, _, theirs) = (ask(url, "GET", "/v2/models/identity/stats") for url in urls)
    (ours,), (theirs,) = json.loads(ours)["model_stats"], json.loads(theirs)["model_stats"]
    assert set(theirs) <= set(ours)
    assert ours["inference_count"] == theirs["inference_count"]
    assert set(ours["inference_stats"]) >= set(theirs["inference_stats"])
    (_, _, ours), (_, _, theirs) = (
        ask(url, "POST", "/v2/repository/index", b"{}", {KEY_HEADER: server.control_key}) for url in urls
    )
    assert json.loads(ours) == json.loads(theirs)
    assert ask(urls[1], "POST", "/v2/repository/index", b"{}")[0] == 403


REFUSED = {
    "no JSON": b"\0\1",
    "a list": b"[]",
    "an unknown input": {"inputs": [{"name": "what", "datatype": "INT32", "shape": [1, 1], "data": [1]}]},
    "too few values": one("INT32", [2, 2], [1]),
    "text for numbers": one("INT32", [1, 1], ["x"]),
    "numbers for text": one("BYTES", [1, 1], [1]),
    "another datatype": {"inputs": [{"name": "INT32", "datatype": "INT64", "shape": [1, 1], "data": [1]}]},
    "an unknown datatype": {"inputs": [{"name": "INT32", "datatype": "INT99", "shape": [1, 1], "data": [1]}]},
    "FP16 in JSON": one("FP16", [1, 1], [1.0]),
    "an unknown output": one("INT32", [1, 1], [1], outputs=[{"name": "what"}]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_triton_refuses_is_refused(urls, name):
    (status, headers, body), (their_status, _, _) = (infer(url, REFUSED[name]) for url in urls)
    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert their_status in (400, 500)
    assert list(json.loads(body)) == ["error"]


def test_an_unknown_model_is_not_found(urls):
    for path in ("/v2/models/nobody", "/v2/models/nobody/config", "/v2/models/identity/versions/7"):
        ours, theirs = (ask(url, "GET", path)[0] for url in urls)
        assert ours == 404 and theirs in (400, 404)


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_compressed_bodies_and_answers(urls, packed):
    body = json.dumps(one("BYTES", [1, 1], ["a" * 5000])).encode()
    sent = gzip.compress(body) if packed == "gzip" else zlib.compress(body)
    headers = {"Content-Encoding": packed, "Accept-Encoding": packed}
    status, headers, answer = ask(urls[0], "POST", "/v2/models/identity/infer", sent, headers)
    assert (status, headers["Content-Encoding"]) == (200, packed)
    answer = gzip.decompress(answer) if packed == "gzip" else zlib.decompress(answer)
    assert json.loads(answer)["outputs"][0]["data"] == ["a" * 5000]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_works_unmodified(urls, compression, binary):
    arrays = {
        "FP32": np.array([[0.1, 2.5]], np.float32),
        "INT64": np.array([[2**62], [-5]]),
        "BYTES": np.array([["ä", "b" * 2000]], object),
    }
    tensors = [triton.InferInput(name, array.shape, name) for name, array in arrays.items()]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        tensor.set_data_from_numpy(array, binary_data=binary)
    wanted = [triton.InferRequestedOutput(f"OUT_{name}", binary_data=binary) for name in arrays]
    with triton.InferenceServerClient(urls[0], network_timeout=HANG_S) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("identity")
        assert client.get_model_metadata("identity")["platform"] == "python"
        answer = client.infer(
            "identity",
            tensors,
            outputs=wanted,
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
        )
    for name, array in arrays.items():
        got = answer.as_numpy(f"OUT_{name}")
        if name == "BYTES":
            got = np.vectorize(lambda text: text.decode() if isinstance(text, bytes) else text, otypes=[object])(got)
        assert np.array_equal(got, array)


def test_numbers_that_are_not_finite(urls):
    raw = struct.pack("<3f", float("nan"), float("inf"), float("-inf"))
    entry = {"name": "FP32", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": len(raw)}}
    ours, theirs = (infer(url, {"inputs": [entry]}, raw)[2] for url in urls)
    assert ours == theirs


def test_regions_of_clients_and_no_others_where_the_config_allows_it(server, sockets):
    settings = Settings(str(sockets), server.control_key, shared_memory=True)
    ports = claim_ports(FREE)
    gateway = GatewayProcess(settings, [("127.0.0.1", ports.http), ("127.0.0.1", ports.metrics)])
    gateway.start()
    url, name = f"127.0.0.1:{ports.http}", f"cascade-client-{os.getpid()}"
    region = SharedMemory(name, create=True, size=16)
    try:
        region.buf[:8] = struct.pack("<q", 41)
        with triton.InferenceServerClient(url, network_timeout=HANG_S) as client:
            with pytest.raises(
                triton.InferenceServerException, match=r"\[403\] key: expected a region whose name begins"
            ):
                client.register_system_shared_memory("stub", f"/{running_stubs(server.pid)[0].region}", 1024)
            client.register_system_shared_memory("mine", f"/{name}", 16)
            assert [entry["key"] for entry in client.get_system_shared_memory_status()] == [f"/{name}"]
            tensor, output = triton.InferInput("INT64", [1, 1], "INT64"), triton.InferRequestedOutput("OUT_INT64")
            tensor.set_shared_memory("mine", 8)
            output.set_shared_memory("mine", 8, offset=8)
            client.infer("identity", [tensor], outputs=[output])
            assert struct.unpack("<2q", region.buf[:16]) == (41, 41)
            client.unregister_system_shared_memory("mine")
            assert client.get_system_shared_memory_status() == []
    finally:
        gateway.stop()
        region.close()
        region.unlink()


@pytest.mark.parametrize("dim", [2**27, 2**40, 2**63 - 1])
def test_a_giant_shape_costs_nothing(urls, server, dim):
    for shape in ([dim, 1], [1, dim], [dim, dim]):
        status, _, body = infer(urls[0], one("INT64", shape, [[1]]))
        assert status == 400 and b"as many values in 'data' as shape" in body
        entry = {"name": "INT64", "datatype": "INT64", "shape": shape, "parameters": {"binary_data_size": 8}}
        assert infer(urls[0], {"inputs": [entry]}, b"12345678")[0] == 400
    assert infer(urls[0], ALIKE["INT64"])[0] == 200
    assert psutil.Process(server.pid).memory_info().vms < 64 * 2**30


def test_a_flood_of_tiny_chunks_ends_nothing(urls, server):
    """CVE-2025-23310 and CVE-2025-23311: 3 MB of them overflow the stack of Triton's own endpoint."""
    host, port = urls[0].split(":")
    for path in (b"models/identity/infer", b"repository/index"):
        with socket.create_connection((host, int(port)), HANG_S) as client:
            client.sendall(b"POST /v2/%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
            try:
                client.sendall(b"1\r\nA\r\n" * 500_000 + b"0\r\n\r\n")
                assert client.recv(65_536).split()[1] in (b"400", b"413")
            except (BrokenPipeError, ConnectionResetError):
                pass  # it said enough is enough
    assert infer(urls[0], ALIKE["INT64"])[0] == 200
    assert psutil.pid_exists(server.pid)


@pytest.mark.parametrize("tensors", ["binary", "json"])
def test_perf_analyzer_works_unmodified(urls, tensors, tmp_path):
    try:
        tool = perf_tool()
    except NoPerfAnalyzerError as error:
        pytest.skip(str(error))
    data, report = tmp_path / "data.json", tmp_path / "report.csv"
    data.write_text(json.dumps({"data": [{"INT64": {"content": [at, 2], "shape": [1, 2]}} for at in range(9)]}))
    command = [
        tool.binary,
        "-m",
        "identity",
        "-i",
        "http",
        "-u",
        urls[0],
        "--input-data",
        data,
        "-f",
        report,
        "-s",
        "999",
    ]
    command += ["--measurement-mode", "count_windows", "--measurement-request-count", "20", "--max-trials", "3"]
    command += [f"--input-tensor-format={tensors}", f"--output-tensor-format={tensors}"]
    done = subprocess.run(
        list(map(str, command)), env=tool.environment(), capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = csv.DictReader(report.read_text().splitlines())
    assert float(row["Inferences/Second"]) > 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_works_unmodified(urls):
    body = json.dumps(one("BYTES", [1, 1], ["a" * 2_000_000]))  # large: curl asks before it sends the body
    command = ["curl", "-s", "--compressed", "-d", "@-", f"http://{urls[0]}/v2/models/identity/infer"]
    answer = subprocess.run(command, input=body, capture_output=True, text=True, timeout=HANG_S, check=True).stdout
    assert json.loads(answer)["outputs"][0]["data"] == ["a" * 2_000_000]
