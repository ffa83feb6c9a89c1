"""The data stage: raw tables in, checked and split tables out.

In: interactions, users and items from a source. Out: Parquet with one type for each column, and a split.
Start with `stage`.
"""
