"""SIGTERM while libraries are imported: whatever they make of it, the exit code is that of the signal."""

import os
import signal

import pytest

from cascade.cli import main as command
from cascade.cli.main import TERMINATED, main


class Panic(BaseException):
    """As pydantic's core raises, which no `except Exception` catches."""


@pytest.mark.parametrize("made", [ImportError, Panic])
def test_the_exit_code_is_that_of_the_signal(monkeypatch: pytest.MonkeyPatch, made: type[BaseException]) -> None:
    def app() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit as error:
            raise made("no module") from error

    monkeypatch.setattr(command, "app", app)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == TERMINATED


def test_a_panic_without_a_signal_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        raise Panic

    monkeypatch.setattr(command, "app", app)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(Panic):
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
