"""The alerts of the page of metrics use series that exist. A test with a real server compares its table."""

import re

import yaml
from shipping import ROOT

PAGE = (ROOT / "docs" / "how-to" / "metrics.md").read_text()
DOCUMENTED = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(r"^\| `(recsys_\w+)` \|(.*?)\|", PAGE, re.MULTILINE)
}


def test_alerts_use_series_and_labels_that_the_table_has() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [group] = yaml.safe_load(block)["groups"]
    expressions = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    for alert, expression in expressions.items():
        used = re.findall(r"(recsys_\w+)(?:\{(\w+)=)?", expression)
        assert used, alert
        for name, label in used:
            assert name in DOCUMENTED, alert
            assert not label or label in DOCUMENTED[name], alert


def test_reasons_and_refusals_are_all_explained() -> None:
    from cascade.ensemble.graph.ops.base import Reason
    from cascade.ensemble.triton.pass_metrics import RefusalReason

    rows = {name: row for name, row in re.findall(r"^\| `(recsys_\w+)` (\|.*)$", PAGE, re.MULTILINE)}
    for why in RefusalReason:
        assert f"`{why}`" in rows["recsys_refused_requests_total"]
    for reason in Reason:
        assert f"`{reason}`" in rows["recsys_degraded_users_total"]
