"""Which regions of shared memory a client may have Triton read and write."""

from __future__ import annotations

import re

from .refusals import Refusal

CLIENT_PREFIX = "cascade-client-"
"""Regions of other names belong to Triton's own processes, or to other programs."""
_KEY = re.compile(r"/?" + CLIENT_PREFIX + r"[A-Za-z0-9_.-]{1,200}")


def check_key(key: object) -> str:
    """The key of a region, if clients own regions of such a name.

    Raises:
        Refusal: if they do not.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise Refusal(
            403, f"key: expected a region whose name begins with {CLIENT_PREFIX} and goes on in letters, digits, _ . -"
        )
    return key
