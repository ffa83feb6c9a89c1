"""A griffe extension: code under ``Example:`` in a docstring is shown as code."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Griffe knows the section under its plural name only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
