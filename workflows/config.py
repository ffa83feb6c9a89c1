"""Config sections of the data side: schema, data, etl, history, feature_store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..core.section import Section


class SchemaConfig(Section):
    """Which columns become features; the table that a column is in decides its side."""

    dense: list[str] = []
    """Continuous columns: filled with the median of the training part, then normalized."""
    sparse: list[str]
    """Categorical columns, lists of categories included; user_id and item_id are always among them."""
    crosses: list[list[str]] = []
    """Groups of sparse columns of one side whose combination is a feature of its own."""
    text: list[str] = []
    """Items columns of free text: words and character n-grams, see ``etl.text``."""
    vectors: list[str] = []
    """Items columns of equally long lists of numbers: pretrained embeddings, each scaled to length 1."""

    @model_validator(mode="after")
    def _ids_are_features(self) -> SchemaConfig:
        missing = [name for name in ("user_id", "item_id") if name not in self.sparse]
        if missing:
            raise ValueError(f"sparse: must hold user_id and item_id, lacks {', '.join(missing)}")
        return self

    @property
    def cross_names(self) -> list[str]:
        """The feature name of each cross: its columns joined by ``_``, as NVTabular names a combination."""
        return ["_".join(columns) for columns in self.crosses]


class SplitConfig(Section):
    """How interactions are divided into train, valid and test."""

    by: Literal["last_item", "time", "column", "new_items"] = "last_item"
    """new_items tests on items that training has not seen: all interactions of some items are the test part."""
    valid_share: float = Field(default=0.2, gt=0, lt=1)
    """last_item: share of users whose second to last positive is validation. new_items: of users whose last positive of
    the other items is. time: share of all interactions."""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """time only: the last share of all interactions in time."""
    item_share: float = Field(default=0.1, gt=0, lt=1)
    """new_items only: share of the items that are held out, drawn at random."""
    column: str | None = None
    """column only: the interactions column that holds train, valid or test; default: ``split``."""

    @model_validator(mode="after")
    def _shares_leave_training(self) -> SplitConfig:
        if self.by == "time" and self.valid_share + self.test_share >= 1:
            shares = f"{self.valid_share} + {self.test_share}"
            raise ValueError(f"valid_share and test_share: must leave something to train on, are {shares}")
        return self


class SyntheticConfig(Section):
    """The synthetic shop."""

    interactions: int = Field(default=100_000, ge=10_000, le=100_000_000)
    users: int | None = None
    """Defaults to interactions / 50."""
    items: int | None = None
    """Defaults to interactions / 100, at most 100,000."""
    seed: int = 0


class LeakCheckConfig(Section):
    """What stops training because a model could look better offline than it can be."""

    enabled: bool = True
    ignore: list[str] = []
    """Features that are known before the event, however well they predict it; they are not checked."""
    max_auc: float = Field(default=0.98, gt=0.5, le=1)
    """Largest AUC that one feature alone may have against the label or the positives of the training part."""
    max_overlap: float | None = Field(default=None, ge=0, le=1)
    """Largest share of the held-out interactions that may be in another part of the split as well (same user, item and
    timestamp). Default: 0.001 where the source gives the split; 0.1 where we make it, as a log may repeat itself."""


class DataConfig(Section):
    """Where interactions come from and what counts as a positive."""

    source: Literal["movielens-100k", "synthetic", "tables"] = "movielens-100k"
    path: str | None = None
    """tables only: folder of interactions, users and items, each .parquet or .csv."""
    columns: dict[str, str] = {}
    """Our column name -> the source's column name, e.g. {item_id: movieId}."""
    separators: dict[str, str] = {}
    """Text column -> the separator that splits it into a list, e.g. {genres: "|"}."""
    positive: str | None = None
    """Expression over interactions, e.g. ``rating >= 4``; default: ``label == 1`` if there is a label, else all."""
    label: str | None = None
    """Expression over interactions, in the same language, that makes the 0/1 ``label`` of logged impressions where the
    table has none, e.g. ``rating >= 4``: with it every interaction is an impression."""
    labels: list[str] = []
    """Further interactions columns of 0 and 1 for the ranker to predict (``dlrm_ranker.labels``), e.g. [click, like].
    They are known after the event, so none is a feature. With them, interactions are logged impressions."""
    title: str | None = None
    """Items column to show to people beside an item id; default: ``title`` if there is one."""
    split: SplitConfig = SplitConfig()
    leak_check: LeakCheckConfig = LeakCheckConfig()
    synthetic: SyntheticConfig = SyntheticConfig()


class TextConfig(Section):
    """How ``schema.text`` becomes codes, or vectors with an ``encoder``."""

    buckets: int = Field(default=20_000, ge=1)
    """Rows of the embedding table that words and n-grams are hashed into."""
    length: int = Field(default=64, ge=1)
    """Words and n-grams kept of a text, words first."""
    ngrams: list[int] = [3, 4, 5]
    """Lengths of the character n-grams of each word, its boundaries marked; [] for words alone."""
    encoder: str | None = None
    """Folder of a sentence-transformers model on this machine; a text is then a vector that it computes, and the keys
    above count for nothing. Needs the extra ``text``: ``pip install merlin-cascade[text]``."""


class EtlConfig(Section):
    """How the NVTabular workflows run."""

    scheduler: str = "threads"
    """threads | local-cluster | cuda | tcp://host:port of a running Dask scheduler."""
    workers: int = Field(default=2, ge=1)
    memory_limit: str = "4GB"
    """What the ETL may hold at once; larger data goes through in partitions."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: cuDF where there is a GPU and cuDF, else pandas."""
    min_frequency: int = Field(default=1, ge=1)
    """A category seen less often than this in training is out of vocabulary."""
    text: TextConfig = TextConfig()
    max_size: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Sparse column or cross -> its most frequent categories in training that have a code, all others being out of
    vocabulary. Counted are rows of the column's table; for user_id and item_id, interactions."""
    hash_buckets: dict[str, Annotated[int, Field(ge=2)]] = {}
    """Sparse column or cross -> rows that it is hashed into, in place of a vocabulary, so that its embeddings do not
    grow with the catalogue. No value is rare or unknown to it: one never seen shares the row of others."""
    cross_buckets: int | None = Field(default=100_000, ge=2)
    """A cross of columns whose numbers of categories multiply to more than this is hashed into so many rows, others
    have a vocabulary of the combinations that occur in training; null: all have."""


class HistoryConfig(Section):
    """User history: the last items before the event, most recent first."""

    length: int = Field(default=50, ge=1)
    """How many item ids the models read."""
    seen: int = Field(default=1000, ge=1)
    """How many item ids the feature store keeps of a user's positives, and of what the user rejected: what drop_seen
    knows."""
    gaps: bool = False
    """Whether models also read how long before the next more recent item each one was: the feature ``history_gap``.
    The feature store keeps times for it, and a push has to say when its events were."""

    @model_validator(mode="after")
    def _seen_covers_length(self) -> HistoryConfig:
        if self.seen < self.length:
            raise ValueError(f"seen: must be at least length ({self.length}), is {self.seen}")
        return self


class FeatureStoreConfig(Section):
    """The Feast repository."""

    repo: str = "feature_repo"
    """Folder that holds feature_store.yaml and definitions.py."""
    project: str | None = None
    """Feast project; the config file's stem by default, so that two pipelines share a store without a clash."""
    online: Literal["sqlite", "redis"] = "sqlite"
    redis: str = "localhost:6379"
    """Feast's redis connection string, for ``online: redis``."""
