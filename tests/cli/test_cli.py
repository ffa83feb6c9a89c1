"""The command line: help, output, errors, exit codes, and what ``--help`` must not import."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from shipping import clean_environment
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError
from cascade.core.stage import Stage
from cascade.ensemble import client
from cascade.ensemble.protocol.recommendation import Recommendation, RecommendedItem
from cascade.pipeline import stages

VERBS = [
    "doctor",
    "config",
    "plan",
    "run",
    "features",
    "serve",
    "recommend",
    "evaluate",
    "clean",
    "bench",
    "show",
    "size",
    "tune",
    "demo",
]
SUBVERBS = [["features", verb] for verb in ("apply", "materialize", "push")]
SUBVERBS += [
    ["release", verb] for verb in ("list", "show", "diff", "verify", "retire", "history", "promote", "rollback")
]
HEAVY = [
    "tensorflow",
    "merlin",
    "nvtabular",
    "pandas",
    "pyarrow",
    "feast",
    "numpy",
    "yaml",
    "faiss",
    "dask",
    "scipy",
    "optuna",
]
METRICS = {
    "retrieval": {"recall@100": 0.5, "ndcg@10": 0.06},
    "served_retrieval": {"recall@100": 0.4875, "ndcg@10": 0.06},
    "sources": {"two_tower": {"count": 9, "share": 0.75, "alone": 9, "in_answer": 3}},
    "ranking": {"auc": 0.9, "logloss": 0.1, "ece": 0.01},
    "cascade": {"ndcg@10": 0.07, "map@10": 0.05},
    "funnel": {"found": {"count": 3, "share": 0.25}},
    "baselines": {"popularity": {"recall@100": 0.3, "ndcg@10": 0.02}, "ease": {"skipped": "too many items"}},
    "recsys": {"recsys_auc": 0.9},
    "tuning": {"popularity": {"setting": {"newest_share": 0.5}, "score": 0.0456, "tried": 3}},
    "intervals": {
        **{"level": 0.95, "replicates": 1000},
        **{
            "retrieval": {"ndcg@10": [0.05, 0.07]},
            "served_retrieval": {},
            "cascade": {"ndcg@10": [0.06, 0.08]},
            "ranking": {"auc": None},
        },
        "baselines": {"popularity": {"ndcg@10": [0.01, 0.03]}},
    },
    "new_items": {"items": 30, "users": 4, "positives": 7, "among_new": {"recall@10": 0.5, "recall@100": 0.987}},
    "impressions": {
        "label": {
            "methods": {"ranker": {"auc": 0.9, "valid_auc": None}, "lightgbm": {"skipped": "no negatives"}},
            "intervals": {"ranker": {"auc": [0.88, 0.92]}},
            "differences": {"ranker - lightgbm": {"auc": {"value": 0.02, "low": 0.01, "high": 0.03}}},
            "history": "at_event",
            "tuning": {"lightgbm": {"setting": {"leaves": 63}, "score": 0.75, "tried": 4}},
        }
    },
    "differences": {
        "cascade - retrieval": {"ndcg@10": {"value": 0.01, "low": -0.002, "high": 0.021}},
        "cascade - popularity": {"ndcg@10": {"value": 0.05, "low": 0.03, "high": 0.07}},
    },
    "slices": [{"slice": "new users", "users": 0, "recall@10": None, "ndcg@10": None, "rows": 7, "auc": 0.75}],
}


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid pipeline.yaml in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "pipeline.yaml"
    file.write_text("schema: {sparse: [user_id, item_id]}\n")
    return file


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli.app, list(args), catch_exceptions=False)


def cascade(
    *args: str, cwd: Path, code: str = "from cascade.cli.main import main; main()"
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process."""
    call = [sys.executable, "-c", code, *args]
    return subprocess.run(
        call, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("verb", [*([verb] for verb in VERBS), *SUBVERBS], ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: list[str]) -> None:
    result = invoke(*verb, "--help")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert f"Example: cascade {' '.join(verb)}" in text


def test_help_lists_every_verb() -> None:
    listed = invoke("--help").output
    assert all(f"\n  {verb} " in listed for verb in VERBS)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its name, those below `cascade features` included."""
    group: Any = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        below = getattr(command, "commands", {})
        yield from ((f"{name} {sub}", one) for sub, one in below.items()) if below else [(name, command)]


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in commands()])
def test_a_verb_and_its_options_are_explained_in_sentences(command: Any) -> None:
    first, *rest = (command.help or "").split("\n\n")
    assert first.endswith(".") and len(first) <= 80, "one plain sentence"
    assert all(paragraph.rstrip().endswith(".") for paragraph in rest)
    for parameter in command.params:
        text = parameter.help or ""
        assert text[:1].isupper() or text.startswith(("gRPC", "host:port", "tcp://")), f"{parameter.name}: {text!r}"
        assert text.endswith("."), f"{parameter.name}: {text!r}"


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(tmp_path: Path, args: list[str]) -> None:
    code = (
        "import sys, cascade.cli.main\n"
        "try: cascade.cli.main.main()\n"
        f"finally: print('LOADED', [m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    result = cascade(*args, cwd=tmp_path, code=code)
    assert result.returncode == 0
    assert result.stderr.splitlines()[-1] == "LOADED []"


def test_config_errors_are_one_line_each_and_exit_code_2(config_file: Path) -> None:
    result = cascade("config", "--set", "serving.ann.topkk=1", "--set", "etl.wrokers=2", cwd=config_file.parent)
    assert (result.returncode, result.stdout) == (2, "")
    assert sorted(result.stderr.splitlines()) == [
        "error: etl.wrokers: no such key; did you mean etl.workers? (--set)",
        "error: serving.ann.topkk: no such key; did you mean serving.ann.topk? (--set)",
    ]


def test_verbose_shows_the_traceback(config_file: Path) -> None:
    result = cascade("config", "--set", "nonsense", "--verbose", cwd=config_file.parent)
    assert result.returncode == 2
    assert "Traceback" in result.stderr and "error: --set nonsense: expected key=value" in result.stderr


def test_a_missing_file(tmp_path: Path) -> None:
    result = cascade("plan", cwd=tmp_path)
    assert result.returncode == 2
    hint = "name the pipeline's file with --config or CASCADE_CONFIG"
    assert result.stderr == f"error: pipeline.yaml: no such file; {hint}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["data.path=missing"], r"error: data\.path: \S+/missing is not a folder\n"),
        (["schema.dense=[prize]"], r"error: schema\.dense: 'prize' is in no table, did you mean 'price'\? .*\n"),
    ],
)
def test_plan_and_doctor_refuse_what_the_data_stage_would(config_file: Path, sets: list[str], message: str) -> None:
    (config_file.parent / "interactions.csv").write_text("user_id,item_id,price\n")
    config_file.write_text(config_file.read_text() + "data: {source: tables, path: .}\n")
    plan = cascade("plan", *_set(sets), cwd=config_file.parent)
    assert (plan.returncode, plan.stdout) == (2, "") and re.fullmatch(message, plan.stderr)
    assert invoke("plan").exit_code == 0
    bad, good = (json.loads(invoke("doctor", "--json", *_set(given)).stdout) for given in (sets, []))
    [bad, good] = ([check for check in checks if check["name"] == "data"] for checks in (bad, good))
    assert f"error: {bad[0]['found']}\n" == plan.stderr and bad[0]["advice"]
    assert (bad[0]["status"], good[0]["status"]) == ("fail", "ok")


def _set(sets: list[str]) -> list[str]:
    return [part for entry in sets for part in ("--set", entry)]


@pytest.mark.slow
def test_commands_in_errors_name_the_config_file(config_file: Path) -> None:
    config_file.rename(config_file.with_name("my shop.yaml"))
    result = cascade("features", "apply", "-c", "my shop.yaml", cwd=config_file.parent)
    assert result.stderr.rstrip().endswith("run `cascade run -c 'my shop.yaml'` first, which makes all")
    config_file.with_name("my shop.yaml").rename(config_file)
    result = cascade("features", "apply", cwd=config_file.parent)
    assert result.stderr.rstrip().endswith("run `cascade run` first, which makes all")


@pytest.mark.slow
def test_a_bug_is_one_line_too(config_file: Path) -> None:
    code = (
        "import cascade.config.load as c, cascade.cli.main\n"
        "c.config_with_origins = lambda *a: 1 / 0\n"
        "cascade.cli.main.main()"
    )
    result = cascade("config", cwd=config_file.parent, code=code)
    assert (result.returncode, result.stderr) == (
        1,
        "error: ZeroDivisionError: division by zero (--verbose says where)\n",
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_runs_the_cleanup(config_file: Path, number: int, code: int) -> None:
    program = (
        "import os, cascade.config.load as c, cascade.cli.main\n"
        "def load(*args):\n"
        f"    try: os.kill(os.getpid(), {int(number)})\n"
        "    finally: print('cleaned up')\n"
        "c.config_with_origins = load\n"
        "cascade.cli.main.main()"
    )
    result = cascade("config", cwd=config_file.parent, code=program)
    assert (result.returncode, result.stdout) == (code, "cleaned up\n") and "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_library_that_makes_an_error_of_the_end_hides_nothing(config_file: Path) -> None:
    program = (
        "import os, signal, cascade.config.load as c, cascade.cli.main\n"
        "def load(*args):\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except SystemExit as end: raise ImportError(str(end)) from end\n"
        "c.config_with_origins = load\n"
        "cascade.cli.main.main()"
    )
    result = cascade("config", cwd=config_file.parent, code=program)
    assert (result.returncode, result.stderr) == (143, "")


ENTRY = "from cascade.cli.entry import main; main()"


@pytest.mark.parametrize("module", ["typer", "cascade.cli.main", "cascade.cli.tune"])
def test_an_interrupt_while_the_command_is_imported_is_no_traceback(module: str, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *others):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from cascade.cli.entry import main\n"
        "main()"
    )
    result = cascade("--version", cwd=tmp_path, code=program)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.slow
def test_the_entry_point_leaves_interrupts_to_the_command(config_file: Path) -> None:
    assert cascade("--version", cwd=config_file.parent, code=ENTRY).returncode == 0
    program = (
        "import os, signal, cascade.config.load as c\n"
        "c.config_with_origins = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n" + ENTRY
    )
    result = cascade("config", cwd=config_file.parent, code=program)
    assert result.returncode == 130 and "Traceback" not in result.stderr


def test_config_prints_values_and_origins(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_SERVING__ANN__TOPK", "300")
    lines = invoke("config", "--set", "history.length=7").output.splitlines()
    found = {line.split("#")[0].strip(): line.partition("#")[2].strip() for line in lines}
    assert found["topk: 300"] == "environment CASCADE_SERVING__ANN__TOPK"
    assert found["length: 7"] == "--set"
    assert found["sparse: [user_id, item_id]"] == "pipeline.yaml:1"
    assert found["seen: 1000"] == "default"


def test_what_config_prints_is_a_config(config_file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(invoke("config", "--set", 'data.separators.genres="|"').output)
    first = json.loads(invoke("config", "--set", 'data.separators.genres="|"', "--json").output)["config"]
    assert json.loads(invoke("config", "-c", str(again), "--json").output)["config"] == first


@pytest.fixture
def two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the real pipeline by one with two stages."""

    def fill(folder: Path, sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
        (folder / "report.html").write_text("x")
        return METRICS if parents else {"n_users": 943, "auc": 0.5}

    fakes = (Stage("data", "Read.", ["data"], [], fill), Stage("evaluation", "Measure.", [], ["data"], fill))
    monkeypatch.setattr(stages, "all_stages", lambda: fakes)


@pytest.mark.usefixtures("two_stages")
def test_run_tells_when_a_stage_begins_and_ends_without_a_terminal(config_file: Path) -> None:
    lines = invoke("run", "--only", "data").stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["data", "data"]
    assert lines[0].split()[1:] == ["...", "Read."]
    assert re.fullmatch(r"data +[\d.]+ s  n_users 943, auc 0.5000", lines[1])


@pytest.mark.usefixtures("two_stages")
def test_plan_run_plan(config_file: Path) -> None:
    rows = [line.split() for line in invoke("plan").output.splitlines()[2:]]
    assert rows == [
        ["data", "would", "run", "not", "run", "before"],
        ["evaluation", "would", "run", "not", "run", "before;", "data", "would", "run", "first"],
    ]
    result = invoke("run")
    assert result.exit_code == 0 and invoke("run", "--only", "data").stdout == ""
    assert all(text in result.stdout for text in ("popularity", "AUC, ranker - lightgbm: +0.0200", "report.html"))
    assert "n_users 943, auc 0.5000" in result.stderr
    assert [row["up_to_date"] for row in json.loads(invoke("plan", "--json").output)] == [True, True]
    assert invoke("run").stderr.count("up to date") == 2


def test_plan_says_what_is_published_otherwise_than_built(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []

    def fill(folder: Path, sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> None:
        (folder / "x").write_text("x")

    def unpublished(artifact: Artifact, sections: Mapping[str, Any]) -> list[str]:
        return [] if published else ["a is gone", "b differs"]

    stage = Stage(
        "data", "Read.", ["data"], [], fill, publish=lambda *_: published.append("x"), unpublished=unpublished
    )
    monkeypatch.setattr(stages, "all_stages", lambda: (stage,))
    assert invoke("plan").stdout.splitlines()[2].split() == ["data", "would", "run", "not", "run", "before"]
    invoke("run")
    assert invoke("plan").stdout.splitlines()[2].split() == ["data", "up", "to", "date"]
    published.clear()
    assert invoke("plan").stdout.splitlines()[2].split()[1:3] == ["would", "publish"]
    assert json.loads(invoke("plan", "--json").stdout)[0]["publish"] == "a is gone; b differs"
    invoke("run")
    assert published and json.loads(invoke("plan", "--json").stdout)[0]["publish"] == ""


@pytest.mark.usefixtures("two_stages")
def test_run_takes_a_model_over(config_file: Path) -> None:
    from cascade.ensemble.repository.owner import Owner, owner_of

    model = config_file.parent / "model_repository" / "cascade"
    Owner("pipeline", "/elsewhere").save(model)
    invoke("run")
    assert owner_of(model) == Owner("pipeline", "/elsewhere")
    invoke("run", "--take-over")
    assert owner_of(model) == Owner("pipeline", str(config_file.parent / "runs"))


def test_evaluate_a_policy_from_its_log(config_file: Path) -> None:
    log = config_file.with_name("log.csv")
    log.write_text("propensity,new_propensity,reward\n0.5,0.25,1\n0.25,0.75,1\n0.5,0.0,0\n")
    found = json.loads(invoke("evaluate", "--policy", str(log), "--json").stdout)
    assert found["ips"]["value"] == pytest.approx(3.5 / 3) and found["snips"]["value"] == pytest.approx(1.0)
    clipped = invoke("evaluate", "--policy", str(log), "--clip", "2").stdout
    assert [line.split()[:2] for line in clipped.splitlines()[2:]] == [["ips", "0.8333"], ["snips", "1.0000"]]
    with pytest.raises(ConfigError, match="--clip: needs --policy"):
        invoke("evaluate", "--clip", "2")


def test_a_policy_needs_no_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("propensity,new_propensity,reward\n0.5,0.25,1\n0.25,0.75,1\n0.5,0.0,0\n")
    args = ["evaluate", "--policy", "log.csv", "--json"]
    assert json.loads(invoke(*args).stdout)["ips"]["value"] == pytest.approx(3.5 / 3)
    with pytest.raises(ConfigError, match="evaluation.replicates"):
        invoke(*args, "--set", "evaluation.replicates=-1")
    with pytest.raises(ConfigError, match="other.yaml: no such file"):
        invoke(*args, "-c", "other.yaml")


@pytest.mark.usefixtures("two_stages")
def test_evaluate(config_file: Path) -> None:
    shown = invoke("evaluate", "--json")
    assert json.loads(shown.stdout) == METRICS
    table = invoke("evaluate").stdout
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.strip()}
    verdict = (
        "The cascade is better than the best simple method (popularity) by 0.0500 NDCG@10 [0.0300, 0.0700]: certain"
    )
    assert table.index(verdict) < table.index("recall@100")
    assert rows["popularity"] == ["0.3000", "0.0200"]
    assert rows["cascade"] == ["0.0700", "0.0500"]
    assert "ease: too many items" in table
    assert "relevant items: found 3 (25.0%)" in table
    assert "95% intervals by bootstrap over users, 1,000 draws" in table
    assert "new items (no positive in training): 30; 4 users have 7 positives with them in the test part" in table
    assert re.search(r"retriever, new items only +0.5000 +0.9870", table)
    assert re.search(r"retriever, exact search +0.5000", table) and re.search(r"retriever, as served +0.4875", table)
    assert "two_tower found 9 of the relevant items (75.0%), 9 of them alone; 3 are in the answers" in table
    assert re.search(r"0.0500 to 0.0700 +0.0600 to 0.0800", table)
    assert "NDCG@10, cascade - retriever: +0.0100 [-0.0020, +0.0210]" in table
    assert "popularity: newest_share 0.5; the best of 3, validation NDCG@20 0.0456" in table
    assert "lightgbm: leaves 63; the best of 4, validation AUC 0.7500" in table
    assert rows["new"] == ["users", "0", "7", "0.7500"]
    assert "retrieval.recall@100 0.5000, cascade.ndcg@10 0.0700, ranking.auc 0.9000" in invoke("evaluate").stderr
    assert Path(table.split("report: ")[1].strip()).is_file()


@pytest.fixture
def request_seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the client's last request, which is answered without a server."""
    seen: dict[str, Any] = {}

    def recommend(self: Any, users: list[Any], **how: Any) -> list[Recommendation]:
        seen.update(how, users=users, url=self.url, model=self.model)
        return [
            Recommendation(user, [RecommendedItem(50, 0.75, 1.0)], ["unknown_user"], "abc", {"rank": 0.5})
            for user in users
        ]

    monkeypatch.setattr(client.Client, "recommend", recommend)
    return seen


def test_recommend_json_is_an_object_or_a_list(config_file: Path, request_seen: dict[str, Any]) -> None:
    one = json.loads(invoke("recommend", "--user", "42", "--json").stdout)
    assert one == {
        "user_id": "42",
        "items": [{"item_id": 50, "score": 0.75, "propensity": 1.0}],
        "reasons": ["unknown_user"],
        "release": "abc",
        "stages_ms": {"rank": 0.5},
        "arm": "stable",
    }
    two = json.loads(invoke("recommend", "--user", "007", "--user", "A1", "--json").stdout)
    assert [answer["user_id"] for answer in two] == ["007", "A1"]


def test_recommend_passes_everything_on(config_file: Path, request_seen: dict[str, Any]) -> None:
    args = ["--top-k", "3", "--context", "hour=20", "--exclude", "5", "--temperature", "0.5", "--seed", "1"]
    text = invoke("recommend", "--user", "42", *args, "--set", "server.grpc_port=9").stdout
    assert request_seen == {
        "users": ["42"],
        "top_k": 3,
        "context": {"hour": "20"},
        "exclude": ["5"],
        "temperature": 0.5,
        "seed": 1,
        "url": "127.0.0.1:9",
        "model": "cascade",
    }
    assert "0.7500" in text and "reasons: unknown_user; release: abc" in text


def test_recommend_needs_no_config_with_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_seen: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("recommend", "--user", "1", "--url", "far:1", "--model", "shop").exit_code == 0
    assert (request_seen["url"], request_seen["model"]) == ("far:1", "shop")
    assert invoke("recommend", "--user", "1", "--url", "far:1").exit_code == 0
    assert request_seen["model"] == "cascade"


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["--url", "far:1"], ("far:1", "shop")),
        (["--url", "far:1", "--model", "other"], ("far:1", "other")),
        (["--url", "far:1", "--set", "export.model_name=books"], ("far:1", "books")),
        (["--model", "other"], ("127.0.0.1:8001", "other")),
        ([], ("127.0.0.1:8001", "shop")),
    ],
)
def test_recommend_asks_for_the_model_of_the_config(
    config_file: Path, request_seen: dict[str, Any], arguments: list[str], asked: tuple[str, str]
) -> None:
    config_file.write_text(config_file.read_text() + "export: { model_name: shop }\n")
    for config in ([], ["-c", str(config_file)]):
        assert invoke("recommend", "--user", "1", *config, *arguments).exit_code == 0
        assert (request_seen["url"], request_seen["model"]) == asked


