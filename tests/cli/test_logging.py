"""Libraries that write to file descriptor 2 directly, not through Python's stderr."""

import subprocess
import sys
from pathlib import Path

from shipping import clean_environment

PROGRAM = """
import os, sys
from cascade.core.quiet_import import QuietImport
sys.meta_path.insert(0, QuietImport("loud"))
os.write(2, b"before ")
try: import loud; print(loud.value, loud.__spec__.name)
except ValueError: print("failed")
os.write(2, b"after")
"""


def run(folder: Path, library: str) -> tuple[str, str]:
    (folder / "loud.py").write_text(library)
    env = clean_environment() | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def test_output_of_an_import_is_withheld(tmp_path: Path) -> None:
    library = "import os, sys\nos.write(2, b'noise ')\nprint('more', file=sys.stderr)\nvalue = 3"
    assert run(tmp_path, library) == ("3 loud", "before after")


def test_output_is_shown_if_the_import_fails(tmp_path: Path) -> None:
    library = "import os\nos.write(2, b'noise ')\nraise ValueError"
    assert run(tmp_path, library) == ("failed", "before noise after")


def test_our_own_messages_are_shown_once_with_their_level() -> None:
    program = (
        "import cascade, logging\n"
        "from cascade.cli.logging import configure_logging\n"
        "configure_logging(False); configure_logging(False)\n"
        "logging.getLogger('cascade.models').info('waiting')\n"
        "logging.getLogger('elsewhere').warning('noise')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == "INFO cascade.models: waiting\n"
