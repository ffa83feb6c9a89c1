"""The live set of a model: which release answers, and which one did before.

It is one small file, replaced in one step, so a reader finds the old set or the new one. A change is a line of the
audit log first and a new file second. The file holds the hash of its line. If a process ends between the two, its
change never was live, and the next change says so in the log.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...core.disk import disk_errors
from ...core.errors import ReleaseError
from ...ensemble.protocol.arms import CANARY
from .audit_log import Action, AuditHistory, AuditLine, AuditLog, sync_folder
from .places import releases_folder
from .writer_lock import only_writer

LIVE_SET = "live.json"
"""File in the folder of a model's releases."""
AUDIT = "audit.jsonl"
"""File beside it."""
INTERRUPTED = "interrupted"
"""Action of the line that takes back what a process that ended had logged, but not done."""
WAIT_S = 5.0
"""Seconds that a change waits for another one."""


@dataclass(frozen=True)
class Arm:
    """A release that answers some of the users, or that is asked beside the one that answers."""

    name: str
    """``canary``, or the name of an arm of an A/B test."""
    release: str
    """Its id."""
    share: float
    """Its share of the users, from 0 to 1; of a shadow, its share of the requests."""


@dataclass(frozen=True)
class LiveSet:
    """Which releases are in use. `LiveSets.change` sets the fields from ``generation`` on."""

    stable: str
    """Id of the release that answers whoever is in no arm."""
    previous: str | None = None
    """Id of the one that a rollback brings back."""
    arms: tuple[Arm, ...] = ()
    """The canary, or the arms of an A/B test, in the order of their assignment, see `Assignment`."""
    shadows: tuple[Arm, ...] = ()
    """Releases that are asked beside the stable one and answer nobody."""
    generation: int = 0
    """Number of the change that made this set; grows with each."""
    salt: str = ""
    """Key of the assignment of users to arms, hexadecimal. It stays while the arms are the same, whatever their shares:
    then a user leaves an arm only if its share shrinks."""
    audit: str = ""
    """SHA-256 (hex) of the line of this set in the audit log."""

    @property
    def canary(self) -> Arm | None:
        """The canary, if there is one."""
        return next((arm for arm in self.arms if arm.name == CANARY), None)

    @property
    def releases(self) -> set[str]:
        """Ids of all releases that it names."""
        named = {self.stable, *(arm.release for arm in (*self.arms, *self.shadows))}
        return named | ({self.previous} if self.previous else set())

    @property
    def asked(self) -> list[str]:
        """Ids of the releases that answer users or are asked, the stable one first."""
        return list(dict.fromkeys([self.stable, *(arm.release for arm in (*self.arms, *self.shadows))]))

    def check_arms(self, expected: Sequence[Arm] | None) -> None:
        """Raise ReleaseError if other arms than these run; None expects nothing."""
        if expected is not None and tuple(expected) != self.arms:
            running = ", ".join(f"{arm.name} (release {arm.release}) at {arm.share:.4g}" for arm in self.arms)
            raise ReleaseError(
                f"the arms were changed meanwhile, so nothing is done; now there are: {running or 'none'}; "
                "`cascade release history` tells who changed them"
            )

    def with_stable(self, release: str) -> LiveSet:
        """Another release is the stable one, and the one that was it the previous one. Arms end, as what they were
        compared with has gone, and so does a shadow of that release."""
        shadows = tuple(shadow for shadow in self.shadows if shadow.release != release)
        return replace(self, stable=release, previous=self.stable, arms=(), shadows=shadows)

    @property
    def shown(self) -> dict[str, Any]:
        """What the audit log says of it; arms and shadows only where there are some.

        With arms it has the salt, so that the arm of a user at any time in the past can be computed.
        """
        asked = {"arms": self.arms, "shadows": self.shadows}
        return {
            "generation": self.generation,
            "stable": self.stable,
            "previous": self.previous,
            **{name: [asdict(arm) for arm in arms] for name, arms in asked.items() if arms},
            **({"salt": self.salt} if self.arms else {}),
        }


