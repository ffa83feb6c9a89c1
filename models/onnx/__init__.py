"""From a Keras model to an ONNX file.

In: a Keras model and its input signature. Out: ONNX, large tables as memory-mapped files beside it.
Start with `export`.
"""
