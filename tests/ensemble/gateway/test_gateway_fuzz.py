"""Whatever a client sends, it gets an answer that blames it, and the next client is served."""

import gzip
import json
import socket

import pytest
from gateway_server import VALID, ended, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import HANG_S

from cascade.ensemble.gateway.datatypes import DATATYPES

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-3, 3), st.floats())
TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(["", "user_id", "\0", "../x", "\ud800", "a" * 2000])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 2**27, 2**40, 2**62, 2**63 - 1, 2**63, -1]) | VALUES, max_size=4)
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data", "binary_data_size", "classification", "shared_memory_region", "priority"]) | TEXTS,
    VALUES,
    max_size=3,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXTS,
        "shape": SHAPES | VALUES,
        "datatype": st.sampled_from([*DATATYPES, "INT99"]) | VALUES,
        "data": VALUES | st.lists(NUMBERS | TEXTS, max_size=4),
        "parameters": PARAMETERS | VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "inputs": st.lists(TENSORS, max_size=3) | VALUES,
        "outputs": st.lists(TENSORS, max_size=3) | VALUES,
        "parameters": PARAMETERS | VALUES,
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Inference-Header-Content-Length", "Content-Encoding", "Content-Type", "Accept-Encoding", "Expect", "Range"]
    ),
    st.sampled_from(["gzip", "deflate", "br", "100-continue", "0", "1", "40", "-1", "9" * 30, "x", "²", "1,2"]),
    max_size=3,
)
PATHS = st.lists(
    st.sampled_from(
        ["v2", "models", "echo", "versions", "1", "infer", "ready", "stats", "config", "repository", "index"]
    )
    | st.text(st.characters(codec="ascii"), max_size=6),
    max_size=6,
).map("/".join)


@pytest.fixture(scope="module")
def gateway():
    with running() as started:
        yield started


def is_fair(answer):
    """An answer, or an error in JSON that is not ours, without a traceback."""
    status, headers, body = answer
    assert status < 500 or (status == 503 and headers["Retry-After"])
    assert b"Traceback" not in body and b'File "' not in body
    if status != 200:
        assert list(json.loads(body)) == ["error"]


@FUZZ
@given(REQUESTS)
def test_wrong_requests(gateway, request):
    is_fair(gateway.infer(request))
    assert gateway.answers()


@FUZZ
@given(REQUESTS, st.binary(max_size=60), HEADERS)
def test_wrong_headers_and_bytes(gateway, request, tail, headers):
    headers = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}
    body = json.dumps(request).encode()
    if "gzip" in headers.get("Content-Encoding", ""):
        body = gzip.compress(body)
    is_fair(gateway.infer(body + tail, headers))


@FUZZ
@given(st.binary(max_size=200))
def test_bodies_of_random_bytes(gateway, body):
    is_fair(gateway.infer(body))


@FUZZ
@given(st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]), PATHS, st.binary(max_size=20))
def test_paths_and_methods(gateway, method, path, body):
    safe = "".join(char if " " < char < "\x7f" else f"%{ord(char):02X}" for char in path)
    status, headers, answer = gateway.ask(method, "/" + safe, body)
    assert status < 500
    assert b"Traceback" not in answer


@FUZZ
@given(
    st.lists(
        st.binary(max_size=80) | st.just(b"\r\n") | st.just(b"POST /v2/models/echo/infer HTTP/1.1\r\n"), max_size=5
    )
)
def test_what_is_no_http(gateway, parts):
    with socket.create_connection((gateway.host, gateway.port), HANG_S) as client:
        client.sendall(b"".join(parts))
        client.shutdown(socket.SHUT_WR)
        answer = ended(client)
    assert b"Traceback" not in answer
    assert not answer or answer.split()[1] in (b"400", b"404", b"405", b"408", b"411", b"417")
    assert gateway.answers()


@FUZZ
@given(
    st.sampled_from(["GET", "POST", "CONNECT", "OPTIONS", "PRI", "get", "X", ""]),
    st.sampled_from(["", " ", "*", "/", "//", "///v2", "http://", "http://a", "http://[x", ":", "a:1", "@", "?"])
    | TEXTS.filter(str.isascii),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9.9", ""]),
    st.sampled_from(["", "Host: a\r\n", "Host: a\r\nContent-Length: 2\r\n"]),
)
def test_every_request_line_is_answered(gateway, method, target, version, headers):
    with socket.create_connection((gateway.host, gateway.port), HANG_S) as client:
        client.sendall(f"{method} {target} {version}\r\n{headers}\r\n{{}}".encode())
        answer = client.recv(4096)
    assert answer.startswith(b"HTTP/") and b"Traceback" not in answer
    assert int(answer.split()[1]) < 500
    assert gateway.answers()


@pytest.mark.parametrize("deep", [10, 31, 40, 900, 100_000])
def test_lists_in_lists(gateway, deep):
    data = "[" * deep + "7" + "]" * deep
    body = json.dumps(VALID).replace("[[7]]", data).encode()
    status = gateway.infer(body)[0]
    assert status == (200 if deep <= 32 else 400)
    assert gateway.infer(b"[" * deep)[0] == 400
