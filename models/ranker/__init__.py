"""The DLRM that scores a user's candidates.

In: the etl and two_tower artifacts. Out: an ONNX model, split for serving where possible.
Start with `dlrm`, then `stage`.
"""
