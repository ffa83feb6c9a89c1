"""Raw tables in, checked and split tables out: the data stage.

In: interactions, users and items from a source. Out: Parquet with one name and type for each column, and a split.
Start with `stage`.
"""
