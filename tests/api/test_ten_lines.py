"""The first code block of the page on Python, as a reader runs it: tables in, recommendations out, no command line."""

import re
import subprocess
import sys

import pytest
from shipping import ROOT, clean_environment

PAGE = ROOT / "docs" / "how-to" / "embed-in-python.md"
AFTER = """
import json
frame = release.recommend([0, 1, 999], top_k=5).to_frame()
print("ANSWER", frame.to_json(orient="records"))
assert list(artifacts) == ["data", "etl", "features", "two_tower", "index", "ranker", "export"]
found = cascade.evaluate(release, interactions.assign(item_id=interactions["item_id"] ^ 1), replicates=100)
print("METRICS", json.dumps(found.metrics))
"""

pytestmark = pytest.mark.timeout(600)


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_tables_in_recommendations_out(tmp_path):
    import json

    code = blocks(PAGE)[0]
    lines = [line for line in code.splitlines() if line and not line.startswith("import")]
    assert len(lines) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code + AFTER], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a run writes nothing unless it is asked to"
    printed, _, rest = done.stdout.partition("ANSWER ")
    assert printed.split()[:6] == ["user_id", "rank", "item_id", "score", "propensity", "reasons"]
    answer, _, metrics = rest.partition("METRICS ")
    rows = json.loads(answer)
    items = {user: [row["item_id"] for row in rows if row["user_id"] == user] for user in (0, 1, 999)}
    assert sum(item < 50 for item in items[0]) >= 4 and sum(item >= 50 for item in items[1]) >= 4
    assert len(items[999]) == 5 and {row["reasons"] for row in rows if row["user_id"] == 999} == {"unknown_user"}
    assert 0 < json.loads(metrics)["recall@10"] <= 1


def test_every_block_of_the_page_is_python():
    for code in blocks(PAGE):
        compile(code, str(PAGE), "exec")


def test_every_name_of_the_page_is_there():
    import cascade

    names = re.findall(r"\bcascade\.((?:errors\.)?[A-Za-z_]+)", PAGE.read_text())
    assert len(set(names)) > 8
    for name in set(names):
        owner = cascade.errors if name.startswith("errors.") else cascade
        assert hasattr(owner, name.removeprefix("errors.")), name
