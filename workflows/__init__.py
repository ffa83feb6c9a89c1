"""Data: from raw tables to the arrays that models read.

In: interactions, users and items from a source. Out: the artifacts ``data``, ``etl`` and ``features``. Start with
`config` for what can be set, then `data.stage` and `etl.stage`.
"""
