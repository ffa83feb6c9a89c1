"""The two towers that find candidates.

In: the etl artifact. Out: a query tower and an item tower as ONNX. Start with `two_tower`, then `stage`.
"""
