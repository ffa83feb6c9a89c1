"""The two-tower retriever, which finds the candidates.

In: the etl artifact. Out: the query tower and the item tower as ONNX models. Start with `two_tower`, then `training`.
The losses are in `losses`; `negatives` draws candidates and computes their logQ correction, which `losses` subtracts.
"""
