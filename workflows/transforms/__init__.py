"""Fitted workflows as plain lookup tables, shared by ETL and serving.

In: a fitted NVTabular graph. Out: JSON and npy files that an op can map into memory. Start with `compile`.
"""
