"""A release in this process: the graph that Triton serves, without Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ArtifactError, FeatureStoreError
from ..ensemble.graph.executor import Executor
from ..ensemble.graph.graph_file import damage_named
from ..ensemble.repository.digests import check_files
from .answers import Recommendations, SimilarItems
from .arguments import expect_path
from .locate import Source, connection_of, default_repo, hint_of_repo, locate, warn_of_other_features
from .request import Inputs

if TYPE_CHECKING:
    import pandas as pd

    from .explanation import Explanation

    Users: TypeAlias = Sequence[int] | Sequence[str] | NDArray[Any] | pd.Series | pd.DataFrame | Mapping[str, Any]
    """B raw user ids, or a table with the column user_id and, optionally, context columns."""
    Items: TypeAlias = Sequence[int] | Sequence[str] | NDArray[Any] | pd.Series

VECTORS = "item_vectors"


def open_release(source: Source, *, feature_repo: str | Path | None = None) -> Release:
    """Load an exported release into this process.

    It answers what `Server` answers for the same requests, from the same files and the same feature store.

    Args:
        source: a `PipelineConfig` that `run` has exported with, the artifact ``run(config)["export"]``, or a folder: a
            model repository with one model, a model in it, or one of its versions.
        feature_repo: the Feast repository to look users up in. Default: the config's, that of the run that made the
            artifact, else ``CASCADE_FEATURE_REPO``, else ``feature_repo`` in the current folder.

    Raises:
        ArtifactError: there is no release, it is damaged, it was exported by another version of this package, or the
            repository of a config holds the release of another one.
        ConfigError: ``source`` is none of these, or ``feature_repo`` is no path.
        FeatureStoreError: the feature store is not there.

    Example:
        >>> with cascade.open_release("model_repository") as release:
        ...     release.recommend([42], top_k=10).to_frame()
    """
    from ..evaluation.served_graph import feature_repo_at

    expect_path("feature_repo", feature_repo)
    folder, recorded = locate(source)
    repo = feature_repo or recorded or default_repo()
    try:
        with feature_repo_at(repo, connection_of(source)):
            release = _load(folder)
            release._folder = folder
    except FeatureStoreError as error:
        raise FeatureStoreError(f"{error}{hint_of_repo(source, feature_repo, recorded)}") from error
    warn_of_other_features(folder, repo)
    return release


def _load(folder: Path) -> Release:
    """Load a version folder.

    Raises:
        ArtifactError: a file is missing or cannot be read.
    """
    with damage_named(folder):
        check_files(folder)
        release = Release(Executor.load(folder))
        _ = release.id  # release.json must have one
    return release


class Release:
    """A loaded release; made by `open_release`. Use as a context manager, or call `close`.

    All methods are batch first. They may be called from one thread at a time.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor: Executor | None = executor
        self._folder: Path | None = None
        self._inputs = Inputs(executor.inputs)

    @property
    def executor(self) -> Executor:
        """The request graph.

        Raises:
            ArtifactError: the release is closed.
        """
        if self._executor is None:
            raise ArtifactError("the release is closed; open it again with cascade.open_release")
        return self._executor

    @property
    def id(self) -> str:
        """The release's id, 12 hexadecimal digits; every answer carries it."""
        return str(self.executor.release["release"])

    @property
    def info(self) -> Mapping[str, Any]:
        """What release.json says: release, created (UTC), model, pipeline, parts (stage -> digest), notices,
        settings (the serving section)."""
        return dict(self.executor.release)

    @property
    def items(self) -> NDArray[Any]:
        """Raw ids of all items, int64 or str [n_items], ascending."""
        ids: NDArray[Any] = self._table("item_ids")
        return ids

    @property
    def context_columns(self) -> list[str]:
        """Names of the columns that a request's context may hold."""
        return self._inputs.context

    def recommend(
        self,
        users: Users,
        top_k: int | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        exclude: Items | None = None,
    ) -> Recommendations:
        """The best items for each of B users.

        An unknown user is no error: the answer is made from the context and what suits new users, with the reason
        ``unknown_user``.

        Args:
            users: B raw user ids (list, array, Series), or a DataFrame with the column ``user_id`` and any of the
                ``context_columns``. What is missing in a context column is treated as unknown.
            top_k: items for each user, at most ``serving.ann.topk``; default: ``serving.rerank.k``.
            context: context column -> a value for all users, or B values.
            temperature: of the softmax that items are sampled from, 0 sorts by score; default:
                ``serving.rerank.temperature``.
            seed: makes sampling repeatable; default: a different one for each user and call.
            exclude: raw ids of items that nobody is to be shown; unknown ones are ignored.

        Raises:
            RequestError: an id, a context column or a control is not what the release takes; the message names it.

        Example:
            >>> release.recommend([42, 43], top_k=10, context={"hour": 20}).item_ids.shape
            (2, 10)
        """
        request = self.request(users, context, exclude, top_k=top_k, temperature=temperature, seed=seed)
        answer = self.run(request)
        return Recommendations(
            user_ids=request["user_id"][:, 0],
            item_ids=answer["item_ids"],
            scores=answer["scores"],
            propensities=answer["propensities"],
            reasons=[text.split(",") if text else [] for text in answer["reasons"][:, 0]],
            release=self.id,
        )

    def similar(self, items: Items, top_k: int = 10) -> SimilarItems:
        """The nearest items of each of B items, by the cosine of the retriever's item vectors, exactly.

        An unknown item is no error: its row is padding, with the reason ``unknown_item``.

        Args:
            items: B raw item ids.
            top_k: at least 1; more than there are items is cut to their number.

        Raises:
            RequestError: an id is not what the release takes, or top_k is not a whole number of at least 1.

        Example:
            >>> release.similar([50, 172], top_k=5).to_frame()
        """
        from .similar import check_top_k, nearest_items

        check_top_k(top_k)
        asked = self.ids("item_id", items)
        return nearest_items(asked, self.items, self._unit_vectors, min(top_k, len(self.items)))

    def explain(
        self,
        user: int | str,
        top_k: int | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        exclude: Items | None = None,
    ) -> Explanation:
        """How the answer for one user came about: what was known of the user, and what became of each item.

        The request is answered as `recommend` answers it, with the same arguments.

        Raises:
            RequestError: as `recommend`.

        Example:
            >>> why = release.explain(42, top_k=10)
            >>> why.history, why.items.head()
        """
        from .explanation import explain

        request = self.request([user], context, exclude, top_k=top_k, temperature=temperature, seed=seed)
        return explain(self.executor, request, self.items, self._table(VECTORS))

    def request(
        self, users: Users, context: Mapping[str, Any] | None = None, exclude: Items | None = None, **controls: Any
    ) -> dict[str, NDArray[Any]]:
        """What `recommend` is given, as the columns [B, ...] of the request graph, for `run`.

        Raises:
            RequestError: naming what the release does not take.
        """
        return self._inputs.columns(users, context, exclude, **controls)

    def ids(self, column: str, values: Items) -> NDArray[Any]:
        """Raw ids [n] of the column ``user_id`` or ``item_id`` in the dtype of the release: int64 or object.

        Raises:
            RequestError: naming the value that is no such id.
        """
        return self._inputs.ids(column, values)

    def run(self, request: Mapping[str, NDArray[Any]], keep: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """Answer a request of any size, in batches of at most ``serving.max_batch_size`` users.

        Args:
            request: input -> column [B, ...] in the graph's dtypes.
            keep: columns between the steps to return beside the outputs.

        Raises:
            RequestError: naming the input that cannot be answered.
        """
        from .batches import run_in_batches

        return run_in_batches(self.executor, request, keep)

    def close(self) -> None:
        """Let go of the models and tables; a later call raises `ArtifactError`."""
        self._executor = None
        self.__dict__.pop("_unit_vectors", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<Release, closed>" if self._executor is None else f"<Release {self.id}, {len(self.items):,} items>"

    @cached_property
    def _unit_vectors(self) -> NDArray[np.float32]:
        """Item vectors [n_items, D] of length 1."""
        vectors = np.asarray(self._table(VECTORS), np.float32)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.where(length > 0, length, np.float32(1))
        return unit

    def _table(self, name: str) -> Any:
        """What an op has loaded under a name: ``item_ids`` of respond, ``item_vectors`` of lookup_items."""
        for node in self.executor.nodes:
            tables = {"item_ids": getattr(node.op, "item_ids", None), **getattr(node.op, "tables", {})}
            if tables.get(name) is not None:
                return np.asarray(tables[name])
        raise ArtifactError(f"{self.id}: the release's graph holds no {name}")
