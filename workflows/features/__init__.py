"""The Feast feature store: what it holds, how it is published and how a request reads it.

In: the data artifact. Out: Feast's feature views, and rows of its online store. Start with `stage`.
"""
