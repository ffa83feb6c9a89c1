"""Config sections of the data side: schema, data, etl, history, feature_store."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializationInfo, field_serializer, model_validator

from ..core.extensible import NameOf
from ..core.section import ExtensibleSection, Section


class SchemaConfig(Section):
    """Which columns become features. The table that holds a column decides whether it belongs to the user, the item or
    the context."""

    dense: list[str] = []
    """Numeric columns. Missing values are filled with the median of the training part, then each column is
    standardized. Example: ``[age, price]``."""
    sparse: list[str]
    """Categorical columns, including columns that hold a list of categories. Must contain user_id and item_id. Example:
    ``[user_id, item_id, genres]``."""
    crosses: list[list[str]] = []
    """Groups of categorical columns of one side (user, item or context). Each group's combination of values is one more
    feature, named after its columns joined by ``_``. Example: ``[[gender, occupation]]``."""
    text: list[str] = []
    """Free-text columns of the items table. ``etl.text`` says how they are encoded. Example: ``[title]``."""
    vectors: list[str] = []
    """Columns of the items table that hold pretrained embeddings, as lists of numbers of one length. Each is scaled to
    length 1. Example: ``[image_embedding]``."""

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
    """What forms the test part. last_item: the last positive of each user. time: the latest interactions. column: the
    interactions that a column of the table marks. new_items: all interactions of some items, so that no tested item was
    seen in training."""
    valid_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the validation part. last_item: of the users, whose second-to-last positive validates. new_items: of the
    users, whose last positive among the other items validates. column: of the users, whose last training positive
    validates if the column marks no row as valid. time: of all interactions. With 0 there is no validation part: models
    train for all epochs, and what is chosen on it is left out. Example: ``0.1``."""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """time only: share of all interactions, the latest ones, that form the test part. Example: ``0.2``."""
    item_share: float = Field(default=0.1, gt=0, lt=1)
    """new_items only: share of the items, drawn at random, whose interactions form the test part. Example: ``0.05``."""
    column: str = "split"
    """column only: the interactions column that holds train, valid (or validation) or test. Example: ``part``."""

    @property
    def given(self) -> str | None:
        """The column that holds the split; None if it is computed."""
        return self.column if self.by == "column" else None

    @model_validator(mode="after")
    def _shares_leave_training(self) -> SplitConfig:
        if self.by == "time" and self.valid_share + self.test_share >= 1:
            shares = f"{self.valid_share} + {self.test_share}"
            raise ValueError(f"valid_share and test_share: must leave something to train on, are {shares}")
        return self


class SyntheticConfig(Section):
    """The synthetic shop."""

    interactions: int = Field(default=100_000, ge=10_000, le=100_000_000)
    """Number of interactions to generate. Example: ``1000000``."""
    users: int | None = None
    """Number of users. Default: interactions / 50. Example: ``5000``."""
    items: int | None = None
    """Number of items. Default: interactions / 100, at most 100,000. Example: ``2000``."""
    seed: int = 0
    """Seed of the generator. The same seed gives the same shop. Example: ``7``."""


class LeakCheckConfig(Section):
    """What counts as a leak: something that makes a model look better offline than it can be."""

    enabled: bool = True
    """Whether to look for leaks at the end of the data stage. A leak that is found stops the pipeline."""
    ignore: list[str] = []
    """Features to leave unchecked because their value is known before the event, however well they predict the label.
    Example: ``[price]``."""
    max_auc: float = Field(default=0.98, gt=0.5, le=1)
    """Largest AUC that a single feature may reach against the label or the positives of the training part. Example:
    ``0.95``."""
    max_overlap: float | None = Field(default=None, ge=0, le=1)
    """Largest share of the held-out interactions that may also be in another part of the split (same user, item and
    timestamp). Default: 0.001 if the source gives the split; 0.1 if cascade makes it, because a log may repeat itself.
    Example: ``0.01``."""


