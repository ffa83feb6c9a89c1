"""The page of metrics: its alerts use series that exist, and each is explained. A real server is compared elsewhere."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from shipping import ROOT

PAGE = (ROOT / "docs" / "how-to" / "metrics.md").read_text()
TROUBLESHOOTING = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
DOCUMENTED = {
    name: set(re.findall(r"`(\w+)`", labels))
    for name, labels in re.findall(r"^\| `(recsys_\w+)` \|(.*?)\|", PAGE, re.MULTILINE)
}
SCRAPE, RULES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
QUERIES = re.search(r"```promql\n(.*?)```", PAGE, re.DOTALL)


def alerts() -> dict[str, str]:
    """Alert -> expression."""
    [group] = yaml.safe_load(RULES)["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def job() -> dict[str, Any]:
    """How Prometheus asks."""
    [found] = yaml.safe_load(SCRAPE)["scrape_configs"]
    return dict(found)


def check_series(expression: str) -> None:
    used = re.findall(r"(recsys_\w+)(?:\{(\w+)=)?", expression)
    assert used, expression
    for name, label in used:
        assert name in DOCUMENTED, expression
        assert not label or label in DOCUMENTED[name], expression
    assert expression.count("(") == expression.count(")")


def test_alerts_use_series_and_labels_that_the_table_has() -> None:
    for alert, expression in alerts().items():
        if alert != "ServerIsDown":
            check_series(expression)
    assert f'up{{job="{job()["job_name"]}"}}' in alerts()["ServerIsDown"]


def test_queries_use_series_and_labels_that_the_table_has() -> None:
    assert QUERIES
    for line in QUERIES[1].splitlines():
        check_series(line)
        assert "histogram_quantile" in line and "le)" in line


def test_the_server_s_own_requests_are_no_alert() -> None:
    """It asks for an unknown user every few seconds, also where nobody else asks."""
    assert "rate(recsys_requests_total[5m])) >= 1" in alerts()["MostUsersAreUnknown"]


def test_each_alert_is_explained_by_its_name() -> None:
    section = TROUBLESHOOTING.partition("\n## Alerts\n")[2]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(alerts())


def test_each_alert_has_a_severity() -> None:
    [group] = yaml.safe_load(RULES)["groups"]
    severities = {rule["alert"]: rule.get("labels", {}).get("severity") for rule in group["rules"]}
    assert set(severities.values()) == {"critical", "warning", "info"}, severities
    for severity in set(severities.values()):
        assert f"`{severity}`: " in PAGE


def test_the_series_of_arms_and_shadows_are_those_that_a_process_has() -> None:
    from cascade.ensemble.triton.arms import counts, shadow

    own = {name for name in DOCUMENTED if name.startswith(("recsys_arm_", "recsys_shadow_"))}
    assert own == {*counts.HELP, *shadow.HELP}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_them(tmp_path: Path) -> None:
    for kind, text in (("rules", RULES), ("config", SCRAPE)):
        file = tmp_path / f"{kind}.yml"
        file.write_text(text)
        subprocess.run(["promtool", "check", kind, file], check=True, capture_output=True, text=True)


def test_reasons_and_refusals_are_all_explained() -> None:
    from cascade.ensemble.graph.ops.base import Reason
    from cascade.ensemble.triton.pass_metrics import RefusalReason

    rows = {name: row for name, row in re.findall(r"^\| `(recsys_\w+)` (\|.*)$", PAGE, re.MULTILINE)}
    for why in RefusalReason:
        assert f"`{why}`" in rows["recsys_refused_requests_total"]
    for reason in Reason:
        assert f"`{reason}`" in rows["recsys_degraded_users_total"]
