"""Where the repository is, and an environment for programs that tests start."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def clean_environment() -> dict[str, str]:
    """This environment without what makes Python look elsewhere."""
    return {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME") and not k.startswith("CASCADE_")
    }
