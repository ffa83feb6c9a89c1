"""Splits the requests of a call by the arms of their users, and joins the answers again."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ServerError
from ....core.signature import Columns
from ...protocol.arms import ARM, unavailable
from ...protocol.assignment import STABLE, Assignment
from ...protocol.call_errors import one_line
from ...protocol.serving_file import Beside
from .counts import ArmCounters
from .joined_call import JoinedCalls
from .link import Link

_log = logging.getLogger("cascade.backend")

Answer = dict[str, NDArray[Any]] | Exception
"""The outputs of a request, or why it has none."""
Links = Mapping[str, Link | None]
"""Arm -> the connection to its server; None while that does not answer."""


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request of Triton's, with its columns read and checked."""

    request: Any
    columns: Columns
    asked: Columns
    """What an arm is asked with: the inputs that the client has sent. In a fused model these are ``columns``."""
    users: int
    arm: NDArray[Any] | None = None
    """[users, 1], the arms that it asks for; empty text for the user's own."""
    probe: bool = False
    """Whether the server itself asks: the stable release answers, and it counts as no user of an arm."""
    before_s: float = 0.0
    """Seconds that earlier steps of an ensemble took for it."""

    def part(self, rows: NDArray[np.intp]) -> CheckedRequest:
        """The same for some of its users."""
        columns = {name: array[rows] for name, array in self.columns.items()}
        same = self.asked is self.columns
        asked = columns if same else {name: array[rows] for name, array in self.asked.items()}
        return replace(self, columns=columns, asked=asked, users=len(rows))


@dataclass(frozen=True, slots=True)
class _Part:
    """The users of a request who are in the same arm."""

    request: int
    arm: int
    rows: NDArray[np.intp] | None
    """None for all."""
    entry: CheckedRequest


class ArmRouter:
    """The arms that there are now.

    Args:
        beside: who has which share.
        links: of every arm.
        pool: asks arms while this process answers the users of the stable release.
        counts: what is counted of each arm.
        calls: ask for several requests at once.
    """

    def __init__(
        self, beside: Beside, links: Links, pool: ThreadPoolExecutor, counts: ArmCounters, calls: JoinedCalls
    ) -> None:
        self._assignment = Assignment(beside.salt, [(arm.name, arm.share) for arm in beside.arms])
        self._releases = ["", *(arm.release for arm in beside.arms)]
        self._links, self._pool, self._counts, self._calls = links, pool, counts, calls
        self.names = self._assignment.names
        """The arms by their index."""

    def answer(
        self, requests: Sequence[CheckedRequest], stable: Callable[[Sequence[CheckedRequest]], list[Answer]]
    ) -> list[Answer]:
        """The answer of each request.

        Args:
            stable: answers requests with the stable release.
        """
        parts = [part for at, entry in enumerate(requests) for part in self._parts(at, entry)]
        asked = list(self._ask([part for part in parts if part.arm]))
        own = [part for part in parts if not part.arm]
        found = dict(zip(map(id, own), self._stable(own, stable), strict=True))
        failed: list[_Part] = []
        for group, answers in asked:
            try:
                found.update(zip(map(id, group), answers.result(), strict=True))
            except ServerError:
                failed += group
            except Exception as error:  # of any kind: an arm costs nobody an answer
                _log.error("the answer of an arm cannot be used: %s", one_line(error))
                failed += group
        found.update(zip(map(id, failed), self._in_place_of(failed, stable), strict=True))
        by_request: dict[int, list[tuple[_Part, Answer]]] = defaultdict(list)
        for part in parts:
            by_request[part.request].append((part, found[id(part)]))
        return [_joined(by_request[at], entry.users) for at, entry in enumerate(requests)]

    def _parts(self, at: int, entry: CheckedRequest) -> Iterator[_Part]:
        if entry.probe:
            yield _Part(at, 0, None, entry)
            return
        arms = self._assignment.arms(entry.asked["user_id"][:, 0])
        if entry.arm is not None:
            for row, name in enumerate(entry.arm[:, 0].tolist()):
                if name in self.names:
                    arms[row] = self.names.index(name)
        first = int(arms[0])
        if (arms == first).all():
            yield _Part(at, first, None, entry)
            return
        for arm in np.unique(arms).tolist():
            rows = np.flatnonzero(arms == arm)
            yield _Part(at, arm, rows, entry.part(rows))

    def _ask(self, parts: Sequence[_Part]) -> Iterator[tuple[list[_Part], Future[list[Answer]]]]:
        """Ask the arms, in as few calls as possible."""
        by_arm = defaultdict[int, list[_Part]](list)
        for part in parts:
            by_arm[part.arm].append(part)
        for arm, own in by_arm.items():
            for places in self._calls.groups([part.entry.asked for part in own]):
                group = [own[at] for at in places]
                yield group, self._pool.submit(self._call, arm, group)

    def _call(self, arm: int, parts: Sequence[_Part]) -> list[Answer]:
        link = self._links[self.names[arm]]
        if link is None or link.closed:
            raise ServerError("the arm does not answer")
        start = perf_counter()
        answer = self._calls.ask(link, [part.entry.asked for part in parts])
        answer.outputs[ARM] = np.full((sum(answer.users), 1), self.names[arm], dtype=object)
        answers = answer.of_each()
        self._counts.answered(self.names[arm], self._releases[arm], answers, perf_counter() - start)
        return [*answers]

    def _stable(
        self, parts: Sequence[_Part], stable: Callable[[Sequence[CheckedRequest]], list[Answer]]
    ) -> list[Answer]:
        start = perf_counter()
        answers = stable([part.entry for part in parts]) if parts else []
        took = perf_counter() - start
        for part, answer in zip(parts, answers, strict=True):
            if not isinstance(answer, Exception) and not part.entry.probe:
                seconds = part.entry.before_s + took
                self._counts.answered(STABLE, str(answer["release"][0, 0]), [answer], seconds)
        return answers

    def _in_place_of(
        self, parts: Sequence[_Part], stable: Callable[[Sequence[CheckedRequest]], list[Answer]]
    ) -> list[Answer]:
        """Answers of the stable release for users of arms that do not answer."""
        answers = stable([part.entry for part in parts]) if parts else []
        for part, answer in zip(parts, answers, strict=True):
            self._counts.unavailable(self.names[part.arm], self._releases[part.arm], part.entry.users)
            if not isinstance(answer, Exception):
                why = unavailable(self.names[part.arm])
                reasons = [f"{before},{why}" if before else why for before in answer["reasons"][:, 0]]
                answer["reasons"] = np.array(reasons, dtype=object).reshape(-1, 1)
        return answers


def _joined(parts: Sequence[tuple[_Part, Answer]], users: int) -> Answer:
    """The answer of a request, from those of its parts."""
    answers: list[tuple[NDArray[np.intp] | None, dict[str, NDArray[Any]]]] = []
    for part, answer in parts:
        if isinstance(answer, Exception):
            return answer
        answers.append((part.rows, answer))
    first = answers[0][1]
    if len(answers) == 1:
        return first
    return {name: _column([(rows, answer[name]) for rows, answer in answers], users) for name in first}


def _column(parts: Sequence[tuple[NDArray[np.intp] | None, NDArray[Any]]], users: int) -> NDArray[Any]:
    """One output of a request, [users, ...]; rows that are shorter are padded as the graph pads them."""
    first = parts[0][1]
    width = max(array.shape[1] for _, array in parts)
    padding = {"O": "", "i": -1}.get(first.dtype.kind, 0)
    out = np.full((users, width), padding, dtype=first.dtype)
    for rows, array in parts:
        out[rows, : array.shape[1]] = array
    return out
