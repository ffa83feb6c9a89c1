"""The etl stage: the data artifact in, arrays that models read out.

In: checked tables. Out: arrays of users, items and interactions, the fitted NVTabular workflows, and the same as lookup
tables for serving. Start with `stage`.
"""
