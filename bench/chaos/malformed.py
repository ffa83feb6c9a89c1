"""Malformed requests, over HTTP as the bytes of a connection and over gRPC as the bytes of a message.

Everything is drawn from a seeded generator, so a request that breaks something can be made again.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

from ..load.send import INFER

MODEL = "cascade"
DIMS = (0, 1, 2, -1, 2**16, 2**27, 2**31, 2**40, 2**42, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63), 1.5, 1e300, "1", None)
"""Entries of a shape."""
DATATYPES = ("INT64", "INT32", "UINT64", "FP32", "FP64", "BYTES", "BOOL", "INT8", "BF16", "TEXT", "", "int64", None, 7)
NAMES = ("user_id", "top_k", "temperature", "seed", "exclude_items", "nothing", "", "user_id\0", "ü" * 300, None, 3)
VALUES: tuple[Any, ...] = (
    [[1]], [1], [], [[]], [[[[1]]]], 1, "1", None, {}, [[None]], [["a", 1]], [[2**63]], [[-(2**70)]], [[1e999]],
    [[float("nan")]], [[True]], [[{}]], [["\ud800"]], [[1], [2, 3]], [["x" * 5000]], [[0.5]],
)  # fmt: skip
PATHS = (
    "/v2", "/v2/", "/v2/models", "/v2/models/cascade", "/v2/models/none/infer", "/v2/models/cascade/versions/x/infer",
    "/v2/models/cascade/versions/99999999999999999999/infer", "/v2/models/%00/infer", "/v2/models/../../etc/passwd",
    "/v2/repository/models/cascade/load", "/v2/repository/models/cascade/unload", "/v2/repository/index",
    "/v2/systemsharedmemory/status", "/v2/systemsharedmemory/region/a/register", "/v2/cudasharedmemory/status",
    "/v2/trace/setting", "/v2/logging", "/v2/health/ready", "/metrics", "//", "/" + "a" * 9000, "/%zz", "*", "",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "X" * 200, "")
GRPC_METHODS = (
    "ServerLive", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad",
    "RepositoryModelUnload", "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
    "CudaSharedMemoryRegister", "TraceSetting", "LogSettings", "Nothing",
)  # fmt: skip
LARGEST = 64 * 2**20
"""Bytes of the largest body."""
LARGE_SHARE = 0.002
"""Of requests: those with a body of megabytes."""


def http_request(rng: random.Random) -> bytes:
    """What is sent over one connection; some of it is cut off or holds several requests."""
    return rng.choice(_HTTP)(rng)


def grpc_request(rng: random.Random) -> tuple[str, bytes]:
    """A method, as gRPC names it, and the bytes of its message."""
    kind = rng.randrange(4)
    if kind == 0:
        return f"{INFER.rsplit('/', 1)[0]}/{rng.choice(GRPC_METHODS)}", _some_bytes(rng, 200)
    message = _infer_message(rng)
    if kind == 1 and message:  # some bytes of it changed
        changed = bytearray(message)
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        message = bytes(changed)
    return INFER, message


def _infer_message(rng: random.Random) -> bytes:
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest(model_name=rng.choice([MODEL, MODEL, MODEL, "", "none"]))
    request.model_version = rng.choice(["", "1", "x", "9" * 30])
    request.id = rng.choice(["", "a" * rng.randint(1, 5000), "\n"])
    for _ in range(rng.randint(0, 4)):
        entry = request.inputs.add(
            name=rng.choice([name for name in NAMES if isinstance(name, str)]),
            datatype=rng.choice([kind for kind in DATATYPES if isinstance(kind, str)]),
        )
        dims = [dim for dim in DIMS if isinstance(dim, int) and -(2**63) <= dim < 2**63]
        entry.shape.extend(rng.choices(dims, k=rng.randint(0, 4)))
        where = rng.randrange(4)
        if where == 0:
            entry.contents.int64_contents.extend(rng.choices([0, 1, -1, 2**62], k=rng.randint(0, 9)))
        elif where == 1:
            entry.contents.bytes_contents.extend([_some_bytes(rng, 30)])
        elif where == 2:
            request.raw_input_contents.append(_body(rng, 64))
        if rng.random() < 0.1:
            entry.parameters["shared_memory_region"].string_param = rng.choice(["a", "cascade_1_"])
            entry.parameters["shared_memory_byte_size"].int64_param = rng.choice([0, 8, -1, 2**62])
    if rng.random() < 0.2:
        request.outputs.add(name=rng.choice(["item_ids", "nothing", ""]))
    return bytes(request.SerializeToString())


def _infer_json(rng: random.Random) -> Any:
    entries: list[Any] = []
    for _ in range(rng.choice([0, 1, 1, 1, 2, 5])):
        entry = {
            "name": rng.choice(NAMES),
            "shape": rng.choice([rng.choices(DIMS, k=rng.randint(0, 4)), [1, 1], None, "x", 1]),
            "datatype": rng.choice(DATATYPES),
            "data": rng.choice(VALUES),
            "parameters": rng.choice(
                [{}, None, 3, {"binary_data_size": rng.choice(DIMS)}, {"shared_memory_region": "a"}]
            ),
        }
        for name in rng.sample(list(entry), rng.choice([0, 0, 1, 2])):
            del entry[name]
        entries.append(rng.choice([entry, entry, entry, None, 1, []]))
    return {
        "inputs": rng.choice([entries, entries, entries, None, {}, "x"]),
        **rng.choice([{}, {}, {"id": 3}, {"outputs": [{"name": "nothing"}]}, {"outputs": 5}, {"parameters": []},
                      {"outputs": [{"name": "item_ids", "parameters": {"binary_data": "yes", "classification": 3}}]}]),
    }  # fmt: skip


def _infer(rng: random.Random, body: bytes, **headers: object) -> bytes:
    version = rng.choice(["", "", "", "/versions/1"])
    lines = [f"POST /v2/models/{MODEL}{version}/infer HTTP/1.1", "Host: localhost"]
    named = {"Content-Length": len(body), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines += [f"{name}: {value}" for name, value in named.items() if value is not None]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body


def _wrong_json(rng: random.Random) -> bytes:
    return _infer(rng, json.dumps(_infer_json(rng)).encode())


def _cut_json(rng: random.Random) -> bytes:
    body = json.dumps(_infer_json(rng)).encode()
    return _infer(rng, body[: rng.randrange(len(body))])


def _no_json(rng: random.Random) -> bytes:
    deep = rng.choice([b"[" * 10**5, b'{"a":' * 10**5, b'{"inputs":' + b"[" * 2000 + b"]" * 2000 + b"}"])
    return _infer(rng, rng.choice([deep, _body(rng, 2000), b"", b"null", b"1", b'"x"', b"\xff\xfe{}"]))


def _binary(rng: random.Random) -> bytes:
    body = json.dumps(_infer_json(rng)).encode()
    length = rng.choice([len(body), len(body) + 9, 0, -1, 2**31, 2**63, 2**70, "x", "", "1e3"])
    return _infer(rng, body + _some_bytes(rng, 64), Inference_Header_Content_Length=length)


def _compressed(rng: random.Random) -> bytes:
    plain = json.dumps(_infer_json(rng)).encode()
    bomb = (
        gzip.compress(bytes(LARGEST), 1, mtime=0)
        if rng.random() < LARGE_SHARE
        else gzip.compress(bytes(2**18), mtime=0)
    )
    body = rng.choice([gzip.compress(plain, mtime=0), gzip.compress(plain, mtime=0)[:-5], plain, bomb, b""])
    return _infer(rng, body, Content_Encoding=rng.choice(["gzip", "deflate", "br", "gzip, gzip", "x", ""]))


def _wrong_length(rng: random.Random) -> bytes:
    body = json.dumps(_infer_json(rng)).encode()
    length = rng.choice([len(body) + 5, len(body) - 5, -1, 2**40, 2**63, "x", "", "1, 2", None])
    return _infer(rng, body, Content_Length=length)


def _chunked(rng: random.Random) -> bytes:
    sizes = 3 * 2**18 if rng.random() < LARGE_SHARE else rng.randint(1, 300)
    chunks = rng.choice(
        [
            b"1\r\n{\r\n" * sizes + b"0\r\n\r\n",
            b"1\r\n[\r\n" * sizes,
            b"x\r\n",
            b"-1\r\n",
            b"F" * 40 + b"\r\n",
            b"1;" + b"a" * 9000 + b"\r\n{\r\n0\r\n\r\n",
            b"0\r\nX: 1\r\n\r\n",
        ]
    )
    return _infer(rng, chunks, Content_Length=None, Transfer_Encoding=rng.choice(["chunked", "chunked, chunked", "x"]))


def _other_call(rng: random.Random) -> bytes:
    body = rng.choice([b"", b"{}", _body(rng, 500), b'{"parameters":{"config":"{}","file:1/model.py":"eA=="}}'])
    head = f"{rng.choice(METHODS)} {rng.choice(PATHS)} {rng.choice(['HTTP/1.1', 'HTTP/1.0', 'HTTP/9', ''])}\r\n"
    return head.encode() + f"Host: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _headers(rng: random.Random) -> bytes:
    many = {f"X-{number}": "a" * rng.choice([1, 100, 9000]) for number in range(rng.choice([1, 50, 500]))}
    return _infer(rng, b"{}", **many)


def _noise(rng: random.Random) -> bytes:
    return _body(rng, 3000)


def _pipelined(rng: random.Random) -> bytes:
    return b"".join(rng.choice(_HTTP[:-1])(rng) for _ in range(rng.randint(2, 6)))


_HTTP: list[Callable[[random.Random], bytes]] = [
    _wrong_json, _wrong_json, _cut_json, _no_json, _binary, _compressed, _wrong_length, _chunked, _other_call, _headers,
    _noise, _pipelined,
]  # fmt: skip


def _some_bytes(rng: random.Random, most: int) -> bytes:
    return rng.randbytes(rng.randint(0, most))


def _body(rng: random.Random, most: int) -> bytes:
    """Random bytes; rarely megabytes of zeros."""
    return bytes(rng.randint(2**20, LARGEST)) if rng.random() < LARGE_SHARE else _some_bytes(rng, most)
