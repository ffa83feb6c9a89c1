"""The reference of the command line, written from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

PAGE = "reference/cli.md"
INTRO = """# Command line

`cascade` is in `.venv/bin`, which `make setup` makes. Every command answers `--help`. Exit codes: 0 success, 1 an
internal error or a failed check, 2 wrong input (one line on stderr for each thing that is wrong), 70 a server that
crashed, 143 ended by SIGTERM.
"""


def pages() -> dict[str, str]:
    """Path below docs/ -> markdown: one page with every command."""
    parts = [INTRO, *(_section(command, context) for command, context in commands())]
    return {PAGE: "\n\n".join(parts) + "\n"}


def commands() -> Iterator[tuple[Any, Any]]:
    """Every command that does something, those of groups too, with the context that knows its full name."""
    from cascade.cli.main import app

    group = typer.main.get_command(app)
    yield from _below(group, group.make_context("cascade", [], resilient_parsing=True))


def _below(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    for name, command in sorted(group.commands.items()):
        own = command.make_context(name, [], parent=context, resilient_parsing=True)
        if hasattr(command, "commands"):
            yield from _below(command, own)
        else:
            yield command, own


def _section(command: Any, context: Any) -> str:
    name = context.command_path
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    example = re.sub(r"^Example: ", "", command.epilog or "")
    rows = "\n".join(_row(parameter, context) for parameter in command.params)
    table = f"| option | meaning | default | limits |\n|---|---|---|---|\n{rows}" if rows else ""
    help_text = re.sub(r"\s*\n\n\s*", "\n\n", command.help or "")
    shown = f"```console\n$ {example}\n```" if example else ""
    return "\n\n".join(part for part in (f"## {name}", help_text, f"Usage: `{usage}`", shown, table) if part)


def _row(parameter: Any, context: Any) -> str:
    """One line of the table: declaration, meaning with the environment variable, default, limits."""
    declaration, text = parameter.get_help_record(context)
    declaration = re.sub(r"<(?:list\[)?(.+?)\]?>", lambda kind: f"<{kind[1].removesuffix(' range')}>", declaration)
    meaning, _, extra = text.partition("  [")
    facts = [part for part in extra.removesuffix("]").split("; ") if part]
    default = "".join(part.removeprefix("default: ") for part in facts if part.startswith("default: "))
    variable = "".join(part.removeprefix("env var: ") for part in facts if part.startswith("env var: "))
    limits = [_limit(part) for part in facts if not part.startswith(("default: ", "env var: "))]
    meaning += f" Environment variable: {variable}." if variable else ""
    return f"| `{declaration}` | {_cell(meaning)} | {_cell(default)} | {_cell(', '.join(limits))} |"


def _limit(text: str) -> str:
    """``x>=1`` as ``at least 1``, ``0<=x<=1`` as ``0 to 1``."""
    if text.startswith("x>="):
        return f"at least {text.removeprefix('x>=')}"
    return re.sub(r"^(.+)<=x<=(.+)$", r"\1 to \2", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