class CsvConfig(Section):
    """How CSV files are written."""

    delimiter: str = ","
    """What separates the columns: one character. Example: ``";"``."""
    quote: str | None = '"'
    """What encloses text that holds a delimiter or a line break: one character, which is doubled inside. null: nothing
    does. Example: ``"'"``."""
    escape: str | None = None
    """What stands before a quote or a delimiter inside a field, as in tables of Spark and MySQL: one character. With a
    backslash, ``\\N`` is a missing value. Example: ``"\\\\"``."""
    decimal: Literal[".", ","] = "."
    """The decimal sign of numbers, those that ``data.types`` reads from text included. Example: ``","``."""
    encoding: str = "utf-8"
    """Encoding of the text, by the name that Python has for it. Example: ``latin-1``."""

    @model_validator(mode="after")
    def _signs_differ(self) -> CsvConfig:
        for name, sign in (("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)):
            if sign is not None and (len(sign) != 1 or not sign.isascii() or sign in "\r\n"):
                raise ValueError(f'{name}: expected one ASCII character, is {sign!r}; a tab is "\\t" in double quotes')
        if self.escape is not None and self.escape == self.quote:
            raise ValueError(f"escape: is {self.escape!r}, as the quote is; a quote that is doubled needs no escape")
        for name, sign in (("quote", self.quote), ("escape", self.escape), ("decimal", self.decimal)):
            if sign == self.delimiter:
                raise ValueError(f"{name}: is {sign!r}, as the delimiter is; one of them must be another character")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(
                f"encoding: {self.encoding!r} is no encoding of text; e.g. utf-8, utf-16, latin-1, cp1252, shift_jis"
            ) from None
        return self


class DataConfig(ExtensibleSection):
    """Where interactions come from and what counts as a positive."""

    for_extensions: ClassVar[tuple[str, ...]] = ("options",)

    source: Annotated[str, NameOf("source")] = "movielens-100k"
    """Where the tables come from. movielens-100k: a public data set. synthetic: a made-up shop. tables: your own files.
    A registered source works as well."""
    path: str | None = None
    """tables only: folder with the tables interactions, users and items. Each is a file or a folder of part files,
    .parquet or .csv (also .csv.gz, .csv.bz2 and .csv.zst); a folder may have the bare name, as ``interactions/``. Below
    it, ``day=2024-01-02`` is a column ``day``. A relative path starts at the folder of the config file. Example:
    ``my-tables``."""
    csv: CsvConfig = CsvConfig()
    columns: dict[str, str | dict[str, str]] = {}
    """Renames columns: cascade's name -> the name in your tables. Below the name of a table, for this table alone.
    ``order`` names a column of interactions that sorts those of equal timestamps; without it their order is that of the
    rows in a table that stands as a log is written, and drawn in any other.
    Example: ``{timestamp: ts, items: {item_id: id}, users: {user_id: id}}``."""
    types: dict[str, Literal["int", "float", "text", "bool", "timestamp"]] = {}
    """tables only: column, by cascade's name -> the type that its values are read as, in every table that has it.
    Default: the type in the Parquet file, or for CSV the first of int, float, bool, timestamp and text that loses
    nothing of any value in the file; ids, and features of ``schema.sparse`` whose numbers would be written in another
    way, stay text. Example: ``{zip_code: text, price: float}``."""
    separators: dict[str, str] = {}
    """Text columns that hold lists: column -> the separator between the entries, or ``json`` for lists such as ``["a",
    "b"]`` or ``[0.1, 0.2]``. Example: ``{genres: "|", image_embedding: json}``."""
    keep: list[str] = []
    """Columns to keep in the data artifact beside those that the config names, for code of your own that reads it. What
    is neither named nor kept is not read. The columns of ``evaluation.slices`` are kept in any case. Example:
    ``[country]``."""
    unknown: Literal["refuse", "drop", "keep"] = "refuse"
    """What to do with interactions of items or users that the tables items or users lack. refuse: stop. drop: leave
    them out. keep: add the items and users, with all their features missing."""
    positive: str | None = None
    """Expression over the columns of interactions that selects the positives. Default: ``label == 1`` if there is a
    label, else all interactions. A comparison with a missing value is neither true nor false, as in SQL, so
    ``event == 'purchase' or stars >= 4`` holds for a purchase without stars, and a row for which the expression has no
    value is not a positive. ``stars == None`` says that the value is missing. Example: ``rating >= 4``."""
    label: str | None = None
    """Expression over the columns of interactions that computes the 0/1 label of logged impressions, for tables without
    a ``label`` column. With it, every interaction is an impression. It must be true or false in every row;
    ``watched != None and watched > 0.5`` is false where ``watched`` is missing. Example: ``is_click == 1``."""
    labels: list[str] = []
    """Further 0/1 columns of interactions for the ranker to predict, see ``dlrm_ranker.labels``. They are known only
    after the event, so they are never features. With them, interactions are logged impressions. Example: ``[long_view,
    is_like]``."""
    title: str | None = None
    """Items column to print beside an item id. Default: ``title`` if the table has one. Example: ``name``."""
    split: SplitConfig = SplitConfig()
    leak_check: LeakCheckConfig = LeakCheckConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    options: dict[str, Any] = {}
    """What a registered ``data.source`` reads beside the keys of this section. Example: ``{table: events, days:
    30}``."""

    @property
    def has_order(self) -> bool:
        """Whether ``columns`` names a column ``order`` of interactions."""
        own = self.columns.get("interactions", {})
        return "order" in self.columns or (isinstance(own, dict) and "order" in own)

    @model_validator(mode="after")
    def _nested_by_table(self) -> DataConfig:
        tables = ("interactions", "users", "items")
        for name, value in self.columns.items():
            table, _, column = name.partition(".")
            if column and table in tables:
                raise ValueError(f"columns: expected {table}: {{{column}: {value}}} in the place of {name}: {value}")
            if isinstance(value, dict) and name not in tables:
                raise ValueError(f"columns.{name}: expected the name of a column; only {', '.join(tables)} hold names")
        return self


class TextConfig(Section):
    """How the columns of ``schema.text`` are encoded: as hashed words and n-grams, or as vectors of an ``encoder``."""

    buckets: int = Field(default=20_000, ge=1)
    """Rows of the embedding table into which words and n-grams are hashed. Example: ``50000``."""
    length: int = Field(default=64, ge=1)
    """Number of words and n-grams kept of a text; the words come first. Example: ``32``."""
    ngrams: list[int] = [3, 4, 5]
    """Lengths of the character n-grams taken from each word, with its boundaries marked. [] keeps words only. Unit:
    characters. Example: ``[3, 4]``."""
    encoder: str | None = None
    """Folder of a sentence-transformers model on this machine, which turns each text into a vector. The other keys of
    this section then have no effect. Needs the extra ``text``: ``pip install merlin-cascade[text]``. A relative path
    starts at the folder of the config file. Example: ``encoders/all-MiniLM-L6-v2``."""


class EtlConfig(Section):
    """How the NVTabular workflows run."""

    scheduler: str = "threads"
    """Where Dask runs the ETL. threads: in this process. local-cluster: in processes on this machine. cuda: on this
    machine's GPUs. tcp://host:port: on a running Dask scheduler. Example: ``local-cluster``."""
    workers: int = Field(default=2, ge=1)
    """Number of Dask workers: threads, or processes of a local cluster. Example: ``8``."""
    memory_limit: str | None = None
    """Memory for data that a stage may hold at once. The ETL takes larger data in partitions; the other stages hold
    what grows with the data in blocks, and are refused before they begin if the rest would not fit. Default: 4GB for
    the ETL, and for the others what the machine has left. The etl stage and all after it run again if it changes.
    Unit: bytes, with a suffix such as MB or GB. Example: ``1GB``."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where NVTabular computes. auto: with cuDF where a GPU and cuDF are available, else with pandas."""
    min_frequency: int = Field(default=1, ge=1)
    """A category that occurs less often than this in the training part is treated as unknown. Unit: occurrences.
    Example: ``5``."""
    text: TextConfig = TextConfig()
    max_size: dict[str, Annotated[int, Field(ge=1)]] = {}
    """Sparse column or cross -> number of its most frequent categories in the training part that get a code of their
    own; all others are treated as unknown. Frequencies are counted in the column's table; for user_id and item_id, in
    the interactions. Example: ``{item_id: 100000}``."""
    hash_buckets: dict[str, Annotated[int, Field(ge=2)]] = {}
    """Sparse column or cross -> number of rows that its values are hashed into, instead of a vocabulary. The embedding
    table then does not grow with the catalogue. No value is unknown to it: a value that was never seen shares a row
    with others. Example: ``{user_id: 50000}``."""
    cross_buckets: int | None = Field(default=100_000, ge=2)
    """A cross with more possible combinations than this is hashed into this many rows. Possible combinations are the
    product of the columns' numbers of categories. Smaller crosses get a vocabulary of the combinations in the training
    part; with null, all crosses do. Example: ``20000``."""


class HistoryConfig(Section):
    """User history: the user's last positives before the event, most recent first."""

    length: int | None = Field(default=None, ge=1)
    """Number of items that the models read, the most recent ones. Default: 50; 200 if the interactions have no times,
    because each item of a set tells as much as the others. Unit: items. Example: ``20``."""
    seen: int = Field(default=1000, ge=1)
    """Number of items that the feature store keeps of a user's positives, and as many of the items that the user
    rejected. Answers leave these items out. Unit: items. Example: ``500``."""
    gaps: bool = False
    """Whether the models also read the time between each item of the history and the next more recent one, as the
    feature ``history_gap``. The feature store then keeps times, and a push has to give the time of its events."""

    def items(self, ordered: bool = True) -> int:
        """``length``, with what null stands for.

        Args:
            ordered: whether the interactions have times.
        """
        return self.length or (50 if ordered else min(200, self.seen))

    @model_validator(mode="after")
    def _seen_covers_length(self) -> HistoryConfig:
        if self.seen < self.items():
            raise ValueError(f"seen: must be at least length ({self.items()}), is {self.seen}")
        return self


REDIS_OPTIONS = (
    *("db", "username", "password", "client_name", "ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    *("ssl_cert_reqs", "ssl_check_hostname", "health_check_interval"),
)
"""Options of a connection string, which redis-py takes by these names."""
ONE_SERVER = "Redis Cluster and Sentinel are not supported: name the server that holds the data, or a proxy before it"


class FeatureStoreConfig(Section):
    """The Feast repository."""

    repo: str = "feature_repo"
    """Folder of the registry and the online store; a run makes it. Example: ``features``."""
    project: str | None = None
    """Name of the Feast project. Default: the name of the config file, so that two pipelines can share a store.
    Example: ``shop``."""
    online: Literal["sqlite", "redis"] = "sqlite"
    """Which online store Feast uses."""
    redis: str = "localhost:6379"
    """redis only: Feast's connection string, ``host:port`` of one server and options. Keep a password out of the file:
    set CASCADE_FEATURE_STORE__REDIS. Example: ``cache.internal:6379,db=1``."""
    timeout_ms: int = Field(default=200, ge=1)
    """How long a served request waits for the online store. The first one that gets no answer is answered without user
    features (reason ``features_stale``); later ones do not ask until the store answers again. Unit: milliseconds.
    Example: ``50``."""
    retry_ms: int = Field(default=1000, ge=1)
    """Pause between two trials of an online store that did not answer. They are made beside the requests, so none waits
    for them. Unit: milliseconds. Example: ``500``."""

    @property
    def connection(self) -> str | None:
        """The connection string of Redis; None for another store."""
        return self.redis if self.online == "redis" else None

    @property
    def redis_without_password(self) -> str:
        """What may be written into files."""
        return ",".join(part for part in self.redis.split(",") if not part.startswith("password="))

    @field_serializer("redis")
    def _redis_as_stored(self, redis: str, info: SerializationInfo) -> str:
        return self.redis_without_password if info.context and info.context.get("stored") else redis

    @model_validator(mode="after")
    def _one_redis_server(self) -> FeatureStoreConfig:
        address, *options = self.redis.split(",")
        host, _, port = address.partition(":")
        # No message shows the value, which may hold a password.
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            but = ", without redis://" if "//" in self.redis else ""
            raise ValueError(f"redis: expected host:port{but}, then options, e.g. cache.internal:6379,db=1,ssl=true")
        for option in options:
            name, sign, _ = option.partition("=")
            if not sign and ":" in option:
                raise ValueError(f"redis: expected one server, found several; {ONE_SERVER}")
            if name.startswith(("sentinel", "cluster", "redis_type")):
                raise ValueError(f"redis: {name!r} is no option; {ONE_SERVER}")
            if not sign or name not in REDIS_OPTIONS:
                what = repr(name) if sign else "a part without ="
                raise ValueError(f"redis: {what} is no option; expected option=value of {', '.join(REDIS_OPTIONS)}")
        return self
