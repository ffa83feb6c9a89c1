"""The base of every config section."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Section(BaseModel):
    """A frozen part of ``pipeline.yaml``. Unknown keys are errors. The reference has the docstring below a field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def stored(section: Section) -> Any:
    """The values of a section as JSON, without secrets: what is hashed and written into files."""
    return section.model_dump(mode="json", context={"stored": True})


class Leaf(Section):
    """A single value that a stage reads as if it were a section. Its dump is the value."""

    value: Any

    @model_serializer
    def _bare(self) -> Any:
        return self.value


class ExtensibleSection(Section):
    """A section with keys for extensions.

    A dump leaves those out while they have their default, because the keys of artifacts and the ids of releases are
    hashes of dumps: a key for extensions must not change them where no extension is used.
    """

    for_extensions: ClassVar[tuple[str, ...]] = ()
    """Names of these keys."""

    @model_serializer(mode="wrap")
    def _without_unused(self: Any, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unused = {name for name in self.for_extensions if getattr(self, name) == fields[name].default}
        dumped: dict[str, Any] = handler(self)
        return {name: value for name, value in dumped.items() if name not in unused}
