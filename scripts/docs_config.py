"""The configuration reference: one page for each section of ``pipeline.yaml``, written from the pydantic models."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from docs_types import default_text, held_sections, section_of, type_text
from pydantic.fields import FieldInfo

from cascade.config.pipeline import PipelineConfig
from cascade.core.extensible import NameOf
from cascade.core.section import Section

ROOT = Path(__file__).parents[1]
FOLDER = "reference/configuration"
PLACES = {"dlrm_ranker.labels": ("label", "long_view"), "tune": ("key", "two_tower.training.learning_rate")}
"""Keys that hold sections by name -> what the name is called, and one for examples."""


@dataclass(frozen=True)
class Key:
    """One key of the file, with the facts that its field states."""

    name: str
    info: FieldInfo
    section: type[Section] | None
    """The class of a key that holds further keys."""
    docstring: str = ""
    """Of the field."""

    @property
    def description(self) -> str:
        """The field's docstring; the class's for a section that its field does not describe."""
        return " ".join((self.docstring or (self.section.__doc__ if self.section else "") or "").split())

    @property
    def sentence(self) -> str:
        """What the key means."""
        return re.sub(r"(^|\s)(Unit|Example): .*", "", self.description)

    @property
    def unit(self) -> str:
        found = re.search(r"\bUnit: (.+?)\.(?=\s|$)", self.description)
        return found[1] if found else ""

    @property
    def example(self) -> str:
        """A value as the file takes it: the docstring's, or another value than the default of a choice."""
        found = re.search(r"\bExample: ``(.+?)``\.$", self.description)
        return found[1] if found else _other_choice(self.info)

    @property
    def command(self) -> str:
        """The example as an option of the command line; in an entry of a list, as the file has it."""
        name = self.name
        if "[]" in name:
            return f"{name.rpartition('.')[2]}: {self.example}"
        for parent, (place, real) in PLACES.items():
            name = name.replace(f"{parent}.<{place}>", f"{parent}.{real}")
        option = f"{name}={self.example}"
        return f"--set '{option}'" if re.search(r"[ {}\[\]\"|>=<]", self.example) else f"--set {option}"


def _other_choice(info: FieldInfo) -> str:
    if info.annotation is bool:
        return str(not info.default).lower()
    choices = _choices(info)
    return next((value for value in choices if value != info.default), *choices[:1]) if choices else ""


def _choices(info: FieldInfo) -> list[str]:
    """The values of a key that has few: a ``Literal``, or names of which further ones may be registered."""
    named = [name for m in info.metadata if isinstance(m, NameOf) for name in m.built_in]
    return [*named, *(value for value in get_args(info.annotation) if isinstance(value, str))]


def keys(model: type[Section] = PipelineConfig, prefix: str = "") -> Iterator[Key]:
    """Every key of the file: the keys of a section, then those of the sections in it."""
    texts = _docstrings(model)
    own = [
        Key(f"{prefix}{info.alias or field}", info, section_of(info.annotation), texts.get(field, ""))
        for field, info in model.model_fields.items()
    ]
    yield from own
    for key in own:
        several = held_sections(key.info.annotation)
        if key.section is not None:
            yield from keys(key.section, f"{key.name}.")
        elif several is not None:
            entry = f".<{PLACES[key.name][0]}>" if key.name in PLACES else "[]"
            yield from keys(several, f"{key.name}{entry}.")


def _docstrings(model: type[Section]) -> dict[str, str]:
    """The docstring below each field, of its own and of the classes before it.

    pydantic could read them itself, but would do so whenever a command starts: for a fifth of a second.
    """
    found = {}
    for base in reversed([base for base in model.__mro__ if issubclass(base, Section)]):
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in itertools.pairwise(tree.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(docstring))):
                    found[name] = inspect.cleandoc(docstring)
    return found


def pages() -> dict[str, str]:
    """Path below docs/ -> markdown: an index of all keys, and a page for each section."""
    every = list(keys())
    tops = [key for key in every if "." not in key.name]
    every = [key for top in tops for key in every if key.name == top.name or key.name.startswith(f"{top.name}.")]
    written = {f"{FOLDER}/{top.name}.md": _page(top, every) for top in tops}
    return {f"{FOLDER}/index.md": _index(tops, every), **written}


def _index(tops: list[Key], every: list[Key]) -> str:
    intro = (ROOT / "docs" / FOLDER / "intro.txt").read_text()
    sections = "\n".join(f"| [`{top.name}`]({top.name}.md) | {top.sentence} |" for top in tops)
    rows = "\n".join(
        f"| [`{key.name}`]({_link(key.name)}) | {type_text(key.info)} | {_cell(default_text(key.info))} |"
        for key in every
        if key.section is None
    )
    return (
        f"{intro}\n## Sections\n\n| section | what it sets |\n|---|---|\n{sections}\n\n"
        f"## All keys\n\n| key | type | default |\n|---|---|---|\n{rows}\n"
    )


def _page(top: Key, every: list[Key]) -> str:
    own = [key for key in every if key.name == top.name or key.name.startswith(f"{top.name}.")]
    about = [_as_in_pipeline(top.name)]
    about = [top.sentence, *about] if top.section is not None else [*about, *_facts(top)]
    parts = [f"# {top.name}", *about]
    group = top.name
    for key in own[1:]:
        parent = key.name.rpartition(".")[0]
        if key.section is not None:
            continue
        if parent != group:
            group = parent
            parts += [f"## {_heading(group)}", *_about(group, every)]
        parts += [f"### {_short(key.name)} {{ #{anchor(key.name)} }}", *_facts(key)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(key: Key) -> list[str]:
    unit = f" · unit: {key.unit}" if key.unit else ""
    facts = f"{type_text(key.info)} · default {default_text(key.info)}{unit}"
    example = f"Example: `{key.command}`" if key.example else ""
    return [f"{facts}\n{{ .facts }}", _with_code(key), example]


def _with_code(key: Key) -> str:
    """The sentence, with each choice that it explains as code."""
    found = key.sentence
    for choice in _choices(key.info):
        found = re.sub(rf"(^|\. ){re.escape(choice)}: ", rf"\1`{choice}`: ", found)
    return found


def _about(group: str, every: list[Key]) -> list[str]:
    """The sentence of a section; for a key that holds several of one class, the class's."""
    [key] = [key for key in every if key.name == re.sub(r"\.<\w+>$|\[\]$", "", group)]
    several = held_sections(key.info.annotation)
    return [" ".join((several.__doc__ or "").split()) if several else key.sentence]


def _as_in_pipeline(section: str) -> str:
    """The section as the demo's ``pipeline.yaml`` has it."""
    text = (ROOT / "pipeline.yaml").read_text()
    tree: Mapping[str, Any] = yaml.safe_load(text)
    if section not in tree:
        return ""
    found = re.search(rf"^{section}:.*\n(?:[ \t].*\n?)*", text, re.MULTILINE)
    return f'```yaml title="pipeline.yaml"\n{found[0].rstrip() if found else ""}\n```'


def _short(name: str) -> str:
    return f"`{name.rpartition('.')[2]}`"


def _heading(group: str) -> str:
    return f"`{group}` {{ #{anchor(group)} }}"


def anchor(name: str) -> str:
    """Where the page of a section shows a key."""
    return re.sub(r"[<>\[\]]", "", name)


def _link(name: str) -> str:
    top, _, below = name.partition(".")
    return f"{top}.md#{anchor(name)}" if below else f"{top}.md"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
