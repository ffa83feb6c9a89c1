"""Reads the config.pbtxt of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import ServerError
from .call_errors import one_line

CONFIG = "config.pbtxt"
"""File in the folder of a model, beside its versions."""


def parse_config(text: str) -> Any:
    """The config (protobuf ``ModelConfig``) in the text of a config.pbtxt.

    Raises:
        google.protobuf.text_format.ParseError: if it is not valid.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    return text_format.Parse(text, pb.ModelConfig())


def read_config(file: Path) -> Any:
    """The config (protobuf ``ModelConfig``) in a config.pbtxt.

    Raises:
        ServerError: if it is not valid.
    """
    from google.protobuf import text_format

    try:
        return parse_config(file.read_text())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ServerError(f"{file}: is no model config: {one_line(error)}") from error


def served_version(model: Path) -> int | None:
    """The version in the folder ``model`` that a server serves; None if its config names none: then the highest.

    Raises:
        ServerError: if its config is not valid.
    """
    file = model / CONFIG
    versions = read_config(file).version_policy.specific.versions if file.is_file() else []
    return max(versions, default=None)