class LiveSets:
    """Reads and changes the live set of a model.

    Args:
        repository: the model repository, ``export.repository``.
        model: ``export.model_name``.
        wait_s: seconds that a change waits for a change of another process.
    """

    def __init__(self, repository: Path, model: str, wait_s: float = WAIT_S) -> None:
        self.folder, self._wait_s = releases_folder(repository, model), wait_s
        self.file, self.log = self.folder / LIVE_SET, AuditLog(self.folder / AUDIT)

    def read(self) -> LiveSet | None:
        """The live set; None if no release was promoted yet.

        Raises:
            ReleaseError: the file is damaged.
        """
        try:
            text = self.file.read_text()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        try:
            found = _parsed(json.loads(text))
        except (ValueError, TypeError, AttributeError) as error:
            raise self._damaged(error) from error
        if fault := _fault(found):
            raise self._damaged(fault)
        return found

    def change(
        self,
        make: Callable[[LiveSet | None], LiveSet],
        *,
        actor: str,
        reason: str,
        action: Action = "change",
        figures: Mapping[str, Any] | None = None,
        keep_salt: bool = False,
    ) -> LiveSet:
        """Replace the live set by what ``make`` returns for it.

        Args:
            make: called with the live set, or None if there is none, while no other process can change it. What it
                raises leaves all as it is.
            actor: who changes it, see `this_process`.
            reason: why, in words.
            action: what is done, for the audit log.
            figures: what was measured for the decision; JSON can hold it.
            keep_salt: the arms that the salt was made for are back; with it, every user is in the same arm again.

        Returns:
            the live set from now on, with its generation.

        Raises:
            ReleaseError: another process is changing it, the file or the log is damaged, or they contradict each other.
            DiskError: the disk is full; nothing is changed.
        """
        with self._changing(actor) as before:
            after = make(before)
            line = AuditLine(actor, action, None, None, 0, reason, figures)
            return self._put(before, after, line, keep_salt) or after

    def clear(self, *, actor: str, reason: str, action: Action = "clear") -> None:
        """Have no live set any more, as before the first change; raises as `change` does."""
        with self._changing(actor) as before:
            self._put(before, None, AuditLine(actor, action, None, None, 0, reason))

    def history(self) -> AuditHistory:
        """The audit log; its faults include that it contradicts the live set.

        Raises:
            ReleaseError: the live set is damaged.
        """
        found = self.log.read()
        try:
            self._lost_changes(self.read(), found)
        except ReleaseError as error:
            return replace(found, faults=[*found.faults, str(error)])
        return found

    def checked(self) -> LiveSet | None:
        """The live set, where the audit log tells the same; None if no release was promoted yet.

        Raises:
            ReleaseError: one of both is damaged, gone or edited, or they contradict each other.
        """
        live, history = self.read(), self.history()
        if live != self.read():  # changed meanwhile
            return self.checked()
        if history.faults:
            raise ReleaseError(history.faults[0])
        return live

    @contextmanager
    def _changing(self, actor: str) -> Iterator[LiveSet | None]:
        """A context for a change, with the live set before it."""
        with disk_errors("changing the live set", self.folder), only_writer(self.folder, self._wait_s):
            for left in self.folder.glob(f".{LIVE_SET}.*"):
                left.unlink(missing_ok=True)
            yield self._healed(actor)

    def _healed(self, actor: str) -> LiveSet | None:
        """The live set, once the log says of a change that an ended process had only logged that it never was live."""
        live, history = self.read(), self.log.read()
        if history.faults:
            raise ReleaseError(f"{history.faults[0]}; {_START_ANEW}")
        lost = self._lost_changes(live, history)
        if not lost:
            return live
        reason = f"the process of generation {history.lines[-lost].generation} ended before its change was live"
        return self._put(live, live, AuditLine(actor, INTERRUPTED, None, None, 0, reason))

    def _lost_changes(self, live: LiveSet | None, history: AuditHistory) -> int:
        """Number of lines at the end of the log that never became live: a change, and attempts to take it back.

        Raises:
            ReleaseError: the live set and the log belong to different changes.
        """
        if live:
            found = [at for at, own in enumerate(history.hashes) if own == live.audit]
            if found and history.lines[found[-1]].new != live.shown:
                raise ReleaseError(f"{self.file}: differs from its line in {self.log.file.name}; {_START_ANEW}")
        else:
            found = [-1, *(at for at, line in enumerate(history.lines) if line.new is None)]
        lost = history.lines[found[-1] + 1 :] if found else None
        if lost is None or any(line.action != INTERRUPTED for line in lost[1:]):
            have = f"is of generation {live.generation}" if live else "is missing"
            last = history.lines[-1].generation if history.lines else 0
            raise ReleaseError(f"{self.file}: {have}, {self.log.file.name} ends with generation {last}; {_START_ANEW}")
        return len(lost)

    def _put(
        self, before: LiveSet | None, after: LiveSet | None, line: AuditLine, keep_salt: bool = False
    ) -> LiveSet | None:
        """Log and write a live set.

        Args:
            line: actor, action, reason and figures.
            keep_salt: see `change`.
        """
        history = self.log.read()
        generation = history.lines[-1].generation + 1 if history.lines else 1
        if after:
            same_arms = keep_salt or before and [arm.name for arm in before.arms] == [arm.name for arm in after.arms]
            salt = before.salt if before and (same_arms or not after.arms) else secrets.token_hex(16)
            after = replace(after, generation=generation, salt=salt)
        line = replace(
            line,
            old=history.lines[-1].new if history.lines else None,
            new=after.shown if after else None,
            generation=generation,
            hash_before=history.hashes[-1] if history.hashes else "",
        )
        after = after and replace(after, audit=line.hash)
        aside = self.folder / f".{LIVE_SET}.{os.getpid()}"
        try:
            if after:
                _write(aside, after)
            self.log.append(line, history.end)
            if after:
                aside.replace(self.file)
            else:
                self.file.unlink(missing_ok=True)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(self.folder)
        return after

    def _damaged(self, why: object) -> ReleaseError:
        return ReleaseError(f"{self.file}: damaged ({why}); {_START_ANEW}")


