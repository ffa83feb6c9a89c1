"""Clients that are slow, idle or many, and bodies that are too large: the next valid request is answered."""

import gzip
import json
import socket
import time
import zlib

import pytest
from gateway_server import MEGABYTE, VALID, ended, running
from waiting import HANG_S, wait_until

from cascade.ensemble.gateway.refusals import Refusal

HEAD = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\n"
BODY = json.dumps(VALID).encode()
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def connect(gateway):
    client = socket.create_connection((gateway.host, gateway.port), HANG_S)
    client.settimeout(HANG_S)
    return client


@pytest.mark.parametrize(
    "beginning",
    [b"POST", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
    ids=["request line", "headers", "body", "chunk"],
)
def test_a_client_that_stops_in_the_middle_is_dropped(beginning):
    with running(request_timeout_s=0.3) as gateway, connect(gateway) as client:
        client.sendall(beginning)
        ended(client)
        assert gateway.counters.refused["slow"] == 1
        assert gateway.answers()


def test_a_client_that_sends_a_byte_now_and_then_is_dropped_too():
    with running(request_timeout_s=0.5) as gateway, connect(gateway) as client:
        client.settimeout(0.02)
        began = time.monotonic()
        with pytest.raises(OSError, match="reset|Broken pipe"):
            while time.monotonic() - began < HANG_S:
                client.sendall(b"A")
                time.sleep(0.05)


@pytest.mark.slow
def test_a_client_that_does_not_read_its_answer_is_dropped():
    with running(request_timeout_s=2) as gateway, connect(gateway) as client:
        gateway.backend.padding = 20 * MEGABYTE
        client.sendall(WHOLE)
        wait_until(lambda: gateway.counters.refused["slow"] == 1)
        wait_until(lambda: not len(gateway.connections))


def test_an_idle_connection_is_closed_and_one_in_use_is_not():
    with running(idle_timeout_s=2) as gateway, connect(gateway) as idle, connect(gateway) as used:

        def ask():
            used.sendall(WHOLE)
            return used.recv(65_536).startswith(b"HTTP/1.1 200")

        wait_until(lambda: ask() and len(gateway.connections) == 1)
        assert ended(idle) == b""
        assert ask()
        assert gateway.counters.refused["slow"] == 0


def test_idle_connections_make_room_for_new_ones():
    with running(max_connections=20) as gateway:
        flood = [connect(gateway) for _ in range(100)]
        assert gateway.answers()
        for client in flood[::2]:
            client.sendall(b"GET")  # half a request
        assert all(gateway.answers() for _ in range(5))
        assert len(gateway.connections) <= 20
        assert gateway.counters.refused["connections"] >= 80
        for client in flood:
            client.close()


def test_without_an_idle_connection_a_new_one_is_told_to_come_again():
    with running(max_connections=1) as gateway, connect(gateway) as working:
        release = gateway.hold()
        working.sendall(WHOLE)
        wait_until(gateway.holding)
        with connect(gateway) as late:
            answer = ended(late)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in answer
        release()
        assert working.recv(65_536).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order():
    with running() as gateway, connect(gateway) as client:
        client.sendall(WHOLE * 500)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 500:
            assert (more := client.recv(65_536))
            answers += more


def test_a_flood_of_tiny_chunks_is_a_body_like_any_other():
    chunks = b"".join(b"1\r\n \r\n" for _ in range(500_000))  # 3 MB
    with running() as gateway, connect(gateway) as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        client.sendall(b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        assert gateway.answers()


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_refused(declared):
    with running(max_body_bytes=MEGABYTE) as gateway:
        body = b" " * (2 * MEGABYTE)
        if declared:
            status, _, answer = gateway.infer(body)
            assert status == 413 and b"server.gateway.max_body_mb" in answer
        else:
            status = gateway.ask("POST", "/v2/models/echo/infer", iter([body]))[0]  # chunked, as its length is unknown
            assert status == 413
        assert gateway.answers()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused(encoding):
    bomb = b" " * (200 * MEGABYTE)
    bomb = gzip.compress(bomb) if encoding == "gzip" else zlib.compress(bomb)
    with running(max_body_bytes=MEGABYTE) as gateway:
        assert gateway.infer(bomb, {"Content-Encoding": encoding})[0] == 413
        assert gateway.answers()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (gzip.compress(BODY, mtime=0)[:-5], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(BODY, mtime=0) + b"x", {"Content-Encoding": "gzip"}, 400),
        (BODY, {"Content-Encoding": "gzip"}, 400),
        (BODY, {"Content-Encoding": "br"}, 415),
        (BODY, {"Inference-Header-Content-Length": "x"}, 400),
        (BODY, {"Expect": "100-continue"}, 200),
        (gzip.compress(BODY, mtime=0), {"Content-Encoding": "gzip"}, 200),
    ],
)
def test_bodies_and_their_headers(body, headers, status):
    with running() as gateway:
        assert gateway.infer(body, headers)[0] == status


