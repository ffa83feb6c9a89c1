"""Which arm of an A/B test or a canary answers a user: a keyed hash of the raw user id, and shares of its range.

The hash is HMAC-SHA256 (RFC 2104) with the experiment's salt as the key, so a user has the same arm in every process
and on every machine, and the arms of two experiments with different salts do not depend on each other. Its first 8
bytes make the user's point in [0, 1).

Every arm grows from a fixed start: its users have the points between that start and start + share, or start - share.
A larger share therefore only moves users from `STABLE`, which has all points that are left, into that arm. No user
moves between two other arms.

Up to two arms start at 0 and at 1 and grow towards each other, so they may have any shares with a sum of at most 1.
Three or more arms share [0, 1) in equal slots of two arms each, in their order: of 4 arms the first two have [0, 0.5)
and the others [0.5, 1). Two arms of a slot together may have as much as the slot. Such a limit cannot be avoided: of
three arms with 0.5 each, where any two leave nothing over, no two could be disjoint in all three pairs.

The starts depend on the number and the order of the arms. An arm is ended by the share 0, not by its removal; other
arms are another experiment, which needs another salt.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError, DataError
from .inputs import MISSING

STABLE = "stable"
"""The arm 0, which answers everyone whom no other arm answers."""
BLOCK = 64
"""Bytes in a block of SHA-256."""
ROUNDING = 1e-9
"""By how much shares may exceed 1 together: 0.6 + 0.3 + 0.1 is not 1 in floating point."""


@dataclass(frozen=True)
class Assignment:
    """The arms of one experiment beside `STABLE`.

    Args:
        salt: the experiment's own text. Whoever knows it can compute a user's arm.
        shares: name and share of each arm, from 0 to 1, in an order that does not change.

    Raises:
        ConfigError: naming the field, if the salt is empty, or names or shares are not as above.
    """

    salt: str
    shares: Sequence[tuple[str, float]]

    def __post_init__(self) -> None:
        if not isinstance(self.salt, str) or not self.salt:
            raise ConfigError(f"salt: expected text of at least one character, got {self.salt!r}")
        names = [name for name, _ in self.shares]
        for name, share in self.shares:
            _check_name(name, names)
            if isinstance(share, bool) or not isinstance(share, int | float | np.number) or not 0 <= share <= 1:
                raise ConfigError(f"shares.{name}: expected a number from 0 to 1, got {share!r}")
        total = math.fsum(share for _, share in self.shares)
        if total > 1 + ROUNDING:
            raise ConfigError(f"shares: expected a sum of at most 1, got {total:g} ({_listed(self.shares)})")
        for slot in range(0, len(names), 2):
            pair = self.shares[slot : slot + 2]
            if math.fsum(share for _, share in pair) > self._width + ROUNDING:
                most = f"at most {self._width:g} together, because there are {len(names)} arms"
                raise ConfigError(f"shares: expected {most}, got {_listed(pair)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The arms by their index."""
        return (STABLE, *(name for name, _ in self.shares))

    def arms(self, user_ids: Any) -> NDArray[np.int64]:
        """The index in `names` of each user's arm.

        Args:
            user_ids: raw ids, integers or text, in an array of any shape. A missing id (the smallest int64, or None)
                has the arm 0: whoever has no id cannot be kept in an arm.

        Returns:
            int64, in the shape of ``user_ids``.

        Raises:
            DataError: if an id is neither an integer nor text.
        """
        ids = np.asarray(user_ids)
        at, found = self.points(ids), np.zeros(ids.shape, np.int64)
        for index, (low, high) in reversed([*enumerate(self._ranges, start=1)]):  # where sums round up, the first wins
            found[(at >= low) & (at < high)] = index
        found[_missing(ids)] = 0
        return found

    def points(self, user_ids: Any) -> NDArray[np.float64]:
        """The point in [0, 1) of each user, float64, in the shape of ``user_ids``: a multiple of 2^-53.

        An integer is hashed as its decimal text, so the integer 5 and the text "5" are the same user.

        Raises:
            DataError: if an id is neither an integer nor text.
        """
        ids = np.asarray(user_ids)
        texts = _as_bytes(ids)
        inner, outer = self._keyed
        first = bytearray()
        for text in texts:
            inside, outside = inner.copy(), outer.copy()
            inside.update(text)
            outside.update(inside.digest())
            first += outside.digest()[:8]
        return (np.frombuffer(first, ">u8") >> np.uint64(11)).astype(np.float64).reshape(ids.shape) * 2.0**-53

    @cached_property
    def _keyed(self) -> tuple[Any, Any]:
        """The inner and the outer hash of RFC 2104 after the key. Copies of them take a third of the time of ``hmac``,
        which hashes the key again for each message."""
        key = self.salt.encode()
        block = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
        return hashlib.sha256(bytes(b ^ 0x36 for b in block)), hashlib.sha256(bytes(b ^ 0x5C for b in block))

    @property
    def _width(self) -> float:
        return 1 / max(1, -(-len(self.shares) // 2))

    @cached_property
    def _ranges(self) -> list[tuple[float, float]]:
        """The points of each arm, from and below."""
        ranges = []
        for index, (_, share) in enumerate(self.shares):
            slot = index // 2
            start, end = slot * self._width, (slot + 1) * self._width
            ranges.append((end - share, end) if index % 2 else (start, start + share))
        return ranges


def _missing(ids: NDArray[Any]) -> NDArray[np.bool_]:
    if ids.dtype == object:
        return np.array([value is None for value in ids.ravel()], bool).reshape(ids.shape)
    return np.asarray(ids == MISSING["int64"]) if ids.dtype == np.int64 else np.zeros(ids.shape, bool)


def _as_bytes(ids: NDArray[Any]) -> list[bytes]:
    """What is hashed of each id; an empty text for a missing one."""
    flat = ids.ravel().tolist()
    if ids.dtype.kind in "iu":
        return [b"%d" % number for number in flat]
    try:
        if ids.dtype.kind in "UO":
            return [b"" if text is None else text.encode("utf-8", "surrogatepass") for text in flat]
    except AttributeError:  # numbers among texts, or a bad id: only then is each one looked at
        return [_one(value) for value in flat]
    raise DataError(f"user_ids: expected integers or text, got {ids.dtype}")


def _one(value: Any) -> bytes:
    if value is None or isinstance(value, str):
        return (value or "").encode("utf-8", "surrogatepass")
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return b"%d" % value
    raise DataError(f"user_ids: expected integers or text, got {value!r}")


def _check_name(name: str, names: list[str]) -> None:
    if not isinstance(name, str) or not name:
        raise ConfigError(f"shares: expected text as the name of an arm, got {name!r}")
    if name == STABLE:
        raise ConfigError(f"shares.{STABLE}: expected no share, because this arm has what the others leave")
    if names.count(name) > 1:
        raise ConfigError(f"shares.{name}: expected each name once, got it {names.count(name)} times")


def _listed(shares: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {share:g}" for name, share in shares)