_START_ANEW = (
    "put back the files of a backup, or move live.json and audit.jsonl aside and promote the release that shall answer"
)
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "stable": str,
    "previous": (str, type(None)),
    "arms": tuple,
    "shadows": tuple,
    "generation": int,
    "salt": str,
    "audit": str,
}


def _write(file: Path, live: LiveSet) -> None:
    with file.open("w") as stream:
        stream.write(json.dumps(asdict(live), indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _parsed(raw: dict[str, Any]) -> LiveSet:
    """The live set in the JSON of a file. Its values are not checked.

    Raises:
        TypeError: it has other fields.
    """
    arms = {name: tuple(Arm(**each) for each in raw.get(name, ())) for name in ("arms", "shadows")}
    return LiveSet(**{**raw, **arms})


def _fault(live: LiveSet) -> str:
    """What is wrong with the values of a file; empty if nothing is."""
    wrong = [name for name, kind in _KINDS.items() if not isinstance(getattr(live, name), kind)]
    wrong += [name for name in ("stable", "salt", "audit") if getattr(live, name) == ""]
    for name in ("arms", "shadows"):
        wrong += [f"{name}.{arm.name}" for arm in getattr(live, name) if not _is_whole(arm)]
    if len({arm.name for arm in live.arms}) < len(live.arms):
        wrong.append("arms (a name occurs twice)")
    if not wrong and live.generation < 1:
        wrong = ["generation"]
    return f"{', '.join(wrong)}: wrong or missing" if wrong else ""


def _is_whole(arm: Arm) -> bool:
    texts = all(isinstance(text, str) and text for text in (arm.name, arm.release))
    return texts and isinstance(arm.share, int | float) and not isinstance(arm.share, bool) and 0 <= arm.share <= 1
