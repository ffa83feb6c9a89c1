"""One call for several requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ....core.signature import Columns
from ...protocol.request_batching import RequestBatcher, split
from .link import Link


@dataclass(frozen=True)
class JoinedAnswer:
    """What a call for several requests has brought."""

    outputs: dict[str, NDArray[Any]]
    """[users of all requests, ...] each."""
    users: Sequence[int]
    """Of each request."""
    cut: frozenset[str]
    top_k: NDArray[Any] | None

    def of_each(self) -> list[dict[str, NDArray[Any]]]:
        """The outputs of each request, as if it had been asked alone."""
        return list(split(self.outputs, self.users, self.cut, self.top_k))


@dataclass(frozen=True)
class JoinedCalls:
    """Asks for several requests at once.

    Args:
        batcher: joins requests.
        cut: names of the outputs that are as wide as the largest top_k of their request.
    """

    batcher: RequestBatcher
    cut: frozenset[str]

    def groups(self, requests: Sequence[Columns]) -> Iterator[list[int]]:
        """Places of the requests that can share a call: an input that is left out is left out of the call as well."""
        alike = defaultdict[frozenset[str], list[int]](list)
        for at, columns in enumerate(requests):
            alike[frozenset(columns)].append(at)
        for places in alike.values():
            group = [requests[at] for at in places]
            for together in self.batcher.passes(group, _users(group)):
                yield places[together]

    def ask(self, link: Link, requests: Sequence[Columns]) -> JoinedAnswer:
        """Ask for the requests of a group.

        Raises:
            ServerError: if there is no answer.
        """
        users = _users(requests)
        joined = self.batcher.join(requests, users)
        outputs = link.ask({name: joined[name] for name in requests[0]})
        return JoinedAnswer(outputs, users, self.cut, joined.get("top_k"))


def _users(requests: Sequence[Columns]) -> list[int]:
    return [len(columns["user_id"]) for columns in requests]
