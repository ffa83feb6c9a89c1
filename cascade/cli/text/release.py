"""Releases as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.text_table import cell_text, table
from .quantities import percent

if TYPE_CHECKING:
    from ...rollout.refresh.refresh import Refreshed
    from ...rollout.releases.audit_log import AuditLine
    from ...rollout.releases.difference import Pair, ReleaseDifference
    from ...rollout.releases.live_set import LiveSet
    from ...rollout.releases.promotion import Switch
    from ...rollout.releases.store import StoredRelease


def marks(release: str, live: LiveSet | None, published: str | None) -> list[str]:
    """What a release is just now: stable, canary, an arm, shadow, previous, published."""
    arms = (*live.arms, *live.shadows) if live else ()
    roles = [
        ("stable", live and live.stable),
        *((f"{arm.name} {percent(arm.share)}", arm.release) for arm in arms),
        ("previous", live and live.previous),
        ("published", published),
    ]
    return [role for role, named in roles if named == release]


def releases_table(releases: Sequence[StoredRelease], marked: Mapping[str, Sequence[str]]) -> str:
    """One line for each release. A notice is counted; `cascade release show` tells it."""
    rows = [
        (
            each.id,
            ", ".join(marked[each.id]),
            each.created,
            each.pipeline,
            str(each.version),
            each.layout,
            _size(each.bytes),
            len(each.notices) or None,
        )
        for each in releases
    ]
    return table(("release", "", "created", "pipeline", "version", "layout", "size", "notices"), rows)


def release_text(release: StoredRelease, marked: Sequence[str], folder: Path) -> str:
    """A release with its parts and notices."""
    facts = [
        ("release", ", ".join([release.id, *marked])),
        ("created", release.created),
        ("pipeline", release.pipeline),
        ("version", str(release.version)),
        ("layout", release.layout),
        ("size", _size(release.bytes)),
        ("folder", str(folder)),
        *_refreshed(release),
        *((f"part {stage}", digest[:12]) for stage, digest in release.parts.items()),
        *(("notice", notice) for notice in release.notices),
    ]
    return "\n".join(f"{name:<16}  {value}" for name, value in facts)


def _refreshed(release: StoredRelease) -> list[tuple[str, str]]:
    """Which release it is a refresh of, and how many items that changed."""
    if (made := release.refreshed) is None:
        return []
    counts = ", ".join(f"{made[name]:,} {name}" for name in ("new", "changed", "removed"))
    return [("refreshed from", f"{made['from']}: {counts}")]


def difference_text(first: str, second: str, found: ReleaseDifference) -> str:
    """What differs, one line each; notices, which are long, below the table."""
    parts = {stage: (str(one or "")[:12], str(other or "")[:12]) for stage, (one, other) in found.parts.items()}
    rows = [
        *_rows("part ", parts),
        *_rows("serving.", found.settings),
        *_rows("", found.facts),
    ]
    if items := found.items:
        gained = f"{items.second:,} ({items.added:,} new, {items.gone:,} gone)"
        rows.append(("items", f"{items.first:,}", gained))
    notices = [(first, notice) for notice in found.notices_gone] + [(second, notice) for notice in found.notices_added]
    return "\n".join([table(("", first, second), rows), *(f"notice of {one} only: {text}" for one, text in notices)])


def refreshed_text(done: Refreshed, marked: Sequence[str]) -> str:
    """What a refresh has made of a release, and what that is: stable, canary ..."""
    role = f" ({', '.join(marked)})" if marked else ""
    if done.release is None:
        return (
            f"release {done.source}{role}: its {done.items:,} items are as they were; nothing to do{_not_there(done)}"
        )
    counts = f"{done.new:,} new, {done.changed:,} changed, {done.removed:,} removed"
    return f"release {done.release}: {done.items:,} items, {counts}; else as {done.source}{role}{_not_there(done)}"


def _not_there(done: Refreshed) -> str:
    return f"; {done.not_there:,} ids to take off are no items of it" if done.not_there else ""


def rollback_note(before: LiveSet | None, after: LiveSet | None, done: Refreshed) -> str:
    """What a rollback would do with the items that a refresh has taken off; empty if there is nothing to say."""
    if after is None or not done.removed:
        return ""
    if after.previous == done.source:
        return (
            f"a rollback to {done.source} brings the removed items ({done.removed:,}) back; if they must stay away, "
            "name them with --remove, without --release"
        )
    if before and before.stable != after.stable and after.previous is None:
        return f"there is no release to roll back to: {done.source} still has the removed items"
    return ""


def history_table(lines: Sequence[AuditLine]) -> str:
    """One line for each change."""
    rows = [
        (
            str(line.generation),
            line.time,
            line.actor,
            line.action,
            _answering(line.old),
            _answering(line.new),
            line.reason,
        )
        for line in lines
    ]
    return table(("", "time", "actor", "action", "from", "to", "reason"), rows)


def switch_text(switch: Switch) -> str:
    """What became of a change of the stable release."""
    live = switch.live
    if live is None:
        first = "no release is stable, as before"
    else:
        previous = f"; previous: {live.previous}" if live.previous else ""
        first = f"stable: {live.stable}{previous} (generation {live.generation})"
    lines = [
        f"process {server.pid}: answers with it after {server.seconds:.2f} s"
        if server.seconds is not None
        else f"process {server.pid}: {server.why_not}"
        for server in switch.servers
    ]
    if not lines:
        lines = ["no `cascade serve` of this model runs; the next one starts with it"]
    if switch.put_back:
        first = f"put back, because a server cannot load the release\n{first}"
    ended = [f"ended: {arm.name}, release {arm.release} at {percent(arm.share)}" for arm in switch.ended]
    return "\n".join([first, *ended, *lines])


def _rows(prefix: str, pairs: Mapping[str, Pair]) -> list[tuple[str, str, str]]:
    return [(f"{prefix}{name}", cell_text(one), cell_text(other)) for name, (one, other) in pairs.items()]


def _answering(live: Mapping[str, Any] | None) -> str:
    """The stable release, and the arms and shadows beside it."""
    if live is None:
        return ""
    arms = (*live.get("arms", ()), *live.get("shadows", ()))
    beside = (f"{arm['name']} {percent(arm['share'])} {arm['release']}" for arm in arms)
    return ", ".join([str(live["stable"]), *beside])


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
