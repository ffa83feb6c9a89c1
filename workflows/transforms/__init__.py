"""Raw values to codes by lookup table or hash, the same in ETL and serving.

In: the vocabularies that an NVTabular workflow has learned. Out: JSON and npy files that an op maps into memory.
Start with `lookup_tables`.
"""
