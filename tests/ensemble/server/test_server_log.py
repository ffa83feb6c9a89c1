"""What is kept of tritonserver's log."""

import io

from cascade.ensemble.server.log import ServerLog

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
