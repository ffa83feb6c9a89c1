"""Measure by how much a pre-period (CUPED) narrows the intervals of an A/B test, on a real log.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/pre_period.py FOLDER``; half a minute. The folder
has the table of interactions that ``cascade data fetch`` writes. The users of the log's last days are drawn into two
equal arms by many salts, as `cascade ab start` draws them, so the arms differ by chance only. Their events are counted
as `cascade ab status` counts them, with what each user did before those days and without.

``known``: users who were there before. ``width``: of the interval with a pre-period, as a share of that without.
``fewer users``: as many fewer give an interval as narrow. ``different``: salts whose arms are declared different,
without and with a pre-period.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cascade.core.text_table import table
from cascade.ensemble.protocol.assignment import Assignment
from cascade.rollout.statistics.cuped import pre_period
from cascade.rollout.statistics.difference import difference
from cascade.rollout.statistics.sequential import always_valid
from cascade.rollout.statistics.user_sums import UserSums

DAY_S = 86_400
PLANNED = 10_000
"""Default of ``rollout.outcomes.planned_users``."""


def users_of(log, column, days):
    """User ids [U]; what each did in the last ``days``; and what before, NaN of users who were not there yet."""
    last = log["timestamp"] >= log["timestamp"].max() - days * DAY_S
    now, before = (log[part].groupby("user_id")[column].sum().astype(np.float64) for part in (last, ~last))
    return now.index.to_numpy(), now.to_numpy(), before.reindex(now.index).to_numpy()


def intervals(users, now, before, salts):
    """[salts, 2, 2], the interval of the difference of two equal arms, without and with the pre-period."""
    covariates, found = pre_period(before), []
    for salt in range(salts):
        arm = Assignment(f"{salt:032x}", [("other", 0.5)]).arms(users)
        plain = [UserSums.of(now[arm == at]) for at in (0, 1)]
        adjusted = [UserSums.of(now[arm == at], covariates=covariates[arm == at]) for at in (0, 1)]
        answers = [always_valid(difference(*arms), PLANNED) for arms in (plain, adjusted)]
        found.append([(float(answer.low), float(answer.high)) for answer in answers])
    return np.array(found)


def row(log, column, days, salts):
    users, now, before = users_of(log, column, days)
    known = ~np.isnan(before)
    found = intervals(users, now, before, salts)
    width = float(np.mean(np.ptp(found[:, 1], axis=1) / np.ptp(found[:, 0], axis=1)))
    missed = np.sum((found[..., 0] > 0) | (found[..., 1] < 0), axis=0)
    correlation = np.corrcoef(before[known], now[known])[0, 1]
    figures = f"{len(users):,}", f"{known.mean():.0%}", f"{correlation:.2f}", f"{width:.3f}", f"{1 - width**2:.0%}"
    return [column, f"{days:g}", *figures, f"{missed[0]}, {missed[1]}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with interactions.parquet")
    parser.add_argument("--columns", nargs="+", default=["is_click", "long_view", "is_like"], help="the metrics")
    parser.add_argument("--days", type=float, nargs="+", default=[1, 2, 3], help="length of the experiment")
    parser.add_argument("--salts", type=int, default=20)
    options = parser.parse_args()
    log = pd.read_parquet(options.folder / "interactions.parquet")
    rows = [row(log, column, days, options.salts) for column in options.columns for days in options.days]
    names = ["metric", "days", "users", "known", "correlation", "width", "fewer users", "different"]
    print(table(names, rows))


if __name__ == "__main__":
    main()
