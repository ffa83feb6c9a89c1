"""Promotion, rollback and refresh: other releases are live, and the running servers take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import ReleaseError
from ...ensemble.protocol.arms import CANARY
from .audit_log import Action
from .live_set import Arm, LiveSet, LiveSets
from .servers import Arrival, answering, wait_for_servers
from .store import ReleaseStore
from .writer_lock import this_process


@dataclass(frozen=True)
class Switch:
    """What became of a change of the stable release."""

    live: LiveSet | None
    """The live set now."""
    servers: Sequence[Arrival]
    """The running servers; empty if there are none."""
    put_back: bool
    """Whether a server refused the release, and the live set is as it was before."""
    ended: Sequence[Arm] = ()
    """Arms that answered before, and shadows that were asked, and are not any more."""

    @property
    def whole(self) -> bool:
        """Whether every running server has the release."""
        return all(server.seconds is not None for server in self.servers)


def promote(
    store: ReleaseStore,
    release: str,
    reason: str,
    timeout_s: float,
    figures: Mapping[str, Any] | None = None,
    expected: Sequence[Arm] | None = None,
) -> Switch:
    """Make ``release`` the stable one, and the one that was stable the previous one.

    If no release was promoted before, the previous one is that of the running servers, if it is kept. A canary of this
    release ends with it.

    Args:
        release: its whole id.
        reason: for the audit log.
        timeout_s: seconds that the servers have to take it.
        figures: what was measured for the decision, for the audit log.
        expected: the arms that the decision is about; if others run by now, nothing is changed.

    Raises:
        ReleaseError: it is not kept or is the stable one already, other releases have arms, or the live set cannot be
            changed now.
        ArtifactError: a file of the release is missing or damaged; nothing is changed.
    """

    def make(live: LiveSet | None) -> LiveSet:
        if live and live.stable == release:
            raise ReleaseError(f"release {release}: is the stable one already")
        store.folder(release)
        if live is None:
            return LiveSet(release, _running(store, release))
        live.check_arms(expected)
        if others := [arm.name for arm in live.arms if (arm.name, arm.release) != (CANARY, release)]:
            raise ReleaseError(
                f"model {store.model}: users are in {', '.join(others)}, which is compared with the stable release; "
                "end that first with `cascade release stop`"
            )
        return live.with_stable(release)

    make(_sets(store).read())
    store.verify(release)
    return _switch(store, make, "promote", reason, timeout_s, figures)


def rollback(store: ReleaseStore, reason: str, timeout_s: float) -> Switch:
    """Make the previous release the stable one again, and the stable one the previous one. All arms end: what they were
    compared with has gone.

    Raises:
        ReleaseError: there is no previous one, it is that of an arm or is not kept any more, or the live set cannot be
            changed now.
    """

    def make(live: LiveSet | None) -> LiveSet:
        if live is None or live.previous is None:
            raise ReleaseError(
                f"model {store.model}: there is no previous release to go back to; `cascade release promote` takes any "
                "that `cascade release list` shows"
            )
        if back := [arm.name for arm in live.arms if arm.release == live.previous]:
            raise ReleaseError(
                f"release {live.previous}: would answer everybody, and is {back[0]} now; `cascade release stop` gives "
                "its users the stable release again"
            )
        store.folder(live.previous)
        return live.with_stable(live.previous)

    return _switch(store, make, "rollback", reason, timeout_s)


def forget_previous(store: ReleaseStore, release: str) -> LiveSet:
    """Have no previous release any more; a rollback then has none to bring back.

    Args:
        release: whole id of the previous one.

    Raises:
        ReleaseError: it is not the previous one, or the live set cannot be changed now.
    """

    def make(live: LiveSet | None) -> LiveSet:
        if live is None or live.previous != release:
            raise ReleaseError(f"release {release}: is not the previous one; `cascade release list` shows which is")
        return replace(live, previous=None)

    return _sets(store).change(make, actor=this_process(), reason=f"{release} is given up", action="retire")


def renew(
    store: ReleaseStore,
    renewed: Mapping[str, str],
    reason: str,
    timeout_s: float,
    figures: Mapping[str, Any] | None = None,
    *,
    with_previous: bool,
    action: Action = "refresh",
) -> Switch:
    """Have refreshed releases take the place of those that they were made from, all at once. Names, shares and users of
    arms stay.

    Args:
        renewed: release -> the one that takes its place, or itself. Names all that answer or are asked.
        reason: for the audit log.
        timeout_s: seconds that the servers have to take the stable one.
        figures: what was measured for the decision, for the audit log.
        with_previous: whether ``renewed`` names the previous release, which stays the previous one. Else the stable one
            becomes it.

    Raises:
        ReleaseError: another release is in use by now, or one of an arm would be the stable one; nothing is changed.
        ArtifactError: a file of a release is missing or damaged; nothing is changed.
    """

    def make(live: LiveSet | None) -> LiveSet:
        needed = [*live.asked, *([live.previous] if with_previous and live.previous else [])] if live else []
        if live is None or not renewed.keys() >= set(needed):
            raise ReleaseError(
                f"model {store.model}: other releases are in use than when the refresh began, so nothing is changed; "
                "`cascade release history` tells who changed them. Refresh again"
            )
        for release in renewed.values():
            store.folder(release)
        stable = renewed[live.stable]
        arms, shadows = (
            tuple(replace(arm, release=renewed[arm.release]) for arm in each) for each in (live.arms, live.shadows)
        )
        for arm in (*arms, *shadows):
            if arm.release == stable:
                raise ReleaseError(
                    f"{arm.name}: its release {stable} is the stable one with these items, so there is nothing to "
                    "compare; end it first with `cascade release stop` or `cascade release shadow --off`"
                )
        if with_previous:
            previous = renewed[live.previous] if live.previous else None
        else:
            previous = live.previous if stable == live.stable else live.stable
        previous = None if previous == stable else previous
        return replace(live, stable=stable, previous=previous, arms=arms, shadows=shadows)

    make(_sets(store).read())
    for release in set(renewed.values()) - renewed.keys():
        store.verify(release)
    return _switch(store, make, action, reason, timeout_s, figures)


def _switch(
    store: ReleaseStore,
    make: Callable[[LiveSet | None], LiveSet],
    action: Action,
    reason: str,
    timeout_s: float,
    figures: Mapping[str, Any] | None = None,
) -> Switch:
    """Change the live set and wait for the servers. If one of them refuses the release, put the live set back."""
    sets, actor = _sets(store), this_process()
    replaced: list[LiveSet | None] = []

    def noted(live: LiveSet | None) -> LiveSet:
        replaced[:] = [live]
        return make(live)

    live = sets.change(noted, actor=actor, reason=reason, action=action, figures=figures)
    servers = wait_for_servers(store.repository, store.model, live, timeout_s)
    refused = [server for server in servers if server.refused]
    if not refused:
        names = {arm.name for arm in (*live.arms, *live.shadows)}
        before = (*replaced[0].arms, *replaced[0].shadows) if replaced[0] else ()
        return Switch(live, servers, put_back=False, ended=[arm for arm in before if arm.name not in names])
    why = f"process {refused[0].pid} cannot load release {live.stable}: {refused[0].why_not}"
    _put_back(sets, replaced[0], live, actor, why)
    return Switch(sets.read(), servers, put_back=True)


def _put_back(sets: LiveSets, before: LiveSet | None, after: LiveSet, actor: str, why: str) -> None:
    """Let the live set be ``before`` again."""
    if before is None:
        sets.clear(actor=actor, reason=why, action="put back")
        return

    def make(live: LiveSet | None) -> LiveSet:
        if live != after:
            raise ReleaseError(f"{sets.file}: another process has changed it meanwhile, so it stays as it is; {why}")
        return replace(after, stable=before.stable, previous=before.previous, arms=before.arms, shadows=before.shadows)

    sets.change(make, actor=actor, reason=why, action="put back", keep_salt=True)


def _running(store: ReleaseStore, release: str) -> str | None:
    """The release that running servers answer with, if it is another one than ``release``, the only one, and kept."""
    found = answering(store.repository, store.model) - {release}
    kept = {each.id for each in store.releases()}
    return next(iter(found)) if len(found) == 1 and found <= kept else None


def _sets(store: ReleaseStore) -> LiveSets:
    return LiveSets(store.repository, store.model)
