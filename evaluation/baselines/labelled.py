"""Logged impressions with one label: what the baselines of the ranker are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.training.rows import Events
from .tuning import Choice

SEED = 42


@dataclass(frozen=True)
class Labelled:
    """n impressions."""

    events: Events
    label: NDArray[np.float32]
    """0 or 1, [n]."""

    def __len__(self) -> int:
        return len(self.label)

    def of_users(self, drawn: NDArray[np.bool_]) -> Labelled:
        """The rows of the users that are ``drawn`` [n_users]."""
        at = np.flatnonzero(drawn[self.events.user_row])
        return Labelled(self.events.take(at), self.label[at])

    def both(self) -> bool:
        """Whether there are 0 and 1."""
        return bool(0 < self.label.sum() < len(self.label))


@dataclass(frozen=True)
class Predicted:
    """What a baseline predicts, with a setting that was tried on some users.

    It is fitted on the training part and stopped early on the validation part. What it predicts of other rows comes
    from a second fit on both parts with as many steps: whoever uses such a model would not leave out the newest rows.
    """

    valid: NDArray[np.float32]
    """Logits [n] of the validation part."""
    others: list[NDArray[np.float32]]
    """Logits of each other set of rows."""
    choice: Choice[Any]


def some_users(train: Labelled, valid: Labelled, users: int, most: int) -> tuple[Labelled, Labelled]:
    """The rows of random users with about ``most`` rows of ``train``; all rows if these lack a label.

    Whole users, because a user's weights need as many rows as they will have.

    Args:
        users: n_users.
    """
    share = most / max(1, len(train))
    drawn = np.random.default_rng(SEED).random(users) < share
    some = train.of_users(drawn), valid.of_users(drawn)
    return some if share < 1 and all(part.both() for part in some) else (train, valid)


def joined(parts: Sequence[Labelled]) -> Labelled:
    """The rows of all parts, one part after the other."""
    return Labelled(Events.joined([part.events for part in parts]), np.concatenate([part.label for part in parts]))