@pytest.mark.slow
def test_a_context_without_a_value(config_file: Path) -> None:
    result = cascade("recommend", "--user", "1", "--context", "hour", cwd=config_file.parent)
    assert result.returncode == 2
    assert result.stderr == "error: --context hour: expected COLUMN=VALUE, e.g. --context hour=20\n"


def test_doctor_exits_1_if_something_needed_is_missing(config_file: Path) -> None:
    redis = ["--set", "feature_store.online=redis", "--set", "feature_store.redis=127.0.0.1:1"]
    result = invoke("doctor", "--json", *redis)
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert checks["redis"]["status"] == "fail" and checks["feast"]["status"] == "ok"
    assert result.exit_code == 1


def test_ports_of_serve_are_flags(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cascade.ensemble.server import serve

    seen: dict[str, Any] = {}
    monkeypatch.setattr(serve, "serve", lambda config, **how: seen.update(how, config=config))
    assert invoke("serve", "--grpc-port", "0", "--host", "0.0.0.0", "--set", "server.http_port=9000").exit_code == 0
    assert (seen["config"].grpc_port, seen["config"].http_port, seen["config"].host) == (0, 9000, "0.0.0.0")
    assert (seen["repository"], seen["model"]) == (Path("model_repository"), "cascade")
    assert seen["feature_repo"] == Path("feature_repo")


def test_serve_warns_of_keys_that_it_does_not_read(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cascade.ensemble.server import serve

    monkeypatch.setattr(serve, "serve", lambda config, **how: None)
    result = invoke("serve", "--set", "serving.rerank.k=5", "--set", "server.instances=2")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: --set serving.rerank.k: is part of a release and not read here")
    assert "server.instances" not in result.stderr


@pytest.mark.parametrize(
    ("history", "text"),
    [([50], "holds 1 item: 50\n"), ([181, 50], "holds 2 items, most recent first: 181, 50\n")],
)
def test_push_counts_items(config_file: Path, monkeypatch: pytest.MonkeyPatch, history: list[int], text: str) -> None:
    from cascade.workflows.features import store

    monkeypatch.setattr(store, "push_history", lambda *args: history)
    assert invoke("features", "push", "--user", "42", "--item", "50").stdout.endswith(text)


@pytest.mark.parametrize(
    ("ids", "items", "unknown"),
    [([5, 70], ["70", "999", "007"], ["999", "007"]), (["a", "7"], ["7", "b", "07"], ["b", "07"]), (None, ["1"], [])],
)
def test_push_names_items_that_the_catalogue_lacks(
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ids: list[Any] | None,
    items: list[str],
    unknown: list[str],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cascade.workflows.features import store

    def find(*args: Any) -> Artifact:
        if ids is None:
            raise ConfigError("stage data is not up to date")
        pq.write_table(pa.table({"item_id": ids}), tmp_path / "items.parquet")
        pq.write_table(pa.table({"user_id": [1]}), tmp_path / "users.parquet")
        return Artifact(tmp_path, "data", "", {})

    monkeypatch.setattr(store, "push_history", lambda *args: items)
    monkeypatch.setattr(stages, "find", find)
    result = invoke("features", "push", "--user", "42", *(part for item in items for part in ("--item", item)))
    assert result.exit_code == 0
    warned = [line for line in result.output.splitlines() if "is not in the catalogue" in line]
    assert [line.split(":")[0] for line in warned] == [f"item {item}" for item in unknown]


def test_version() -> None:
    import cascade as package

    assert invoke("--version").stdout == f"{package.__version__}\n"


@pytest.mark.usefixtures("two_stages")
def test_clean_shows_and_removes(config_file: Path) -> None:
    assert invoke("clean").stdout == "runs: nothing to remove\n"
    invoke("run")
    Path("runs/data/0123456789ab").mkdir()
    [entry] = json.loads(invoke("clean", "--json").stdout)
    shown = invoke("clean").stdout
    assert entry["path"] in shown and "`cascade clean --remove` removes them" in shown and Path(entry["path"]).is_dir()
    assert invoke("clean", "--remove").stdout.rstrip().endswith("removed")
    assert not Path(entry["path"]).exists() and invoke("clean").stdout == "runs: nothing to remove\n"
