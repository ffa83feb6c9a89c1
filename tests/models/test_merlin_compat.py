"""The aliases that Merlin Models needs on current TensorFlow."""

import json
import os
import subprocess
import sys

import pytest

from cascade.models._merlin_compat import ALIASES, merlin_models

pytestmark = pytest.mark.slow

# Imports the old names without the aliases.
PROBE = """
import importlib, json, os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow
import keras
found = {}
for name in json.loads(input()):
    try:
        found[name] = bool(importlib.import_module(name))
    except (ImportError, AttributeError):
        found[name] = False
found["dlpack"] = hasattr(importlib.import_module("tensorflow.python"), "to_dlpack")
print("found" + json.dumps(found))
"""
HOW = "can be imported again: delete its line in models/_merlin_compat.py"


def run(code: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


@pytest.fixture(scope="module")
def by_itself():
    """Old name -> whether it can be imported without the aliases."""
    lines = run(PROBE, json.dumps(list(ALIASES))).stdout.splitlines()
    return json.loads(next(line for line in lines if line.startswith("found")).removeprefix("found"))


@pytest.mark.slow
@pytest.mark.parametrize("old", ALIASES)
def test_alias_is_still_needed(old, by_itself):
    assert not by_itself[old], f"{old} {HOW}"


@pytest.mark.parametrize("old", ALIASES)
def test_alias_leads_to_where_the_module_is_now(old):
    merlin_models()
    assert sys.modules[old].__name__ == ALIASES[old]


def test_dlpack_is_still_needed(by_itself):
    assert not by_itself["dlpack"], "tensorflow.python.to_dlpack is back: delete _dlpack in models/_merlin_compat.py"


def test_dlpack_is_the_public_one():
    merlin_models()
    import tensorflow as tf
    import tensorflow.python as internal

    assert internal.to_dlpack is tf.experimental.dlpack.to_dlpack
    assert internal.from_dlpack is tf.experimental.dlpack.from_dlpack


@pytest.mark.slow
def test_keras_3_is_refused_with_what_to_set():
    code = (
        "import tensorflow as tf; tf.keras.Model; "
        "from cascade.models._merlin_compat import merlin_models; merlin_models()"
    )
    done = run(code, TF_USE_LEGACY_KERAS="0")
    assert "ConfigError: TF_USE_LEGACY_KERAS: Merlin Models needs Keras 2" in done.stderr
