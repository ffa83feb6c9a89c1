"""What is kept of tritonserver's log."""

import io
import os
import threading
import tracemalloc

import pytest
from waiting import wait_until

from cascade.ensemble.server.log import BURST, LONGEST_LINE, WAITING, ServerLog

LOG = """\
E1122 11:40:24.499409 7762 server.cc:241] "CudaDriverHelper has not been initialized."
W1122 11:40:24.499127 7762 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pool"
I1122 11:40:24.966844 7762 server.cc:604] 
+------------------+------+
| Repository Agent | Path |
+------------------+------+

I1122 11:40:24.502493 7762 model_lifecycle.cc:472] "loading: tiny:1"
E1122 11:40:24.966586 7762 model_lifecycle.cc:642] "failed to load 'tiny' version 1: Internal: no graph.json"
E1122 11:40:24.966586 7762 model_repository_manager.cc:703] "Invalid argument: load failed for model 'tiny'"
last words
"""  # noqa: W291


def read(text):
    lines = []
    log = ServerLog(io.StringIO(text), lines.append)
    log.join()
    return log, lines


def test_forwards_all_but_noise():
    _, lines = read(LOG)
    assert [line.split("] ")[-1][:12] for line in lines] == [
        '"loading: ti',
        '"failed to l',
        '"Invalid arg',
        "last words",
    ]


def test_the_cause_is_the_first_error():
    assert read(LOG)[0].cause() == "\"failed to load 'tiny' version 1: Internal: no graph.json\""


def test_without_an_error_the_last_line_is_the_cause():
    assert read("one\ntwo\n")[0].cause() == "two"
    assert read("")[0].cause() == "it wrote nothing"


def test_an_error_of_the_callers_function_does_not_stop_the_reading(caplog):
    seen = []

    def forward(line):
        seen.append(line)
        raise RuntimeError("full")

    log = ServerLog(io.StringIO(LOG), forward)
    log.join()
    assert len(seen) == 1 and "failed to load" in log.cause()
    assert [record.exc_info[1].args for record in caplog.records] == [("full",)]


class Flood(io.StringIO):
    """Any number of different lines, made as they are read."""

    def __init__(self, lines, length=100):
        super().__init__()
        self.left, self.length = lines, length

    def readline(self, size=-1):
        if not self.left:
            return ""
        self.left -= 1
        return f"{self.left} ".ljust(self.length, "x")[: size - 1] + "\n"


@pytest.mark.slow
def test_a_flood_grows_neither_output_nor_memory():
    written = []
    tracemalloc.start()
    log = ServerLog(Flood(200_000), written.append)
    wait_until(lambda: not log._reader.is_alive())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    log.join()
    assert BURST <= len(written) < 50_000  # the burst, 200 a second, and how many were left out
    assert "lines of the server's log were left out" in written[-1]
    assert peak < 20e6  # all lines have 30 MB
    assert log.cause().startswith("0 x")


def test_a_line_without_end_is_cut():
    written = []
    log = ServerLog(io.StringIO("y" * (3 * LONGEST_LINE)), written.append)
    log.join()
    assert written == ["y" * LONGEST_LINE, "(the line above came 2 more times)"]


def test_a_reader_that_waits_does_not_stop_the_server():
    """As when nobody reads the terminal that the log goes to."""
    go, written = threading.Event(), []

    def forward(line):
        go.wait()
        written.append(line)

    read, write = os.pipe()
    log = ServerLog(os.fdopen(read), forward)
    with os.fdopen(write, "w") as server:
        for at in range(3 * WAITING):  # a pipe holds 64 KiB
            server.write(f"{at} ".ljust(200, "x") + "\n")
    wait_until(lambda: log.cause().startswith(f"{3 * WAITING - 1} "))
    go.set()
    log.join()
    assert len(written) <= WAITING + 2


def test_a_failed_load_is_one_line_without_the_calls_that_led_to_it():
    """As Triton writes it, three times: newlines are escaped."""
    text = r"FeatureStoreError: /a/b.db: no online store; run `x`\n\nAt:\n  /c/d.py(100): open\n  /c/e f.py(72): load\n"
    log, lines = read(
        f'I1129 20:49:24.761887 6441 pb_stub.cc:366] "Failed to initialize Python stub: {text}"\n'
        f'E1129 20:49:25.502987 6441 backend_model.cc:692] "ERROR: Failed to create instance: {text}"\n'
        f"E1129 20:49:25.7 6441 model_lifecycle.cc:642] \"failed to load 'tiny' version 1: Internal: {text}\"\n"
    )
    said = "\"failed to load 'tiny' version 1: Internal: FeatureStoreError: /a/b.db: no online store; run `x`\""
    assert [line.partition("] ")[2] for line in lines] == [said] and log.cause() == said
