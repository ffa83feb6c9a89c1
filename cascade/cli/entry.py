"""The entry point of the command. It imports nothing before it can be interrupted without a traceback."""

import os
import signal

INTERRUPTED = 128 + signal.SIGINT
"""Exit code."""


def main() -> None:
    """Run the command line."""
    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:  # as a shell sets it for what runs in the background
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))  # there is nothing to clean up yet
    from .main import main

    signal.signal(signal.SIGINT, before)
    main()
