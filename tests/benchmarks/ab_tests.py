"""Measure how often equal arms are declared different, and how often a real effect is found, with many looks.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/ab_tests.py``; ten to twenty minutes. A run is
an A/B test of 40,000 users in each arm (or as its row says) with a look after every 100 users of the candidate.
``--runs`` and ``--better-runs`` set their number without and with an effect, ``--rows`` selects rows by a part of their
name. The effect is +5 % on the click rate, which is 10 % if the row says nothing else, or on revenue.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from cascade.core.text_table import table
from cascade.rollout.statistics.cuped import pre_period
from cascade.rollout.statistics.difference import difference
from cascade.rollout.statistics.sequential import DIFFERENT, always_valid
from cascade.rollout.statistics.user_sums import UserSums

USERS, LOOK, RATE, LIFT = 40_000, 100, 0.1, 1.05
AT_ONCE = 800_000
"""Users in memory at a time."""
Draw = Callable[[np.random.Generator, int, float], tuple[UserSums, UserSums]]
"""The sums [runs, looks] of a control, and of a candidate whose rate or revenue is the control's times a factor."""


def click(rng, shape, factor, rate=RATE):
    """One impression a user."""
    return [rng.random(shape) < rate * factor]


def revenue(rng, shape, factor):
    """One user in twenty buys, for a log-normal amount with sigma 1.5."""
    return [(rng.random(shape) < 0.05) * rng.lognormal(3, 1.5, shape) * factor]


def heavy(rng, shape, factor):
    """One user in twenty buys, for a Pareto amount whose third moment is infinite."""
    return [(rng.random(shape) < 0.05) * (1 + rng.pareto(2.5, shape)) * factor]


def impressions(rng, shape, factor, mean):
    """A geometric number of impressions of each user, from 1 on; the click rates of users have the deviation 0.065."""
    rates, shown = rng.beta(2.0, 18.0, shape), rng.geometric(1 / mean, shape)
    return [rng.binomial(shown, np.minimum(rates * factor, 1)), shown]


def people(rng, shape, factor, mean, known=1.0, binary=False, before=True):
    """Users who differ much, in impressions (geometric) and in click rates (deviation 0.17), and their pre-period.

    ``known`` is the share of users who have one. ``binary`` has one impression a user. Without ``before`` the
    pre-period is left out.
    """
    rates, active = rng.beta(0.2, 1.8, shape), rng.gamma(1.0, mean, shape)
    there = rng.random(shape) < known
    shown_before = rng.poisson(active)
    clicked_before = rng.binomial(shown_before, rates)
    shown = np.ones(shape, int) if binary else 1 + rng.poisson(active)
    outcomes = [rng.binomial(shown, np.minimum(rates * factor, 1)), shown][: 1 if binary else 2]
    if not before:
        return outcomes
    flat = pre_period(np.where(there[..., None], np.stack([clicked_before, shown_before], -1), np.nan).reshape(-1, 2))
    return [*outcomes, *np.moveaxis(flat.reshape(*shape, 3), -1, 0)]


def arriving(columns, ratio=False, share=1, users=USERS):
    """Users who are counted once; the control has ``share`` times as many."""

    def draw(rng, runs, factor):
        control = looks(columns(rng, (runs, users * share), 1.0), ratio, LOOK * share)
        return control, looks(columns(rng, (runs, users), factor), ratio, LOOK)

    return draw


