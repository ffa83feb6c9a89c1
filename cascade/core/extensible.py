"""A config value that names a built-in thing or an extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from .registry import BUILT_IN, Kind, choices


@dataclass(frozen=True)
class NameOf:
    """Annotates a ``str`` key: one of the built-in names of ``kind``, or one that is registered.

    Extensions are looked for only where a name is not built in. An unknown name is the error of a ``Literal`` of all
    names.
    """

    kind: Kind

    @property
    def built_in(self) -> tuple[str, ...]:
        return BUILT_IN[self.kind]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "examples": list(self.built_in)}

    def _check(self, name: Any) -> Any:
        if name in self.built_in or name in (valid := choices(self.kind)):
            return name
        *others, last = (repr(one) for one in valid)
        expected = f"{', '.join(others)} or {last}, or a registered {self.kind}"
        raise PydanticKnownError("literal_error", {"expected": expected})
