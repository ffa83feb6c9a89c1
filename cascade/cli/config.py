"""``cascade config``: the merged configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from .options import NONE, PIPELINE, AsJson, ConfigFile, Sets, Verbose, load_with_origins, print_json


def show_config(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print the merged configuration and the origin of each value."""
    merged, origins = load_with_origins(config, sets)
    if as_json:
        print_json({"config": merged.tree(secrets=False), "origins": origins})
    else:
        typer.echo(config_text(merged.tree(secrets=False), origins))


def config_text(tree: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """The merged config as YAML, with the origin of each value as a comment."""
    lines = list(_config_lines(tree, origins))
    width = min(60, max(len(text) for text, _ in lines))
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines)


def _config_lines(tree: Mapping[str, Any], origins: Mapping[str, str], path: str = "") -> Iterator[tuple[str, str]]:
    """(line of YAML, origin); the line that opens a section has no origin."""
    indent = "  " * path.count(".")
    for name, value in tree.items():
        key = f"{path}{name}"
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_yaml(name)}:", ""
            yield from _config_lines(value, origins, f"{key}.")
        else:
            yield f"{indent}{_yaml(name)}: {_yaml(value)}", origins[key]


def _yaml(value: Any) -> str:
    """One value on one line."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
