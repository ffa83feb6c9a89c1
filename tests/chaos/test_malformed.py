"""Malformed requests over HTTP and gRPC; `cascade bench --chaos --malformed N` sends more."""

import asyncio
import random

import pytest

from cascade.bench.chaos.flood import as_text, flood
from cascade.bench.chaos.malformed import grpc_request, http_request
from cascade.bench.chaos.steady_load import over_grpc, over_http
from cascade.ensemble.server.server import TritonServer

pytestmark = pytest.mark.chaos
REQUESTS = 1500


def test_the_same_seed_makes_the_same_requests():
    def made():
        rng = random.Random(7)
        return [(http_request(rng), grpc_request(rng)) for _ in range(50)]

    assert made() == made()


def test_a_server_answers_valid_requests_among_malformed_ones(tmp_path):
    from cascade.ensemble.config import ServerConfig
    from cascade.testing.miniature import miniature_repository

    miniature_repository(tmp_path / "models")
    config = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=1, standby=False)
    with TritonServer(
        tmp_path / "models", "cascade", feature_repo=tmp_path, config=config, forward=lambda line: None
    ) as server:
        before = server.pid, server.gateway_pid
        with over_grpc(server.grpc_url, "cascade")() as grpc, over_http(server.http_url, "cascade")() as http:

            def ask():
                grpc(101)
                http(102)

            result = asyncio.run(flood(server.http_url, server.grpc_url, server.pid, ask, requests=REQUESTS))
        assert (server.pid, server.gateway_pid) == before and server.ready()
        assert server.counts()["replaced_instances"] == 0
    assert result.sent == REQUESTS and result.asked > 0
    assert not result.wrong and not result.failed, as_text(result)
    assert {"400", "INVALID_ARGUMENT"} <= set(result.answers)
    assert result.answers["400"] > REQUESTS / 5
