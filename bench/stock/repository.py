"""Exports the stock ensemble with merlin-systems, and adapts the config.pbtxt files that today's Triton refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

TF_NODE = Path(__file__).with_name("tf_node.py")


def export(ensemble: Any, repository: Path) -> None:
    """Export with merlin-systems, then let the python backend run the TensorFlow nodes."""
    ensemble.export(str(repository))
    for saved in sorted(repository.glob("*/1/model.savedmodel")):
        _to_python(saved.parents[1] / "config.pbtxt")
        shutil.copyfile(TF_NODE, saved.parent / "model.py")


def _to_python(file: Path) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    config = text_format.Parse(file.read_text(), pb.ModelConfig())
    config.backend, config.platform = "python", ""
    file.write_text(text_format.MessageToString(config))
