"""Canaries, A/B tests and shadows: which other releases are asked, and for how many users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...core.errors import ReleaseError
from ...ensemble.protocol.arms import CANARY
from ...ensemble.protocol.assignment import Assignment
from ...ensemble.server.releases.switch import alike
from ...ensemble.server.served_model import config_file
from .audit_log import Action
from .live_set import Arm, LiveSet, LiveSets
from .store import ReleaseStore
from .writer_lock import this_process


def start_canary(
    store: ReleaseStore,
    release: str,
    share: float,
    reason: str,
    figures: Mapping[str, Any] | None = None,
    expected: Sequence[Arm] | None = None,
) -> LiveSet:
    """Have a release answer a share of the users, or change the share that it has.

    Args:
        release: its whole id.
        share: from 0 to 1.
        reason: for the audit log.
        figures: what was measured for the decision, for the audit log.
        expected: the arms that the decision is about; if others run by now, nothing is changed.

    Raises:
        ConfigError: the share is none.
        ReleaseError: the release is not kept or is the stable one, other arms run, or the live set cannot be changed.
        ArtifactError: a file of the release is missing or damaged.
    """
    arms = (Arm(CANARY, release, share),)

    def make(live: LiveSet) -> LiveSet:
        live.check_arms(expected)
        if live.arms and [(arm.name, arm.release) for arm in live.arms] != [(CANARY, release)]:
            raise ReleaseError(_busy(store, live))
        return replace(live, arms=arms)

    return _change(store, arms, make, "canary", reason, figures)


def start_arms(store: ReleaseStore, arms: Sequence[Arm], reason: str) -> LiveSet:
    """Begin an A/B test of these arms beside the stable release, or change their shares; raises as `start_canary`."""

    def make(live: LiveSet) -> LiveSet:
        if live.arms and [(arm.name, arm.release) for arm in live.arms] != [(arm.name, arm.release) for arm in arms]:
            raise ReleaseError(_busy(store, live))
        return replace(live, arms=tuple(arms))

    return _change(store, arms, make, "ab", reason)


def set_shadows(store: ReleaseStore, shadows: Sequence[Arm], reason: str) -> LiveSet:
    """Have these releases, and no others, be asked beside the stable one; raises as `start_canary`."""
    live = LiveSets(store.repository, store.model).read()
    if live is not None and live.shadows == tuple(shadows):
        return live
    return _change(store, shadows, lambda live: replace(live, shadows=tuple(shadows)), "shadow", reason)


def check_not_stable(live: LiveSet | None, release: str) -> None:
    """Raise ReleaseError if this is the stable release, which cannot be compared with itself."""
    if live and live.stable == release:
        raise ReleaseError(f"release {release}: is the stable one already")


def stop_arms(
    store: ReleaseStore,
    reason: str,
    figures: Mapping[str, Any] | None = None,
    action: Action = "stop",
    expected: Sequence[Arm] | None = None,
) -> LiveSet:
    """Have the stable release answer everybody again.

    Args:
        expected: the arms that the decision is about; if others run by now, nothing is changed.

    Raises:
        ReleaseError: there is no canary and no A/B test, or the live set cannot be changed.
    """

    def make(live: LiveSet | None) -> LiveSet:
        if live is None or not live.arms:
            raise ReleaseError(f"model {store.model}: there is no canary and no A/B test to end")
        live.check_arms(expected)
        return replace(live, arms=())

    sets = LiveSets(store.repository, store.model)
    return sets.change(make, actor=this_process(), reason=reason, action=action, figures=figures)


def _change(
    store: ReleaseStore,
    arms: Sequence[Arm],
    make: Callable[[LiveSet], LiveSet],
    action: Action,
    reason: str,
    figures: Mapping[str, Any] | None = None,
) -> LiveSet:
    sets = LiveSets(store.repository, store.model)
    Assignment("any", [(arm.name, arm.share) for arm in arms])
    before = sets.read()
    known = before.releases if before else set()
    for release in {arm.release for arm in arms} - known:
        store.verify(release)

    def checked(live: LiveSet | None) -> LiveSet:
        if live is None:
            raise ReleaseError(
                f"model {store.model}: no release is stable yet; `cascade serve` or `cascade release promote` makes one"
            )
        for arm in arms:
            check_not_stable(live, arm.release)
            _check_alike(store, live.stable, arm.release)
        changed = make(live)
        if both := {arm.name for arm in changed.arms} & {shadow.name for shadow in changed.shadows}:
            raise ReleaseError(f"an arm and a shadow would both be called {both.pop()!r}; give the arm another name")
        return changed

    return sets.change(checked, actor=this_process(), reason=reason, action=action, figures=figures)


def _check_alike(store: ReleaseStore, stable: str, release: str) -> None:
    one, other = (config_file(store.folder(each), store.model) for each in (release, stable))
    if not alike(one, other):
        raise ReleaseError(
            f"release {release}: has other inputs, outputs or stages than {stable}, the stable one, so it can answer "
            f"none of its requests; `cascade release diff {stable} {release}` shows the difference, and "
            f"`cascade release promote {release}` replaces it"
        )


def _busy(store: ReleaseStore, live: LiveSet) -> str:
    running = ", ".join(f"{arm.name} (release {arm.release})" for arm in live.arms)
    return f"model {store.model}: {running} answers some users already; end that first with `cascade release stop`"
