"""From trained artifacts to a model repository that Triton serves.

In: the artifacts of all stages. Out: a folder of JSON, npy, ONNX and FAISS files. Start with `stage`, then `steps` for
what is exported and `layout` for the folders.
"""
