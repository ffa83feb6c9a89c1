"""Small shops, each made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from refresh_shop import Shop, made_parts, made_shop


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Artifacts with numbers as ids."""
    return made_parts(tmp_path_factory.mktemp("numbered") / "shop")


@pytest.fixture(scope="session")
def lettered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with text as ids."""
    return made_parts(tmp_path_factory.mktemp("lettered") / "shop", text_ids=True)


@pytest.fixture(scope="session")
def shop(numbered: Any, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return made_shop(tmp_path_factory.mktemp("fused"), numbered)


@pytest.fixture(scope="session")
def text_shop(lettered: Any, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return made_shop(tmp_path_factory.mktemp("text"), lettered, split=True)


@pytest.fixture
def another(numbered: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Shop]:
    """``another(...)``: a shop of the same artifacts with other settings, see `made_shop`."""
    return lambda **settings: made_shop(tmp_path_factory.mktemp("other"), numbered, **settings)
