"""The metrics of `cascade serve` itself."""

import re

import pytest

from cascade.ensemble.gateway.parent_metrics import parent_metrics

COUNTS = {"server_restarts": 1, "replaced_instances": 2, "reloads": 3, "reload_failures": 4, "gateway_restarts": 5}


def test_each_series_has_a_help_text_a_type_and_one_value():
    lines = parent_metrics(COUNTS, 1_700_000_000.25, {"promote": 3}).splitlines()
    assert len(lines) == 3 * 7
    for text, kind, value in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name = re.split(r"[ {]", value)[0]
        assert re.fullmatch(rf"# HELP {name} [A-Z].+", text)
        assert kind == f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"


def test_the_values():
    text = parent_metrics(COUNTS, 1_700_000_000.25, {"promote": 3, "taken back": 0})
    values = dict(line.rsplit(maxsplit=1) for line in text.splitlines() if line[0] != "#")
    assert values.pop("recsys_serve_start_time_seconds") == "1700000000.250"
    changes = {f'recsys_live_set_changes_total{{action="{action}"}}' for action in ("promote", "taken back")}
    assert [values.pop(series) for series in sorted(changes)] == ["3", "0"]
    assert values == {f"recsys_{name}_total": str(count) for name, count in COUNTS.items()}


def test_no_count_is_left_out():
    with pytest.raises(KeyError):
        parent_metrics({}, 0.0, {})
