"""Shadows that are asked at once, so that no test waits for them."""

import pytest

from cascade.ensemble.triton.arms import shadow


@pytest.fixture(autouse=True)
def asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "_EVERY_S", 0.05)
