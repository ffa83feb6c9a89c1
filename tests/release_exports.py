"""Small export artifacts with real digests, which the store of releases takes; nothing in them can be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cascade.core.files import LINK_FROM
from cascade.ensemble.protocol.config_file import CONFIG
from cascade.ensemble.repository.digests import write_digests
from cascade.ensemble.repository.model_config import of_version
from cascade.ensemble.repository.release import ReleaseManifest

BIG = "files/item_vectors.npy"


def write_export(
    folder: Path,
    release: str,
    steps: tuple[str, ...] = (),
    day: int = 1,
    version: int = 1,
    code: str = "",
    settings: Mapping[str, Any] = MappingProxyType({}),
    notices: tuple[str, ...] = (),
    parts: Mapping[str, str] | None = None,
    refreshed: Mapping[str, Any] | None = None,
) -> None:
    """Write the models of a release: ``shop``, fused or an ensemble of ``steps``.

    Args:
        day: of January 2026, on which it was exported.
        code: what another version of this package would write otherwise.
    """
    created = f"2026-01-{day:02d}T00:00:00+00:00"
    parts = parts or {"index": f"digest of {release}"}
    manifest = ReleaseManifest(release, created, "shop", "shop", parts, notices, dict(settings), refreshed)
    names = "".join(f'step {{ model_name: "shop_{step}" model_version: -1 }}' for step in steps)
    config = 'name: "shop" ' + (f'platform: "ensemble" ensemble_scheduling {{ {names} }}' if steps else "")
    files = {"graph.json": f"{release}{code}".encode(), BIG: release.encode().ljust(LINK_FROM)}
    _write(folder / "shop", manifest, version, config, files)
    for step in steps:
        _write(folder / f"shop_{step}", manifest, version, f'name: "shop_{step}"', {"step.json": step.encode()})


def _write(model: Path, manifest: ReleaseManifest, version: int, config: str, files: dict[str, bytes]) -> None:
    place = model / str(version)
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    manifest.save(place / "release.json")
    text = of_version(config, version)
    write_digests(place, text)
    (model / CONFIG).write_text(text)
