"""The public API as text: names, signatures and annotations. Run as a script, it renews ``api.txt``."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

FILE = Path(__file__).with_name("api.txt")
CONFIGS = ("DataConfig", "DlrmConfig")
"""Their keys are documented, and tested, as keys of the configuration."""
MODULES = ("cascade", "cascade.errors", "cascade.extensions", "cascade.testing")


def render() -> str:
    """A line for each public name and member, sorted."""
    import importlib

    lines = []
    for name in MODULES:
        module = importlib.import_module(name)
        for public in sorted(module.__all__):
            lines += [f"{name}.{line}" for line in _described(public, getattr(module, public))]
    return "\n".join(lines) + "\n"


def _described(name: str, thing: object) -> Iterator[str]:
    if isinstance(thing, ModuleType):
        yield f"{name}: module"
    elif inspect.isclass(thing):
        yield f"{name}: class({', '.join(base.__name__ for base in thing.__bases__)})"
        if thing.__name__ not in CONFIGS:
            yield from (f"{name}.{line}" for line in _members(thing))
    elif inspect.isfunction(thing):
        yield f"{name}{_signature(thing)}"
    else:
        yield f"{name}: {thing if 'typing' in type(thing).__module__ else type(thing).__name__}"


def _members(thing: type) -> Iterator[str]:
    """What a class of this package has: fields with annotations, properties, methods; not what others gave it."""
    found: dict[str, str] = {}
    for base in reversed([base for base in thing.__mro__ if base.__module__.startswith("cascade")]):
        found |= {
            name: f"{name}: {kind}" for name, kind in inspect.get_annotations(base).items() if not name.startswith("_")
        }
        for name, member in vars(base).items():
            if name.startswith("_") and name not in ("__init__", "__call__", "__len__", "__enter__"):
                continue
            if text := _member(name, member):
                found[name] = text
    yield from (found[name] for name in sorted(found))


def _member(name: str, member: object) -> str | None:
    if isinstance(member, property):
        return f"{name} -> {inspect.get_annotations(member.fget).get('return')}"
    if isinstance(member, (classmethod, staticmethod)):
        return f"{name}{_signature(member.__func__)}"
    return f"{name}{_signature(member)}" if inspect.isfunction(member) else None


def _signature(function: object) -> str:
    """With annotations as they are written, and no quotes around them."""
    return str(inspect.signature(function)).replace("'", "")


if __name__ == "__main__":
    FILE.write_text(render())
