"""The feature views of the pipeline in ``CASCADE_CONFIG`` (by default ``pipeline.yaml`` beside this folder).

They depend on the pipeline's data, so run ``cascade run --only features`` first.
"""

import os
from pathlib import Path

import cascade
from cascade.pipeline.stages import find
from cascade.rollout.releases.live_readers import live_readers
from cascade.workflows.data.stage import DATA
from cascade.workflows.features.stage import FEATURES
from cascade.workflows.features.store import definitions

HERE = Path(__file__).resolve().parent

_file = Path(os.environ.get("CASCADE_CONFIG", HERE.parent / "pipeline.yaml"))
_runs = Path(os.environ.get("CASCADE_RUNS", HERE.parent / "runs"))
_config = cascade.load_config(_file)
_features = find(_config, _runs, FEATURES.name, stages=(DATA, FEATURES))

_store = _config.feature_store.model_copy(update={"repo": str(HERE)})
_export = _config.export.model_copy(update={"repository": str(HERE.parent / _config.export.repository)})

# Feast reads the objects in this module's namespace: project, user, item, user_profile, user_history ...
globals().update(definitions(_store, _features, live_readers(_export, _store)))