def looks(columns, ratio, every):
    """`UserSums` [runs, looks] of columns [runs, users]."""
    data = np.stack([np.asarray(column, float) for column in columns], axis=-1)
    runs, users, width = data.shape
    data = data.reshape(runs, users // every, every, width)
    count = np.broadcast_to(np.arange(1, users // every + 1) * float(every), data.shape[:2])
    return UserSums(count, data.sum(axis=2).cumsum(axis=1), (data.swapaxes(2, 3) @ data).cumsum(axis=1), ratio)


def returning(rng, runs, factor, until=0.5, users=2000, times=100):
    """Users who come first in the share ``until`` of the test, and again in each of 100 parts; a look after each."""

    def arm(factor):
        first = np.linspace(0, times * until, users).astype(int)
        rates = rng.beta(2.0, 18.0, (runs, users)) * factor
        clicked, shown, found = np.zeros((runs, users)), np.zeros((runs, users)), []
        for now in range(times):
            came = (first <= now) * rng.poisson(0.5, (runs, users))
            clicked += rng.binomial(came, rates)
            shown += came
            data = np.stack([clicked, shown], axis=-1)
            found.append((data.sum(axis=1), data.swapaxes(1, 2) @ data))
        counts = np.broadcast_to(np.searchsorted(first, np.arange(times), "right") * 1.0, (runs, times))
        return UserSums(counts, *(np.stack(part, axis=1) for part in zip(*found, strict=True)), True)

    return arm(1.0), arm(factor)


SETTINGS: dict[str, tuple[Draw, float, int]] = {
    "one impression": (arriving(click), USERS, USERS),
    "one impression, planned for 4,000": (arriving(click), 4000, USERS),
    "one impression, shares 1 : 19": (arriving(click, share=19, users=4000), 7600, 76_000),
    "rate 0.1 %": (arriving(partial(click, rate=0.001)), USERS, USERS),
    "rate 0.1 %, planned for 1,000": (arriving(partial(click, rate=0.001)), 1000, USERS),
    "rate 0.1 %, shares 1 : 19": (arriving(partial(click, rate=0.001), share=19, users=4000), 7600, 76_000),
    "rate 95 %, shares 1 : 99": (arriving(partial(click, rate=0.95), share=99, users=2000), 4000, 198_000),
    "revenue, log-normal": (arriving(revenue), USERS, USERS),
    "revenue, planned for 1,000": (arriving(revenue), 1000, USERS),
    "revenue, shares 1 : 19": (arriving(revenue, share=19, users=4000), 7600, 76_000),
    "revenue, shares 1 : 99, planned for 400": (arriving(revenue, share=99, users=2000), 400, 198_000),
    "revenue, Pareto": (arriving(heavy), USERS, USERS),
    "revenue, Pareto, shares 1 : 19": (arriving(heavy, share=19, users=4000), 7600, 76_000),
    "3 impressions": (arriving(partial(impressions, mean=3), ratio=True), USERS, USERS),
    "5 impressions": (arriving(partial(impressions, mean=5), ratio=True), USERS, USERS),
    "5 impressions, planned for 1,000": (arriving(partial(impressions, mean=5), ratio=True), 1000, USERS),
    "10 impressions": (arriving(partial(impressions, mean=10), ratio=True), USERS, USERS),
    "1 + 5 impressions, unlike users": (arriving(partial(people, mean=5, before=False), ratio=True), USERS, USERS),
    "1 + 5 impressions, unlike users, CUPED": (arriving(partial(people, mean=5), ratio=True), USERS, USERS),
    "1 + 5 impressions, unlike users, CUPED for half": (
        arriving(partial(people, mean=5, known=0.5), ratio=True), USERS, USERS,
    ),
    "one impression, unlike users, CUPED": (arriving(partial(people, mean=20, binary=True)), USERS, USERS),
    "2,000 users who come again and again": (returning, 2000, 20_000),
    "2,000 users, all from the start, again and again": (partial(returning, until=0), 2000, 20_000),
}  # fmt: skip
"""Name -> how users are drawn, the planned users, the users of a run in memory."""


def declared(setting, runs, factor, seed):
    """Whether each run is ever declared different, and at which look, [runs]."""
    draw, planned, size = setting
    rng = np.random.default_rng(seed)
    found, when = [], []
    while len(found) < runs:
        some = min(runs - len(found), max(1, AT_ONCE // size))
        different = always_valid(difference(*draw(rng, some, factor)), planned).decision == DIFFERENT
        found += different.any(axis=1).tolist()
        when += (different.argmax(axis=1) + 1).tolist()
    return np.array(found), np.array(when)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--better-runs", type=int, default=400)
    parser.add_argument("--rows", default="")
    options = parser.parse_args()
    rows = []
    for seed, (name, setting) in enumerate(SETTINGS.items()):
        if options.rows not in name:
            continue
        start = time.monotonic()
        equal, _ = declared(setting, options.runs, 1.0, seed)
        better, when = declared(setting, options.better_runs, LIFT, 100 + seed)
        median = np.median(when[better]) if better.any() else None
        rows.append([name, f"{equal.mean():.1%}", f"{better.mean():.1%}", median])
        print(*rows[-1], f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    print(table(["setting", "equal arms declared different", "+5 % found", "median look when found"], rows))


if __name__ == "__main__":
    main()
