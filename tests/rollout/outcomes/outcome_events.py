"""Events of outcomes, and files of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def event(user: Any, time: Any, name: str = "click", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "time": time, "event": name, **more}


def write(file: Path, events: Sequence[dict[str, Any]]) -> Path:
    """JSON lines."""
    file.write_text("".join(json.dumps(each) + "\n" for each in events))
    return file
