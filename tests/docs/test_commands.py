"""The commands of the documentation and of the examples' head comments are understood as they are written."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from shipping import ROOT
from typer._click.exceptions import UsageError

from cascade.cli.main import app
from cascade.config.load import config_with_origins

PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "examples").glob("*.yaml")]
)
FENCE = re.compile(r"^( *)```[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"^(?:[ $]*|#  +)(cascade [a-z].*)$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(cascade [a-z][^`]*)`")
GROUP = typer.main.get_command(app)


def commands(page: Path) -> Iterator[tuple[list[str], bool]]:
    """The arguments of each command, and whether it is complete: text may name a command without what it needs."""
    text = re.sub(r"<[^<>\n]+>", "placeholder", page.read_text())
    whole = text if page.suffix == ".yaml" else "\n".join(block for _, block in FENCE.findall(text))
    for line in LINE.findall(whole):
        yield shlex.split(line, comments=True)[1:], True
    for inline in INLINE.findall(FENCE.sub("", text)):
        yield shlex.split(" ".join(inline.split()))[1:], False


def parsed(arguments: list[str], complete: bool) -> dict[str, Any]:
    """The options of a command by name; empty if it lacks what it needs and need not be complete.

    Raises:
        UsageError: there is no such command or option, or a value is missing or of the wrong kind.
    """
    command, context = GROUP, GROUP.make_context("cascade", arguments)
    try:
        while hasattr(command, "commands"):
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)
    except UsageError as error:
        if complete or not re.search("Missing|requires an argument", error.format_message()):
            raise
        return {}
    return dict(context.params)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_the_options_and_keys_that_they_name(page: Path) -> None:
    for arguments, complete in commands(page):
        given = parsed(arguments, complete)
        file = ROOT / str(given.get("config"))
        if given.get("sets") and file.is_file():
            config_with_origins(file, [*given["sets"], *_path(file)], environ={})


def _path(file: Path) -> list[str]:
    """Examples of tables need a folder; the command may have given one."""
    return ["data.path=tables"] if "source: tables" in file.read_text() else []


def test_commands_are_found() -> None:
    found = {" ".join(arguments) for page in PAGES for arguments, _ in commands(page)}
    assert {"data fetch beauty", "plan -c shop.yaml", "run -c examples/shop.yaml"} <= found
    assert len(found) > 60


@pytest.mark.parametrize("wrong", [["run", "--onlyy", "data"], ["runn"], ["features", "pushh"], ["bench", "--items=a"]])
@pytest.mark.parametrize("complete", [True, False])
def test_a_wrong_command_is_noticed(wrong: list[str], complete: bool) -> None:
    with pytest.raises(UsageError):
        parsed(wrong, complete)
