"""The Feast feature store: what is stored, how it is published and how it is read within a request.

In: the data artifact. Out: Feast views and online rows. Start with `store`.
"""
