"""Tables written into a folder and read back by the source ``tables``."""

import pyarrow as pa

from cascade.workflows.config import DataConfig
from cascade.workflows.sources import open_source


def read(folder, table="interactions", used=None, **options):
    """A whole table as the source gives it, in chunks for interactions."""
    source = open_source(DataConfig(source="tables", path=str(folder), **options), used)
    return pa.concat_tables(source.interactions()) if table == "interactions" else getattr(source, table)


def types_of(table):
    return {field.name: str(field.type) for field in table.schema}
