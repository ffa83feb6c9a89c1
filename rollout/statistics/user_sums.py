"""What is counted of an arm's users: sums of their values and of products of these, which are added up as users come.

The unit is the user and not the impression, because arms are drawn by user and the impressions of a user depend on each
other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UserSums:
    """Sums over users, with any leading dimensions ``[...]``: looks, metrics or simulated runs.

    A user has C columns: the value; for a ratio, what it is a ratio of; then covariates (see `cuped`). A user whose
    total has grown is counted again by adding the difference of `of` after and before.
    """

    users: Floats
    """[...], number of users."""
    sums: Floats
    """[..., C], sum of each column."""
    products: Floats
    """[..., C, C], sum of the products of each two columns."""
    ratio: bool = False
    """Whether the metric is the sum of column 0 over the sum of column 1, and not the mean of column 0."""

    @classmethod
    def of(cls, values: Any, per: Any = None, covariates: Any = None) -> UserSums:
        """The sums of U users.

        Args:
            values: [U], a user's total, such as clicks or revenue.
            per: [U], what the metric is a ratio of, such as the user's impressions; without it the metric is a mean.
            covariates: [U, K], numbers from before the experiment, of `cuped.pre_period`.

        Raises:
            DataError: if a column has another length, or a value that is not a finite number. The error names both.
        """
        columns = [("values", _column(values))]
        columns += [] if per is None else [("per", _column(per))]
        extra = np.empty((len(columns[0][1]), 0)) if covariates is None else np.asarray(covariates, np.float64)
        columns += [(f"covariates[:, {k}]", column) for k, column in enumerate(extra.T)]
        for name, column in columns:
            _check_column(name, column, len(columns[0][1]))
        table = np.stack([column for _, column in columns], axis=1)
        return cls(np.float64(len(table)), table.sum(axis=0), table.T @ table, per is not None)  # type: ignore[arg-type]

    @classmethod
    def of_totals(cls, users: Any, total: Any, squares: Any) -> UserSums:
        """A mean's sums, from numbers that others have added up.

        Args:
            users: [...], number of users.
            total: [...], sum of the users' values.
            squares: [...], sum of the squares of the users' values.

        Raises:
            DataError: if squares are smaller than the sums allow: users * squares >= total^2.
        """
        count, one, two = (np.asarray(part, np.float64) for part in (users, total, squares))
        bad = ~(np.isfinite(count) & (count >= 0) & (two * count >= one**2 * (1 - 1e-9)))
        if np.any(bad):
            at = np.argmax(np.ravel(bad))
            found = [float(np.ravel(np.broadcast_to(part, bad.shape))[at]) for part in (count, one, two)]
            raise DataError(
                "squares: expected at least total^2 / users, got users {:g}, total {:g}, squares {:g}".format(*found)
            )
        return cls(count, one[..., None], two[..., None, None])

    def __add__(self, other: UserSums) -> UserSums:
        """The sums over both groups of users.

        Raises:
            DataError: if the columns of both are not the same.
        """
        self.check_like(other)
        parts = (self.users + other.users, self.sums + other.sums, self.products + other.products)
        return UserSums(*parts, self.ratio)

    def __sub__(self, other: UserSums) -> UserSums:
        """The sums without users that are counted in these."""
        return self + UserSums(-other.users, -other.sums, -other.products, other.ratio)

    def check_like(self, other: UserSums) -> None:
        """Raise DataError unless both count the same columns."""
        ours, theirs = (f"{part.sums.shape[-1]} columns, ratio {part.ratio}" for part in (self, other))
        if ours != theirs:
            raise DataError(f"user sums: expected the same columns, got {ours} and {theirs}")

    @property
    def outcomes(self) -> int:
        """Number of columns before the covariates."""
        return 2 if self.ratio else 1

    @property
    def means(self) -> Floats:
        """Mean of each column, float64 [..., C]; NaN without users."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = self.sums / self.users[..., None]
        return found

    @property
    def covariance(self) -> Floats:
        """Unbiased covariance over users, float64 [..., C, C]; NaN with fewer than two users.

        It is a small difference of large sums: a value whose mean is a million times its standard deviation keeps four
        digits. Such a value is better counted from a round number near its mean.
        """
        means = self.means
        with np.errstate(invalid="ignore", divide="ignore"):
            biased = self.products / self.users[..., None, None] - means[..., :, None] * means[..., None, :]
            found: Floats = biased * (self.users / (self.users - 1))[..., None, None]
        found[self.users < 2] = np.nan
        return found


def _column(values: Any) -> Floats:
    return np.asarray(values, np.float64)


def _check_column(name: str, column: Floats, users: int) -> None:
    if column.shape != (users,):
        raise DataError(f"{name}: expected one number for each of {users} users, got the shape {list(column.shape)}")
    if not np.isfinite(column).all():
        row = int(np.argmin(np.isfinite(column)))
        raise DataError(f"{name}, user {row}: expected a finite number, got {column[row]:g}")
