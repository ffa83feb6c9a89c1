"""Measure the peak memory of each stage: of a shop that this script makes, or of any pipeline.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/shop_memory.py FOLDER``. It writes the tables of
a shop into FOLDER (20,000 users, 12,000 items with 10 attributes, 167,000 events), and runs the pipeline there stage by
stage, each in a process of its own. ``--one-user 300000`` gives one more user that many events. With ``--config FILE``
nothing is made, and the stages of that pipeline are run. ``--set`` is that of ``cascade run``. A peak is the largest
resident set of the stage's process, libraries and mapped files included. With ``--together`` one process runs the whole
pipeline, as ``cascade run`` does; its resident set is read twenty times a second. The exit code is 1 if a stage fails.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from cascade.pipeline.stages import STAGES

CONFIG = """
data: { source: tables, path: tables }
schema:
  dense: [price, weight]
  sparse: [user_id, item_id, country, brand, category, colors, tags, season, supplier]
  text: [title, description]
"""
COMMAND = "from cascade.cli.main import main; main()"
WORDS = np.array([f"{first}{second}" for first in ("sol", "mar", "ten", "vel", "kor") for second in "abcdefghijklmnop"])


def shop(folder, users, items, events, one_user=0):
    """Write the three tables: clusters of users and items, popular items, long lists and texts for some items."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    taste, kind = rng.integers(0, 40, users), rng.integers(0, 40, items)
    popularity = rng.permutation(1 / np.arange(1, items + 1) ** 0.8)
    user = rng.choice(users, events, p=heavy_tail(rng, users))
    item = np.empty(events, np.int64)
    for cluster in range(40):
        rows, own = np.flatnonzero(taste[user] == cluster), np.flatnonzero(kind == cluster)
        near = rng.choice(own, len(rows), p=popularity[own] / popularity[own].sum())
        anything = rng.choice(items, len(rows), p=popularity / popularity.sum())
        item[rows] = np.where(rng.random(len(rows)) < 0.7, near, anything)
    log = {"user_id": user, "item_id": item, "timestamp": 1_700_000_000 + rng.integers(0, 10_000_000, events)}
    if one_user:
        guest = {"user_id": np.full(one_user, users), "item_id": rng.integers(0, items, one_user)}
        guest["timestamp"] = 1_700_000_000 + np.arange(one_user)
        log = {name: np.concatenate([values, guest[name]]) for name, values in log.items()}
    pd.DataFrame(log).to_parquet(folder / "interactions.parquet")
    known = np.arange(users + bool(one_user))
    countries = pd.DataFrame({"user_id": known, "country": rng.choice(["de", "fr", "it", "pl"], len(known))})
    countries.to_parquet(folder / "users.parquet")
    attributes(rng, items, kind).to_parquet(folder / "items.parquet")


def heavy_tail(rng, count):
    """Shares of ``count`` users: most have a few events, some have many."""
    weight = rng.pareto(1.5, count) + 0.2
    return weight / weight.sum()


def attributes(rng, items, kind):
    """Ten attributes of each item; one item in a hundred has a list of 400 tags and a text of 2,000 words."""
    long = rng.random(items) < 0.01
    tags = [rng.integers(0, 5000, 400 if more else rng.integers(0, 6)) for more in long]
    texts = [" ".join(rng.choice(WORDS, 2000 if more else 12)) for more in long]
    return pd.DataFrame(
        {
            "item_id": np.arange(items),
            "price": rng.lognormal(3, 1, items),
            "weight": np.where(rng.random(items) < 0.3, np.nan, rng.random(items)),
            "brand": kind * 20 + rng.integers(0, 20, items),
            "category": kind,
            "colors": [rng.choice(["red", "blue", "green", "black"], rng.integers(1, 4)) for _ in range(items)],
            "tags": tags,
            "season": rng.choice(["summer", "winter", None], items),
            "supplier": rng.integers(0, 300, items),
            "title": [" ".join(rng.choice(WORDS, 4)) for _ in range(items)],
            "description": texts,
        }
    )


def peak_of(arguments, log):
    """Run ``cascade`` in a process: its exit code, its peak in GiB, and its CPU seconds."""
    child = os.fork()
    if child == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        os.execv(sys.executable, [sys.executable, "-c", COMMAND, *arguments])
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss / 2**20, used.ru_utime + used.ru_stime


def peaks_together(arguments, log):
    """Run ``cascade`` in a process: its exit code, its peak in GiB, and that of each stage, by the lines it prints."""
    with open(log, "w") as out:
        child = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=out, stderr=out)
    process, peaks = psutil.Process(child.pid), {}
    while child.poll() is None:
        begun = [line.split()[0] for line in Path(log).read_text().splitlines() if line.split()[1:2] == ["..."]]
        with suppress(psutil.Error):  # it has just ended
            if begun:
                peaks[begun[-1]] = max(peaks.get(begun[-1], 0), process.memory_info().rss / 2**30)
        time.sleep(0.05)
    return child.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, peaks


def main():
    """Print a table row for each stage as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--events", type=int, default=167_000)
    parser.add_argument("--one-user", type=int, default=0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--stage", action="append", choices=[*STAGES], default=[])
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    config = (options.config or options.folder / "shop.yaml").resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.config is None and not (options.folder / "tables").exists():
        shop(options.folder / "tables", options.users, options.items, options.events, options.one_user)
        config.write_text(CONFIG)
    os.chdir(options.folder)
    sets, peaks = [part for value in options.sets for part in ("--set", value)], {}
    if options.together:
        code, whole, peaks = peaks_together(["run", "-c", str(config), *sets], "together.log")
        print(*(f"| {stage} | {peak:.2f} GiB |" for stage, peak in peaks.items()), sep="\n")
        print(json.dumps({"peak_gib": round(whole, 2)}) if code == 0 else Path("together.log").read_text()[-2000:])
        sys.exit(code)
    for stage in options.stage or STAGES:
        code, peaks[stage], cpu = peak_of(["run", "-c", str(config), "--only", stage, *sets], f"{stage}.log")
        print(f"| {stage} | {peaks[stage]:.2f} GiB | {cpu:.0f} s of CPU |{'' if code == 0 else ' FAILED'}", flush=True)
        if code:
            print(Path(f"{stage}.log").read_text()[-2000:])
            sys.exit(1)
    print(json.dumps({"peak_gib": round(max(peaks.values()), 2)}))


if __name__ == "__main__":
    main()
