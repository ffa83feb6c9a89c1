"""What to say of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The most similar of the valid names; None if none is similar."""
    return next(iter(difflib.get_close_matches(name, list(valid), n=1)), None)


def nearest(name: str, valid: Iterable[str]) -> str:
    """``did you mean 'bpr'?``, or all valid names where none is similar."""
    valid = list(valid)
    near = closest(name, valid)
    return f"did you mean {near!r}?" if near else f"valid: {', '.join(valid) or 'none'}"