def test_a_request_without_a_body_is_told_to_bring_one():
    with running() as gateway, connect(gateway) as client:
        client.sendall(HEAD + b"\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 411 ")


def test_large_bodies_at_a_time_are_limited_as_a_whole():
    with running(max_body_bytes=MEGABYTE) as gateway:
        slow = [connect(gateway) for _ in range(10)]
        for client in slow:
            client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % MEGABYTE + b" " * (MEGABYTE - 1))
        wait_until(lambda: gateway.counters.refused["overload"] > 0)
        for client in slow:
            client.close()
        wait_until(gateway.answers)


@pytest.mark.parametrize("status", [400, 404, 413, 503])
def test_an_error_of_triton_keeps_its_words_and_overload_says_when_to_come_again(status):
    with running() as gateway:
        gateway.backend.error = Refusal(status, "because")
        got, headers, body = gateway.infer(VALID)
        assert (got, json.loads(body)) == (status, {"error": "because"})
        assert ("Retry-After" in headers) == (status == 503)


def test_a_client_that_goes_away_is_no_news(caplog):
    with running() as gateway:
        with connect(gateway) as client:
            client.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
            wait_until(lambda: len(gateway.connections) == 1)
        wait_until(lambda: len(gateway.connections) == 0)
        assert gateway.answers()
    assert not caplog.text


def test_a_fault_of_our_own_is_told_without_its_traceback(caplog):
    with running() as gateway:
        gateway.backend.error = ZeroDivisionError("secret")
        status, _, body = gateway.infer(VALID)
        assert status == 500 and list(json.loads(body)) == ["error"] and b"secret" not in body
        assert "secret" in caplog.text
        gateway.backend.error = None
        assert gateway.answers()


def test_ready_is_what_the_parent_says():
    with running() as gateway:
        assert gateway.ask("GET", "/v2/health/ready")[0] == 200
        gateway.ready = False
        assert gateway.ask("GET", "/v2/health/ready")[0] == 503
        assert gateway.ask("GET", "/v2/models/echo/ready")[0] == 503
        assert gateway.ask("GET", "/v2/health/live")[0] == 200


def test_the_length_of_the_header_is_said_once():
    with running() as gateway, connect(gateway) as client:
        twice = b"Inference-Header-Content-Length: %d\r\n" % len(BODY) * 2
        client.sendall(HEAD + twice + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY)
        assert b"expected one header of this name, got 2" in ended(client)


@pytest.mark.parametrize("slow_s", [0.0, 0.3])
def test_a_client_that_sends_nothing_more_gets_its_answers(slow_s):
    with running() as gateway:
        gateway.backend.delay_s = slow_s
        body = json.dumps(VALID).encode()
        head = f"POST /v2/models/echo/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for requests, answers in ((head + body, 1), (2 * (head + body), 2), (head + body + head + body[:-1], 1)):
            with socket.create_connection((gateway.host, gateway.port), HANG_S) as client:
                client.sendall(requests)
                client.shutdown(socket.SHUT_WR)
                client.settimeout(HANG_S)
                answer = b""
                while answer.count(b"HTTP/1.1 200") < answers:
                    assert (part := client.recv(65536)), answer
                    answer += part


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("br, GZIP;q=0.5", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0, identity", None),
        ("gzip; q=0.000", None),
        ("xgzip", None),
        (";;;q=", None),
    ],
)
def test_an_answer_is_packed_only_as_the_client_accepts(accepted, encoding):
    with running() as gateway:
        gateway.backend.padding = 5000
        assert gateway.infer(VALID, {"Accept-Encoding": accepted})[1]["Content-Encoding"] == encoding
