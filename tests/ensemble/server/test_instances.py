"""How many processes answer."""

import json
import os

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server.instances import instance_count, with_instances

PYTHON = """
name: "shop"
backend: "python"
input { name: "user_id" data_type: TYPE_INT64 dims: 1 }
instance_group { count: 1 kind: KIND_CPU }
parameters { key: "stages" value { string_value: "rank" } }
"""


def test_as_many_as_asked_for_or_as_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5})
    assert (instance_count(None), instance_count(1), instance_count(7)) == (3, 1, 7)


def test_the_count_is_changed_and_nothing_else(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text(PYTHON)
    one, three = (json.loads(with_instances(file, count)) for count in (1, 3))
    groups = [[(group["count"], group["kind"]) for group in got.pop("instanceGroup")] for got in (one, three)]
    assert groups == [[(1, "KIND_CPU")], [(1, "KIND_CPU"), (2, "KIND_CPU")]]
    assert one == three and one["parameters"] == {"stages": {"stringValue": "rank"}}


def test_an_ensemble_has_no_instances(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text('name: "shop"\nplatform: "ensemble"\n')
    assert with_instances(file, 3) is None


def test_what_is_no_config_is_named(tmp_path):
    file = tmp_path / "config.pbtxt"
    file.write_text("no such field: 1")
    with pytest.raises(ServerError, match="config.pbtxt: is no model config: 1:"):
        with_instances(file, 1)
