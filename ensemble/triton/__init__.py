"""The models that run inside Triton's python backend.

In: a batch of Triton requests. Out: their responses, and metrics. Start with `model`.
"""
