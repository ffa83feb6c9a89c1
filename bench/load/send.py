"""The process of our own load generator: ``python -m cascade.bench.load.send JOB`` prints its result as JSON.

Requests are serialized before the clock starts and answers are not parsed, so that sending costs little CPU time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ServerError
from .generator import Load, LoadResult

INFER = "/inference.GRPCInferenceService/ModelInfer"
CALL_S = 30.0
"""Timeout of a request, in seconds."""


@dataclass
class Record:
    """The answers received so far."""

    latencies_s: list[float] = field(default_factory=list)
    """Of requests that were answered."""
    in_time: int = 0
    """Answers received before the end of the load."""
    errors: list[str] = field(default_factory=list)

    def result(self, load: Load, cpu_s: float) -> LoadResult:
        """Latencies of all answers, and the throughput of those that came in time."""
        p50, p95, p99 = (
            (np.percentile(self.latencies_s, (50, 95, 99)) * 1000).tolist() if self.latencies_s else (None,) * 3
        )
        first = next(iter(self.errors), "")
        return LoadResult(self.in_time / load.seconds, p50, p95, p99, cpu_s, len(self.errors), first)


class Sender:
    """Sends serialized requests over one channel."""

    def __init__(self, call: Any, messages: Sequence[bytes], seconds: float) -> None:
        self.call = call
        self.messages: Iterator[bytes] = cycle(messages)
        self.end = time.perf_counter() + seconds
        self.record = Record()

    async def send(self, since: float) -> None:
        """Send one request. Its latency counts from ``since``, the time at which it was due."""
        import grpc

        try:
            await self.call(next(self.messages), timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            self.record.errors.append(error.details() or str(error.code()))
            return
        now = time.perf_counter()
        self.record.latencies_s.append(now - since)
        self.record.in_time += now <= self.end

    async def closed_loop(self, in_flight: int) -> None:
        """Keep ``in_flight`` requests in flight."""

        async def one_after_the_other() -> None:
            while (now := time.perf_counter()) < self.end:
                await self.send(now)

        await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))

    async def open_loop(self, rate: float, rng: np.random.Generator) -> None:
        """Send ``rate`` requests per second on average, with exponential gaps, without waiting for answers.

        The latency of a request that is sent late, because this process was busy, counts from when it was due.
        """
        due, running = time.perf_counter(), set()
        while (due := due + rng.exponential(1 / rate)) < self.end:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.send(due))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)


def serialize(entries: Sequence[dict[str, Any]], model: str, types: dict[str, str], batch: int) -> list[bytes]:
    """Serialized ModelInferRequest messages of ``batch`` entries each. Remaining entries are left out.

    Args:
        entries: input -> values of one user, or ``{"content": values, "shape": dims}`` for a model without batches.
        types: input -> data type by its name in the protocol.

    Raises:
        ServerError: if there are fewer entries than one request needs.
    """
    import tritonclient.utils as triton
    from tritonclient.grpc import service_pb2 as pb

    messages = []
    for at in range(0, len(entries) - batch + 1, batch):
        rows = entries[at : at + batch]
        request = pb.ModelInferRequest(model_name=model)
        for name in rows[0]:
            column = _column([row[name] for row in rows], triton.triton_to_np_dtype(types[name]))
            request.inputs.add(name=name, datatype=types[name], shape=column.shape)
            text = column.dtype == object
            request.raw_input_contents.append(triton.serialize_byte_tensor(column).item() if text else column.tobytes())
        messages.append(request.SerializeToString())
    if not messages:
        raise ServerError(f"requests: expected at least {batch}, the users of one request, got {len(entries)}")
    return messages


def _column(values: Sequence[Any], dtype: Any) -> NDArray[Any]:
    if isinstance(values[0], dict):
        [value] = values
        return np.array(value["content"], dtype).reshape(value["shape"])
    return np.array(values, dtype)


async def drive(url: str, model: str, requests: Path, load: Load) -> LoadResult:
    """Send ``requests`` with the given load.

    Raises:
        ServerError: if the server does not know the model.
    """
    import grpc

    entries = json.loads(requests.read_text())["data"]
    messages = serialize(entries, model, input_types(url, model), load.batch)
    async with grpc.aio.insecure_channel(url) as channel:
        call = channel.unary_unary(INFER)  # bytes in, bytes out
        sender, cpu = Sender(call, messages, load.seconds), time.process_time()
        if load.mode == "concurrency":
            await sender.closed_loop(round(load.level))
        else:
            await sender.open_loop(load.level, np.random.default_rng(0))
        return sender.record.result(load, time.process_time() - cpu)


def input_types(url: str, model: str) -> dict[str, str]:
    """Ask the server for the data type of each input."""
    import tritonclient.grpc as triton

    try:
        with triton.InferenceServerClient(url) as client:
            return {entry.name: entry.datatype for entry in client.get_model_metadata(model).inputs}
    except triton.InferenceServerException as error:
        raise ServerError(f"{url}: {error.message()}") from error


def main(job: str) -> None:
    given = json.loads(job)
    load = Load(**given["load"])
    print(json.dumps(asdict(asyncio.run(drive(given["url"], given["model"], Path(given["requests"]), load)))))


if __name__ == "__main__":
    main(sys.argv[1])
