"""The public API against a real Triton: a release in process answers what the server answers."""

import textwrap

import numpy as np
import pytest

import cascade
from cascade.ensemble.config import ServingConfig
from cascade.testing.miniature import SERVING, miniature_repository, seal

USERS = [*range(100, 120), 5, 6]
REQUESTS = [
    {},
    {"context": {"hour": 20}, "temperature": 0},
    {"top_k": 12, "temperature": 0.7, "seed": 3},
    {"top_k": 3, "exclude": [1003, 1004, 999_999]},
]
PACKAGE = """
    from dataclasses import dataclass
    from typing import ClassVar

    import numpy as np

    from cascade.extensions import ColumnSpec, Op


    @dataclass
    class BlockList(Op):
        rows: list

        kind: ClassVar[str] = "block_list"

        @property
        def reads(self):
            return {"candidate_rows": ColumnSpec("int64", ("K",))}

        @property
        def writes(self):
            return self.reads

        def __call__(self, columns):
            rows = columns["candidate_rows"]
            return {"candidate_rows": np.where(np.isin(rows, self.rows), -1, rows)}
"""


def lists(answers):
    """(ids, scores, propensities, reasons) of the client's answers."""
    return [
        (
            *([getattr(item, name) for item in answer.items] for name in ("item_id", "score", "propensity")),
            answer.reasons,
        )
        for answer in answers
    ]


def of_release(answer):
    """The same of a release's answer."""
    found = []
    for row in range(len(answer)):
        keep = answer.propensities[row] > 0
        arrays = (answer.item_ids, answer.scores, answer.propensities)
        found.append((*(array[row][keep].tolist() for array in arrays), answer.reasons[row]))
    return found


@pytest.mark.parametrize("more", REQUESTS, ids=str)
def test_a_release_answers_what_triton_answers(repository, client, more):
    with cascade.open_release(repository) as release:
        assert of_release(release.recommend(USERS, **more)) == lists(client.recommend(USERS, **more))


def test_a_server_of_a_folder(repository, nothing_left):
    with cascade.Server(repository) as server, server.client() as client:
        assert server.release == "0123456789ab"
        assert server.grpc_url != server.http_url
        assert lists(client.recommend([101])) == lists(cascade.Client(server.grpc_url).recommend([101]))


def test_triton_runs_an_op_of_an_installed_package(tmp_path, monkeypatch, nothing_left):
    """The model's process knows the package by its entry point."""
    folder = tmp_path / "site"
    info = folder / "block_list-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: block-list\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cascade.ops]\nblock_list = block_list:BlockList\n")
    (folder / "block_list.py").write_text(textwrap.dedent(PACKAGE))
    monkeypatch.syspath_prepend(folder)
    rows = list(range(15))
    extra = {"op": "block_list", "after": "drop_seen", "params": {"rows": rows}}
    serving = ServingConfig.model_validate({**SERVING.model_dump(), "ops": [extra]})
    miniature_repository(tmp_path / "models", serving=serving)
    model = tmp_path / "models" / "cascade" / "1" / "model.py"  # stands for an installation into Triton's environment
    model.write_text(
        model.read_text().replace("\nimport ", f"\nimport sys\nsys.path.append({str(folder)!r})\nimport ", 1)
    )
    seal(tmp_path / "models")
    with cascade.open_release(tmp_path / "models") as release:
        expected = of_release(release.recommend(USERS))
    with cascade.Server(tmp_path / "models") as server, server.client() as client:
        answers = client.recommend(USERS)
        assert "block_list" in answers[0].stages_ms
    assert lists(answers) == expected
    assert np.min([item.item_id for answer in answers for item in answer.items]) >= 1015
