"""The FAISS index over item vectors.

In: the item tower. Out: the item vectors, and an index tuned to ``serving.ann.recall_target``. Start with
`vector_index`, then `tuning`. The config is `AnnConfig` in ``ensemble/config.py``, because serving and index share
it.
"""
