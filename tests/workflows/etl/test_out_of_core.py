"""With data larger than the memory limit, the ETL uses a bounded amount of memory."""

import json
import subprocess
import sys

import numpy as np
import pytest

INTERACTIONS = 600_000
LIMIT = 64 * 2**20
ALLOWED = 256 * 2**20
"""The limit, plus the largest decoded row group, vocabularies, and memory that allocators keep."""

# In another process, to measure its peak memory; the memory of the imported libraries is subtracted.
SCRIPT = """
import json, sys, threading, time
from pathlib import Path
import psutil
from cascade.core.merlin_env import prepare_merlin
prepare_merlin()
import dask.dataframe, nvtabular, pyarrow.dataset
from cascade.workflows.config import DataConfig, EtlConfig, HistoryConfig, SchemaConfig
from cascade.workflows.data.stage import DATA
from cascade.workflows.etl.stage import ETL

runs, interactions, limit = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sections = {
    "schema": SchemaConfig(sparse=["user_id", "item_id", "brand", "device"], dense=["price", "session_time"]),
    "data": DataConfig(source="synthetic", synthetic={"interactions": interactions}),
    "etl": EtlConfig(memory_limit=limit, workers=1, device="cpu"),
    "history": HistoryConfig(),
}
data = DATA.run(runs, sections, {})
process, peak, done = psutil.Process(), [0], threading.Event()
def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], process.memory_info().rss)
watcher = threading.Thread(target=watch)
base = process.memory_info().rss
watcher.start()
etl = ETL.run(runs, sections, {"data": data})
done.set()
watcher.join()
print(json.dumps({"held": peak[0] - base, "etl": str(etl.path)}))
"""


@pytest.mark.slow
def test_holds_a_bounded_amount(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(INTERACTIONS), f"{LIMIT}B"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    from cascade.workflows.etl.tensors import Tensors

    train = Tensors.load(tmp_path / report["etl"]).interactions("train")
    assert np.asarray(train.history).nbytes > LIMIT
    assert len(np.unique(train.user_row)) == 12_000
    assert report["held"] < ALLOWED
