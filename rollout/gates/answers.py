"""Whether the answers of a release are whole: not empty, not short, no item twice, none that the user had."""

from __future__ import annotations

import numpy as np

from ..config import GatesConfig
from .measure import MeasuredRelease
from .verdict import GateVerdict, judged, unknown

NAME = "answers"


def answers_verdict(candidate: MeasuredRelease, live: MeasuredRelease | None, config: GatesConfig) -> GateVerdict:
    """Figures: shares of ``empty`` and ``short`` answers, of the live release too; answers with an item ``twice``, or
    with one that the user has ``seen``. The latter two fail a release at once: no setting allows them."""
    figures: dict[str, float | None] = {**_shares(candidate)}
    if live is not None:
        figures |= {f"live_{name}": share for name, share in _shares(live).items()}
    twice, seen = int(_twice(candidate).sum()), int(candidate.seen.any(axis=1).sum())
    figures |= {"twice": twice, "seen": seen}
    faults = []
    for name, most in (("empty", config.max_empty), ("short", config.max_short)):
        share, before = figures[name] or 0, figures.get(f"live_{name}") or 0
        if share > before + most:
            faults.append(f"{share:.1%} of the answers are {name}; live: {before:.1%}, allowed: {most:.1%} more")
    if twice:
        faults.append(f"{twice:,} answers hold an item twice")
    if seen:
        faults.append(f"{seen:,} answers hold an item that the user has seen")
    users = len(candidate.answers)
    if users < config.min_users and not faults:
        return unknown(NAME, f"{users:,} users, expected {config.min_users:,}", figures)
    return judged(NAME, faults, f"{figures['empty']:.1%} empty, {figures['short']:.1%} short", figures)


def _shares(of: MeasuredRelease) -> dict[str, float]:
    given = (of.answers >= 0).sum(axis=1)
    return {"empty": float((given == 0).mean()), "short": float(((given > 0) & (given < of.asked)).mean())}


def _twice(of: MeasuredRelease) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether an answer [U] holds an item twice."""
    ordered = np.sort(of.answers, axis=1)
    found: np.ndarray[tuple[int], np.dtype[np.bool_]]
    found = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    return found
