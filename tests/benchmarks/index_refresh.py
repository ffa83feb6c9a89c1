"""Measure `cascade index refresh` on a large catalogue, while a server answers.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/index_refresh.py FOLDER``. FOLDER keeps the shop
between two runs; to make one with a million items takes five to ten minutes. 1,000 items are new, 1,000 gone.
"""

import argparse
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cascade.bench.catalogue.build import SHOP, WidenedShop, build
from cascade.bench.chaos.steady_load import Endpoint, SteadyLoad, over_grpc
from cascade.bench.memory import memory_of
from cascade.bench.swaps.serve_process import MAIN, cascade_serve
from cascade.core.text_table import table
from cascade.rollout.releases.keep import keep

ROOT = Path(__file__).parents[2]
CHANGED = 1000


def changed_items(shop: WidenedShop, file: Path) -> Path:
    """The items of the shop without some that are drawn, and with as many new ones."""
    items = pq.read_table(shop.artifacts["data"].path / "items.parquet")
    drawn = np.random.default_rng(0)
    kept = np.setdiff1d(np.arange(len(items)), drawn.choice(len(items), CHANGED, replace=False))
    new = items.take(pa.array(drawn.choice(len(items), CHANGED)))
    ids = pa.array(np.arange(CHANGED) + np.asarray(items["item_id"]).max() + 1)
    new = new.set_column(new.column_names.index("item_id"), "item_id", ids)
    pq.write_table(pa.concat_tables([items.take(pa.array(kept)), new]), file)
    return file


def peak_mb(process: subprocess.Popen[bytes], result: list[float]) -> None:
    """Look at the memory of a process and its children until it ends."""
    while process.poll() is None:
        result[0] = max(result[0], sum(usage.own for usage in memory_of(process.pid).values()))
        time.sleep(0.1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--rate", type=float, default=50, help="requests per second")
    given = options.parse_args()
    shop = build(given.items, given.folder, ROOT / "feature_repo")
    keep(shop.artifacts["export"], shop.config.export, shop.config.rollout)
    file = changed_items(shop, given.folder / "items.parquet")
    store, export = shop.config.feature_store, shop.config.export
    runs = given.folder / f"runs-{given.items}"
    sets = (f"feature_store.repo={store.repo}", f"export.repository={export.repository}")
    arguments = [f"--config={SHOP}", *(f"--set={each}" for each in sets)]
    os.environ["CASCADE_RUNS"] = str(runs)
    users = list(range(10_000))
    with cascade_serve(arguments, given.folder / "serve.log") as url:
        connect = over_grpc(url, export.model_name)
        with SteadyLoad(Endpoint(connect, lambda: True, lambda user: True), users, given.rate) as load:
            time.sleep(5)
            start, peak = time.monotonic(), [0.0]
            command = [sys.executable, "-c", MAIN, "index", "refresh", f"--items={file}", *arguments]
            with subprocess.Popen(command) as process:
                threading.Thread(target=peak_mb, args=(process, peak)).start()
                code = process.wait()
            took = time.monotonic() - start
            sent = load.sent(start)
    times = [1000 * (one.done - one.at) for one in sent]
    maps = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    rows = [
        ("items", f"{given.items:,}"),
        ("the command, gates and promotion included, s", f"{took:.1f}, exit code {code}"),
        ("most memory of its own, MB", f"{peak[0]:,.0f}"),
        ("most memory with mapped files, of it or the server, GB", f"{maps:.2f}"),
        ("requests meanwhile", f"{len(sent):,}, {sum(bool(one.error) for one in sent)} failed"),
        ("p95 / longest, ms", f"{np.percentile(times, 95):.1f} / {max(times):.0f}"),
    ]
    print(table(("", ""), rows))


if __name__ == "__main__":
    main()
