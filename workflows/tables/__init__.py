"""What every room knows about tables: column types, checks, ids, timestamps and which columns become features.

In: Arrow tables and the Parquet files of the data artifact. Out: columns in canonical types, or an error that names
table, column and row. Start with `canonical`.
"""
