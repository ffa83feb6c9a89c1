"""Extensions: things of other packages or of a notebook that a pipeline refers to by name.

A package announces one as an entry point of the group ``cascade.<kind>s``; code of the same process calls `register`.
The built-in ones stay in the tables of their rooms (``OPS``, ``LOSSES``, ...), which `find` is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_args, overload

from .errors import CascadeError, ConfigError
from .suggest import nearest

Kind = Literal["source", "op", "interaction", "loss", "index", "baseline", "metric"]
Thing = TypeVar("Thing")

BUILT_IN: Mapping[Kind, tuple[str, ...]] = {
    "source": ("movielens-100k", "synthetic", "tables"),
    "op": (
        *("lookup_user", "transform", "encode_query", "retrieve", "merge_neighbours", "drop_seen"),
        *("lookup_items", "rank", "order", "respond"),
    ),
    "interaction": ("dot", "concat", "cross"),
    "loss": ("bpr", "softmax", "sampled_softmax"),
    "index": ("auto", "flat", "ivf", "hnsw", "gpu_flat", "gpu_ivf", "gpu_hnsw"),
    "baseline": (
        *("popularity", "ials", "item_knn", "ease", "recency_ease", "markov"),
        *("lightgbm", "factorization_machine"),
    ),
    "metric": ("recall", "ndcg", "map", "mrr"),
}
"""Kind -> the names that the package has itself. Written down here, so that a config is checked without importing
TensorFlow for its losses or FAISS for its indexes."""

PRINTED: Mapping[Kind, tuple[str, ...]] = {"metric": ("coverage",)}
"""Kind -> further names that results use already."""
NAME = re.compile(r"[A-Za-z0-9_.-]+")

_registered: dict[Kind, dict[str, Any]] = {kind: {} for kind in get_args(Kind)}


@overload
def register(kind: Kind, name: str, thing: Thing, *, replace: bool = False) -> Thing: ...
@overload
def register(kind: Kind, name: str, *, replace: bool = False) -> Callable[[Thing], Thing]: ...
def register(kind: Kind, name: str, thing: Any = ..., *, replace: bool = False) -> Any:
    """Make ``thing`` available under ``name`` in this process; without ``thing``, a decorator that does so.

    Other processes do not see it: Triton's model processes, and workers that `cascade run --workers` starts. Those find
    what an installed package announces as an entry point of the group ``cascade.<kind>s``, e.g. ``cascade.losses``.

    Args:
        kind: what it is; the contract of each kind is a class of `cascade.testing`, ``LossContract`` and so on.
        name: as a config names it: letters, digits and ``_.-``. An op's name is its ``kind``.
        thing: the class or function.
        replace: take the place of what was registered under that name before, as a notebook's cell does when it is run
            again. A built-in name or an entry point cannot be replaced.

    Returns:
        ``thing``, unchanged.

    Raises:
        ConfigError: the kind does not exist, the name is taken or not allowed, ``thing`` cannot be called, or the name
            is not the op's ``kind``.

    Example:
        >>> import cascade
        >>> @cascade.register("metric", "hit_rate", replace=True)
        ... def hit_rate(hits, relevant, k):
        ...     return hits[:, :k].any(axis=1).astype(float)
    """
    if thing is ...:  # not None, which is a mistake of the caller
        _check_name(kind, name)
        return lambda decorated: register(kind, name, decorated, replace=replace)
    _check(kind, name, thing)
    known = _registered[kind]
    if name in known and known[name] is not thing and not replace:
        raise ConfigError(
            f"{kind} {name!r}: is registered already, as {_origin(known[name])}; choose another name, or register it "
            "with replace=True"
        )
    known[name] = thing
    return thing


def registered(kind: Kind) -> list[str]:
    """Names of this kind that are registered or announced as entry points, sorted; built-in ones are not among them."""
    return sorted({*_registered[kind], *_entry_points(kind)})


def choices(kind: Kind) -> list[str]:
    """Every name that a config may give for this kind: the built-in ones, then the others."""
    return [*BUILT_IN[kind], *registered(kind)]


def find(kind: Kind, name: str, built_in: Mapping[str, Any]) -> Any:
    """What ``name`` stands for.

    Args:
        built_in: the room's own table, which comes first.

    Raises:
        ConfigError: there is no such name, several packages announce it, or its entry point cannot be imported.
    """
    if name in built_in:
        return built_in[name]
    announced = _entry_points(kind).get(name, [])
    if name in _registered[kind] and not announced:
        return _registered[kind][name]
    if not announced:
        raise ConfigError(f"{kind} {name!r}: no such {kind}; {nearest(name, [*built_in, *registered(kind)])}")
    thing = _loaded(kind, name, announced)
    if _registered[kind].get(name, thing) is not thing:
        raise ConfigError(
            f"{kind} {name!r}: {_distribution(announced[0])} announces it, and this process has registered "
            f"{_origin(_registered[kind][name])} under that name; rename one of them"
        )
    return thing


@contextmanager
def naming(kind: Kind, name: str) -> Iterator[None]:
    """Name the extension in errors that its code raises within the context.

    Raises:
        ConfigError: in place of any exception that is not a `CascadeError`, and caused by it.
    """
    try:
        yield
    except CascadeError:
        raise
    except Exception as error:
        raise ConfigError(f"{kind} {name!r}: raised {type(error).__name__}: {error}") from error


def group(kind: Kind) -> str:
    """The entry-point group of a kind, e.g. ``cascade.losses``."""
    return f"cascade.{'indexes' if kind == 'index' else 'losses' if kind == 'loss' else kind + 's'}"


def _entry_points(kind: Kind) -> dict[str, list[Any]]:
    """Name -> what installed packages announce under it."""
    from importlib.metadata import entry_points

    found: dict[str, list[Any]] = {}
    for point in entry_points(group=group(kind)):
        if point.name in BUILT_IN[kind]:
            raise ConfigError(
                f"{kind} {point.name!r}: {_distribution(point)} announces it, and it is the name of a built-in {kind}"
            )
        found.setdefault(point.name, []).append(point)
    return found


def _loaded(kind: Kind, name: str, announced: list[Any]) -> Any:
    """The object of an entry point, checked as `register` checks it."""
    if len({point.value for point in announced}) > 1:
        several = " and ".join(sorted(_distribution(point) for point in announced))
        raise ConfigError(f"{kind} {name!r}: {several} both announce it; uninstall one of them")
    point = announced[0]
    try:
        thing = point.load()
    except Exception as error:
        raise ConfigError(
            f"{kind} {name!r}: {_distribution(point)} announces {point.value}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    _check(kind, name, thing)
    return thing


def _check_name(kind: Kind, name: str) -> None:
    """Raise ConfigError unless an extension of this kind may have this name."""
    if not isinstance(kind, str) or kind not in _registered:
        raise ConfigError(f"kind {kind!r}: no such kind of extension; {nearest(str(kind), list(_registered))}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{kind} {name!r}: expected a name of letters, digits, '_', '.' and '-'")
    if name in (*BUILT_IN[kind], *PRINTED.get(kind, ())):
        raise ConfigError(f"{kind} {name!r}: is the name of a built-in {kind}; choose another")


def _check(kind: Kind, name: str, thing: Any) -> None:
    """Raise ConfigError unless ``thing`` may have this name."""
    _check_name(kind, name)
    if not callable(thing):
        raise ConfigError(f"{kind} {name!r}: expected a class or a function, got {thing!r}")
    if kind == "op" and getattr(thing, "kind", None) != name:
        raise ConfigError(f"op {name!r}: its class says kind = {getattr(thing, 'kind', None)!r}; both must be equal")


def _distribution(point: Any) -> str:
    return str(point.dist.name) if point.dist is not None else "an installed package"


def _origin(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '?')}.{getattr(thing, '__qualname__', repr(thing))}"
