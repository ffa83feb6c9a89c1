"""Keras layers that turn features into vectors.

In: codes and numbers, [batch, ...]. Out: one float32 vector for each feature, [batch, dim].
Start with `feature_vectors`.
"""
