"""The FAISS index over item vectors.

In: the item tower. Out: an index that reaches the recall the config asks for. Start with `vector_index`, then `stage`.
"""
