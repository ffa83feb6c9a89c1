"""The data artifact in, model-ready arrays out: the etl stage.

In: validated tables. Out: arrays of users, items and interactions, and the fitted transforms. Start with `stage`.
"""
