"""The ops of the request path, one a file. They import numpy, onnxruntime and faiss, and nothing heavier."""
