"""``pipeline.yaml`` as one frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field

from ..core.errors import ConfigError
from ..core.section import Leaf, Section
from ..core.suggest import nearest
from ..ensemble.config import ExportConfig, ServerConfig, ServingConfig
from ..evaluation.config import EvaluationConfig
from ..models.config import DlrmConfig, TwoTowerConfig
from ..rollout.config import RolloutConfig
from ..workflows.config import (
    DataConfig,
    EtlConfig,
    FeatureStoreConfig,
    HistoryConfig,
    SchemaConfig,
)
from .tune import Dimensions


class PipelineConfig(Section):
    """The whole pipeline; only ``schema`` has no default."""

    model_config = ConfigDict(populate_by_name=True)

    # pydantic has a ``schema`` of its own.
    schema_: SchemaConfig = Field(alias="schema")
    """Columns that become features."""
    data: DataConfig = DataConfig()
    """Where interactions come from, what counts as a positive, and how they are split."""
    etl: EtlConfig = EtlConfig()
    """How features are computed: vocabularies, hashing, text, Dask."""
    history: HistoryConfig = HistoryConfig()
    """How much of a user's past the models read and the feature store keeps."""
    two_tower: TwoTowerConfig = TwoTowerConfig()
    """The retriever: two towers that place users and items in one vector space."""
    dlrm_ranker: DlrmConfig = DlrmConfig()
    """The ranker: a DLRM that scores the candidates of a user."""
    feature_store: FeatureStoreConfig = FeatureStoreConfig()
    """The Feast repository and its online store."""
    serving: ServingConfig = ServingConfig()
    """The request path: index, reranking, thresholds, layout."""
    export: ExportConfig = ExportConfig()
    """The Triton model repository that a release is written to."""
    server: ServerConfig = ServerConfig()
    """Addresses and instances of the Triton server."""
    rollout: RolloutConfig = RolloutConfig()
    """What happens to releases after their export."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Offline evaluation: baselines, intervals, slices."""
    tune: Dimensions = {}
    """Keys to search with ``cascade tune``: key -> a list of choices, or {low, high, step, log}. Keys joined by a comma
    get the same value. Example: ``{two_tower.loss: [softmax, sampled_softmax]}``."""

    def section(self, key: str) -> Section:
        """The section at a dotted key such as ``serving.ann``; a `Leaf` for a single value such as ``serving.seen``.

        Raises:
            ConfigError: there is no such key.
        """
        part = self.value(key)
        return part if isinstance(part, Section) else Leaf(value=part)

    def value(self, key: str) -> Any:
        """The value at a dotted key: a section, a leaf, or an entry of a mapping such as ``emb_dims.user_id``.

        Raises:
            ConfigError: there is no such key.
        """
        part: Any = self
        for name in str(key).split("."):
            if isinstance(part, Mapping):
                part = part.get(name)
                continue
            fields = type(part).model_fields if isinstance(part, Section) else {}
            names = {field.alias or own: own for own, field in fields.items()}
            if name not in names:
                raise ConfigError(f"{key}: no such key; {nearest(name, list(names))}")
            part = getattr(part, names[name])
        return part

    def tree(self, *, secrets: bool = True) -> dict[str, Any]:
        """All values as nested dictionaries, under the keys of the file.

        Args:
            secrets: with the password of the feature store; without it, what may be printed or written to a file.
        """
        return self.model_dump(mode="json", by_alias=True, context={"stored": not secrets})

    def given(self, *, secrets: bool = True) -> dict[str, Any]:
        """The values of ``tree`` that are not defaults: those given by a file, ``--set`` or the environment.

        Given to `load_config` as ``overrides``, they make an equal config, but for ``secrets``, as in ``tree``.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, context={"stored": not secrets})
