"""Keras layers that turn features into vectors, and the feature tables that they read.

In: row numbers, codes and continuous values, [batch, ...]. Out: one float32 vector per feature, [batch, 1, dim].
Start with `feature_vectors`.
"""
