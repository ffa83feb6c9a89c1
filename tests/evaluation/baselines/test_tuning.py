"""Settings are chosen by their validation score, within a time, and remembered as long as nothing changes."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from cascade.core.errors import ArtifactError
from cascade.evaluation.baselines import tuning
from cascade.evaluation.baselines.tuning import Choice, Tuner

GRID = {"width": (2, 4, 8, 16), "rate": (0.1, 1.0, 2.0)}


@dataclass(frozen=True)
class Setting:
    width: int = 4
    rate: float = 1.0


class Scorer:
    """The best setting is (8, 2.0); counts its calls."""

    def __init__(self):
        self.tried = []

    def __call__(self, setting):
        self.tried.append((setting.width, setting.rate))
        return np.array([1 / abs(setting.width - 7.5) + setting.rate])


def test_one_field_after_the_other_with_the_others_at_their_best():
    scorer = Scorer()
    assert Tuner().choose("x", Setting(), GRID, scorer) == Choice(Setting(8, 2.0), pytest.approx(4.0), 6)
    assert scorer.tried == [(4, 1.0), (2, 1.0), (8, 1.0), (16, 1.0), (8, 0.1), (8, 2.0)]


@pytest.mark.parametrize(("spread", "want"), [(0.19, 8), (0.21, 4)])
def test_another_setting_has_to_be_better_by_more_than_a_standard_error(spread, want):
    def score(setting):  # width 8 is better by 0.1 on average, of four users
        return {4: np.zeros(4), 8: 0.1 + spread * np.array([-1.0, 1, -1, 1])}[setting.width]

    assert Tuner().choose("x", Setting(), {"width": (8,)}, score).setting == Setting(want)


def test_without_time_or_validation_the_default_is_taken():
    scorer = Scorer()
    assert Tuner(seconds=0).choose("x", Setting(), GRID, scorer) == Choice(Setting())
    assert Tuner().choose("x", Setting(), GRID, None) == Choice(Setting()) and not scorer.tried


def test_nothing_is_tried_after_the_time(monkeypatch, caplog):
    clock = iter([0, 1, 2, 31, 32])
    monkeypatch.setattr(tuning.time, "monotonic", lambda: next(clock))
    got = Tuner(seconds=30).choose("x", Setting(), GRID, scorer := Scorer())
    assert scorer.tried == [(4, 1.0), (2, 1.0), (8, 1.0)] and got.setting == Setting(8)
    assert "evaluation.tuning_seconds" in caplog.text


def test_a_choice_is_made_once(tmp_path):
    tuner, first, second = Tuner(tmp_path / "tuned", "digest"), Scorer(), Scorer()
    made = tuner.choose("x", Setting(), GRID, first)
    assert tuner.choose("x", Setting(), GRID, second) == made and not second.tried


@pytest.mark.parametrize(
    ("tuner", "name", "default", "grid", "inputs"),
    [
        ({"inputs": "other data"}, "x", Setting(), GRID, ""),
        ({"seconds": 5.0}, "x", Setting(), GRID, ""),
        ({}, "y", Setting(), GRID, ""),
        ({}, "x", Setting(2), GRID, ""),
        ({}, "x", Setting(), {"width": (8,)}, ""),
        ({}, "x", Setting(), GRID, "another label"),
    ],
)
def test_a_choice_is_made_again_when_something_changes(tmp_path, tuner, name, default, grid, inputs):
    Tuner(tmp_path, "digest").choose("x", Setting(), GRID, Scorer())
    again = Scorer()
    Tuner(**{"folder": tmp_path, "inputs": "digest", **tuner}).choose(name, default, grid, again, inputs)
    assert again.tried


def test_a_choice_of_other_code_is_made_again(tmp_path, monkeypatch):
    Tuner(tmp_path).choose("x", Setting(), GRID, Scorer())
    monkeypatch.setattr(tuning, "VERSION", tuning.VERSION + 1)
    Tuner(tmp_path).choose("x", Setting(), GRID, again := Scorer())
    assert again.tried


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"setting": {"colour": 1}, "score": 1.0, "tried": 1})])
def test_a_damaged_choice_is_named(tmp_path, content):
    Tuner(tmp_path).choose("x", Setting(), GRID, Scorer())
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    with pytest.raises(ArtifactError, match=f"{file.name}: damaged .* delete this file"):
        Tuner(tmp_path).choose("x", Setting(), GRID, Scorer())
