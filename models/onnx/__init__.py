"""From a Keras model to an ONNX file.

In: a Keras model and its input signature. Out: an ONNX file, with large tables as memory-mapped files beside it.
Start with `export`.
"""
